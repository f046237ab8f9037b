use super::*;
use crate::store::{ACCOUNTING, Handover};
use holdfast_proto::radius::accounting::{Record, encode_request, is_reply_to};
use holdfast_proto::radius::packet::encode_request as encode_question;
use holdfast_proto::radius::{NAS, Nas, NasRights, nas_key};
use holdfast_proto::snapshot::{Change, DataKey, HpkePublic, State, reader, wrapped_key_row};
use holdfast_proto::words::{Secret, UnixMillis};
use std::net::Ipv4Addr;
use std::path::Path;

const NODE: NodeId = NodeId([1; 16]);

fn secret() -> Secret {
    Secret::new(*b"testing123")
}

fn access(agent: &HpkePublic) -> View {
    let (key, row_key) = (DataKey::from_bytes([7; 32]), nas_key("127.0.0.0/8".parse().unwrap()));
    let nas = Nas {
        name: "loopback".into(),
        secret: key.encrypt(NAS, &row_key, b"testing123").unwrap(),
        require_message_authenticator: true,
        has_former_secret: false,
        rights: NasRights::default(),
    };
    let rows = vec![wrapped_key_row(&key, NODE, agent).unwrap(), Change::put(NAS, row_key, nas.encode())];
    State::empty(Feed::ACCESS).compose(rows).unwrap().unwrap().into_view()
}

fn request(id: u8, status: u32, session: &str) -> Vec<u8> {
    let tlv = |kind: u8, value: &[u8]| [&[kind, value.len() as u8 + 2], value].concat();
    encode_request(id, &[tlv(40, &status.to_be_bytes()), tlv(44, session.as_bytes())].concat(), &secret())
}

struct Client(tokio::net::UdpSocket);

impl Client {
    async fn of(port: u16) -> Self {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(("127.0.0.1", port)).await.unwrap();
        Self(socket)
    }

    async fn ask(&self, request: &[u8]) -> Option<Vec<u8>> {
        self.0.send(request).await.unwrap();
        let mut reply = vec![0; PACKET_LIMIT_BYTES];
        let len = tokio::time::timeout(Duration::from_secs(2), self.0.recv(&mut reply)).await.ok()?.unwrap();
        reply.truncate(len);
        assert!(is_reply_to(&reply, request, &secret()));
        Some(reply)
    }
}

/// A server on this state directory: its port, and what ends it.
async fn serve(dir: &Path, budget: u64, access_of: impl FnOnce(&HpkePublic) -> View) -> (u16, tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let (private, public) = HpkePrivate::generate().unwrap();
    let (writer, access) = reader(Feed::ACCESS);
    writer.publish(access_of(&public));
    let server = AccountingServer::bind(&[(Ipv4Addr::LOCALHOST, 0).into()]).unwrap();
    let port = server.local_addrs().unwrap()[0].port();
    let clock = Arc::new(TrustedClock::new(UnixMillis(0)));
    let spool = Spool::open(dir, "radius", Arc::clone(&clock));
    let surroundings = Surroundings { access, node: NODE, private, state_dir: dir.to_owned(), budget: Budget(budget), clock, spool };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(surroundings, async move { drop(stopped.await) }));
    (port, stop, serving)
}

/// The sessions that are on the disk, in their order.
fn kept(dir: &Path) -> Vec<String> {
    let read = Handover::open(dir, ACCOUNTING).next(usize::MAX).unwrap().map(|(_, entries)| entries).unwrap_or_default();
    read.iter().filter_map(|entry| Record::decode(&entry.payload).ok()).map(|record| record.told().session_id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_means_that_the_record_is_on_the_disk_and_a_retransmit_gets_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (port, stop, serving) = serve(dir.path(), 64 << 20, access).await;
    let client = Client::of(port).await;
    let reply = client.ask(&request(1, 1, "s1")).await.expect("it is kept");
    assert_eq!(kept(dir.path()), ["s1"]);
    assert_eq!(client.ask(&request(1, 1, "s1")).await, Some(reply));
    assert!(client.ask(&request(2, 3, "s1")).await.is_some() && client.ask(&request(3, 2, "s1")).await.is_some());
    assert_eq!(kept(dir.path()), ["s1", "s1", "s1"], "the retransmit is no record of its own");
    // Whoever lacks the secret, and a record that says nothing.
    let mut forged = request(4, 1, "s2");
    forged[10] ^= 1;
    client.0.send(&forged).await.unwrap();
    let question = encode_question(STATUS_SERVER, 5, &[9; 16], &[], &secret()).unwrap();
    assert!(client.ask(&question).await.is_some(), "it lives");
    assert_eq!(kept(dir.path()).len(), 3);
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_nass_at_once_are_all_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (port, stop, serving) = serve(dir.path(), 64 << 20, access).await;
    let asking = (0..64u8).map(|number| async move {
        let client = Client::of(port).await;
        for turn in 0..5u8 {
            client.ask(&request(turn, 1, &format!("{number}-{turn}"))).await.expect("it is kept");
        }
    });
    let asked: Vec<_> = asking.map(tokio::spawn).collect();
    for one in asked {
        one.await.unwrap();
    }
    let mut sessions = kept(dir.path());
    sessions.sort();
    let mut expected: Vec<String> = (0..64).flat_map(|number| (0..5).map(move |turn| format!("{number}-{turn}"))).collect();
    expected.sort();
    assert_eq!(sessions, expected);
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_fails_nobody_is_answered_and_the_nas_is_heard_when_it_asks_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(ACCOUNTING), b"").unwrap();
    let (port, stop, serving) = serve(dir.path(), 64 << 20, access).await;
    let client = Client::of(port).await;
    let said = request(1, 1, "s1");
    let question = encode_question(STATUS_SERVER, 5, &[9; 16], &[], &secret()).unwrap();
    assert_eq!(client.ask(&said).await, None);
    assert_eq!(client.ask(&question).await, None, "a NAS that asks goes elsewhere");
    std::fs::remove_file(dir.path().join(ACCOUNTING)).unwrap();
    assert!(client.ask(&said).await.is_some(), "the same packet, now that the disk takes it");
    assert_eq!(kept(dir.path()), ["s1"]);
    assert!(client.ask(&question).await.is_some());
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_nas_hears_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (port, stop, serving) = serve(dir.path(), 64 << 20, |_| View::empty(Feed::ACCESS)).await;
    assert_eq!(Client::of(port).await.ask(&request(1, 1, "s1")).await, None);
    assert!(kept(dir.path()).is_empty());
    stop.send(()).unwrap();
    serving.await.unwrap();
}
