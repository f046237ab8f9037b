//! Real sockets on the loopback, with upstreams made of a few lines.

use super::*;
use holdfast_proto::dns::resolver::{Standing, Wanted};
use holdfast_proto::snapshot::reader;
use holdfast_proto::words::{DomainName, Subnet, UnixMillis};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn plane(upstream: Option<SocketAddr>) -> Plane {
    Plane {
        name: "tested",
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        encrypted: None,
        workers: NonZero::new(1),
        demands_cookies: false,
        real_here: vec![],
        hint: String::new(),
        validation: None,
        cache: Cache::default(),
        asks: upstream.into_iter().map(|server| Asked { tier: Tier::Upstream, server, tls: None }).collect(),
        recursion: None,
        flights: FlightLimits::default(),
        refused: None,
    }
}

fn ready(plane: Plane) -> Ready {
    let clock = Arc::new(TrustedClock::new(UnixMillis(0)));
    Bound::bind(plane, &[], clock).unwrap().ready(reader(holdfast_proto::snapshot::Feed::ZONE).1).unwrap()
}

fn wanted(name: &str) -> Wanted {
    Wanted::of(DomainName::parse(name, None).unwrap().wire(), 1, false, false).unwrap()
}

/// Answers every question with this code, and with an address where that is 0.
async fn upstream(rcode: u8) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut packet = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut packet).await {
            let end = 12 + packet[12..len].iter().position(|byte| *byte == 0).unwrap() + 5;
            let head = [&packet[..2], &[0x81, 0x80 | rcode, 0, 1, 0, u8::from(rcode == 0), 0, 0, 0, 0], &packet[12..end]].concat();
            let record: &[u8] = if rcode == 0 { &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1] } else { &[] };
            socket.send_to(&[&head[..], record].concat(), from).await.unwrap();
        }
    });
    address
}

/// Nobody is at port 53 of this address.
fn no_root() -> Option<Recursion> {
    Some(Recursion { root_hints: vec![IpAddr::from([127, 77, 0, 53])], private_servers: vec![] })
}

#[tokio::test]
async fn the_root_is_asked_where_nobody_is_there_and_not_where_somebody_says_no() {
    let closed = {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.local_addr().unwrap()
    };
    for (upstream, tiers) in [(upstream(2).await, vec![Tier::Upstream]), (closed, vec![Tier::Upstream, Tier::Root])] {
        let ready = ready(Plane { recursion: no_root(), ..plane(Some(upstream)) });
        let (steps, result) = timeout(PATIENCE, ready.handle().ask(&wanted("www.far.org"))).await.expect("it ends");
        assert_eq!(steps.iter().map(|step| step.tier).collect::<Vec<_>>(), tiers, "{steps:?}");
        assert!(result.is_err(), "{result:?}");
    }
    let none = Bound::bind(
        Plane { recursion: Some(Recursion { root_hints: vec![], private_servers: vec![] }), ..plane(None) },
        &[],
        Arc::new(TrustedClock::new(UnixMillis(0))),
    );
    let wrong = none.unwrap_err().to_string();
    assert!(wrong.contains("[tested] recursion: root_hints is empty"), "{wrong}");
}

#[tokio::test]
async fn what_a_resolver_has_is_seen_without_its_asking_and_strangers_are_left_for_the_record() {
    let (left, mut refused) = mpsc::channel(8);
    let bound = Bound::bind(Plane { refused: Some(left), ..plane(Some(upstream(0).await)) }, &[], Arc::new(TrustedClock::new(UnixMillis(0)))).unwrap();
    let address = bound.local_addrs().unwrap()[0];
    let ready = bound.ready(reader(holdfast_proto::snapshot::Feed::ZONE).1).unwrap();
    let handle = ready.handle();
    tokio::spawn(ready.serve(|_| {}, std::future::pending()));

    // Nobody is on the list yet.
    let wanted = wanted("www.far.org");
    assert_eq!(peek(None, address, &wanted).await, Peeked::Declines(5, Some(18)));
    let Refused { client, packet } = timeout(PATIENCE, refused.recv()).await.unwrap().unwrap();
    assert_eq!((client, packet.len() > 12), (IpAddr::from([127, 0, 0, 1]), true));

    handle.admit(Clients::new([(Subnet::around(IpAddr::from([127, 0, 0, 0]), 8).unwrap(), Standing::Client)]));
    assert_eq!(peek(None, address, &wanted).await, Peeked::HasNot);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(&wanted.query(), address).await.unwrap();
    let mut reply = [0; 512];
    timeout(PATIENCE, client.recv(&mut reply)).await.unwrap().unwrap();
    let Peeked::Has(answer) = peek(None, address, &wanted).await else { panic!("it has it now") };
    assert!(answer.to_packet().ends_with(&[192, 0, 2, 1]));
    let (standing, looked) = handle.look(&wanted, client.local_addr().unwrap().ip());
    assert!(standing == Standing::Client && matches!(looked, Looked::Told(holdfast_proto::dns::resolver::Origin::Cache, _)), "{looked:?}");

    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(peek(None, nobody, &wanted).await, Peeked::Silent);
}
