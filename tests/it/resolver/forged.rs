//! Somebody who can write from the master's own address, and guesses: nothing of what it says is believed.

use super::{in_process, settings_for};
use crate::is_long;
use holdfast_lab::folder::Folder;
use holdfast_proto::words::UnixMillis;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
/// What each forged reply says, and what the real one does.
const FORGED: [u8; 4] = [192, 0, 2, 66];
const REAL: [u8; 4] = [192, 0, 2, 1];
/// Forged replies to each question, before the real one; with the small number, those that come before somebody doubts.
const FLOOD: usize = 1000;
const TRICKLE: usize = 5;

/// The reply to a query, with one address; its OPT is left out.
fn reply(query: &[u8], address: [u8; 4]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut packet = query[..end].to_vec();
    packet[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    packet.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    packet.extend_from_slice(&address);
    packet
}

/// One guess: another id, or the name in another case, or another question.
fn forged(query: &[u8], number: usize) -> Vec<u8> {
    let mut packet = reply(query, FORGED);
    match number % 3 {
        0 => packet[1] = packet[1].wrapping_add(1 + number as u8 % 254),
        1 => packet[0] ^= 1 + number as u8 % 254,
        _ => packet[14] ^= 1,
    }
    packet
}

/// A master that is overheard: before each answer of its own come forged ones from its very address.
pub fn master(flood: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let stream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let socket = UdpSocket::bind(stream.local_addr().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((len, client)) = socket.recv_from(&mut query) {
            for number in 0..flood {
                // Whoever asked may have gone to TCP meanwhile.
                counted.fetch_add(usize::from(socket.send_to(&forged(&query[..len], number), client).is_ok()), Ordering::Relaxed);
            }
            let _ = socket.send_to(&reply(&query[..len], REAL), client);
        }
    });
    std::thread::spawn(move || {
        for mut stream in stream.incoming().flatten() {
            let mut len = [0; 2];
            let mut query = vec![0; if stream.read_exact(&mut len).is_ok() { usize::from(u16::from_be_bytes(len)) } else { 0 }];
            if stream.read_exact(&mut query).is_ok() && !query.is_empty() {
                let reply = reply(&query, REAL);
                let _ = stream.write_all(&[&(reply.len() as u16).to_be_bytes(), &reply[..]].concat());
            }
        }
    });
    (address, sent)
}

fn ask(client: &UdpSocket, number: usize) -> Vec<u8> {
    let name = format!("n{number:06}");
    let query = [&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7], name.as_bytes(), b"\x03far\x03org\x00\x00\x01\x00\x01"].concat();
    client.send(&query).unwrap();
    let mut answer = vec![0; 512];
    let len = client.recv(&mut answer).unwrap();
    answer.truncate(len);
    answer
}

/// Whether it is answered, and by whom it must be.
fn asked(client: &UdpSocket, number: usize) -> bool {
    let answer = ask(client, number);
    assert!(!answer.windows(4).any(|bytes| bytes == FORGED), "question {number}: a forged reply was believed: {answer:?}");
    answer.ends_with(&REAL)
}

#[test]
fn of_a_hundred_thousand_forged_replies_none_is_believed() {
    let questions = if is_long() { 200 } else { 40 };
    for flood in [FLOOD, TRICKLE] {
        let folder = Folder::new("resolver-forged").unwrap();
        let (master, sent) = master(flood);
        let (address, runtime) = in_process(settings_for(master), UnixMillis(0), folder.path());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        for number in 0..questions {
            let begun = Instant::now();
            // Where the machine is busy, a master that is slow to answer may count as gone for a moment.
            while !asked(&client, number) {
                assert!(begun.elapsed() < PATIENCE, "question {number} was not answered");
            }
            assert!(asked(&client, number), "the answer was not kept");
        }
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent >= questions * flood / 2, "{sent} forged replies were sent");
        runtime.shutdown_background();
    }
}
