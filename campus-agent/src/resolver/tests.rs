//! Real sockets on the loopback, with a master made of a few lines.

use super::*;
use crate::config::{Resolver, ResolverTier, ResolverTls};
use holdfast_proto::dhcp::table::{SUBNET, SubnetRow, subnet_key};
use holdfast_proto::dns::resolver::Standing;
use holdfast_proto::snapshot::{Change, Feed, NODE, Node, NodeRole, NodeStatus, State, View, node_key, reader};
use holdfast_proto::words::UnixMillis;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

fn query(id: u16, name: &str) -> Vec<u8> {
    let labels: Vec<u8> = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &labels, &[0, 0, 1, 0, 1]].concat()
}

/// The query with an address behind its question.
fn reply(query: &[u8]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let head = [&query[..2], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], &query[12..end]].concat();
    [&head[..], &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]].concat()
}

fn is_ping(query: &[u8]) -> bool {
    query[12..].starts_with(b"\x02id")
}

fn settings(master: SocketAddr, tls: Option<ResolverTls>) -> Resolver {
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    Resolver { listen, master: Some(ResolverTier { servers: vec![master], tls }), ..Resolver::default() }
}

fn bind(settings: &Resolver) -> io::Result<ResolverServer> {
    ResolverServer::bind(settings, &[], Arc::new(TrustedClock::new(UnixMillis(0))))
}

async fn serve(settings: &Resolver) -> (UdpSocket, JoinSet<()>, tempfile::TempDir) {
    let server = bind(settings).unwrap();
    let address = server.local_addrs().unwrap()[0];
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TrustedClock::new(UnixMillis(0)));
    let surroundings = Surroundings {
        zone: reader(Feed::ZONE).1,
        bootptab: reader(Feed::BOOTPTAB).1,
        roster: reader(Feed::TRUST).1,
        node: NodeId([1; 16]),
        run_dir: folder.path().to_owned(),
        spool: Spool::open(folder.path(), "resolver", clock),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { server.serve(surroundings, std::future::pending()).await.unwrap() });
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(address).await.unwrap();
    (client, tasks, folder)
}

async fn hear(client: &UdpSocket) -> Vec<u8> {
    let mut answer = vec![0; 1500];
    let len = timeout(PATIENCE, client.recv(&mut answer)).await.unwrap().unwrap();
    answer.truncate(len);
    answer
}

#[tokio::test]
async fn what_many_ask_for_at_once_is_asked_for_once() {
    let master = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (client, _tasks, _folder) = serve(&settings(master.local_addr().unwrap(), None)).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut packet = [0; 512];
        loop {
            let (len, from) = master.recv_from(&mut packet).await.unwrap();
            if !is_ping(&packet[..len]) {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            master.send_to(&reply(&packet[..len]), from).await.unwrap();
        }
    });
    for id in 0..40 {
        client.send(&query(id, "www.far.org")).await.unwrap();
    }
    let mut heard: Vec<u16> = Vec::new();
    for _ in 0..40 {
        let answer = hear(&client).await;
        assert!(answer.ends_with(&[192, 0, 2, 1]), "{answer:?}");
        heard.push(u16::from_be_bytes([answer[0], answer[1]]));
    }
    heard.sort_unstable();
    assert_eq!(heard, (0..40).collect::<Vec<_>>());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn nobody_there_is_told_at_once_and_so_is_somebody_that_came_back() {
    let master = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = master.local_addr().unwrap();
    drop(master);
    let (client, _tasks, _folder) = serve(&settings(address, None)).await;
    let begun = std::time::Instant::now();
    client.send(&query(1, "www.far.org")).await.unwrap();
    let answer = hear(&client).await;
    assert_eq!(answer[3] & 15, 2, "SERVFAIL");
    assert!(begun.elapsed() < Duration::from_secs(2), "the system says that the port is closed; it took {:?}", begun.elapsed());
    let master = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut packet = [0; 512];
        while let Ok((len, from)) = master.recv_from(&mut packet).await {
            master.send_to(&reply(&packet[..len]), from).await.unwrap();
        }
    });
    let again = async {
        for id in 2.. {
            client.send(&query(id, "www.far.org")).await.unwrap();
            if hear(&client).await.ends_with(&[192, 0, 2, 1]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, again).await.expect("it is asked again when it is back");
}

/// A master over TLS, and the file of its authority.
async fn master_over_tls(folder: &std::path::Path) -> (SocketAddr, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["dns.uni.example".to_owned()]).unwrap();
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(holdfast_proto::net::tls::provider()).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&config));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                while let Ok(len) = stream.read_u16().await {
                    let mut query = vec![0; usize::from(len)];
                    stream.read_exact(&mut query).await.unwrap();
                    let reply = reply(&query);
                    stream.write_all(&[&(reply.len() as u16).to_be_bytes(), &reply[..]].concat()).await.unwrap();
                }
            });
        }
    });
    (address, ca)
}

#[tokio::test]
async fn over_tls_the_master_is_believed_by_its_certificate_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (master, ca) = master_over_tls(folder.path()).await;
    let named = |name: &str, ca: &std::path::Path| Some(ResolverTls { name: Some(name.to_owned()), ca: Some(ca.to_owned()) });
    let (client, _tasks, _folder) = serve(&settings(master, named("dns.uni.example", &ca))).await;
    for id in 0..3 {
        client.send(&query(id, &format!("n{id}.far.org"))).await.unwrap();
        assert!(hear(&client).await.ends_with(&[192, 0, 2, 1]));
    }
    let (_, other_ca) = master_over_tls(tempfile::tempdir().unwrap().keep().as_path()).await;
    for tls in [named("dns.uni.example", &other_ca), named("other.uni.example", &ca)] {
        let (client, _tasks, _folder) = serve(&settings(master, tls)).await;
        client.send(&query(7, "www.far.org")).await.unwrap();
        assert_eq!(hear(&client).await[3] & 15, 2, "SERVFAIL: whoever it is, it is not asked in the clear");
    }
    let missing = bind(&settings(master, named("dns.uni.example", &folder.path().join("none.pem")))).unwrap_err();
    assert!(missing.to_string().contains("none.pem"), "{missing}");
}

#[tokio::test]
async fn a_box_does_not_ask_itself() {
    let own = SocketAddr::from(([127, 0, 0, 1], TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()));
    for listen in [own, SocketAddr::from(([0, 0, 0, 0], own.port()))] {
        let wrong = bind(&Resolver { listen: vec![listen], ..settings(own, None) }).unwrap_err().to_string();
        assert!(wrong.contains("this box itself"), "{wrong}");
    }
}

fn view(feed: Feed, rows: Vec<Change>) -> View {
    State::empty(feed).compose(rows).unwrap().unwrap().into_view()
}

#[test]
fn the_subnets_of_the_campus_and_of_those_it_stands_in_for_may_ask() {
    let subnet = |net: &str, campus: &str| Change::put(SUBNET, subnet_key(net.parse().unwrap()), SubnetRow { campus: campus.into(), options: vec![] }.encode());
    let bootptab =
        view(Feed::BOOTPTAB, vec![subnet("10.1.4.0/22", "north"), subnet("10.2.4.0/22", "south"), subnet("10.3.4.0/22", "east"), subnet("10.9.0.0/24", "")]);
    let node = Node { role: NodeRole::Agent, status: NodeStatus::Active, name: "n".into(), campus: "north".into(), hpke_public: vec![], addresses: vec![] };
    let roster = view(Feed::TRUST, vec![Change::put(NODE, node_key(NodeId([1; 16])), node.encode().unwrap())]);
    let settings: Resolver = toml::from_str("stands_in_for = [\"south\"]\nclients = [\"2001:db8::/32\"]\ndepartments = [\"10.1.7.0/24\"]\n").unwrap();
    let clients = clients::clients(&settings, NodeId([1; 16]), &bootptab, &roster);
    for (address, standing) in [
        ("127.0.0.1", Standing::Client),
        ("::1", Standing::Client),
        ("10.1.4.10", Standing::Client),
        ("10.2.7.255", Standing::Client),
        ("10.3.4.10", Standing::Stranger),
        ("10.9.0.1", Standing::Stranger),
        ("2001:db8::7", Standing::Client),
        ("10.1.7.9", Standing::Department),
        ("192.0.2.1", Standing::Stranger),
    ] {
        assert_eq!(clients.standing(address.parse().unwrap()), standing, "{address}");
    }
    let unknown = clients::clients(&settings, NodeId([9; 16]), &bootptab, &roster);
    assert_eq!(unknown.standing("10.1.4.10".parse().unwrap()), Standing::Stranger, "a box that is in no roster opens itself to nobody");
}
