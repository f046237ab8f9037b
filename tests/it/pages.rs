//! The pages as a browser without scripts comes by them: every place opens, every form previews and then does what was previewed,
//! and nobody is offered what is not theirs.

use crate::access::door::{Answer, House, Who, area};
use serde_json::{Value, json};

fn quoted(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What a form sends.
fn encoded(pairs: &[(&str, &str)]) -> Value {
    Value::String(pairs.iter().map(|(name, value)| format!("{}={}", quoted(name), quoted(value))).collect::<Vec<_>>().join("&"))
}

/// The value that a page carries along under this name.
fn carried(page: &str, name: &str) -> String {
    let at = page.find(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("the page carries no {name}: {page}"));
    let value = &page[at + name.len() + 15..];
    value[..value.find('"').unwrap()].to_owned()
}

fn open(house: &House, who: &Who, path: &str) -> String {
    let page = house.ask(who, "GET", path, None);
    assert_eq!(page.status, 200, "{path}: {:?} {}", page.place, page.text);
    page.text
}

/// Fills a form in, reads the preview, and does it. Gives the preview, and the page that it led to.
fn fill_in(house: &House, who: &Who, path: &str, pairs: &[(&str, &str)]) -> (String, String) {
    let shown = house.ask(who, "POST", path, Some(encoded(&[pairs, &[("step", "preview")]].concat())));
    assert_eq!(shown.status, 200, "{path}: {}", shown.text);
    let previewed = carried(&shown.text, "previewed");
    assert!(!previewed.is_empty(), "{}", shown.text);
    let done = house.ask(who, "POST", path, Some(encoded(&[pairs, &[("step", "save"), ("previewed", &previewed), ("reason", "as agreed")]].concat())));
    assert_eq!(done.status, 303, "{path}: {}", done.text);
    let place = done.place.unwrap();
    assert!(place.contains("change="), "{place}");
    (shown.text, open(house, who, &place))
}

fn leads_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.place.as_deref().unwrap()
}

#[test]
fn an_admins_day_is_done_on_the_pages_without_a_script() {
    let Some(house) = House::new("an admin's day on the pages") else { return };
    let ada = house.person("ada", &[("administrator", json!({ "kind": "global" }))]);

    // Every place of the navigation opens, and says where it is.
    let first = open(&house, &ada, "/");
    for place in ["hosts", "subnets", "zones", "dhcp", "nas", "campuses", "changes", "checks", "people", "import"] {
        assert!(first.contains(&format!("href=\"/{place}\"")), "{place}");
        let page = open(&house, &ada, &format!("/{place}"));
        assert!(page.contains(&format!("href=\"/{place}\" data-key=")) && page.contains("aria-current=\"page\""), "{place}: {page}");
        assert!(!page.contains("style=\"") && !page.contains("<script>"), "{place}");
    }

    // A subnet, with a mistake first; a host in it, from the map; a pool.
    let wrong = house.ask(&ada, "POST", "/subnets/new", Some(encoded(&[("network", "10.9.1.0/24"), ("campus", "north"), ("vlan", "many"), ("step", "save")])));
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    assert!(wrong.text.contains("id=\"vlan-wrong\"") && wrong.text.contains("value=\"10.9.1.0/24\""), "{}", wrong.text);
    let fields = [("network", "10.9.1.0/24"), ("campus", "north"), ("gateway", "10.9.1.1"), ("vlan", "91"), ("unknown_machines", "report")];
    let (_, list) = fill_in(&house, &ada, "/subnets/new", &fields);
    assert!(list.contains("10.9.1.0/24") && list.contains("Which agents serve it"), "{list}");
    let map = open(&house, &ada, "/subnets/10.9.1.0/24");
    assert!(map.contains("href=\"/hosts/new?address=10.9.1.2\"") && map.contains("cell gateway"), "{map}");
    assert!(open(&house, &ada, "/hosts/new?address=10.9.1.2").contains("value=\"10.9.1.2\""));
    let host = [("name", "nine.uni.example"), ("addresses-0", "10.9.1.2"), ("mac-0", "02:00:00:00:09:01")];
    let shown = house.ask(&ada, "POST", "/hosts/new", Some(encoded(&[&host[..], &[("step", "preview")]].concat())));
    assert!(shown.text.contains("nine.uni.example") && shown.text.contains("BOOT"), "{}", shown.text);
    let previewed = carried(&shown.text, "previewed");
    let done = house.ask(&ada, "POST", "/hosts/new", Some(encoded(&[&host[..], &[("step", "save"), ("previewed", &previewed)]].concat())));
    assert!(leads_to(&done).starts_with("/hosts/nine.uni.example?saved="));
    assert!(open(&house, &ada, "/subnets/10.9.1.0/24").contains("aria-label=\"10.9.1.2: nine.uni.example\""));
    let (_, with_pool) =
        fill_in(&house, &ada, "/subnets/10.9.1.0/24/pool", &[("first", "10.9.1.100"), ("last", "10.9.1.149"), ("kind", "dynamic"), ("name", "")]);
    assert!(with_pool.contains("cell dynamic") && with_pool.contains("10.9.1.100 – 10.9.1.149"), "{with_pool}");
    let occupied = house.ask(&ada, "GET", "/subnets/10.9.1.0/24/delete", None);
    assert_eq!(occupied.status, 422, "a subnet with hosts stays: {}", occupied.text);

    // One search box finds all of it, in any spelling.
    for (search, place) in [
        ("10.9.1.0/24", "/subnets/10.9.1.0/24"),
        ("uni.example", "/zones/uni.example"),
        ("10.9.1.2", "/hosts/nine.uni.example"),
        ("0200.0000.0901", "/hosts/nine.uni.example"),
        ("nine", "/hosts/nine.uni.example"),
    ] {
        let found = house.ask(&ada, "GET", &format!("/find?search={}", search.replace('/', "%2F")), None);
        assert_eq!(leads_to(&found), place, "{search}");
    }
    let free = open(&house, &ada, "/find?search=10.9.1.77");
    assert!(free.contains("/hosts/new?address=10.9.1.77") && free.contains("/subnets/10.9.1.0/24"), "{free}");

    // A record comes and goes.
    let record = [("name", "@"), ("type", "TXT"), ("data", "\"v=spf1 -all\""), ("ttl", "300")];
    let (preview, zone) = fill_in(&house, &ada, "/zones/uni.example/record", &record);
    assert!(preview.contains("<ins>") && preview.contains("v=spf1 -all") && zone.contains("Which agents serve it"), "{preview}");
    let at_the_apex = || open(&house, &ada, "/zones/uni.example?name=%40");
    assert!(at_the_apex().contains("v=spf1 -all"));
    let named = [("name", "uni.example"), ("type", "TXT"), ("data", "\"v=spf1 -all\"")];
    let (preview, zone) = fill_in(&house, &ada, "/zones/uni.example/drop", &named);
    assert!(preview.contains("<del>") && zone.contains("/zones/uni.example/record"), "{preview}");
    assert!(!at_the_apex().contains("v=spf1 -all"));

    // The time line knows, and takes back what nobody has changed since.
    let line = open(&house, &ada, "/changes?text=as+agreed&actor=ada");
    assert_eq!(line.matches("<td>as agreed</td>").count(), 4, "{line}");
    let at = line.find("href=\"/changes/").unwrap() + 6;
    let newest = &line[at..at + line[at..].find('"').unwrap()];
    assert!(open(&house, &ada, newest).contains("v=spf1 -all"));
    let (preview, _) = fill_in(&house, &ada, &format!("{newest}/revert"), &[]);
    assert!(preview.contains("<ins>"), "{preview}");
    assert!(at_the_apex().contains("v=spf1 -all"), "it is there again");

    // What is wrong is looked for, and put right or waived.
    assert_eq!(leads_to(&house.ask(&ada, "POST", "/checks/run", Some(encoded(&[])))), "/checks");
    let findings = open(&house, &ada, "/checks");
    assert!(findings.contains("HF-102"), "10.9.1.0/24 has no reverse zone: {findings}");
    let of_reverse = &findings[findings.find("/checks/fix?code=HF-102").unwrap()..];
    let link = of_reverse[..of_reverse.find('"').unwrap()].replace("&amp;", "&");
    let fix = open(&house, &ada, &link);
    let object = carried(&fix, "object");
    let previewed = carried(&fix, "previewed");
    let done = house.ask(&ada, "POST", "/checks/fix", Some(encoded(&[("code", "HF-102"), ("object", &object), ("step", "save"), ("previewed", &previewed)])));
    assert!(leads_to(&done).starts_with("/checks?change="));
    assert!(open(&house, &ada, "/zones").contains(".in-addr.arpa"));

    // What others propose is read, approved as it was read, and made.
    let rule = json!({ "area_kind": "zone", "area_value": "uni.example" });
    house.do_as_admin("POST", "/api/v1/approval-rules", rule);
    let edits = json!([{ "method": "POST", "path": "/records", "body": { "name": "uni.example", "type": "TXT", "data": "\"two\"" } }]);
    let draft = house.do_as_admin("POST", "/api/v1/change-sets", json!({ "reason": "a second text", "edits": edits }))["id"].as_str().unwrap().to_owned();
    house.do_as_admin("POST", &format!("/api/v1/change-sets/{draft}/propose"), Value::Null);
    assert!(open(&house, &ada, "/").contains("asks for a second person: a second text"));
    let path = format!("/drafts/{draft}");
    let read = open(&house, &ada, &path);
    assert!(read.contains("Approve it as it is") && !read.contains(">Make it<"), "{read}");
    let stale = house.ask(&ada, "POST", &path, Some(encoded(&[("step", "approve"), ("version", "1")])));
    assert_eq!(stale.status, 412, "{}", stale.text);
    assert_eq!(leads_to(&house.ask(&ada, "POST", &path, Some(encoded(&[("step", "approve"), ("version", &carried(&read, "version"))])))), path);
    assert!(leads_to(&house.ask(&ada, "POST", &path, Some(encoded(&[("step", "apply")])))).starts_with("/changes/"));

    // A file is tried, told line by line, and taken in whole.
    let broken = encoded(&[
        ("name", "subnets.csv"),
        ("text", "campus,department,subnet,gateway,dynamic_from,dynamic_to\nnorth,cc,10.9.2.0/24,10.9.2.1,,\nnorth,cc,nonsense,,,\n"),
        ("step", "try"),
    ]);
    let tried = house.ask(&ada, "POST", "/import", Some(broken));
    assert!(tried.text.contains("subnets.csv:3") && !tried.text.contains("value=\"import\""), "{}", tried.text);
    let fine = [
        ("name", "subnets.csv"),
        ("text", "campus,department,subnet,gateway,dynamic_from,dynamic_to\r\nnorth,cc,10.9.2.0/24,10.9.2.1,,\r\n"),
        ("reason", "the annex"),
    ];
    let tried = house.ask(&ada, "POST", "/import", Some(encoded(&[&fine[..], &[("step", "try")]].concat())));
    assert!(tried.text.contains("It can be taken in") && tried.text.contains("value=\"import\""), "{}", tried.text);
    assert!(!open(&house, &ada, "/subnets").contains("10.9.2.0/24"), "nothing was stored yet");
    let done = house.ask(&ada, "POST", "/import", Some(encoded(&[&fine[..], &[("step", "import")]].concat())));
    assert!(leads_to(&done).starts_with("/changes/"));
    assert!(open(&house, &ada, "/subnets").contains("10.9.2.0/24"));
}

/// Fills a form in that leads to no change set, reads the preview, and does it. Gives the preview, and what came of doing it.
fn settle(house: &House, who: &Who, path: &str, pairs: &[(&str, &str)]) -> (String, Answer) {
    let shown = house.ask(who, "POST", path, Some(encoded(&[pairs, &[("step", "preview")]].concat())));
    assert_eq!(shown.status, 200, "{path}: {}", shown.text);
    let previewed = carried(&shown.text, "previewed");
    let done = house.ask(who, "POST", path, Some(encoded(&[pairs, &[("step", "save"), ("previewed", &previewed)]].concat())));
    (shown.text, done)
}

#[test]
fn what_all_else_rests_on_is_changed_on_the_pages() {
    let Some(house) = House::new("what all else rests on is changed on the pages") else { return };
    let ada = house.person("ada", &[("administrator", json!({ "kind": "global" }))]);

    // A NAS: with a secret that is made, shown to who asks, changed in two steps.
    let nas = [("name", "annex"), ("prefix", "10.1.4.240/32"), ("campus", "north"), ("kind", "Aruba"), ("require_message_authenticator", "on")];
    let early = house.ask(&ada, "POST", "/nas/new", Some(encoded(&[&nas[..], &[("step", "preview")]].concat())));
    assert!(early.status == 422 && early.text.contains("id=\"secret-wrong\""), "whom it would ask is not known yet: {}", early.text);
    house.lab.admin().unwrap().holdfast(&["campus", "set", "north", "--service-address", "10.1.4.2"]).unwrap();
    let short = [("name", "annex"), ("prefix", "10.1.4.240/32"), ("secret", "short"), ("require_message_authenticator", "on"), ("step", "preview")];
    let refused = house.ask(&ada, "POST", "/nas/new", Some(encoded(&short)));
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(refused.text.contains("id=\"secret-wrong\""), "{}", refused.text);
    let (_, page) = fill_in(&house, &ada, "/nas/new", &nas);
    assert!(page.contains("10.1.4.240/32") && page.contains("Which agents serve it"), "{page}");
    let again = house.ask(&ada, "POST", "/nas/new", Some(encoded(&[&nas[..], &[("step", "preview")]].concat())));
    assert!(again.status == 422 && again.text.contains("id=\"name-wrong\""), "{}", again.text);
    let with_secret = house.ask(&ada, "POST", "/nas/annex/secret", Some(encoded(&[])));
    assert_eq!(with_secret.status, 200, "{}", with_secret.text);
    let longest = with_secret.text.split(|letter: char| !letter.is_ascii_hexdigit()).map(str::len).max();
    assert_eq!(longest, Some(32), "the secret that was made: {}", with_secret.text);
    assert!(open(&house, &ada, "/changes").contains("read the secret of NAS annex"));
    let read = carried(&open(&house, &ada, "/nas/annex/edit"), "read");
    let changed =
        [&nas[1..], &[("secret", "another-secret-of-24-letters"), ("guest_vlan", "99"), ("mac_authentication", "on"), ("read", read.as_str())]].concat();
    let (_, page) = fill_in(&house, &ada, "/nas/annex/edit", &changed);
    assert!(page.contains("two are taken") && page.contains("unknown ones into VLAN 99"), "{page}");
    let late = house.ask(&ada, "POST", "/nas/annex/edit", Some(encoded(&[&changed[..], &[("step", "preview")]].concat())));
    assert_eq!(late.status, 412, "it moved on since it was read: {}", late.text);
    let read = carried(&open(&house, &ada, "/nas/annex/edit"), "read");
    let cleared = [&nas[1..], &[("clear_former_secret", "on"), ("read", read.as_str())]].concat();
    let (_, page) = fill_in(&house, &ada, "/nas/annex/edit", &cleared);
    assert!(!page.contains("two are taken") && !page.contains("VLAN 99"), "{page}");
    let (_, list) = fill_in(&house, &ada, "/nas/annex/delete", &[]);
    assert!(!list.contains("href=\"/nas/annex\""), "{list}");

    // Somebody comes in, may something, is shut out.
    let (preview, made) = settle(&house, &ada, "/people/new", &[("name", "bob")]);
    assert!(preview.contains("bob may come in") && made.status == 200, "{}", made.text);
    let at = made.text.find("shown once: <code>").expect("a one-time password") + 18;
    let one_time = made.text[at..at + 24].to_owned();
    assert_eq!(house.log_in("bob", &one_time).status, 303);
    let twice = house.ask(&ada, "POST", "/people/new", Some(encoded(&[("name", "bob"), ("step", "preview")])));
    assert!(twice.status == 422 && twice.text.contains("id=\"name-wrong\""), "{}", twice.text);
    let (preview, done) = settle(&house, &ada, "/people/bob/grant", &[("role", "operator"), ("kind", "campus"), ("area", "north")]);
    assert!(preview.contains("bob is operator in campus north"), "{preview}");
    assert_eq!(leads_to(&done), "/people/bob");
    let wrong = house.ask(&ada, "POST", "/people/bob/grant", Some(encoded(&[("role", "operator"), ("kind", "subnet"), ("area", "north"), ("step", "save")])));
    assert!(wrong.status == 422 && wrong.text.contains("id=\"area-wrong\""), "{}", wrong.text);
    let both = [("role", "viewer"), ("kind", "everywhere"), ("area", "north"), ("step", "preview")];
    let wrong = house.ask(&ada, "POST", "/people/bob/grant", Some(encoded(&both)));
    assert!(wrong.status == 422 && wrong.text.contains("id=\"area-wrong\""), "{}", wrong.text);
    let page = open(&house, &ada, "/people/bob");
    let at = page.find("/people/grants/").unwrap();
    let take = page[at..at + page[at..].find('"').unwrap()].to_owned();
    assert_eq!(leads_to(&settle(&house, &ada, &take, &[]).1), "/people/bob");
    assert!(!open(&house, &ada, "/people/bob").contains("/people/grants/"));
    settle(&house, &ada, "/people/new", &[("name", "night-shift"), ("group", "on")]);
    assert_eq!(leads_to(&settle(&house, &ada, "/people/bob/group", &[("group", "night-shift")]).1), "/people/bob");
    assert!(open(&house, &ada, "/people/night-shift").contains("/people/bob"));
    let out = [("out", "true")];
    assert_eq!(leads_to(&settle(&house, &ada, "/people/bob/door", &out).1), "/people/bob");
    let pressed_twice = house.ask(&ada, "POST", "/people/bob/door", Some(encoded(&[&out[..], &[("step", "save")]].concat())));
    assert_eq!(leads_to(&pressed_twice), "/people/bob", "and lets nobody in again");
    assert!(open(&house, &ada, "/people/bob").contains("shut out"));
    assert_ne!(house.log_in("bob", &one_time).status, 303);

    // What levels say about booting; the preview tells whom it touches.
    let stamp = |path: &str| carried(&open(&house, &ada, path), "read");
    let read = stamp("/boot/campus/north");
    let said = [("next_server", "10.1.4.2"), ("boot_file", "pxelinux.0"), ("options", "42 0a010402\r\n"), ("read", read.as_str())];
    let (_, levels) = fill_in(&house, &ada, "/boot/campus/north", &said);
    assert!(levels.contains("pxelinux.0") && levels.contains("0a010402"), "{levels}");
    let wrong =
        house.ask(&ada, "POST", "/boot/institution", Some(encoded(&[("options", "ntp 10.1.4.2"), ("read", &stamp("/boot/institution")), ("step", "preview")])));
    assert!(wrong.status == 422 && wrong.text.contains("id=\"options-wrong\""), "{}", wrong.text);
    assert_eq!(house.ask(&ada, "POST", "/boot/campus/north", Some(encoded(&[&said[..], &[("step", "preview")]].concat()))).status, 412, "it moved on");
    let (_, levels) = fill_in(&house, &ada, "/boot/campus/north", &[("read", &stamp("/boot/campus/north"))]);
    assert!(!levels.contains("pxelinux.0"), "an empty form inherits all: {levels}");
    assert_eq!(house.ask(&ada, "GET", "/boot/planet/earth", None).status, 404);

    // Short words that everything else refers to.
    fill_in(&house, &ada, "/organisation/departments", &[("name", "chemistry"), ("title", "Chemistry"), ("vlan", "30")]);
    let person = [("handle", "ann"), ("kind", "person"), ("name", "Ann Ohm"), ("phone", "+49 30 1")];
    let (_, all) = fill_in(&house, &ada, "/organisation/contacts", &person);
    assert!(all.contains("Ann Ohm") && all.contains("Chemistry"), "{all}");
    let form = open(&house, &ada, "/organisation/contacts/ann");
    let version = carried(&form, "version");
    let moved = [&person[..3], &[("phone", "+49 30 2"), ("version", version.as_str())]].concat();
    let (_, all) = fill_in(&house, &ada, "/organisation/contacts/ann", &moved);
    assert!(all.contains("+49 30 2"), "{all}");
    let shown = house.ask(&ada, "POST", "/organisation/contacts/ann", Some(encoded(&[&moved[..], &[("step", "preview")]].concat())));
    let previewed = carried(&shown.text, "previewed");
    let stale = [&moved[..], &[("step", "save"), ("previewed", &previewed)]].concat();
    assert_eq!(house.ask(&ada, "POST", "/organisation/contacts/ann", Some(encoded(&stale))).status, 412, "it moved on since it was read");
    let (_, all) = fill_in(&house, &ada, "/organisation/contacts/ann/delete", &[]);
    assert!(!all.contains("Ann Ohm"), "{all}");

    // A new box comes in with a token that is told once.
    let (preview, token) = settle(&house, &ada, "/campuses/north/join", &[("name", "north-2")]);
    assert!(preview.contains("comes in as north-2") && token.text.contains("enrol --master MASTER:7443 --token"), "{}", token.text);

    let taken = settle(&house, &ada, "/campuses/north/join", &[("name", "No Name")]).1;
    assert!(taken.status == 422 && taken.text.contains("id=\"name-wrong\""), "{}", taken.text);

    // Whoever may read nothing reads no telephone number either.
    let nobody = house.person("nobody", &[("backup-operator", json!({ "kind": "global" }))]);
    for path in ["/organisation", "/organisation/departments/chemistry", "/boot"] {
        assert_eq!(house.ask(&nobody, "GET", path, None).status, 403, "{path}");
    }

    // Whoever only reads is offered none of it, and gets none.
    let eve = house.person("eve", &[("viewer", json!({ "kind": "global" }))]);
    for (path, button) in [("/nas", "/nas/new"), ("/organisation", "/organisation/departments\""), ("/campuses", "/join"), ("/boot", "/boot/institution")] {
        assert!(!open(&house, &eve, path).contains(button), "{path}");
    }
    for path in ["/nas/new", "/people/new", "/campuses/north/join"] {
        let form = house.ask(&eve, "POST", path, Some(encoded(&[("name", "x"), ("prefix", "10.1.4.21"), ("step", "preview")])));
        assert_eq!(form.status, 403, "{path}: {}", form.text);
    }
}

#[test]
fn pages_offer_nobody_what_is_not_theirs_and_take_no_markup() {
    let Some(house) = House::new("pages offer nobody what is not theirs") else { return };
    house.two_departments();
    let ann = house.person("ann", &[("department-admin", area("department", "ph"))]);
    let first = open(&house, &ann, "/");
    for hidden in ["/dhcp", "/nas", "/checks", "/import"] {
        assert!(!first.contains(&format!("href=\"{hidden}\"")), "{hidden}");
    }
    for refused in ["/dhcp", "/nas", "/checks", "/sessions"] {
        assert_eq!(house.ask(&ann, "GET", refused, None).status, 403, "{refused}");
    }
    let subnets = open(&house, &ann, "/subnets");
    assert!(subnets.contains("10.1.8.0/24") && !subnets.contains("10.1.16.0/24"), "{subnets}");
    assert_eq!(house.ask(&ann, "GET", "/subnets/10.1.16.0/24", None).status, 404);
    assert_eq!(house.ask(&ann, "GET", "/zones/law.uni.example", None).status, 404);
    let record = encoded(&[("name", "spy.law.uni.example"), ("type", "TXT"), ("data", "\"x\""), ("step", "preview")]);
    assert_eq!(house.ask(&ann, "POST", "/zones/law.uni.example/record", Some(record)).status, 404);
    assert_eq!(leads_to(&house.ask(&ann, "GET", "/find?search=first", None)), "/hosts/first.ph.uni.example", "one search finds her own alone");
    assert!(!open(&house, &ann, "/changes").contains("law"), "and one time line");
    let others = house.do_as_admin("GET", "/api/v1/changes", Value::Null)["items"][0]["change_set"].as_str().unwrap().to_owned();
    assert_eq!(house.ask(&ann, "GET", &format!("/changes/{others}"), None).status, 404);
    assert_eq!(house.ask(&ann, "GET", &format!("/changes/{others}/revert"), None).status, 404);

    let nasty = "\"><script>alert(1)</script>";
    let path = format!("/find?search={}", quoted(nasty));
    let page = open(&house, &ann, &path);
    assert!(!page.contains("<script>alert"), "{page}");
    let wrong = house.ask(&ann, "POST", "/subnets/new", Some(encoded(&[("network", nasty), ("step", "preview")])));
    assert!(!wrong.text.contains("<script>alert"), "{}", wrong.text);
    assert_eq!(house.ask(&Who::Nobody, "GET", "/strip", None).status, 303, "a stranger is sent to the log-in");
}
