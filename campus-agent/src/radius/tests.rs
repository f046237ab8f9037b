use super::verify::{KnownPasswords, is_right};
use super::*;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use holdfast_proto::radius::packet::{PACKET_LIMIT_BYTES, attribute, code, encode_request, hide_password, is_reply_to};
use holdfast_proto::radius::{
    ACCOUNT, Account, AccountState, FurtherVerifiers, Keys, NAS, Nas, NasRights, Outcome, Patience, PendingCheck, Watch, account_key, answer, nas_key,
};
use holdfast_proto::snapshot::{Change, DataKey, Feed, HpkePublic, State, View, reader, wrapped_key_row};
use holdfast_proto::words::{Secret, UnixMillis};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const NODE: NodeId = NodeId([1; 16]);
const AUTHENTICATOR: [u8; 16] = *b"0123456789abcdef";

fn secret() -> Secret {
    Secret::new(*b"testing123")
}

/// A cheap verifier: the tests are about the loop, not about argon2.
fn verifier(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password.as_bytes()).unwrap().to_string()
}

fn views(agent: &HpkePublic, password: &str) -> (View, View) {
    let key = DataKey::from_bytes([7; 32]);
    let wrapped = wrapped_key_row(&key, NODE, agent).unwrap();
    let field = key.encrypt(ACCOUNT, &account_key("ada"), verifier(password).as_bytes()).unwrap();
    let account = Account { state: AccountState::Active, verifier: field, further: FurtherVerifiers::default(), attributes: vec![6, 6, 0, 0, 0, 2] };
    let people = vec![wrapped.clone(), Change::put(ACCOUNT, account_key("ada"), account.encode())];
    let row_key = nas_key("127.0.0.0/8".parse().unwrap());
    let nas = Nas {
        name: "loopback".into(),
        secret: key.encrypt(NAS, &row_key, b"testing123").unwrap(),
        require_message_authenticator: true,
        has_former_secret: false,
        rights: NasRights::default(),
    };
    let view = |feed, changes| State::empty(feed).compose(changes).unwrap().unwrap().into_view();
    (view(Feed::PEOPLE, people), view(Feed::ACCESS, vec![wrapped, Change::put(NAS, row_key, nas.encode())]))
}

fn request(id: u8, name: &str, password: &str) -> Vec<u8> {
    let hidden = hide_password(password.as_bytes(), &secret(), &AUTHENTICATOR).unwrap();
    let tlv = |kind, value: &[u8]| [&[kind, value.len() as u8 + 2], value].concat();
    let attributes = [tlv(attribute::USER_NAME, name.as_bytes()), tlv(attribute::USER_PASSWORD, &hidden)].concat();
    encode_request(code::ACCESS_REQUEST, id, &AUTHENTICATOR, &attributes, &secret()).unwrap()
}

fn check(name: &str, password: &str, views: &(View, View), keys: &Keys) -> Box<PendingCheck> {
    let mut out = [0; PACKET_LIMIT_BYTES];
    let peer = "127.0.0.1:1024".parse().unwrap();
    let watch = Watch { patience: &Patience::default(), now: Duration::ZERO };
    match answer(&views.0, &views.1, keys, &request(1, name, password), peer, watch, &mut out) {
        Outcome::Check(check) => check,
        other => panic!("{other:?}"),
    }
}

#[test]
fn passwords_are_verified_and_known_again_only_with_their_verifier() {
    let (private, public) = HpkePrivate::generate().unwrap();
    let (before, after) = (views(&public, "joule-1"), views(&public, "joule-1"));
    let ring = |view: &View| holdfast_proto::snapshot::DataKeyRing::open(view, NODE, &private).0;
    let keys = Keys { people: ring(&before.0), access: ring(&before.1) };
    let (right, wrong) = (check("ada", "joule-1", &before, &keys), check("ada", "joule-2", &before, &keys));
    assert!(is_right(&right) && !is_right(&wrong));
    let (mut known, now) = (KnownPasswords::new(), Instant::now());
    let tag = known.tag(&right);
    known.learn(tag, now);
    assert!(known.knows(&tag, now) && !known.knows(&known.tag(&wrong), now));
    // A new verifier of the same password is another pair.
    assert!(!known.knows(&known.tag(&check("ada", "joule-1", &after, &keys)), now));
    assert!(!known.knows(&tag, now + Duration::from_secs(13 * 3600)));
}

#[test]
fn an_unknown_user_costs_a_whole_hash_and_is_never_right() {
    let (private, public) = HpkePrivate::generate().unwrap();
    let views = views(&public, "x");
    let ring = |view: &View| holdfast_proto::snapshot::DataKeyRing::open(view, NODE, &private).0;
    let nobody = check("nobody", "x", &views, &Keys { people: ring(&views.0), access: ring(&views.1) });
    let dummy = argon2::password_hash::phc::PasswordHash::new(std::str::from_utf8(nobody.verifier().expose()).unwrap()).unwrap();
    assert_eq!(dummy.params.to_string(), "m=19456,t=2,p=1");
    assert_eq!(dummy.hash.unwrap().len(), 32);
    assert!(!is_right(&nobody));
}

struct Client(tokio::net::UdpSocket);

impl Client {
    async fn ask(&self, request: &[u8]) -> Option<Vec<u8>> {
        self.0.send(request).await.unwrap();
        let mut reply = vec![0; PACKET_LIMIT_BYTES];
        let len = tokio::time::timeout(Duration::from_millis(300), self.0.recv(&mut reply)).await.ok()?.unwrap();
        reply.truncate(len);
        Some(reply)
    }

    /// Asks until there is an answer: the first views need a moment to arrive.
    async fn insist(&self, request: &[u8]) -> Vec<u8> {
        for _ in 0..20 {
            if let Some(reply) = self.ask(request).await {
                assert!(is_reply_to(&reply, &AUTHENTICATOR, &secret()));
                return reply;
            }
        }
        panic!("no reply");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop_accepts_rejects_repeats_itself_and_follows_its_readers() {
    let (private, public) = HpkePrivate::generate().unwrap();
    let ((people_writer, people), (access_writer, access)) = (reader(Feed::PEOPLE), reader(Feed::ACCESS));
    let server = RadiusServer::bind(&[(Ipv4Addr::UNSPECIFIED, 0).into()]).unwrap();
    let port = server.local_addrs().unwrap()[0].port();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let dir = tempfile::tempdir().unwrap();
    let spool = crate::reports::Spool::open(dir.path(), "radius", std::sync::Arc::new(holdfast_proto::net::clock::TrustedClock::new(UnixMillis(0))));
    let serving = tokio::spawn(server.serve(people, access, NODE, private, spool, async move { drop(stopped.await) }));
    let client = Client(tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap());
    client.0.connect(("127.0.0.1", port)).await.unwrap();

    assert_eq!(client.ask(&request(1, "ada", "one")).await, None, "no NAS is known yet");
    let (people_view, access_view) = views(&public, "one");
    people_writer.publish(people_view);
    access_writer.publish(access_view);
    let accept = client.insist(&request(1, "ada", "one")).await;
    assert_eq!((accept[0], &accept[38..]), (code::ACCESS_ACCEPT, &[6, 6, 0, 0, 0, 2][..]));
    assert_eq!(client.insist(&request(1, "ada", "one")).await, accept, "a retransmit gets the same bytes");
    assert_eq!(client.insist(&request(2, "ada", "two")).await[0], code::ACCESS_REJECT);
    assert_eq!(client.insist(&request(3, "nobody", "one")).await[0], code::ACCESS_REJECT);
    assert_eq!(client.ask(b"noise").await, None);

    people_writer.publish(views(&public, "two").0);
    let mut id = 10;
    while client.insist(&request(id, "ada", "two")).await[0] != code::ACCESS_ACCEPT {
        id += 1;
        assert!(id < 50, "the new view never came");
    }
    assert_eq!(client.insist(&request(99, "ada", "one")).await[0], code::ACCESS_REJECT, "the old password is no longer known");
    stop.send(()).unwrap();
    serving.await.unwrap();
}
