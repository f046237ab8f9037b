use super::*;
use crate::dhcp::policy::Share;
use crate::words::{NodeId, UnixMillis};
use ipnet::Ipv4Net;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const START: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;

fn net() -> Ipv4Net {
    "10.1.4.0/22".parse().unwrap()
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 6, last)
}

fn share(first: u8, last: u8) -> Share {
    Share { first: address(first), last: address(last), owner: NodeId([7; 16]) }
}

fn lease(last: u8, client: u8, at: u64) -> Lease {
    let (state, until) = (LeaseState::Active, UnixMillis(at + HOUR_MS));
    Lease {
        state,
        net: net(),
        address: address(last),
        at: UnixMillis(at),
        until,
        client: vec![client],
        htype: 1,
        chaddr: vec![client; 6],
        host_name: vec![],
        told: UnixMillis(at),
        name: None,
    }
}

/// Offers and takes: the address that a client gets.
fn take(leases: &mut Leases, shares: &[Share], client: u8, wish: Option<Ipv4Addr>, at: u64) -> Option<u8> {
    let ground = Ground { net: net(), shares, taken: &[] };
    let address = leases.offer(&ground, &[client], wish, UnixMillis(at))?;
    assert!(leases.is_open_to(&ground, &[client], address, UnixMillis(at)), "what is offered can be taken");
    let last = address.octets()[3];
    leases.grant(lease(last, client, at));
    Some(last)
}

#[test]
fn the_record_is_golden() {
    let client = vec![61, 1, 2, 3];
    let record = Lease {
        at: UnixMillis(1_799_999_996_400),
        until: UnixMillis(START),
        client,
        chaddr: vec![2, 0, 0, 0, 0, 9],
        host_name: b"pc7".into(),
        told: UnixMillis(1_799_999_996_401),
        ..lease(5, 9, 0)
    };
    assert_eq!(hex::encode(record.encode()), include_str!("../golden/lease.hex").trim());
    assert_eq!(Lease::decode(&record.encode()), Ok(record.clone()));
    let without_told = hex::decode("0100160a010605f0415c18a301000000505c18a3010000043d010203010602000000000903706337").unwrap();
    assert_eq!(Lease::decode(&without_told), Ok(Lease { told: record.at, ..record.clone() }), "what an older build wrote");
    let named = Lease { name: Some("pc7.dyn".parse().unwrap()), ..record.clone() };
    assert_eq!(hex::encode(named.encode()), format!("03{}09037063370364796e00", &hex::encode(record.encode())[2..]));
    for record in [record, named] {
        assert_eq!(Lease::decode(&record.encode()), Ok(record.clone()));
        for cut in 0..record.encode().len() {
            assert_eq!(Lease::decode(&record.encode()[..cut]), Err(RecordError));
        }
    }
}

#[test]
fn a_lease_that_was_ended_for_its_client_is_nobodys_until_it_would_have_ended() {
    let (mut leases, shares) = (Leases::default(), [share(10, 11)]);
    let ground = Ground { net: net(), shares: &shares, taken: &[] };
    take(&mut leases, &shares, 1, None, START);
    assert_eq!(leases.withdraw(net(), &[2], address(10), UnixMillis(START)), None, "another's");
    let ended = leases.withdraw(net(), &[1], address(10), UnixMillis(START + 1)).unwrap();
    let nobodys_until = UnixMillis(START + HOUR_MS + HOUR_MS / 100);
    assert_eq!((ended.state, ended.until), (LeaseState::Withdrawn, nobodys_until));
    assert_eq!(Lease::decode(&ended.encode()), Ok(ended.clone()));
    assert_eq!(leases.withdraw(net(), &[1], address(10), UnixMillis(START + 2)), None, "once");
    let mut late = Leases::default();
    take(&mut late, &shares, 1, None, START);
    let ended_late = late.withdraw(net(), &[1], address(10), UnixMillis(START + HOUR_MS - 1)).unwrap();
    assert_eq!(ended_late.until, nobodys_until, "by the lease that the client has, not by what is left of it");
    let mut restarted = Leases::default();
    restarted.restore(ended);
    for leases in [&mut leases, &mut restarted] {
        assert!(!leases.is_open_to(&ground, &[1], address(10), UnixMillis(START + 2)), "its client is refused");
        assert_eq!(take(leases, &shares, 1, Some(address(10)), START + 2), Some(11), "and gets another one");
        assert_eq!(take(leases, &shares, 2, None, START + HOUR_MS), None, "the client may have a slow clock");
        assert_eq!(take(leases, &shares, 2, None, START + HOUR_MS + HOUR_MS / 100), Some(10));
    }
}

#[test]
fn a_name_is_its_clients_while_the_lease_runs() {
    let mut leases = Leases::default();
    let name: crate::words::DomainName = "pc7.dyn".parse().unwrap();
    let named = |last, client, at| Lease { name: Some(name.clone()), ..lease(last, client, at) };
    let is_named = |leases: &Leases, but: u8, at| leases.is_named(&name, &[but], UnixMillis(at));
    leases.grant(named(10, 1, START));
    assert_eq!([is_named(&leases, 1, START), is_named(&leases, 2, START), is_named(&leases, 2, START + HOUR_MS)], [false, true, false]);
    leases.release(net(), &[1], address(10), UnixMillis(START + 1)).unwrap();
    assert!(!is_named(&leases, 2, START + 1), "it was given back");
    leases.restore(named(11, 1, START + 2));
    assert!(is_named(&leases, 2, START + 2), "a restart knows it");
    leases.grant(lease(11, 1, START + 3));
    assert!(!is_named(&leases, 2, START + 3), "renewed under none");
}

#[test]
fn a_client_gets_what_it_had_then_what_it_wishes_then_what_nobody_had() {
    let (mut leases, shares) = (Leases::default(), [share(10, 19)]);
    assert_eq!(take(&mut leases, &shares, 1, None, START), Some(10));
    assert_eq!(take(&mut leases, &shares, 2, Some(address(15)), START), Some(15));
    assert_eq!(take(&mut leases, &shares, 3, Some(address(15)), START), Some(11), "another's is no wish");
    assert_eq!(take(&mut leases, &shares, 4, Some(address(200)), START), Some(12), "nor is what is not ours");
    assert_eq!(take(&mut leases, &shares, 2, Some(address(18)), START + 9 * HOUR_MS), Some(15), "what it had, though it ended");
}

#[test]
fn two_clients_at_once_are_offered_two_addresses() {
    let (mut leases, shares) = (Leases::default(), [share(10, 11)]);
    let ground = Ground { net: net(), shares: &shares, taken: &[] };
    let offer = |leases: &mut Leases, client: u8, at| leases.offer(&ground, &[client], None, UnixMillis(at)).map(|address| address.octets()[3]);
    assert_eq!([1, 2, 3, 1].map(|client| offer(&mut leases, client, START)), [Some(10), Some(11), None, Some(10)]);
    leases.forget_offer(net(), &[2]);
    assert_eq!(offer(&mut leases, 3, START), Some(11), "client 2 took another server's");
    assert_eq!(offer(&mut leases, 4, START + OFFER_HOLD_MS), Some(10), "client 1 never came back");
}

#[test]
fn an_address_waits_for_slow_clocks_before_it_has_another_client() {
    let (mut leases, shares) = (Leases::default(), [share(10, 10)]);
    take(&mut leases, &shares, 1, None, START);
    let end = START + HOUR_MS;
    assert_eq!(take(&mut leases, &shares, 2, None, end + HOUR_MS / 100 - 1), None);
    assert_eq!(take(&mut leases, &shares, 2, None, end + HOUR_MS / 100), Some(10));
}

#[test]
fn what_is_released_is_free_at_once_and_kept_for_its_client_while_it_can_be() {
    let (mut leases, shares) = (Leases::default(), [share(10, 12)]);
    take(&mut leases, &shares, 1, None, START);
    assert_eq!(leases.release(net(), &[2], address(10), UnixMillis(START)), None, "another's is not to be released");
    assert!(leases.release(net(), &[1], address(10), UnixMillis(START + 1)).is_some());
    assert_eq!(leases.release(net(), &[1], address(10), UnixMillis(START + 2)), None, "once");
    assert_eq!(take(&mut leases, &shares, 2, None, START + 2), Some(11));
    assert_eq!(take(&mut leases, &shares, 1, None, START + 3), Some(10));
}

#[test]
fn what_is_declined_is_lent_to_nobody_for_an_hour() {
    let (mut leases, shares) = (Leases::default(), [share(10, 11)]);
    take(&mut leases, &shares, 1, None, START);
    assert!(leases.decline(net(), &[2], address(10), UnixMillis(START)).is_none());
    assert!(leases.decline(net(), &[1], address(10), UnixMillis(START)).is_some());
    assert_eq!(take(&mut leases, &shares, 1, Some(address(10)), START + 1), Some(11), "not to the one who declined it either");
    assert_eq!(take(&mut leases, &shares, 2, None, START + HOUR_MS - 1), None);
    assert_eq!(take(&mut leases, &shares, 2, None, START + HOUR_MS), Some(10));
}

#[test]
fn routers_and_what_belongs_to_others_is_never_lent() {
    let (mut leases, shares, taken) = (Leases::default(), [share(10, 12)], [address(10), address(12)]);
    let ground = Ground { net: net(), shares: &shares, taken: &taken };
    assert_eq!(leases.offer(&ground, &[1], Some(address(12)), UnixMillis(START)), Some(address(11)));
    assert_eq!(leases.offer(&ground, &[2], None, UnixMillis(START)), None);
    let edge = [Share { first: Ipv4Addr::new(10, 1, 7, 254), last: Ipv4Addr::new(10, 1, 8, 9), owner: NodeId([7; 16]) }];
    let ground = Ground { net: net(), shares: &edge, taken: &[] };
    assert_eq!(leases.offer(&ground, &[3], None, UnixMillis(START)), Some(Ipv4Addr::new(10, 1, 7, 254)));
    assert_eq!(leases.offer(&ground, &[4], None, UnixMillis(START)), None, "neither a broadcast address nor another subnet's");
}

#[test]
fn a_share_that_moved_is_lent_no_more() {
    let (mut leases, before, after) = (Leases::default(), [share(10, 12)], [share(20, 20)]);
    take(&mut leases, &before, 1, None, START);
    assert_eq!(take(&mut leases, &after, 1, None, START + 1), Some(20), "its client moves");
    assert_eq!(take(&mut leases, &after, 2, None, START + 9 * HOUR_MS), Some(20));
    assert_eq!(take(&mut leases, &before, 3, None, START + 9 * HOUR_MS), Some(10), "it came back");
}

#[test]
fn what_was_given_up_and_came_back_is_lent_again() {
    let (mut leases, whole, half) = (Leases::default(), [share(10, 13)], [share(10, 11)]);
    for client in 1..=4 {
        take(&mut leases, &whole, client, None, START);
    }
    let later = START + 9 * HOUR_MS;
    assert_eq!([5, 6, 7].map(|client| take(&mut leases, &half, client, None, later)), [Some(10), Some(11), None]);
    assert_eq!([7, 8, 9].map(|client| take(&mut leases, &whole, client, None, later)), [Some(12), Some(13), None]);
}

#[test]
fn leases_stay_with_their_addresses_when_a_subnet_is_cut_anew() {
    let (mut leases, shares) = (Leases::default(), [share(10, 12)]);
    take(&mut leases, &shares, 1, None, START);
    for wider in ["10.1.0.0/21", "10.1.6.0/24", "10.1.4.0/22"] {
        let wider: Ipv4Net = wider.parse().unwrap();
        leases.know(wider);
        let ground = Ground { net: wider, shares: &shares, taken: &[] };
        assert_eq!(leases.of_client(wider, &[1]).map(|lease| (lease.address, lease.net)), Some((address(10), wider)));
        assert_eq!(leases.offer(&ground, &[2], Some(address(10)), UnixMillis(START + 1)), Some(address(11)));
        leases.forget_offer(wider, &[2]);
    }
    assert_eq!(leases.iter().count(), 1);
}

#[test]
fn a_shorter_lease_may_never_have_been_heard_of() {
    let (mut leases, shares) = (Leases::default(), [share(10, 10)]);
    take(&mut leases, &shares, 1, None, START);
    let shorter = Lease { until: UnixMillis(START + 60_000), ..lease(10, 1, START + 1) };
    assert_eq!(leases.grant(shorter).until, UnixMillis(START + HOUR_MS));
    assert_eq!(take(&mut leases, &shares, 2, None, START + HOUR_MS / 2), None);
}

#[test]
fn while_records_are_missing_only_what_is_known_is_lent() {
    let (mut leases, shares) = (Leases::default(), [share(10, 12)]);
    leases.restore(lease(11, 1, START));
    leases.doubt_until(UnixMillis(START + 9 * HOUR_MS));
    assert_eq!(take(&mut leases, &shares, 2, Some(address(10)), START), None, "somebody may have it");
    assert_eq!(take(&mut leases, &shares, 1, None, START), Some(11));
    let ground = Ground { net: net(), shares: &shares, taken: &[] };
    assert!(!leases.is_open_to(&ground, &[2], address(12), UnixMillis(START)));
    assert_eq!(take(&mut leases, &shares, 2, None, START + 9 * HOUR_MS), Some(10));
}

/// What a client does, or what befalls the agent.
#[derive(Debug, Clone)]
enum Step {
    Take(u8, Option<u8>),
    Release(u8),
    Decline(u8),
    Wait(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..12, prop::option::of(0u8..12)).prop_map(|(client, wish)| Step::Take(client, wish)),
        1 => (0u8..12).prop_map(Step::Release),
        1 => (0u8..12).prop_map(Step::Decline),
        2 => (0u64..HOUR_MS).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// Judged by what the clients hold, not by the table.
    #[test]
    fn no_address_is_ever_held_by_two(steps in prop::collection::vec(step(), 1..200)) {
        let (mut leases, shares, mut now, mut log) = (Leases::default(), [share(0, 7)], START, Vec::new());
        let mut held = BTreeMap::<u8, (u8, u64)>::new();
        for step in steps {
            held.retain(|_, (_, until)| *until > now);
            match step {
                Step::Take(client, wish) => {
                    if let Some(last) = take(&mut leases, &shares, client, wish.map(address), now) {
                        log.push(leases.of_address(net(), address(last)).unwrap().encode());
                        prop_assert!(held.iter().all(|(other, (taken, _))| other == &client || taken != &last), "{last} for {client}: {held:?}");
                        held.insert(client, (last, now + HOUR_MS));
                    }
                }
                Step::Release(client) => {
                    let Some((last, _)) = held.remove(&client) else { continue };
                    log.extend(leases.release(net(), &[client], address(last), UnixMillis(now)).map(|record| record.encode()));
                }
                Step::Decline(client) => {
                    let Some((last, _)) = held.remove(&client) else { continue };
                    log.extend(leases.decline(net(), &[client], address(last), UnixMillis(now)).map(|record| record.encode()));
                }
                Step::Wait(ms) => now += ms,
                Step::Restart => {
                    leases = Leases::default();
                    log.iter().for_each(|record| leases.restore(Lease::decode(record).unwrap()));
                }
            }
        }
    }

    #[test]
    fn no_record_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let bytes = [&[1][..], &bytes].concat();
        if let Ok(lease) = Lease::decode(&bytes) {
            prop_assert_eq!(Lease::decode(&lease.encode()), Ok(lease));
        }
    }
}
