//! Real sockets on the loopback: UDP and TCP, both families, a new generation between two questions.

use super::*;
use holdfast_proto::dns::{NODE, Node, Place, RrSet, rtype};
use holdfast_proto::snapshot::{Change, Feed, State, View, Writer, reader};
use holdfast_proto::words::DomainName;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket as Client};
use tokio::sync::oneshot;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// A view in which www.example has this many addresses, the first of them ending in `last_octet`.
fn view(last_octet: u8, count: u16) -> View {
    let name: DomainName = "www.example".parse().unwrap();
    let rdatas = (0..count).map(|n| vec![10, (n >> 8) as u8, n as u8, last_octet]).collect();
    let node = Node { place: Place::Inside, apex_labels: 1, rrsets: vec![RrSet { rtype: rtype::A, ttl: 60, rdatas }] };
    State::empty(Feed::ZONE).compose(vec![Change::put(NODE, name.wire(), node.encode())]).unwrap().unwrap().into_view()
}

fn query(id: u16) -> Vec<u8> {
    [&id.to_be_bytes()[..], b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x00\x00\x01\x00\x01"].concat()
}

struct Served {
    address: SocketAddr,
    writer: Writer,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

fn serve(wildcard: &str, view: View) -> Served {
    let server = DnsServer::bind(&[wildcard.parse().unwrap()]).unwrap();
    let mut address = server.local_addrs().unwrap()[0];
    address.set_ip(if address.is_ipv6() { std::net::Ipv6Addr::LOCALHOST.into() } else { std::net::Ipv4Addr::LOCALHOST.into() });
    let (writer, zone) = reader(Feed::ZONE);
    writer.publish(view);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move { server.serve(zone, async { drop(stopped.await) }).await });
    Served { address, writer, stop, task }
}

async fn ask_udp(client: &Client, id: u16) -> Vec<u8> {
    client.send(&query(id)).await.unwrap();
    let mut reply = vec![0; 2048];
    let len = timeout(PATIENCE, client.recv(&mut reply)).await.unwrap().unwrap();
    reply.truncate(len);
    assert_eq!(reply[..2], id.to_be_bytes());
    reply
}

async fn read_reply(stream: &mut TcpStream) -> Vec<u8> {
    let read = async {
        let mut reply = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut reply).await.unwrap();
        reply
    };
    timeout(PATIENCE, read).await.unwrap()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

#[tokio::test]
async fn the_newest_generation_answers_over_udp() {
    for wildcard in ["0.0.0.0:0", "[::]:0"] {
        let served = serve(wildcard, View::empty(Feed::ZONE));
        let client = Client::bind(SocketAddr::new(served.address.ip(), 0)).await.unwrap();
        client.connect(served.address).await.unwrap();
        assert_eq!(ask_udp(&client, 1).await[3], 5, "REFUSED before the first generation");
        served.writer.publish(view(7, 1));
        assert!(ask_udp(&client, 2).await.ends_with(&[10, 0, 0, 7]));
        served.writer.publish(view(8, 1));
        assert!(ask_udp(&client, 3).await.ends_with(&[10, 0, 0, 8]));
        served.stop.send(()).unwrap();
        timeout(PATIENCE, served.task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_packet_that_is_no_query_and_a_client_that_went_away_stop_nothing() {
    let served = serve("0.0.0.0:0", view(7, 1));
    let client = Client::bind("127.0.0.1:0").await.unwrap();
    client.connect(served.address).await.unwrap();
    for noise in [&b""[..], b"x", &[0xff; 2000]] {
        client.send(noise).await.unwrap();
    }
    for id in 0..20 {
        let gone = Client::bind("127.0.0.1:0").await.unwrap();
        gone.send_to(&query(id), served.address).await.unwrap();
    }
    assert!(ask_udp(&client, 9).await.ends_with(&[10, 0, 0, 7]));
}

#[tokio::test]
async fn tcp_takes_many_queries_at_once_and_in_pieces() {
    let served = serve("0.0.0.0:0", view(7, 1000));
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    // More replies than the sockets hold: the server waits for the client and loses nothing.
    let pipelined: Vec<u8> = (0..1000).flat_map(|id| framed(&query(id))).collect();
    let (cut, rest) = pipelined.split_at(1001);
    stream.write_all(cut).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (mut read, mut write) = stream.into_split();
    let rest = rest.to_vec();
    let writing = tokio::spawn(async move { write.write_all(&rest).await.map(|()| write) });
    for id in 0..1000u16 {
        let len = timeout(PATIENCE, read.read_u16()).await.unwrap().unwrap();
        let mut reply = vec![0; usize::from(len)];
        read.read_exact(&mut reply).await.unwrap();
        assert_eq!((&reply[..2], &reply[6..8]), (&id.to_be_bytes()[..], &1000u16.to_be_bytes()[..]));
    }
    let mut stream = writing.await.unwrap().unwrap().reunite(read).unwrap();
    stream.write_all(&framed(&query(7))).await.unwrap();
    assert_eq!(read_reply(&mut stream).await[..2], [0, 7]);
    served.stop.send(()).unwrap();
    timeout(PATIENCE, served.task).await.unwrap().unwrap();
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap().unwrap_or(0), 0, "connections end with the service");
}

#[tokio::test]
async fn udp_says_that_tcp_has_the_whole_answer() {
    let served = serve("0.0.0.0:0", view(7, 100));
    let client = Client::bind("127.0.0.1:0").await.unwrap();
    client.connect(served.address).await.unwrap();
    let cut = ask_udp(&client, 1).await;
    assert_eq!((cut[2] & 2, &cut[6..8]), (2, &[0, 0][..]), "TC, and no answers");
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&framed(&query(2))).await.unwrap();
    assert_eq!(read_reply(&mut stream).await[6..8], [0, 100]);
}

#[tokio::test]
async fn noise_over_tcp_ends_the_connection_after_the_replies_before_it() {
    let served = serve("0.0.0.0:0", view(7, 1));
    for noise in [framed(b"x"), framed(&[0xff; 100]), b"\xff\xff".to_vec()] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(&[framed(&query(1)), noise].concat()).await.unwrap();
        assert!(read_reply(&mut stream).await.ends_with(&[10, 0, 0, 7]));
        assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap().unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = Client::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let wrong = DnsServer::bind(&[address]).unwrap_err().to_string();
    assert!(wrong.starts_with(&format!("DNS cannot bind {address}: ")), "{wrong}");
}
