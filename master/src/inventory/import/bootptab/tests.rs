use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Bootptab {
    parse("bootptab", text, &|name| (name == "router").then_some(Ipv4Addr::new(10, 1, 4, 1)))
}

fn one(text: &str) -> Effective {
    let tab = read(text);
    assert_eq!(tab.errors, vec![], "{text}");
    tab.entries.last().expect("there is an entry").effective.clone()
}

fn option(effective: &Effective, code: u8) -> Option<Option<Vec<u8>>> {
    effective.boot.options.iter().find(|option| option.code == code).map(|option| option.value.clone())
}

#[test]
fn entries_are_cut_as_bootpd_cuts_them() {
    let text = "# comment\n\nh1:\\\n\t:ha=080020dbb67f:  ip = 10.1.4.10:\\\n  rp=\"/a:b\\\"c\" :T128=\"x # y\":\nh2:dn=uni\\:x:\n";
    let tab = read(text);
    assert_eq!(tab.errors, vec![]);
    let h1 = &tab.entries[0];
    assert_eq!((h1.name.as_str(), h1.place.line, h1.effective.address), ("h1", 3, Some(Ipv4Addr::new(10, 1, 4, 10))));
    assert_eq!(option(&h1.effective, 17), Some(Some(b"/a:b\"c".to_vec())));
    assert_eq!(option(&h1.effective, 128), Some(Some(b"x # y\0".to_vec())));
    assert_eq!(tab.entries[1].effective.domain.as_deref(), Some("uni:x"));
}

#[test]
fn numbers_are_c_numbers_even_inside_addresses() {
    let host = one("h:ip=10.010.0x4.7:sm=0xfffffc00:gw=router 10.257:mw=010:to=-36000:bs=0x10:dl=3600:sa=167838730:nt=10.0.0.1:\n");
    assert_eq!(host.address, Some(Ipv4Addr::new(10, 8, 4, 7)));
    assert_eq!(host.mask, Some(Ipv4Addr::new(255, 255, 252, 0)));
    assert_eq!(host.gateways, [Ipv4Addr::new(10, 1, 4, 1), Ipv4Addr::new(10, 0, 1, 1)]);
    assert_eq!((host.boot.wait_secs, host.boot.next_server), (8, Some(Ipv4Addr::new(10, 1, 4, 10))));
    assert_eq!(option(&host, 2), Some(Some((-36_000i32).to_be_bytes().to_vec())));
    assert_eq!(option(&host, 13), Some(Some(vec![0, 16])));
    assert_eq!(option(&host, 51), Some(Some(vec![0, 0, 14, 16])));
    assert_eq!(option(&host, 42), Some(Some(vec![10, 0, 0, 1])));
}

#[test]
fn hardware_addresses_have_many_spellings_and_types() {
    for spelling in ["080020dbb67f", "0x080020dbb67f", "08.00.20.DB.B6.7F"] {
        assert_eq!(one(&format!("h:ht=ether:ha={spelling}:\n")).mac(), "08:00:20:db:b6:7f".parse().ok());
    }
    let ring = one("h:ht=token-ring:ha=10005a000001:\n");
    assert_eq!((ring.htype, ring.mac()), (6, None));
    assert!(read("h:ha=080020dbb67f:ht=6:\n").errors[0].message.contains("before ha"));
    assert!(read("h:ha=0800:\n").errors[0].message.contains("12 hexadecimal"));
}

#[test]
fn boot_file_and_directory_are_joined() {
    assert_eq!(one("h:hd=/tftpboot/:bf=x:\n").boot.boot_file, "/tftpboot/x");
    assert_eq!(one("h:hd=/tftpboot:bf=/abs/x:\n").boot.boot_file, "/abs/x");
    assert_eq!(one("h:hd=/tftpboot:\n").boot.boot_file, "");
}

#[test]
fn templates_fill_only_what_is_not_set() {
    let text = ".a:lg=1.1.1.1:lp=1.1.1.1:hn:T200=01:ip=9.9.9.9:ha=080020000009:\n.b:tc=.a:lg=2.2.2.2:T201=02:\nh:lp@:lg=3.3.3.3:tc=.b:ds=4.4.4.4:hn@:\n";
    let host = one(text);
    assert_eq!(option(&host, 7), Some(Some(vec![3; 4])));
    assert_eq!(option(&host, 9), Some(Some(vec![1; 4])), "a deletion leaves it open to a later tc");
    assert_eq!(
        (option(&host, 200), option(&host, 201)),
        (Some(Some(vec![1])), Some(Some(vec![2]))),
        "T tags of .a were taken because .b had none when it met tc"
    );
    assert_eq!((host.address, host.hardware.clone(), host.boot.send_host_name), (None, None, false));
    assert_eq!(option(&one(".a:lg=1.1.1.1:\nh:tc=.a:lg@:\n"), 7), Some(None), "taken away from the subnet too");
    assert_eq!(option(&one(".a:T200=01:\nh:T201=02:tc=.a:\n"), 200), None, "T tags are inherited all or nothing");
}

#[test]
fn every_bad_tag_is_an_error_with_its_line_and_the_rest_is_kept() {
    let text = "h:\\\n:xx=1:\\\n:ip=10.0.0.300:\\\n:tc=.later:\\\n:ds:\\\n:hn=1:\\\n:T0=01:\\\n:T9@:\\\n:lg=nobody:\\\n:lp=1.1.1.1:\n.later:\n.later:\n:x:\ng:rp=\"open:\n";
    let tab = read(text);
    let lines: Vec<u32> = tab.errors.iter().map(|error| error.place.line).collect();
    // The cutter's errors come first.
    assert_eq!(lines, [13, 14, 2, 3, 4, 5, 6, 7, 8, 9, 12]);
    assert_eq!(option(&tab.entries[0].effective, 9), Some(Some(vec![1; 4])));
}

#[test]
fn what_only_bootpd_could_do_is_noted_once() {
    let tab = read("a:ex=\"rm x\":bs=auto:vm=auto:\nb:ex=y:bs:to=auto:ms=500:\n");
    assert_eq!(tab.errors, vec![]);
    assert_eq!(tab.notes.iter().map(|note| note.place.line).collect::<Vec<_>>(), [1, 1, 2, 2]);
}

/// One tag of a random table: the entries before can be inherited from.
#[derive(Debug, Clone)]
enum Step {
    Set(usize, u8),
    Delete(usize),
    Generic(u8, u8),
    Inherit(usize),
}

/// Tags of one address each, so that a value is one byte; with their option codes.
const SIMPLE: [(&str, u8); 5] = [("lg", 7), ("lp", 9), ("ts", 4), ("cs", 8), ("nt", 42)];

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = prop_oneof![
        (0..SIMPLE.len(), 1u8..9).prop_map(|(tag, value)| Step::Set(tag, value)),
        (0..SIMPLE.len()).prop_map(Step::Delete),
        (200u8..203, 1u8..9).prop_map(|(code, value)| Step::Generic(code, value)),
        (0usize..10).prop_map(Step::Inherit),
    ];
    proptest::collection::vec(proptest::collection::vec(step, 0..8), 1..10)
}

fn written(table: &[Vec<Step>]) -> String {
    let mut text = String::new();
    for (at, entry) in table.iter().enumerate() {
        text.push_str(&format!("e{at}:"));
        for step in entry {
            match step {
                Step::Set(tag, value) => text.push_str(&format!("{}=0.0.0.{value}:", SIMPLE[*tag].0)),
                Step::Delete(tag) => text.push_str(&format!("{}@:", SIMPLE[*tag].0)),
                Step::Generic(code, value) => text.push_str(&format!("T{code}={value:02x}:")),
                Step::Inherit(from) if at > 0 => text.push_str(&format!("\\\n  :tc=e{}:", from % at)),
                Step::Inherit(_) => {}
            }
        }
        text.push('\n');
    }
    text
}

/// The second evaluator: asks for one tag at a time, walking an entry's tags from the last to the first. A value or a
/// deletion answers at once; a template answers only where nothing before it does, because it fills what is not set.
fn value(table: &[Vec<Step>], entry: usize, upto: usize, tag: usize) -> Option<u8> {
    let (last, before) = table[entry][..upto].split_last()?;
    match last {
        Step::Set(set, value) if *set == tag => Some(*value),
        Step::Delete(deleted) if *deleted == tag => None,
        Step::Inherit(from) if entry > 0 => value(table, entry, before.len(), tag).or_else(|| value(table, from % entry, table[from % entry].len(), tag)),
        _ => value(table, entry, before.len(), tag),
    }
}

fn generics(table: &[Vec<Step>], entry: usize, upto: usize) -> BTreeMap<u8, u8> {
    let Some((last, before)) = table[entry][..upto].split_last() else { return BTreeMap::new() };
    let mut own = generics(table, entry, before.len());
    match last {
        Step::Generic(code, value) => own.extend([(*code, *value)]),
        Step::Inherit(from) if entry > 0 && own.is_empty() => own = generics(table, from % entry, table[from % entry].len()),
        _ => {}
    }
    own
}

proptest! {
    #[test]
    fn two_evaluators_agree(table in steps()) {
        let tab = read(&written(&table));
        prop_assert_eq!(&tab.errors, &vec![]);
        for (at, entry) in tab.entries.iter().enumerate() {
            for (tag, (_, code)) in SIMPLE.iter().enumerate() {
                let expected = value(&table, at, table[at].len(), tag).map(|value| vec![0, 0, 0, value]);
                prop_assert_eq!(option(&entry.effective, *code).flatten(), expected, "e{} {}", at, SIMPLE[tag].0);
            }
            let codes: BTreeMap<u8, u8> = entry.effective.boot.options.iter().filter(|o| o.code >= 200).map(|o| (o.code, o.value.as_ref().unwrap()[0])).collect();
            prop_assert_eq!(codes, generics(&table, at, table[at].len()));
        }
    }

    #[test]
    fn no_text_panics(text in r#"([a-z.:=@\\"\n ]|tc=|ip=|ha=|T1|sm=|[0-9x.]){0,80}"#) {
        let _ = read(&text);
    }
}
