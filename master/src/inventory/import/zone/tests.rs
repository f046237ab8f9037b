use super::*;
use proptest::prelude::*;

fn lines(text: &str) -> Vec<String> {
    let file = scan("db.test", text, Some("uni.example".parse().unwrap()), None);
    assert_eq!(file.errors, vec![], "{text}");
    let show =
        |record: &ZoneRecord| format!("{} {} {} {}", record.owner, record.ttl, rdata::type_name(record.rtype), rdata::print(record.rtype, &record.rdata));
    file.records.iter().map(show).collect()
}

fn wrongs(text: &str) -> Vec<String> {
    scan("db.test", text, Some("uni.example".parse().unwrap()), None).errors.iter().map(ToString::to_string).collect()
}

#[test]
fn owners_ttls_and_classes_are_completed() {
    let text = "$TTL 1h\n@ IN SOA ns host ( 1 ; serial )\n 3h 1h\n\t1w 1h )\n\tNS ns\nns 300 IN A 10.1.4.2\n IN 2d A 10.1.4.3\n\n; nothing\nWWW.other.example. A 10.1.4.4\n$ORIGIN sub\na A 10.1.4.5\n";
    assert_eq!(
        lines(text),
        [
            "uni.example. 3600 SOA ns.uni.example. host.uni.example. 1 10800 3600 604800 3600",
            "uni.example. 3600 NS ns.uni.example.",
            "ns.uni.example. 300 A 10.1.4.2",
            "ns.uni.example. 172800 A 10.1.4.3",
            "www.other.example. 3600 A 10.1.4.4",
            "a.sub.uni.example. 3600 A 10.1.4.5",
        ]
    );
}

#[test]
fn without_ttl_line_the_last_or_the_minimum_holds() {
    let text = "@ SOA ns host 1 1 1 1 77\na A 10.0.0.1\nb 5 A 10.0.0.2\nc A 10.0.0.3\n";
    let ttls: Vec<u32> = scan("f", text, Some(DomainName::root()), None).records.iter().map(|record| record.ttl).collect();
    assert_eq!(ttls, [77, 77, 5, 5]);
    assert!(wrongs("a A 10.0.0.1\n")[0].contains("no TTL"));
}

#[test]
fn generate_fills_names_and_data() {
    let text = "$TTL 1\n$GENERATE 8-10/2 h$ A 10.0.0.$\n$GENERATE 1-1 h${10,3,x}.\\$ CNAME h$\n$GENERATE 31-31 ${0,4,n} TXT \"a$$\"\n";
    assert!(wrongs("$GENERATE 1-3\n")[0].contains("$GENERATE wants"));
    assert_eq!(
        lines(text),
        ["h8.uni.example. 1 A 10.0.0.8", "h10.uni.example. 1 A 10.0.0.10", r"h00b.\$.uni.example. 1 CNAME h1.uni.example.", "f.1.uni.example. 1 TXT \"a$\""]
    );
}

#[test]
fn includes_need_a_resolver() {
    assert!(wrongs("$INCLUDE hosts.inc\n")[0].contains("put the text of hosts.inc"));
    let resolver = |name: &str| (name == "hosts.inc").then(|| "a A 10.0.0.1\n$ORIGIN x.\nb A 10.0.0.2\nbad\n".to_owned());
    let text = "$TTL 1\nz A 10.0.0.9\n$INCLUDE hosts.inc sub\n A 10.0.0.3\nc A 10.0.0.4\n$INCLUDE none\n";
    let file = scan("db.test", text, Some("uni.example".parse().unwrap()), Some(&resolver));
    let owners: Vec<String> = file.records.iter().map(|record| record.owner.to_string()).collect();
    assert_eq!(owners, ["z.uni.example.", "a.sub.uni.example.", "b.x.", "z.uni.example.", "c.uni.example."]);
    let errors: Vec<String> = file.errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["hosts.inc:4:1: this record has no type and data", "db.test:6:10: the file none is not among those given"]);
    let endless = |_: &str| Some("$INCLUDE a\n$INCLUDE a\n".to_owned());
    assert!(!scan("a", "$INCLUDE a\n", Some(DomainName::root()), Some(&endless)).errors.is_empty());
}

#[test]
fn all_errors_are_given_at_once_with_their_places() {
    let text =
        "$TTL 1x\n$TTL 1\na A 10.0.0\n b\nc IN CH A 10.0.0.1\nd TXT \"open\n$NO x\n\\\ne MX 10\nf A 10.0.0.1 )\ng A 10.0.0.7\nh BOGUS 1\ni A ( 10.0.0.1\n";
    assert_eq!(
        wrongs(text),
        [
            "db.test:1:6: \"1x\" is not a span of time such as 86400 or 1d",
            "db.test:3:5: \"10.0.0\" is not an IPv4 address such as 10.1.4.7",
            "db.test:4:2: \"b\" is not a record type: write a known one such as A or MX, or TYPE and its number",
            "db.test:5:6: \"CH\" is not a record type: write a known one such as A or MX, or TYPE and its number",
            "db.test:6:7: this quote does not end on its line: close it",
            "db.test:7:1: $NO is not a directive: write $ORIGIN, $TTL, $INCLUDE or $GENERATE",
            "db.test:8:1: a backslash at the end of a line protects nothing: remove it",
            "db.test:9:3: the MX record ends where a domain name should follow",
            "db.test:10:14: this ) closes nothing: remove it or add its (",
            "db.test:12:3: \"BOGUS\" is not a record type: write a known one such as A or MX, or TYPE and its number",
            "db.test:13:5: this parenthesis is never closed: add ) where the record ends",
        ]
    );
}

#[test]
fn a_relative_name_without_origin_is_refused() {
    let file = scan("f", "$TTL 1\nwww A 10.0.0.1\nwww. A 10.0.0.1\n", None, None);
    assert_eq!(file.records.len(), 1);
    assert!(file.errors[0].message.contains("$ORIGIN"));
}

proptest! {
    #[test]
    fn no_text_panics(text in r#"([ab$@.\\;()" \t\n]|\$GENERATE|\$TTL|\$ORIGIN|IN|A|TXT|[0-9]){0,60}"#) {
        let _ = scan("f", &text, Some("uni.example".parse().unwrap()), None);
    }

    #[test]
    fn printed_records_are_read_back(labels in proptest::collection::vec("[a-z;\\$@ ]{1,6}", 1..4), ttl in 0u32..100_000, bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut wire: Vec<u8> = labels.iter().flat_map(|label| [vec![label.len() as u8], label.clone().into_bytes()].concat()).collect();
        wire.push(0);
        let owner = DomainName::from_wire(&wire).unwrap();
        let rdata = [vec![bytes.len() as u8], bytes].concat();
        let text = format!("{owner} {ttl} IN TXT ( {} )", rdata::print(16, &rdata));
        let file = scan("f", &text, None, None);
        prop_assert_eq!(&file.errors, &vec![]);
        prop_assert_eq!(&file.records[0].owner, &owner);
        prop_assert_eq!(&file.records[0].rdata, &rdata);
        prop_assert_eq!(file.records[0].ttl, ttl);
    }
}
