use super::*;
use holdfast_proto::dhcp::Kind;
use holdfast_proto::dhcp::message::{HEADER_BYTES, Message, OPTIONS_COOKIE};
use holdfast_proto::dhcp::table::{RESERVATION, Reservation, SUBNET, SubnetRow, reservation_key, subnet_key};
use holdfast_proto::snapshot::{Change, Feed, State, View, reader};
use std::time::Duration;

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
    let serving = tokio::spawn(service.serve(reader));
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
