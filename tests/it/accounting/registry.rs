//! The registry of NASs: what a NAS is, how it is told whom to ask, and how its secret changes while people come and go.

use crate::serving::{NORTH, eventually, two_campuses};
use holdfast_lab::cables::{Campus, Place};
use holdfast_lab::clients::{radclient, radclient_acct};
use holdfast_lab::lab::Lab;
use serde_json::Value;
use std::net::SocketAddrV4;

const OLD: &str = "yupgpn753sb3uqwdp8tu";
const NEW: &str = "a-newer-secret-of-the-annex";
const USER: (&str, &str) = ("pascal.tesla0", "joule-89667-euler");

/// Whether the terminal server of the north, with this secret, gets somebody in and may tell of it.
fn is_heard(lab: &Lab, agent: Campus, secret: &str) -> bool {
    let nas = lab.at(Place::Nas(NORTH));
    let accepted = radclient(nas, SocketAddrV4::new(agent.agent(), 1812), secret, USER.0, USER.1, &[]).unwrap();
    let start = ["Acct-Status-Type = Start", "Acct-Session-Id = \"s1\"", "User-Name = \"pascal.tesla0\""];
    let kept = radclient_acct(nas, SocketAddrV4::new(agent.agent(), 1813), secret, &start).unwrap();
    let accepted = accepted.is_some_and(|reply| reply.is_accept());
    assert_eq!(accepted, kept.is_some(), "both ports know the same secrets");
    accepted
}

#[test]
fn a_nas_changes_its_secret_without_a_moment_in_which_nobody_gets_in() {
    let Some(lab) = two_campuses("a NAS changes its secret") else { return };
    let admin = lab.admin().unwrap();
    let file = lab.folder().write("new-secret", &format!("{NEW}\n")).unwrap();
    assert!(is_heard(&lab, NORTH, OLD) && !is_heard(&lab, NORTH, NEW));
    let printed = admin.holdfast(&["nas", "set", "annex-north", "--secret-file", file.to_str().unwrap(), "--wait"]).unwrap();
    assert!(!printed.contains(NEW) && !printed.contains(OLD), "{printed}");
    for agent in Campus::BOTH {
        assert!(is_heard(&lab, agent, OLD) && is_heard(&lab, agent, NEW), "both are taken");
        assert!(!is_heard(&lab, agent, "neither-of-the-two-secrets"));
    }
    // What else changes leaves both as they are.
    admin
        .holdfast(&["nas", "set", "annex-north", "--kind", "Cisco Catalyst", "--contact", "ann", "--campus", "north", "--note", "tty 1-32", "--wait"])
        .unwrap();
    assert!(is_heard(&lab, NORTH, OLD) && is_heard(&lab, NORTH, NEW));
    admin.holdfast(&["nas", "set", "annex-north", "--clear-former-secret", "--wait"]).unwrap();
    for agent in Campus::BOTH {
        assert!(!is_heard(&lab, agent, OLD) && is_heard(&lab, agent, NEW), "only the new one is");
    }
    let shown: Value = serde_json::from_str(&admin.holdfast(&["nas", "show", "annex-north", "-o", "json"]).unwrap()).unwrap();
    let text = |field: &str| shown[field].as_str().unwrap().to_owned();
    assert_eq!([text("kind"), text("contact"), text("campus"), text("note")], ["Cisco Catalyst", "ann", "north", "tty 1-32"]);
    assert_eq!(shown["has_former_secret"], false);

    for (campus, address) in [("north", "10.1.4.2"), ("south", "10.2.4.2")] {
        admin.holdfast(&["campus", "set", campus, "--service-address", address]).unwrap();
    }
    let told = admin.holdfast(&["nas", "config", "annex-north"]).unwrap();
    let (home, backup) = (told.find("10.1.4.2 ").unwrap(), told.find("10.2.4.2 ").unwrap());
    assert!(told.contains("radius server holdfast-north") && home < backup && !told.contains(NEW), "{told}");
    let told = admin.holdfast(&["nas", "config", "annex-north", "--for", "hostapd", "--show-secret"]).unwrap();
    assert!(told.contains(&format!("auth_server_shared_secret={NEW}")), "{told}");
    let changes = admin.holdfast(&["changes", "-o", "csv"]).unwrap();
    assert!(changes.contains("read the secret of NAS annex-north"), "{changes}");

    let refused = admin.holdfast(&["nas", "set", "annex-north", "--campus", "nowhere"]).unwrap_err().to_string();
    assert!(refused.contains("there is no campus nowhere"), "{refused}");
    admin.holdfast(&["nas", "add", "lone", "10.1.4.77", "--campus", "south", "--wait"]).unwrap();
    assert!(admin.holdfast(&["nas", "list"]).unwrap().contains("10.1.4.77/32"));
    admin.holdfast(&["nas", "remove", "lone", "--wait"]).unwrap();
    assert!(!admin.holdfast(&["nas", "list"]).unwrap().contains("lone"));
}

/// A NAS that is exempt and was heard with a proof is held to it, from its next packet on.
#[test]
fn a_nas_that_can_prove_itself_has_to() {
    let Some(lab) = two_campuses("a NAS that can prove itself has to") else { return };
    let admin = lab.admin().unwrap();
    admin.holdfast(&["nas", "set", "annex-north", "--message-authenticator", "no", "--wait"]).unwrap();
    let bare = || {
        let server = SocketAddrV4::new(NORTH.agent(), 1812).into();
        let asked = lab.network().at(Place::Nas(NORTH)).inside(|| unproven(server));
        asked.unwrap().unwrap()
    };
    assert!(bare(), "it is exempt");
    eventually("it proves itself once", || Ok(is_heard(&lab, NORTH, OLD)));
    assert!(!bare(), "and is held to it");
}

/// Asks without Message-Authenticator; whether there is any answer within a second.
fn unproven(server: std::net::SocketAddr) -> std::io::Result<bool> {
    use holdfast_proto::radius::packet::hide_password;
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
    let authenticator = std::process::id().to_be_bytes().repeat(4).try_into().expect("16 bytes");
    let hidden = hide_password(USER.1.as_bytes(), &holdfast_proto::words::Secret::new(OLD), &authenticator).expect("a short password");
    let tlv = |kind: u8, value: &[u8]| [&[kind, value.len() as u8 + 2], value].concat();
    let attributes = [tlv(1, USER.0.as_bytes()), tlv(2, &hidden)].concat();
    let len = (20 + attributes.len()) as u16;
    socket.send_to(&[&[1, 9][..], &len.to_be_bytes(), &authenticator, &attributes].concat(), server)?;
    Ok(socket.recv(&mut [0; 4096]).is_ok())
}
