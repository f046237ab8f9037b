//! 802.1X and its relatives, asked by wpa_supplicant's own EAP: every method on both versions of TLS, and everything that must not let in.

use super::serving::{NORTH, eventually, two_campuses};
use holdfast_agent::config;
use holdfast_agent::radius::{EapCertificate, RadiusServer};
use holdfast_agent::reports::Spool;
use holdfast_lab::cables::{Campus, Place};
use holdfast_lab::clients::{EapolTest, eapol_test, radclient, radclient_chap};
use holdfast_lab::folder::Folder;
use holdfast_lab::lab::Part;
use holdfast_proto::net::clock::{TrustedClock, WallClock};
use holdfast_proto::radius::mschap::nt_hash;
use holdfast_proto::radius::packet::{Packet, attribute, code, encode_request, is_reply_to};
use holdfast_proto::radius::{ACCOUNT, Account, AccountState, FurtherVerifiers, NAS, Nas, NasRights, account_key, cleartext_key, nas_key, nt_hash_key};
use holdfast_proto::snapshot::{Change, DataKey, Feed, HpkePrivate, HpkePublic, State, View, reader, wrapped_key_row};
use holdfast_proto::words::{NodeId, Secret, UnixMillis};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NODE: NodeId = NodeId([1; 16]);
const SECRET: &str = "testing123";
const PASSWORD: &str = "joule-1";
/// The network block's words for one version of TLS and no other.
const VERSIONS: [&str; 2] = ["tls_disable_tlsv1_3=1", "tls_disable_tlsv1_0=1 tls_disable_tlsv1_1=1 tls_disable_tlsv1_2=1 tls_disable_tlsv1_3=0"];

/// An authority, a server's certificate and people's, as PEM files.
struct Certificates {
    issuer: Issuer<'static, KeyPair>,
    folder: Folder,
}

impl Certificates {
    fn new() -> Self {
        let folder = Folder::new("eap-certificates").unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Authority");
        let key = KeyPair::generate().unwrap();
        folder.write("ca.pem", &params.self_signed(&key).unwrap().pem()).unwrap();
        let made = Self { issuer: Issuer::new(params, key), folder };
        made.issue("server", "radius.uni.example", &[SanType::DnsName("radius.uni.example".try_into().unwrap())], ExtendedKeyUsagePurpose::ServerAuth);
        made
    }

    fn issue(&self, file: &str, common_name: &str, names: &[SanType], usage: ExtendedKeyUsagePurpose) {
        self.issue_numbered(file, common_name, names, usage, None);
    }

    /// With a serial number, by which it can be revoked.
    fn issue_numbered(&self, file: &str, common_name: &str, names: &[SanType], usage: ExtendedKeyUsagePurpose, number: Option<u64>) {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.serial_number = number.map(SerialNumber::from);
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names.to_vec();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        self.folder.write(&format!("{file}.pem"), &params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        self.folder.write(&format!("{file}.key"), &key.serialize_pem()).unwrap();
    }

    /// A revocation list with this one number in it, which should have been renewed years ago.
    fn revoke(&self, file: &str, number: u64) {
        let revoked = RevokedCertParams { serial_number: number.into(), revocation_time: date_time_ymd(2020, 1, 1), reason_code: None, invalidity_date: None };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2020, 2, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        self.folder.write(file, &list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
    }

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }

    fn config(&self) -> config::Radius {
        let [certificate, key, client_ca] = ["server.pem", "server.key", "ca.pem"].map(|file| Some(self.path(file).into()));
        config::Radius { certificate, key, client_ca, ..config::Radius::default() }
    }
}

/// "ada" has every verifier, "plain" argon2id alone; "old" is suspended.
fn views(agent: &HpkePublic) -> (View, View) {
    let key = DataKey::from_bytes([7; 32]);
    let wrapped = wrapped_key_row(&key, NODE, agent).unwrap();
    let account = |name: &str, state, is_plain: bool| {
        let (row_key, password) = (account_key(name), Secret::new(PASSWORD));
        let field = |row_key: &[u8], plain: &[u8]| key.encrypt(ACCOUNT, row_key, plain).unwrap();
        let further = FurtherVerifiers {
            nt_hash: Some(field(&nt_hash_key(&row_key), nt_hash(&password).unwrap().expose())).filter(|_| !is_plain),
            cleartext: Some(field(&cleartext_key(&row_key), password.expose())).filter(|_| !is_plain),
        };
        let account = Account { state, verifier: field(&row_key, verifier().as_bytes()), further, attributes: vec![25, 5, b'v', b'i', b'p'] };
        Change::put(ACCOUNT, row_key, account.encode())
    };
    let people = vec![
        wrapped.clone(),
        account("ada", AccountState::Active, false),
        account("ada@uni.example", AccountState::Active, false),
        account("plain", AccountState::Active, true),
        account("old", AccountState::Suspended, false),
    ];
    let row_key = nas_key("127.0.0.0/8".parse().unwrap());
    let nas = Nas {
        name: "loopback".into(),
        secret: key.encrypt(NAS, &row_key, SECRET.as_bytes()).unwrap(),
        require_message_authenticator: true,
        has_former_secret: false,
        rights: NasRights { chap: true, machines: None },
    };
    let view = |feed, changes| State::empty(feed).compose(changes).unwrap().unwrap().into_view();
    (view(Feed::PEOPLE, people), view(Feed::ACCESS, vec![wrapped, Change::put(NAS, row_key, nas.encode())]))
}

/// Cheap: these tests are not about argon2.
fn verifier() -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
    let params = Params::new(8, 1, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(PASSWORD.as_bytes()).unwrap().to_string()
}

/// An agent's RADIUS, on the loopback.
struct Server {
    address: SocketAddr,
    certificates: Certificates,
    _folder: Folder,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start() -> Self {
        Self::start_with(Certificates::new(), |config| config)
    }

    fn start_with(certificates: Certificates, change: impl FnOnce(config::Radius) -> config::Radius) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (private, public) = HpkePrivate::generate().unwrap();
        let ((people_writer, people), (access_writer, access)) = (reader(Feed::PEOPLE), reader(Feed::ACCESS));
        let (people_view, access_view) = views(&public);
        people_writer.publish(people_view);
        access_writer.publish(access_view);
        let folder = Folder::new("eap").unwrap();
        let spool = Spool::open(folder.path(), "radius", Arc::new(TrustedClock::new(UnixMillis(0))));
        let eap = EapCertificate::of(&change(certificates.config()), Arc::new(WallClock));
        let server = runtime.block_on(async { RadiusServer::bind(&["127.0.0.1:0".parse().unwrap()]) }).unwrap().with_eap(Arc::new(eap));
        let address = server.local_addrs().unwrap()[0];
        runtime.spawn(async move {
            let _writers = (people_writer, access_writer);
            server.serve(people, access, NODE, private, spool, std::future::pending()).await;
        });
        Self { address, certificates, _folder: folder, _runtime: runtime }
    }

    fn ask(&self, network: &str, options: &[&str]) -> EapolTest {
        eapol_test(None, self.address, SECRET, network, options).unwrap()
    }

    /// A user with a password.
    fn log_in(&self, method: &str, version: &str, identity: &str, password: &str) -> EapolTest {
        self.ask(&format!("{method}\n{}", self.person(version, identity, password)), &[])
    }

    fn person(&self, version: &str, identity: &str, password: &str) -> String {
        let ca = self.certificates.path("ca.pem");
        format!("identity=\"{identity}\"\nanonymous_identity=\"anonymous@uni.example\"\npassword=\"{password}\"\nca_cert=\"{ca}\"\nphase1=\"{version}\"\n")
    }

    fn certified(&self, version: &str, file: &str) -> EapolTest {
        let [ca, certificate, key] = [String::from("ca.pem"), format!("{file}.pem"), format!("{file}.key")].map(|file| self.certificates.path(&file));
        let files = format!("ca_cert=\"{ca}\"\nclient_cert=\"{certificate}\"\nprivate_key=\"{key}\"");
        self.ask(&format!("eap=TLS\nidentity=\"anonymous@uni.example\"\n{files}\nphase1=\"{version}\"\n"), &[])
    }
}

const TTLS_PAP: &str = "eap=TTLS\nphase2=\"auth=PAP\"";
const TTLS_MSCHAPV2: &str = "eap=TTLS\nphase2=\"auth=MSCHAPV2\"";
const TTLS_EAP_MSCHAPV2: &str = "eap=TTLS\nphase2=\"autheap=MSCHAPV2\"";
const TTLS_GTC: &str = "eap=TTLS\nphase2=\"autheap=GTC\"";
const PEAP_MSCHAPV2: &str = "eap=PEAP\nphase2=\"auth=MSCHAPV2\"";
const PEAP_GTC: &str = "eap=PEAP\nphase2=\"auth=GTC\"";
const PASSWORD_METHODS: [&str; 6] = [TTLS_PAP, TTLS_MSCHAPV2, TTLS_EAP_MSCHAPV2, TTLS_GTC, PEAP_MSCHAPV2, PEAP_GTC];

#[test]
fn every_method_lets_in_whom_it_should_with_the_same_keys_on_both_sides() {
    let server = Server::start();
    for version in VERSIONS {
        for method in PASSWORD_METHODS {
            let found = server.log_in(method, version, "ada", PASSWORD);
            assert!(found.is_accepted && found.keys_match, "{method} {version}:\n{}", found.said);
            let spoken = if version == VERSIONS[0] { "SSL: Using TLS version TLSv1.2" } else { "SSL: Using TLS version TLSv1.3" };
            assert!(found.said.contains(spoken), "{method}: not {spoken}");
            let wrong = server.log_in(method, version, "ada", "joule-2");
            assert!(!wrong.is_accepted && wrong.said.contains("code=3 (Access-Reject)"), "{method} {version}:\n{}", wrong.said);
        }
    }
}

#[test]
fn an_account_without_the_verifier_gets_in_by_what_it_has() {
    let server = Server::start();
    for method in PASSWORD_METHODS {
        let needs_nt_hash = method.contains("MSCHAPV2");
        assert_eq!(server.log_in(method, VERSIONS[1], "plain", PASSWORD).is_accepted, !needs_nt_hash, "{method}");
        for (name, password) in [("nobody", PASSWORD), ("old", PASSWORD), ("ada", "")] {
            let found = server.log_in(method, VERSIONS[1], name, password);
            assert!(!found.is_accepted && found.said.contains("code=3 (Access-Reject)"), "{method} {name}:\n{}", found.said);
        }
    }
}

#[test]
fn a_certificate_lets_in_the_account_that_it_names() {
    let certificates = Certificates::new();
    let mail = SanType::Rfc822Name("ada@uni.example".try_into().unwrap());
    let principal = SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3], "Ada".into()));
    certificates.issue("mail", "somebody", &[mail], ExtendedKeyUsagePurpose::ClientAuth);
    certificates.issue("principal", "somebody", &[principal], ExtendedKeyUsagePurpose::ClientAuth);
    certificates.issue("common", "ada", &[], ExtendedKeyUsagePurpose::ClientAuth);
    certificates.issue("stranger", "nobody", &[], ExtendedKeyUsagePurpose::ClientAuth);
    certificates.issue("suspended", "old", &[], ExtendedKeyUsagePurpose::ClientAuth);
    certificates.issue("of-a-server", "ada", &[], ExtendedKeyUsagePurpose::ServerAuth);
    let elsewhere = Certificates::new();
    elsewhere.issue("ada", "ada", &[], ExtendedKeyUsagePurpose::ClientAuth);
    for file in ["ada.pem", "ada.key"] {
        let text = std::fs::read_to_string(elsewhere.path(file)).unwrap();
        certificates.folder.write(&format!("elsewhere{}", &file[3..]), &text).unwrap();
    }
    let server = Server::start_with(certificates, |config| config);
    for version in VERSIONS {
        for file in ["mail", "principal", "common"] {
            let found = server.certified(version, file);
            assert!(found.is_accepted && found.keys_match, "{file} {version}:\n{}", found.said);
        }
        for file in ["stranger", "suspended", "of-a-server", "elsewhere"] {
            let found = server.certified(version, file);
            assert!(!found.is_accepted && found.said.contains("code=3 (Access-Reject)"), "{file} {version}:\n{}", found.said);
        }
    }
}

#[test]
fn a_certificate_that_was_revoked_lets_nobody_in() {
    let certificates = Certificates::new();
    for (file, number) in [("kept", 7), ("lost", 8)] {
        certificates.issue_numbered(file, "ada", &[], ExtendedKeyUsagePurpose::ClientAuth, Some(number));
    }
    certificates.revoke("revoked.pem", 8);
    let list = certificates.path("revoked.pem").into();
    let server = Server::start_with(certificates, |config| config::Radius { client_crl: Some(list), ..config });
    for version in VERSIONS {
        let (kept, lost) = (server.certified(version, "kept"), server.certified(version, "lost"));
        assert!(kept.is_accepted && kept.keys_match, "{version}:\n{}", kept.said);
        assert!(!lost.is_accepted && lost.said.contains("code=3 (Access-Reject)"), "{version}:\n{}", lost.said);
    }
}

#[test]
fn what_is_too_long_for_a_link_goes_in_pieces_both_ways() {
    let certificates = Certificates::new();
    certificates.issue("common", "ada", &[], ExtendedKeyUsagePurpose::ClientAuth);
    let server = Server::start_with(certificates, |config| config);
    let [ca, certificate, key] = ["ca.pem", "common.pem", "common.key"].map(|file| server.certificates.path(file));
    let network = format!("eap=TLS\nidentity=\"ada\"\nca_cert=\"{ca}\"\nclient_cert=\"{certificate}\"\nprivate_key=\"{key}\"\n");
    let whole = server.ask(&network, &[]);
    // 12 is Framed-MTU.
    let pieces = server.ask(&format!("{network}fragment_size=150\n"), &["-N", "12:d:200"]);
    for found in [&whole, &pieces] {
        assert!(found.is_accepted && found.keys_match, "{}", found.said);
    }
    assert!(pieces.requests >= whole.requests + 6, "{} requests, and {} in pieces", whole.requests, pieces.requests);
}

#[test]
fn a_user_who_believes_another_authority_does_not_come_in_and_says_nothing() {
    let server = Server::start();
    let elsewhere = Certificates::new();
    for version in VERSIONS {
        let person = server.person(version, "ada", PASSWORD).replace(&server.certificates.path("ca.pem"), &elsewhere.path("ca.pem"));
        let found = server.ask(&format!("{TTLS_PAP}\n{person}"), &[]);
        assert!(!found.is_accepted && found.said.contains("code=3 (Access-Reject)"), "{version}:\n{}", found.said);
    }
}

#[test]
fn without_a_certificate_eap_is_refused_at_once_and_without_authorities_eap_tls_is() {
    let none = Server::start_with(Certificates::new(), |_| config::Radius::default());
    let begun = Instant::now();
    let found = none.log_in(TTLS_PAP, VERSIONS[0], "ada", PASSWORD);
    assert!(!found.is_accepted && found.said.contains("code=3 (Access-Reject)") && begun.elapsed() < Duration::from_secs(5), "{}", found.said);
    let certificates = Certificates::new();
    certificates.issue("common", "ada", &[], ExtendedKeyUsagePurpose::ClientAuth);
    let server = Server::start_with(certificates, |config| config::Radius { client_ca: None, ..config });
    assert!(!server.certified(VERSIONS[0], "common").is_accepted);
    assert!(server.log_in(TTLS_PAP, VERSIONS[0], "ada", PASSWORD).is_accepted);
}

/// Attributes of a NAS's request, in wire form.
fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, value.len() as u8 + 2], value].concat()
}

#[test]
fn a_state_that_nobody_knows_is_refused_at_once_so_that_the_user_begins_anew() {
    let server = Server::start();
    let nas = UdpSocket::bind("127.0.0.1:0").unwrap();
    nas.connect(server.address).unwrap();
    nas.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let ask = |id: u8, body: &[u8]| {
        let request = encode_request(code::ACCESS_REQUEST, id, &[id; 16], &[&tlv(attribute::USER_NAME, b"ada"), body].concat(), &Secret::new(SECRET)).unwrap();
        let mut reply = vec![0; 4096];
        nas.send(&request).unwrap();
        let len = nas.recv(&mut reply).unwrap();
        reply.truncate(len);
        assert!(is_reply_to(&reply, &[id; 16], &Secret::new(SECRET)));
        reply
    };
    let body = [tlv(attribute::EAP_MESSAGE, &[2, 9, 0, 6, 21, 0]), tlv(attribute::STATE, &[7; 16])].concat();
    let reply = ask(1, &body);
    assert_eq!((reply[0], &reply[38..]), (code::ACCESS_REJECT, &tlv(attribute::EAP_MESSAGE, &[4, 9, 0, 4])[..]));
    assert_eq!(ask(1, &body), reply, "a retransmit gets the same bytes");
    let identity = tlv(attribute::EAP_MESSAGE, b"\x02\x01\x00\x08\x01ada");
    let challenge = ask(2, &identity);
    assert_eq!(challenge[0], code::ACCESS_CHALLENGE);
    assert_eq!(ask(2, &identity), challenge, "a challenge, too");
}

/// Five wrong passwords and then the right one, until that is refused: on a busy machine a wait may be over before it was asked.
fn guess_until_the_right_one_is_refused(mut log_in: impl FnMut(&str) -> bool) {
    let refused = (0..50).any(|_| {
        (0..5).for_each(|_| assert!(!log_in("joule-2")));
        !log_in(PASSWORD)
    });
    assert!(refused, "nobody has to wait for guesses");
}

#[test]
fn who_guesses_has_to_wait_by_every_method_and_nobody_else_does() {
    let server = Server::start();
    let SocketAddr::V4(address) = server.address else { panic!("IPv4 was asked for") };
    let pap = |station: &str, password: &str| {
        let station = format!("Calling-Station-Id = \"{station}\"");
        radclient(None, address, SECRET, "plain", password, &[&station]).unwrap().expect("a reply").is_accept()
    };
    guess_until_the_right_one_is_refused(|password| pap("02-00-00-00-00-0a", password));
    assert!(pap("02-00-00-00-00-0b", PASSWORD), "another machine");
    assert!(server.log_in(TTLS_PAP, VERSIONS[1], "ada", PASSWORD).is_accepted, "another account");
    eventually("the wait is over", || Ok(pap("02-00-00-00-00-0a", PASSWORD)));
    let tunnelled = |station: &str, password: &str| {
        let network = format!("{PEAP_MSCHAPV2}\n{}", server.person(VERSIONS[1], "ada@uni.example", password));
        server.ask(&network, &["-M", station]).is_accepted
    };
    guess_until_the_right_one_is_refused(|password| tunnelled("02:00:00:00:00:0a", password));
    assert!(tunnelled("02:00:00:00:00:0b", PASSWORD), "another machine");
}

/// What a machine says first in TTLS: TLS's own first word.
fn client_hello(server: &Server) -> Vec<u8> {
    let mut roots = rustls::RootCertStore::empty();
    let authority = std::fs::read(server.certificates.path("ca.pem")).unwrap();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(&authority).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let config = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), "radius.uni.example".try_into().unwrap()).unwrap();
    let mut hello = vec![];
    while tls.wants_write() {
        tls.write_tls(&mut hello).unwrap();
    }
    hello
}

#[test]
fn a_flood_of_handshakes_from_one_nas_keeps_nobody_else_waiting() {
    const FLOOD: u16 = 600;
    let server = Server::start();
    let SocketAddr::V4(address) = server.address else { panic!("IPv4 was asked for") };
    let hello = client_hello(&server);
    let flooder = UdpSocket::bind("127.0.0.2:0").unwrap();
    flooder.connect(server.address).unwrap();
    flooder.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let send = |number: u16, body: &[u8]| {
        let authenticator = [&number.to_be_bytes()[..], &[body.len() as u8; 14]].concat().try_into().unwrap();
        flooder.send(&encode_request(code::ACCESS_REQUEST, number as u8, &authenticator, body, &Secret::new(SECRET)).unwrap()).unwrap();
    };
    let hear = || {
        let mut reply = vec![0; 4096];
        let len = flooder.recv(&mut reply).ok()?;
        reply.truncate(len);
        Some(reply)
    };
    let begun: Vec<Vec<u8>> = (0..FLOOD)
        .map(|number| {
            send(number, &[tlv(attribute::USER_NAME, b"ada"), tlv(attribute::EAP_MESSAGE, b"\x02\x01\x00\x08\x01ada")].concat());
            let reply = hear().expect("a challenge: nothing was asked for yet that costs");
            let packet = Packet::parse(&reply).unwrap();
            let (eap, state) = [attribute::EAP_MESSAGE, attribute::STATE].map(|kind| packet.values(kind).next().unwrap()).into();
            let mut said = [&[2, eap[1], 0, 0, 21, 0], &hello[..]].concat();
            let len = (said.len() as u16).to_be_bytes();
            said[2..4].copy_from_slice(&len);
            let pieces: Vec<u8> = said.chunks(253).flat_map(|piece| tlv(attribute::EAP_MESSAGE, piece)).collect();
            [tlv(attribute::USER_NAME, b"ada"), pieces, tlv(attribute::STATE, state)].concat()
        })
        .collect();
    let at = Instant::now();
    std::thread::scope(|scope| {
        let people = scope.spawn(|| {
            for _ in 0..20 {
                let reply = radclient(None, address, SECRET, "plain", PASSWORD, &[]).unwrap();
                assert!(reply.is_some_and(|reply| reply.is_accept()), "PAP is answered at the first try");
            }
        });
        (0..FLOOD).zip(&begun).for_each(|(number, body)| send(number, body));
        let mut count = 0.0;
        while hear().is_some() {
            count += 1.0;
        }
        assert!(count > 20.0, "{count} were answered, and 200 may begin at once");
        assert!(count <= 200.0 + 100.0 * at.elapsed().as_secs_f64() + 1.0, "{count} handshakes were begun");
        people.join().unwrap();
    });
    // What was not answered goes on when the NAS asks again.
    eventually("the last one's turn", || {
        send(FLOOD - 1, &begun[usize::from(FLOOD) - 1]);
        Ok(hear().is_some_and(|reply| reply[1] == (FLOOD - 1) as u8))
    });
}

#[test]
fn chap_is_asked_by_radclient() {
    let server = Server::start();
    let SocketAddr::V4(address) = server.address else { panic!("IPv4 was asked for") };
    let log_in = |name, password| radclient_chap(None, address, SECRET, name, password).unwrap().expect("a reply");
    assert!(log_in("ada", PASSWORD).is_accept() && log_in("ada", PASSWORD).attribute("Class") == Some("0x766970"));
    for (name, password) in [("ada", "joule-2"), ("plain", PASSWORD), ("nobody", PASSWORD), ("old", PASSWORD)] {
        let reply = log_in(name, password);
        assert_eq!((reply.is_accept(), reply.attribute("Class")), (false, None), "{name}");
    }
}

#[test]
fn what_the_portal_is_told_to_keep_reaches_every_campus_and_goes_again() {
    let Some(mut lab) = two_campuses("verifiers beside argon2id") else { return };
    let certificates = Certificates::new();
    for campus in Campus::BOTH {
        let (name, config) = (campus.name(), certificates.config());
        let text = std::fs::read_to_string(lab.folder().path().join(format!("{name}.toml"))).unwrap();
        let files = [("certificate", &config.certificate), ("key", &config.key)];
        let radius: String = files.iter().map(|(key, path)| format!("{key} = {:?}\n", path.as_ref().unwrap())).collect();
        lab.folder().write(&format!("{name}.toml"), &format!("{text}[radius]\n{radius}")).unwrap();
        lab.stop(Part::Agent(campus)).unwrap();
        lab.start(Part::Agent(campus)).unwrap();
    }
    let log_in = |campus: Campus, method: &str, name: &str, password: &str| {
        let secret = if campus == NORTH { "yupgpn753sb3uqwdp8tu" } else { "wwsxpwzmghtx6cw9nd67" };
        let person = format!("identity=\"{name}\"\npassword=\"{password}\"\nca_cert=\"{}\"\n", certificates.path("ca.pem"));
        let server = SocketAddrV4::new(campus.agent(), 1812).into();
        eapol_test(Some(lab.network().at(Place::Nas(campus))), server, secret, &format!("{method}\n{person}"), &[])
    };
    let is_in = |campus, method, name, password| Ok(log_in(campus, method, name, password)?.is_accepted);
    let joule = "joule-89667-euler";
    eventually("a password by TTLS/PAP", || is_in(NORTH, TTLS_PAP, "pascal.tesla0", joule));
    assert!(!is_in(NORTH, PEAP_MSCHAPV2, "pascal.tesla0", joule).unwrap(), "nobody was told to keep an NT hash");

    let said = lab.run(Part::Portal, &["auth-portal", "keep", "nt-hash", "--realm", "uni.example"]).unwrap();
    assert!(said.contains("nt-hash is kept"), "{said}");
    let users = "new@uni.example\tCleartext-Password := \"volta-1\"\nnew@elsewhere.example\tCleartext-Password := \"volta-1\"\n";
    let users = lab.folder().write("users-of-a-realm", users).unwrap();
    lab.run(Part::Portal, &["auth-portal", "import-users", users.to_str().unwrap()]).unwrap();
    for campus in Campus::BOTH {
        eventually("PEAP for the realm", || is_in(campus, PEAP_MSCHAPV2, "new@uni.example", "volta-1"));
    }
    eventually("the other realm by TTLS/PAP", || is_in(NORTH, TTLS_PAP, "new@elsewhere.example", "volta-1"));
    assert!(!is_in(NORTH, PEAP_MSCHAPV2, "new@elsewhere.example", "volta-1").unwrap());

    assert!(lab.run(Part::Portal, &["auth-portal", "kept"]).unwrap().contains("nt-hash    uni.example"));
    let said = lab.run(Part::Portal, &["auth-portal", "forget", "nt-hash", "--realm", "uni.example"]).unwrap();
    assert!(said.contains("taken away from 1 account"), "{said}");
    eventually("the NT hash is gone from the box", || Ok(!is_in(NORTH, PEAP_MSCHAPV2, "new@uni.example", "volta-1")?));
    assert!(is_in(NORTH, TTLS_PAP, "new@uni.example", "volta-1").unwrap(), "the password is not");
}
