use super::*;
use holdfast_proto::dhcp::Kind;
use holdfast_proto::dhcp::message::{HEADER_BYTES, Message, OPTIONS_COOKIE};
use holdfast_proto::dhcp::policy::{POLICY, PolicyRow, Share};
use holdfast_proto::dhcp::table::{RESERVATION, Reservation, SUBNET, SubnetRow, reservation_key, subnet_key};
use holdfast_proto::snapshot::{Change, Feed, State, View, reader};
use holdfast_proto::words::UnixMillis;
use std::path::Path;
use std::time::Duration;

const NODE: NodeId = NodeId([7; 16]);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 1, 4, 1);

fn view(address: Ipv4Addr) -> View {
    let net = "10.1.4.0/22".parse().unwrap();
    let reservation = Reservation {
        address,
        host_name: "ws7.uni.example".into(),
        send_host_name: false,
        next_server: None,
        server_name: String::new(),
        boot_file: String::new(),
        wait_secs: 0,
        options: vec![],
    };
    let rows = vec![
        Change::put(SUBNET, subnet_key(net), SubnetRow::default().encode()),
        Change::put(RESERVATION, reservation_key(net, 1, &[2, 0, 0, 0, 0, 7]), reservation.encode()),
    ];
    State::empty(Feed::BOOTPTAB).compose(rows).unwrap().unwrap().into_view()
}

/// A DISCOVER as a relay on `ROUTER` passes it on.
fn relayed_discover() -> Vec<u8> {
    let mut packet = vec![0; HEADER_BYTES];
    packet[..4].copy_from_slice(&[1, 1, 6, 1]);
    packet[24..28].copy_from_slice(&ROUTER.octets());
    packet[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 7]);
    [&packet[..], &OPTIONS_COOKIE, &[53, 1, 1, 255]].concat()
}

async fn ask(client: &tokio::net::UdpSocket, port: u16) -> Ipv4Addr {
    client.send_to(&[], ("127.0.0.1", port)).await.unwrap();
    client.send_to(&[7; 9], ("127.0.0.1", port)).await.unwrap();
    client.send_to(&relayed_discover(), ("127.0.0.1", port)).await.unwrap();
    let mut buffer = [0; 1500];
    let (len, from) = tokio::time::timeout(Duration::from_secs(5), client.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(from, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let message = Message::parse(&buffer[..len]).unwrap();
    assert_eq!((message.kind(), message.giaddr), (Kind::Offer, ROUTER));
    message.yiaddr
}

#[tokio::test]
async fn a_relay_on_a_plain_users_port_is_answered_from_the_newest_view() {
    let service = bind(&Settings { listen: "127.0.0.1:0".parse().unwrap(), server_name: "north".into() }).unwrap();
    let port = service.local_addr().unwrap().port();
    let (writer, reader) = reader(Feed::BOOTPTAB);
    let dir = tempfile::tempdir().unwrap();
    let serving = tokio::spawn(service.serve(surroundings(dir.path(), reader)));
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for last in [7, 8] {
        let address = Ipv4Addr::new(10, 1, 4, last);
        writer.publish(view(address));
        assert_eq!(ask(&client, port).await, address);
    }
    serving.abort();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let first = bind(&Settings { listen: "127.0.0.1:0".parse().unwrap(), ..Settings::default() }).unwrap();
    let listen = first.local_addr().unwrap();
    let error = bind(&Settings { listen, ..Settings::default() }).unwrap_err();
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
}

fn surroundings(state_dir: &Path, bootptab: Reader) -> Surroundings {
    let clock = Arc::new(TrustedClock::new(UnixMillis(0)));
    let spool = Spool::open(state_dir, "dhcp", Arc::clone(&clock));
    // A sender that is gone leaves what it said.
    let whereabouts = watch::channel(Whereabouts::default()).1;
    Surroundings { bootptab, node: NODE, state_dir: state_dir.to_owned(), whereabouts, spool, clock, names_of_others: Box::new(|_| false) }
}

/// The subnet with a share of one address.
fn lending_view() -> View {
    let net = "10.1.4.0/22".parse().unwrap();
    let share = Share { first: Ipv4Addr::new(10, 1, 4, 99), last: Ipv4Addr::new(10, 1, 4, 99), owner: NODE };
    let policy = PolicyRow { shares: vec![share], ..PolicyRow::default() };
    let rows = vec![Change::put(SUBNET, subnet_key(net), SubnetRow::default().encode()), Change::put(POLICY, subnet_key(net), policy.encode())];
    State::empty(Feed::BOOTPTAB).compose(rows).unwrap().unwrap().into_view()
}

/// A service on a port of its own, and a client of it.
async fn lending(dir: &Path) -> (tokio::task::JoinHandle<()>, tokio::net::UdpSocket) {
    let service = bind(&Settings { listen: "127.0.0.1:0".parse().unwrap(), server_name: String::new() }).unwrap();
    let port = service.local_addr().unwrap().port();
    let (writer, reader) = reader(Feed::BOOTPTAB);
    writer.publish(lending_view());
    let serving = tokio::spawn(service.serve(surroundings(dir, reader)));
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(("127.0.0.1", port)).await.unwrap();
    (serving, client)
}

/// What a relay hears for machine `mac`: the kind of the reply, or nothing for a while.
async fn hear(client: &tokio::net::UdpSocket, mac: u8, options: &[u8]) -> Option<Kind> {
    let mut packet = relayed_discover()[..HEADER_BYTES].to_vec();
    packet[33] = mac;
    client.send(&[&packet[..], &OPTIONS_COOKIE, options, &[255]].concat()).await.unwrap();
    let mut buffer = [0; 1500];
    let heard = tokio::time::timeout(Duration::from_millis(700), client.recv(&mut buffer)).await.ok()?;
    Some(Message::parse(&buffer[..heard.unwrap()]).unwrap().kind())
}

const DISCOVER: &[u8] = &[53, 1, 1];
const SELECTING: &[u8] = &[53, 1, 3, 54, 4, 127, 0, 0, 1, 50, 4, 10, 1, 4, 99];
const REBOOT: &[u8] = &[53, 1, 3, 50, 4, 10, 1, 4, 99];

#[tokio::test]
async fn a_lease_outlives_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let (serving, client) = lending(dir.path()).await;
    assert_eq!(hear(&client, 9, DISCOVER).await, Some(Kind::Offer));
    assert_eq!(hear(&client, 9, SELECTING).await, Some(Kind::Ack));
    serving.abort();
    let (serving, client) = lending(dir.path()).await;
    assert_eq!(hear(&client, 10, DISCOVER).await, None, "the only address is lent");
    assert_eq!(hear(&client, 9, REBOOT).await, Some(Kind::Ack), "its client has it still");
    serving.abort();
}

#[tokio::test]
async fn without_its_log_the_service_lends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("leases"), "no folder").unwrap();
    let (serving, client) = lending(dir.path()).await;
    assert_eq!(hear(&client, 9, DISCOVER).await, None);
    serving.abort();
}

#[tokio::test]
async fn a_disk_that_fails_promises_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (serving, client) = lending(dir.path()).await;
    assert_eq!(hear(&client, 9, DISCOVER).await, Some(Kind::Offer));
    std::fs::write(dir.path().join("leases"), "no folder").unwrap();
    assert_eq!(hear(&client, 9, SELECTING).await, None, "its record cannot be written");
    std::fs::remove_file(dir.path().join("leases")).unwrap();
    assert_eq!(hear(&client, 9, SELECTING).await, Some(Kind::Ack), "the client asks again, and the disk works");
    serving.abort();
}
