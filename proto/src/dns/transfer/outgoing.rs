//! A transfer as messages: the SOA first and last, and everything between them in as few messages as it fits into.

use super::contents::{ContentsError, for_each_record, soa_of};
use super::journal::ZoneDelta;
use super::request::{Wanted, What};
use crate::dns::message::{HEADER_BYTES, Rcode};
use crate::dns::tsig::SIGNATURE_ROOM_BYTES;
use crate::dns::{Record, TCP_MESSAGE_LIMIT_BYTES, Transport, UDP_PAYLOAD_LIMIT_BYTES};
use crate::snapshot::View;
use crate::words::DomainName;
use std::sync::Arc;

/// A message is sent when it has this much: pointers reach that far, and a secondary takes it from one read or two.
const MESSAGE_BYTES: usize = 16 << 10;
const FLAG_RESPONSE: u8 = 0x80;
const FLAG_AUTHORITATIVE: u8 = 0x04;
/// Opcode and RD are given back.
const KEPT_FLAGS: u8 = 0x79;
const CLASS_IN: [u8; 2] = [0, 1];

/// How a transfer went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The whole zone.
    Whole,
    /// What changed.
    Changes,
    /// The newest SOA alone: nothing is newer, or it has to be asked again over TCP.
    Newest,
    /// Whoever took it does not want more.
    Stopped,
}

/// Writes what is wanted of a zone as messages, which `send` takes as long as it gives `true`. `steps` are those from the serial that is asked
/// with, where they are at hand. Over UDP at most one message goes out (RFC 1995 section 2).
pub fn transfer(
    view: &View,
    wanted: &Wanted,
    steps: Option<&[Arc<ZoneDelta>]>,
    transport: Transport,
    send: impl FnMut(Vec<u8>) -> bool,
) -> Result<Sent, ContentsError> {
    let (soa, numbers) = soa_of(view, &wanted.apex)?;
    let mut out = Writer { head: reply_head(&wanted.head, Rcode::NoError), apex: &wanted.apex, message: Vec::new(), count: 0, is_stopped: false, send };
    let is_news = matches!(wanted.what, What::Since(theirs) if numbers.serial.is_newer_than(theirs));
    let sent = match (wanted.what, steps) {
        (What::Since(_), _) if !is_news => out.newest(&soa),
        (_, None | Some([])) if transport == Transport::Udp => out.newest(&soa),
        (What::Since(_), Some(steps @ [.., last])) if last.to == soa => match transport {
            Transport::Udp if size(steps) > UDP_PAYLOAD_LIMIT_BYTES - SIGNATURE_ROOM_BYTES => out.newest(&soa),
            _ => out.changes(&soa, steps),
        },
        _ if transport == Transport::Udp => out.newest(&soa),
        _ => out.whole(&soa, view)?,
    };
    out.flush();
    Ok(if out.is_stopped { Sent::Stopped } else { sent })
}

/// The reply to a NOTIFY (RFC 1996 section 4.7).
pub fn notify_reply(wanted: &Wanted, rcode: Rcode) -> Vec<u8> {
    reply_head(&wanted.head, rcode)
}

/// The reply to a transfer that is not given.
pub fn refuse(wanted: &Wanted, rcode: Rcode) -> Vec<u8> {
    let mut reply = reply_head(&wanted.head, rcode);
    reply[2] &= !FLAG_AUTHORITATIVE;
    reply
}

fn reply_head(head: &[u8], rcode: Rcode) -> Vec<u8> {
    let mut reply = head.to_vec();
    reply[2] = head[2] & KEPT_FLAGS | FLAG_RESPONSE | FLAG_AUTHORITATIVE;
    reply[3] = rcode as u8 & 15;
    reply[4..HEADER_BYTES].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    reply
}

fn size(steps: &[Arc<ZoneDelta>]) -> usize {
    let of = |record: &Record| record.owner.wire().len() + 10 + record.rdata.len();
    let soas = steps.first().map_or(0, |step| 2 * of(&step.to)) + 300;
    steps.iter().map(|step| of(&step.from) + of(&step.to) + step.removed.iter().chain(&step.added).map(of).sum::<usize>()).sum::<usize>() + soas
}

struct Writer<'a, F> {
    head: Vec<u8>,
    apex: &'a DomainName,
    message: Vec<u8>,
    count: u16,
    is_stopped: bool,
    send: F,
}

impl<F: FnMut(Vec<u8>) -> bool> Writer<'_, F> {
    fn newest(&mut self, soa: &Record) -> Sent {
        self.put(soa);
        Sent::Newest
    }

    fn changes(&mut self, soa: &Record, steps: &[Arc<ZoneDelta>]) -> Sent {
        self.put(soa);
        for step in steps {
            self.put(&step.from);
            step.removed.iter().for_each(|record| self.put(record));
            self.put(&step.to);
            step.added.iter().for_each(|record| self.put(record));
        }
        self.put(soa);
        Sent::Changes
    }

    fn whole(&mut self, soa: &Record, view: &View) -> Result<Sent, ContentsError> {
        self.put(soa);
        for_each_record(view, self.apex, |record| {
            self.put(&record);
            !self.is_stopped
        })?;
        self.put(soa);
        Ok(Sent::Whole)
    }

    fn put(&mut self, record: &Record) {
        let len = record.owner.wire().len() + 10 + record.rdata.len();
        let limit = if len > MESSAGE_BYTES / 2 { TCP_MESSAGE_LIMIT_BYTES - SIGNATURE_ROOM_BYTES } else { MESSAGE_BYTES };
        if self.message.len() + len > limit || self.count == u16::MAX {
            self.flush();
        }
        if self.is_stopped {
            return;
        }
        if self.message.is_empty() {
            self.message.extend_from_slice(&self.head);
        }
        if self.message.len() + len > TCP_MESSAGE_LIMIT_BYTES - SIGNATURE_ROOM_BYTES {
            // No message holds it, and a zone without it would be another zone.
            self.is_stopped = true;
            return;
        }
        self.put_owner(&record.owner);
        self.message.extend_from_slice(&record.rtype.to_be_bytes());
        self.message.extend_from_slice(&CLASS_IN);
        self.message.extend_from_slice(&record.ttl.to_be_bytes());
        self.message.extend_from_slice(&(record.rdata.len() as u16).to_be_bytes());
        self.message.extend_from_slice(&record.rdata);
        self.count += 1;
    }

    /// The labels below the apex, and a pointer to the apex in the question.
    fn put_owner(&mut self, owner: &DomainName) {
        if owner.is_within(self.apex) && self.apex.wire().len() > 2 {
            let own = owner.wire().len() - self.apex.wire().len();
            self.message.extend_from_slice(&owner.wire()[..own]);
            self.message.extend_from_slice(&[0xc0, HEADER_BYTES as u8]);
        } else {
            self.message.extend_from_slice(owner.wire());
        }
    }

    fn flush(&mut self) {
        if self.count == 0 || self.is_stopped {
            return;
        }
        self.message[6..8].copy_from_slice(&self.count.to_be_bytes());
        self.count = 0;
        self.is_stopped = !(self.send)(std::mem::take(&mut self.message));
    }
}
