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
    _folder: tempfile::TempDir,
}

fn settings(address: SocketAddr) -> config::Dns {
    config::Dns { listen: vec![address], ..config::Dns::default() }
}

fn serve(wildcard: &str, view: View) -> Served {
    let server = DnsServer::bind(&settings(wildcard.parse().unwrap()), "north").unwrap();
    start(server, view)
}

fn start(server: DnsServer, view: View) -> Served {
    let mut address = server.local_addrs().unwrap()[0];
    address.set_ip(if address.is_ipv6() { std::net::Ipv6Addr::LOCALHOST.into() } else { std::net::Ipv4Addr::LOCALHOST.into() });
    let (writer, zone) = reader(Feed::ZONE);
    writer.publish(view);
    let (stop, stopped) = oneshot::channel();
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().to_owned();
    let task = tokio::spawn(async move { server.serve(zone, run_dir, async { drop(stopped.await) }).await });
    Served { address, writer, stop, task, _folder: folder }
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

/// The service over TLS alone, and a connector that believes its certificate and no other.
fn serve_tls(view: View) -> (SocketAddr, Served, tokio_rustls::TlsConnector, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["ns.example".to_owned()]).unwrap();
    let [certificate, key] = ["chain", "key"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let tls = Some(config::DnsTls { listen: vec![loopback], certificate, key });
    let server = DnsServer::bind(&config::Dns { tls, ..settings(loopback) }, "north").unwrap();
    let address = server.tls_addrs().unwrap()[0];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(holdfast_proto::net::tls::provider()).with_safe_default_protocol_versions().unwrap();
    let client = builder.with_root_certificates(roots).with_no_client_auth();
    (address, start(server, view), tokio_rustls::TlsConnector::from(Arc::new(client)), folder)
}

#[tokio::test]
async fn tls_answers_as_tcp_does_and_who_speaks_no_tls_is_let_go() {
    let (address, served, connector, _folder) = serve_tls(view(7, 100));
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(&framed(&query(1))).await.unwrap();
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, plain.read_to_end(&mut said)).await.unwrap();
    assert!(!said.ends_with(&[10, 0, 99, 7]), "an answer in the clear");
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect("ns.example".try_into().unwrap(), stream).await.unwrap();
    let pipelined: Vec<u8> = (0..100).flat_map(|id| framed(&query(id))).collect();
    stream.write_all(&pipelined).await.unwrap();
    for id in 0..100u16 {
        let len = timeout(PATIENCE, stream.read_u16()).await.unwrap().unwrap();
        let mut reply = vec![0; usize::from(len)];
        timeout(PATIENCE, stream.read_exact(&mut reply)).await.unwrap().unwrap();
        assert_eq!((&reply[..2], &reply[6..8]), (&id.to_be_bytes()[..], &100u16.to_be_bytes()[..]));
    }
    served.stop.send(()).unwrap();
    timeout(PATIENCE, served.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn many_clients_are_served_side_by_side_however_slow_one_is() {
    let served = serve("0.0.0.0:0", view(7, 1));
    let mut dawdler = TcpStream::connect(served.address).await.unwrap();
    dawdler.write_all(&framed(&query(1))[..5]).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(TcpStream::connect(served.address).await.unwrap());
    }
    for (id, stream) in streams.iter_mut().enumerate().rev() {
        stream.write_all(&framed(&query(id as u16))).await.unwrap();
        assert_eq!(read_reply(stream).await[..2], (id as u16).to_be_bytes());
    }
    dawdler.write_all(&framed(&query(1))[5..]).await.unwrap();
    assert_eq!(read_reply(&mut dawdler).await[..2], [0, 1]);
}

#[tokio::test]
async fn every_worker_of_an_address_answers() {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = DnsServer::bind(&config::Dns { workers: std::num::NonZero::new(4), ..settings(loopback) }, "north").unwrap();
    let address = server.local_addrs().unwrap()[0];
    let served = start(server, view(7, 1));
    // The kernel chooses the worker by the client's port: forty of them miss none of four but by a chance of one in a hundred thousand.
    for id in 0..40 {
        let client = Client::bind("127.0.0.1:0").await.unwrap();
        client.connect(address).await.unwrap();
        assert!(ask_udp(&client, id).await.ends_with(&[10, 0, 0, 7]));
    }
    served.stop.send(()).unwrap();
    timeout(PATIENCE, served.task).await.unwrap().unwrap();
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
    let wrong = DnsServer::bind(&settings(address), "north").unwrap_err().to_string();
    assert!(wrong.starts_with(&format!("DNS cannot bind {address}: ")), "{wrong}");
}
