use super::*;
use proptest::prelude::*;

fn message<'a>(parameters: &'a [(&'a str, String)], text: &'a str) -> Message<'a> {
    Message {
        facility: Facility::Audit,
        severity: Severity::Notice,
        at: UnixMillis(1_065_910_455_003),
        host: "north",
        app: "holdfast-agent",
        id: "radius_refused",
        element: "report@32473",
        parameters,
        text,
    }
}

/// RFC 5424 section 6.2.3.1, example 1 is the moment of section 6.5's examples, too.
#[test]
fn times_are_those_of_the_rfc() {
    assert_eq!(timestamp(UnixMillis(482_196_050_520)), "1985-04-12T23:20:50.520Z");
    assert_eq!(timestamp(UnixMillis(1_065_910_455_003)), "2003-10-11T22:14:15.003Z");
    assert_eq!(timestamp(UnixMillis(0)), "1970-01-01T00:00:00.000Z");
    assert_eq!(timestamp(UnixMillis(951_782_400_000)), "2000-02-29T00:00:00.000Z");
    assert_eq!(timestamp(UnixMillis(4_107_542_400_000)), "2100-03-01T00:00:00.000Z");
    assert_eq!(timestamp(UnixMillis(u64::MAX)), "9999-12-31T23:59:59.999Z");
}

#[test]
fn a_message_is_golden() {
    let parameters = [("node", "4f".to_owned()), ("seq", "12".to_owned())];
    let text = message(&parameters, "a wrong password").text();
    assert_eq!(text, "<109>1 2003-10-11T22:14:15.003Z north holdfast-agent - radius_refused [report@32473 node=\"4f\" seq=\"12\"] a wrong password");
    assert_eq!(octet_counted("<0>1 ü"), b"7 <0>1 \xc3\xbc");
}

#[test]
fn what_would_end_a_value_is_escaped() {
    let parameters = [("a=b]", r#"x]"\y"#.to_owned())];
    let text = message(&parameters, "one\ntwo").text();
    assert!(text.ends_with(r#"[report@32473 a_b_="x\]\"\\y"] one two"#), "{text}");
}

#[test]
fn severities_keep_their_numbers() {
    for severity in [Severity::Alert, Severity::Critical, Severity::Error, Severity::Warning, Severity::Notice, Severity::Info] {
        assert_eq!(Severity::of(severity as u32), severity);
    }
    assert_eq!(Severity::of(0), Severity::Warning);
}

struct Read {
    head: Vec<String>,
    parameters: Vec<(String, String)>,
    body: String,
}

/// The strict reader of a message, by the grammar of RFC 5424 section 6 alone.
fn read(text: &str) -> Option<Read> {
    let mut rest = text;
    let mut head = Vec::new();
    for _ in 0..6 {
        let (word, after) = rest.split_once(' ')?;
        (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic())).then_some(())?;
        head.push(word.to_owned());
        rest = after;
    }
    rest = rest.strip_prefix('[')?;
    let end = rest.find([' ', ']'])?;
    rest = &rest[end..];
    let mut parameters = Vec::new();
    while let Some(after) = rest.strip_prefix(' ') {
        let (key, after) = after.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (_, '\\') => value.push(chars.next()?.1),
                (at, '"') => break at,
                (_, ']') => return None,
                (_, c) => value.push(c),
            }
        };
        parameters.push((key.to_owned(), value));
        rest = &after[end + 1..];
    }
    Some(Read { head, parameters, body: rest.strip_prefix("] ")?.to_owned() })
}

proptest! {
    #[test]
    fn any_report_gives_a_message_that_a_strict_reader_takes(host in ".*", id in ".*", key in ".*", value in ".*", body in ".*", at in any::<u64>()) {
        let parameters = [(key.as_str(), value.clone())];
        let text = Message { host: &host, id: &id, at: UnixMillis(at), ..message(&parameters, &body) }.text();
        prop_assert!(!text.contains('\n'));
        let read = read(&text).expect("it is well-formed");
        prop_assert_eq!(read.head.len(), 6);
        let plain = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        prop_assert_eq!(&read.parameters[0].1, &plain(&value));
        prop_assert_eq!(read.body, plain(&body));
    }
}
