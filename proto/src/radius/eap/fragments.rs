//! How EAP-TLS, TTLS and PEAP cut a TLS message into EAP packets (RFC 5216 section 3.1, RFC 5281 section 9.1): a byte of flags,
//! the whole length where there are several, and an empty packet that asks for the next.

/// The whole length follows.
const HAS_LENGTH: u8 = 0x80;
/// There is more to come.
const HAS_MORE: u8 = 0x40;
/// The conversation begins.
const START: u8 = 0x20;
/// The longest TLS message that is put together: a long chain of certificates has half of it.
const MESSAGE_LIMIT_BYTES: usize = 16 * 1024;
/// Code, identifier, length, type, flags.
const OVERHEAD_BYTES: usize = 6;
const LENGTH_BYTES: usize = 4;

/// What a frame is that breaks the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// What came so far.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    message: Vec<u8>,
    announced: Option<usize>,
}

/// What a frame brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// The rest of it is to be asked for.
    Part,
    /// All of it; empty where there was nothing but an acknowledgement.
    Whole(Vec<u8>),
}

impl Incoming {
    /// Takes the data of a packet.
    pub fn push(&mut self, data: &[u8]) -> Result<Arrived, Broken> {
        let (flags, mut body) = data.split_first().map_or((0, data), |(flags, body)| (*flags, body));
        if flags & HAS_LENGTH != 0 {
            let (len, rest) = body.split_first_chunk::<LENGTH_BYTES>().ok_or(Broken)?;
            let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| Broken)?;
            // Some repeat it in every fragment; it must not change.
            if len > MESSAGE_LIMIT_BYTES || *self.announced.get_or_insert(len) != len {
                return Err(Broken);
            }
            body = rest;
        }
        if self.message.len() + body.len() > self.announced.unwrap_or(MESSAGE_LIMIT_BYTES) {
            return Err(Broken);
        }
        self.message.extend_from_slice(body);
        let is_followed = flags & HAS_MORE != 0;
        match is_followed {
            true if body.is_empty() => Err(Broken),
            true => Ok(Arrived::Part),
            false if self.announced.take().is_some_and(|len| len != self.message.len()) => Err(Broken),
            false => Ok(Arrived::Whole(std::mem::take(&mut self.message))),
        }
    }
}

/// What has yet to go out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    message: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// A message of its own, from its beginning.
    pub fn of(message: Vec<u8>) -> Self {
        Self { message, sent: 0 }
    }

    /// Whether the peer has to ask for more.
    pub fn has_more(&self) -> bool {
        self.sent < self.message.len()
    }

    /// Flags and data of the next packet, which has at most so many bytes in all; nothing but flags where all is sent.
    pub fn next(&mut self, packet_limit_bytes: usize) -> Vec<u8> {
        let (rest, room) = (&self.message[self.sent..], packet_limit_bytes.saturating_sub(OVERHEAD_BYTES));
        if rest.len() <= room {
            let frame = [&[0], rest].concat();
            *self = Self::default();
            return frame;
        }
        let mut frame = vec![HAS_MORE];
        if self.sent == 0 {
            frame[0] |= HAS_LENGTH;
            frame.extend_from_slice(&(rest.len() as u32).to_be_bytes());
        }
        let part = &rest[..room + 1 - frame.len()];
        frame.extend_from_slice(part);
        self.sent += part.len();
        frame
    }
}

/// The data of the packet that begins.
pub(super) fn start() -> Vec<u8> {
    vec![START]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_that_break_the_rules_are_refused() {
        let push = |frames: &[&[u8]]| {
            let mut incoming = Incoming::default();
            frames.iter().map(|frame| incoming.push(frame)).last().unwrap()
        };
        assert_eq!(push(&[&[0x80, 0, 0, 0, 2, 1, 2]]), Ok(Arrived::Whole(vec![1, 2])));
        assert_eq!(push(&[&[0xc0, 0, 0, 0, 2, 1], &[0, 2]]), Ok(Arrived::Whole(vec![1, 2])));
        assert_eq!(push(&[&[]]), Ok(Arrived::Whole(vec![])), "an acknowledgement without its flags");
        let broken: [&[&[u8]]; 6] = [
            &[&[0x80, 0, 0, 0, 3, 1, 2]],
            &[&[0x80, 0, 0, 0, 1, 1, 2]],
            &[&[0x80, 0, 0]],
            &[&[0x80, 0, 1, 0, 0, 1]],
            &[&[0xc0, 0, 0, 0, 2, 1], &[0x80, 0, 0, 0, 3, 2]],
            &[&[0x40]],
        ];
        broken.iter().for_each(|frames| assert_eq!(push(frames), Err(Broken), "{frames:?}"));
        let endless = [0x40; 1000];
        let mut incoming = Incoming::default();
        assert!((0..100).any(|_| incoming.push(&endless) == Err(Broken)) && incoming.message.len() <= MESSAGE_LIMIT_BYTES);
    }

    proptest! {
        #[test]
        fn a_message_arrives_whole_whatever_the_link_takes(message in proptest::collection::vec(any::<u8>(), 0..5000), limit in 64usize..1400) {
            let (mut outgoing, mut incoming) = (Outgoing::of(message.clone()), Incoming::default());
            loop {
                let frame = outgoing.next(limit);
                prop_assert!(frame.len() + OVERHEAD_BYTES - 1 <= limit);
                match incoming.push(&frame).unwrap() {
                    Arrived::Whole(found) => {
                        prop_assert!(!outgoing.has_more());
                        prop_assert_eq!(found, message);
                        break;
                    }
                    Arrived::Part => prop_assert!(outgoing.has_more()),
                }
            }
        }

        #[test]
        fn any_frames_are_taken_without_panic(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let mut incoming = Incoming::default();
            frames.iter().for_each(|frame| drop(incoming.push(frame)));
        }
    }
}
