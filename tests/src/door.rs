//! A door from this machine into a box: a browser here reaches the web page of a master in there.
//!
//! The lab's network has no cable to the machine that it runs on, so that nothing of the machine can leak into a test. The demo
//! needs the one page that a person looks at: each connection to a loopback port here is handed on, byte by byte.

use crate::netns::{self, Netns};
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// Opens the door and keeps it open for as long as the process lives: a connection to `here` is one to `there`, seen from inside.
/// Gives the address here, which port 0 leaves to the kernel.
pub fn open(here: SocketAddr, inside: &Netns, there: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind(here).with_context(|| format!("cannot listen on {here}: set another port, or stop what uses this one"))?;
    let address = listener.local_addr()?;
    let namespace = inside.name().to_owned();
    std::thread::spawn(move || {
        for guest in listener.incoming().flatten() {
            let namespace = namespace.clone();
            // A guest who cannot be led in sees his connection end, as with any server that is away.
            std::thread::spawn(move || lead_in(guest, &namespace, there));
        }
    });
    Ok(address)
}

fn lead_in(guest: TcpStream, namespace: &str, there: SocketAddr) -> Result<()> {
    netns::enter(namespace)?;
    let host = TcpStream::connect(there)?;
    let (guest_reads, host_writes) = (guest.try_clone()?, host.try_clone()?);
    let inward = std::thread::spawn(move || hand_on(guest_reads, host_writes));
    hand_on(host, guest);
    inward.join().map_err(|_| anyhow::anyhow!("the way in fell over"))
}

/// Copies until one side ends, and tells the other.
fn hand_on(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = [0; 16 << 10];
    while let Ok(len @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
