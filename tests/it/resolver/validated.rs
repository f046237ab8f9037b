//! Signatures, looked at by the agent: BIND's tools sign, BIND tells, somebody alters, and a clock is wrong.

use super::{eventually, in_process, settings_for};
use crate::dns_witness::peers;
use anyhow::Result;
use holdfast_agent::config::Resolver;
use holdfast_lab::clients::{Dig, DigAnswer};
use holdfast_lab::folder::Folder;
use holdfast_proto::words::{DomainName, UnixMillis};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// In 2100: a box that has seen a signature of then knows that its clock is wrong.
const LATER: UnixMillis = UnixMillis(4_102_444_800_000);
const ZONE: &str =
    "$TTL 300\n@ SOA ns host 1 7200 900 1209600 60\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.1\naltered A 192.0.2.2\nalias CNAME www\n*.wild TXT \"anything\"\n";

/// Writes a zone, signed for as long as these options of `dnssec-signzone` say, and one record of it altered afterwards; gives the
/// line by which its key is believed.
fn sign(folder: &Folder, apex: &str, validity: &[&str]) -> String {
    folder.write(&format!("{apex}.plain"), ZONE).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder.path()).output().expect("apt-get install bind9-utils");
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let key = run("dnssec-keygen", &["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", apex]);
    let (file, plain) = (format!("{apex}.zone"), format!("{apex}.plain"));
    run("dnssec-signzone", &[&["-q", "-S", "-z", "-P", "-o", apex, "-f", &file], validity, &[&plain]].concat());
    let signed = fs::read_to_string(folder.path().join(&file)).unwrap();
    assert!(signed.contains("192.0.2.2"));
    folder.write(&file, &signed.replace("192.0.2.2", "192.0.2.66")).unwrap();
    let key = fs::read_to_string(folder.path().join(format!("{key}.key"))).unwrap();
    key.lines().find(|line| !line.starts_with(';')).unwrap().to_owned() + "\n"
}

fn settings(folder: &Folder, master: SocketAddr, anchors: &str) -> Resolver {
    let trust_anchors = Some(folder.write("anchors", anchors).unwrap());
    Resolver { validate: true, trust_anchors, real_here: vec!["test".into()], ..settings_for(master) }
}

fn ask(server: SocketAddr, name: &str, kind: &str) -> Result<DigAnswer> {
    Dig::ask(None, server.ip(), name, kind).at_port(server.port()).with("+adflag").with("+time=5").run()
}

/// Code, whether it is authentic, and the number of the extended error.
fn seen(answer: &DigAnswer) -> (String, bool, Option<u16>) {
    let error = answer.text.split_once("EDE: ").and_then(|(_, rest)| rest.split([' ', '\n']).next()?.parse().ok());
    (answer.status.clone(), answer.flags.iter().any(|flag| flag == "ad"), error)
}

#[test]
fn signatures_decide_and_a_wrong_clock_does_not() {
    let folder = Folder::new("resolver-validated").unwrap();
    let anchors = sign(&folder, "signed.test", &[]) + &sign(&folder, "expired.test", &["-s", "20250101000000", "-e", "20250201000000"]);
    let apexes = ["signed.test", "expired.test"].map(|apex| apex.parse::<DomainName>().unwrap());
    let bind = peers::bind(&folder, &[&apexes[0], &apexes[1]]);
    let noerror = |authentic, error| ("NOERROR".to_owned(), authentic, error);
    let bogus = || ("SERVFAIL".to_owned(), false, Some(6));
    let (server, runtime) = in_process(settings(&folder, bind.address, &anchors), UnixMillis(0), folder.path());
    for (name, kind, expected) in [
        ("www.signed.test", "A", noerror(true, None)),
        ("alias.signed.test", "A", noerror(true, None)),
        ("any.wild.signed.test", "TXT", noerror(true, None)),
        ("any.wild.signed.test", "A", noerror(true, None)),
        ("www.signed.test", "MX", noerror(true, None)),
        ("no.signed.test", "A", ("NXDOMAIN".to_owned(), true, None)),
        ("altered.signed.test", "A", bogus()),
        ("altered.signed.test", "A", bogus()),
        ("www.expired.test", "A", bogus()),
    ] {
        let answer = ask(server, name, kind).unwrap();
        assert_eq!(seen(&answer), expected, "{name} {kind}: {}", answer.text);
        assert!(!answer.text.contains("RRSIG"), "to who did not ask for signatures");
    }
    let unchecked = Dig::ask(None, server.ip(), "altered.signed.test", "A").at_port(server.port()).with("+cdflag").run().unwrap();
    assert_eq!(seen(&unchecked), noerror(false, None), "whoever looks at signatures itself is told");
    let signed = Dig::ask(None, server.ip(), "www.signed.test", "A").at_port(server.port()).with("+dnssec").run().unwrap();
    assert!(signed.text.contains("RRSIG") && seen(&signed) == noerror(true, None), "{}", signed.text);
    runtime.shutdown_background();

    let (server, runtime) = in_process(settings(&folder, bind.address, &anchors), LATER, folder.path());
    for (name, expected) in [("www.signed.test", noerror(false, Some(5))), ("www.expired.test", noerror(false, Some(5))), ("altered.signed.test", bogus())] {
        let answer = ask(server, name, "A").unwrap();
        assert_eq!(seen(&answer), expected, "{name} by a clock that is known to be wrong: {}", answer.text);
    }
    runtime.shutdown_background();

    let unlooked = Resolver { negative_trust_anchors: vec!["expired.test".into()], ..settings(&folder, bind.address, &anchors) };
    let (server, runtime) = in_process(unlooked, UnixMillis(0), folder.path());
    assert_eq!(seen(&ask(server, "www.expired.test", "A").unwrap()), noerror(false, None));
    runtime.shutdown_background();
}

/// Somebody between the box and a server, who alters keys while the switch is on. Lives as long as the test.
fn meddler(server: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let (socket, meddles) = (UdpSocket::bind("127.0.0.1:0").unwrap(), Arc::new(AtomicBool::new(true)));
    let (address, switch) = (socket.local_addr().unwrap(), Arc::clone(&meddles));
    std::thread::spawn(move || {
        let mut packet = [0; 4096];
        while let Ok((len, asker)) = socket.recv_from(&mut packet) {
            let ahead = UdpSocket::bind("127.0.0.1:0").unwrap();
            ahead.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
            ahead.send_to(&packet[..len], server).unwrap();
            let Ok(len) = ahead.recv(&mut packet) else { continue };
            // Behind the header: the name, the type and the class, and far enough into the first key.
            let name_len = packet[12..len].iter().position(|byte| *byte == 0).unwrap_or_default();
            let (qtype, key) = (12 + name_len + 1, 12 + name_len + 1 + 4 + 12 + 20);
            if meddles.load(Ordering::Relaxed) && packet[qtype..qtype + 2] == [0, 48] {
                packet[key] ^= 1;
            }
            let _ = socket.send_to(&packet[..len], asker);
        }
    });
    (address, switch)
}

#[test]
fn a_key_that_somebody_altered_is_not_kept() {
    let folder = Folder::new("resolver-meddled").unwrap();
    let anchors = sign(&folder, "signed.test", &[]);
    let apex: DomainName = "signed.test".parse().unwrap();
    let bind = peers::bind(&folder, &[&apex]);
    let (between, meddles) = meddler(bind.address);
    let (server, runtime) = in_process(settings(&folder, between, &anchors), UnixMillis(0), folder.path());
    assert_eq!(ask(server, "www.signed.test", "A").unwrap().status, "SERVFAIL");
    meddles.store(false, Ordering::Relaxed);
    // The failure is remembered for seconds, the key would be for minutes.
    eventually("the names are back", || Ok(seen(&ask(server, "alias.signed.test", "A")?) == ("NOERROR".to_owned(), true, None)));
    runtime.shutdown_background();
}
