//! Whom the boxes believe: stolen ones, spares, keys that change, roots that change, and a master that was put back.

use crate::serving::{NORTH, eventually, names, status, two_campuses};
use anyhow::Result;
use holdfast_agent::store::{Identity, best_state, store_key};
use holdfast_lab::cables::{Campus, Place};
use holdfast_lab::clients::radclient;
use holdfast_lab::lab::{Lab, Part, get, on_ground};
use holdfast_proto::radius::{NAS, Nas};
use holdfast_proto::snapshot::{DataKeyRing, Feed, WRAPPED_KEYS};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::Command;

pub const SOUTH: Campus = Campus::South;

pub fn state_dir(lab: &Lab, part: Part) -> PathBuf {
    lab.folder().path().join(part.name())
}

fn identity(lab: &Lab, campus: Campus) -> Identity {
    Identity::read(&state_dir(lab, Part::Agent(campus))).unwrap()
}

/// How many secrets of NASs a box with this identity can read in what north holds on its disk, and of how many.
fn readable_secrets(lab: &Lab, reader: &Identity) -> (usize, usize) {
    let north = identity(lab, NORTH);
    let folder = state_dir(lab, Part::Agent(NORTH)).join("snapshots").join(Feed::ACCESS.to_string());
    let (state, _) = best_state(&folder, Feed::ACCESS, &north.trust.clone().into(), &store_key(&state_dir(lab, Part::Agent(NORTH))));
    let (ring, _) = DataKeyRing::open(state.view(), reader.node_id, &reader.hpke);
    let rows: Vec<(Vec<u8>, Nas)> = state.view().iter(NAS).map(|row| row.map(|(key, value)| (key.to_vec(), Nas::decode(value).unwrap())).unwrap()).collect();
    (rows.iter().filter(|(key, nas)| ring.decrypt(NAS, key, &nas.secret).is_ok()).count(), rows.len())
}

/// For how many boxes the people's data key is wrapped in what north holds on its disk.
fn people_readers(lab: &Lab) -> usize {
    let folder = state_dir(lab, Part::Agent(NORTH)).join("snapshots").join(Feed::PEOPLE.to_string());
    best_state(&folder, Feed::PEOPLE, &identity(lab, NORTH).trust.into(), &store_key(&state_dir(lab, Part::Agent(NORTH)))).0.view().iter(WRAPPED_KEYS).count()
}

pub fn logs_in(lab: &Lab, campus: Campus) -> Result<bool> {
    let nas = Some(lab.network().at(Place::Nas(campus)));
    let secret = if campus == NORTH { "yupgpn753sb3uqwdp8tu" } else { "wwsxpwzmghtx6cw9nd67" };
    let reply = radclient(nas, SocketAddrV4::new(campus.agent(), 1812), secret, "pascal.tesla0", "joule-89667-euler", &[])?;
    Ok(reply.is_some_and(|reply| reply.is_accept()))
}

/// A root ceremony from the draft to the running master. `keys` are root key files in the lab's folder.
fn ceremony(lab: &Lab, wishes: &[&str], keys: &[&str]) -> String {
    let draft = lab.folder().path().join("next-trust.json").display().to_string();
    let said = lab.run(Part::Master, &[&["root", "draft", "--out", &draft], wishes].concat()).unwrap();
    for key in keys {
        let key = lab.folder().path().join(key).display().to_string();
        lab.run(Part::Master, &["root", "sign", &draft, "--key", &key]).unwrap();
    }
    said + &lab.run(Part::Master, &["root", "install", &draft]).unwrap()
}

const FIRST_ROOT: &str = "master/keys/root.key";

fn trust_version(lab: &Lab, campus: Campus) -> u32 {
    identity(lab, campus).trust.draft().version
}

pub fn snapshot(lab: &Lab, campus: Campus, feed: &str) -> serde_json::Value {
    let status = status(lab, campus);
    let snapshots = status["snapshots"].as_array().cloned().unwrap_or_default();
    snapshots.into_iter().find(|snapshot| snapshot["feed"] == feed).unwrap_or_default()
}

fn both_have_a_line(lab: &Lab) {
    for campus in Campus::BOTH {
        eventually("both have a line", || Ok(status(lab, campus)["line"] == "connected"));
    }
}

pub fn serves_edit(lab: &Lab, name: &str, address: &str) {
    both_have_a_line(lab);
    let said = lab.admin().unwrap().holdfast(&["host", "add", name, "--address", address, "--wait=15s"]).unwrap();
    assert!(said.contains("north serves it since") && said.contains("south serves it since"), "{said}");
}

#[test]
fn a_stolen_box_is_out_at_once_and_its_key_opens_nothing_new() {
    let Some(lab) = two_campuses("a stolen box") else { return };
    let stolen = identity(&lab, SOUTH);
    let (before, all) = readable_secrets(&lab, &stolen);
    assert!(all > 0 && before == all, "until it is thrown out it reads all {all}");
    eventually("both agents read verifiers", || Ok(people_readers(&lab) == 2));

    let said = lab.admin().unwrap().holdfast(&["node", "revoke", "south", "--reason", "stolen from the van"]).unwrap();
    assert!(said.contains("has its new data key since generation") && said.contains("verifiers"), "{said}");
    let secrets = said.lines().skip_while(|line| !line.starts_with("NAME")).skip(1).count();
    assert_eq!(secrets, all, "every secret that it knew is on the list:\n{said}");
    eventually("its line is cut", || Ok(status(&lab, SOUTH)["line"] == "cut off"));
    eventually("nothing that is new opens with its key", || Ok(readable_secrets(&lab, &stolen) == (0, all)));
    assert_eq!(readable_secrets(&lab, &identity(&lab, NORTH)), (all, all), "who stays reads everything");
    eventually("the portal has changed its key too", || Ok(people_readers(&lab) == 1));
    eventually("people log in at the campus that is left", || logs_in(&lab, NORTH));
    assert_eq!(names(lab.network(), SOUTH, SOUTH, "darwin826.uni.example").unwrap(), ["10.1.4.10"], "it serves what it has");

    let list = lab.admin().unwrap().holdfast(&["node", "list"]).unwrap();
    assert!(list.lines().any(|line| line.starts_with("south") && line.contains("revoked")), "{list}");
    let certificates = lab.run(Part::Master, &["ca", "list"]).unwrap();
    assert!(certificates.lines().any(|line| line.contains("south") && line.contains("revoked")), "{certificates}");

    let admin = lab.admin().unwrap();
    let nas = admin.holdfast(&["nas", "list"]).unwrap().lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    admin.holdfast(&["nas", "del", &nas]).unwrap();
    eventually("a NAS that was deleted is gone", || Ok(readable_secrets(&lab, &identity(&lab, NORTH)) == (all - 1, all - 1)));
    let again = admin.holdfast(&["nas", "del", &nas]).unwrap_err().to_string();
    assert!(again.contains(&format!("there is no NAS {nas}")), "{again}");
}

#[test]
fn a_spare_takes_a_place_with_one_token() {
    let Some(mut lab) = two_campuses("a spare") else { return };
    let before = identity(&lab, SOUTH);
    let wrong = lab.admin().unwrap().holdfast(&["node", "enrol", "south", "--campus", "south"]).unwrap_err().to_string();
    assert!(wrong.contains("--replace"), "{wrong}");
    let token = lab.admin().unwrap().holdfast(&["node", "enrol", "south", "--replace"]).unwrap();
    lab.stop(Part::Agent(SOUTH)).unwrap();
    std::fs::remove_dir_all(state_dir(&lab, Part::Agent(SOUTH))).unwrap();
    let control = lab.ground().control().to_string();
    let said = lab.run(Part::Agent(SOUTH), &["enrol", "--master", &control, "--token", token.trim()]).unwrap();
    let fingerprint = said.lines().find_map(|line| line.strip_prefix("key fingerprint ")).unwrap().to_owned();
    lab.start(Part::Agent(SOUTH)).unwrap();
    let is_ready = || on_ground(lab.at(Place::Agent(SOUTH)), || get(lab.ground().status(Part::Agent(SOUTH)), "/readyz"))?;
    let wants_key = "radius has no key to auth-people: the auth portal gives it, once it has confirmed this box";
    eventually("a box that nobody confirmed says what it lacks", || Ok(is_ready()?.contains(wants_key)));
    lab.run(Part::Portal, &["auth-portal", "confirm", "south", &fingerprint]).unwrap();
    eventually("the spare serves everything", || logs_in(&lab, SOUTH));
    eventually("and says so", || Ok(is_ready()?.ends_with("\nready\n")));
    eventually("the box before it reads nothing any more", || Ok(readable_secrets(&lab, &before).0 == 0));
    let list = lab.admin().unwrap().holdfast(&["node", "list"]).unwrap();
    assert!(list.lines().any(|line| line.starts_with("south@") && line.contains("revoked")), "{list}");
    let again = lab.run(Part::Agent(SOUTH), &["enrol", "--master", &control, "--token", token.trim()]);
    assert!(again.is_err(), "a token is good once");
}

#[test]
fn the_snapshot_key_changes_under_running_agents() {
    let Some(lab) = two_campuses("a snapshot key is rotated") else { return };
    ceremony(&lab, &["--rotate-snapshot-key"], &[FIRST_ROOT]);
    for campus in Campus::BOTH {
        eventually("the agents follow", || Ok(trust_version(&lab, campus) == 2));
    }
    serves_edit(&lab, "rotated.uni.example", "10.1.4.231");
    ceremony(&lab, &["--retire-old-snapshot-key"], &[FIRST_ROOT]);
    for campus in Campus::BOTH {
        eventually("the old key counts no longer", || Ok(trust_version(&lab, campus) == 3));
    }
    serves_edit(&lab, "retired.uni.example", "10.1.4.232");
    assert_eq!(names(lab.network(), NORTH, SOUTH, "retired.uni.example").unwrap(), ["10.1.4.232"]);
}

#[test]
fn roots_change_by_two_of_three_and_a_box_that_was_away_walks_after_them() {
    let Some(mut lab) = two_campuses("roots change") else { return };
    lab.stop(Part::Agent(SOUTH)).unwrap();
    let new_key = |name: &str| {
        let path = lab.folder().path().join(name).display().to_string();
        lab.run(Part::Master, &["root", "new-key", "--plain", &path]).unwrap().trim().to_owned()
    };
    let (second, third) = (new_key("root-2.key"), new_key("root-3.key"));
    ceremony(&lab, &["--add-root", &second, "--add-root", &third, "--threshold", "2"], &[FIRST_ROOT, "root-3.key"]);
    let shown = lab.run(Part::Master, &["root", "show"]).unwrap();
    assert!(shown.contains("2 of 3 roots must sign"), "{shown}");
    let first = shown.lines().find_map(|line| line.strip_prefix("root       ")).unwrap().to_owned();

    let draft = lab.folder().path().join("next-trust.json").display().to_string();
    lab.run(Part::Master, &["root", "draft", "--out", &draft, "--remove-root", &first]).unwrap();
    let key = lab.folder().path().join("root-2.key").display().to_string();
    let said = lab.run(Part::Master, &["root", "sign", &draft, "--key", &key]).unwrap();
    assert!(said.contains("1 of 2"), "{said}");
    let wrong = lab.run(Part::Master, &["root", "install", &draft]).unwrap_err().to_string();
    assert!(wrong.contains("1 of its root keys, 2 are needed"), "{wrong}");
    ceremony(&lab, &["--remove-root", &first], &["root-2.key", "root-3.key"]);

    eventually("the agent with a line follows", || Ok(trust_version(&lab, NORTH) == 3));
    lab.start(Part::Agent(SOUTH)).unwrap();
    eventually("the one that was away walks after it", || Ok(trust_version(&lab, SOUTH) == 3));
    serves_edit(&lab, "roots.uni.example", "10.1.4.233");
}

/// Puts the master back to where it was before `edit`, which agents serve since.
fn put_back_behind(lab: &mut Lab, edit: impl FnOnce(&Lab)) {
    let postgres = state_dir(lab, Part::Master).join("postgres");
    let backup = lab.folder().path().join("backup");
    let copy = |from: &PathBuf, to: &PathBuf| assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    lab.stop(Part::Master).unwrap();
    copy(&postgres, &backup);
    lab.start(Part::Master).unwrap();
    // An edit waits for the boxes that have a line; one that comes back later would never have heard of it.
    both_have_a_line(lab);
    edit(lab);
    lab.stop(Part::Master).unwrap();
    std::fs::remove_dir_all(&postgres).unwrap();
    copy(&backup, &postgres);
    lab.start(Part::Master).unwrap();
}

pub fn master_is_ready(lab: &Lab) -> Result<String> {
    on_ground(lab.at(Place::Master), || get(lab.ground().status(Part::Master), "/readyz"))?
}

/// A master that lost an edit takes back what north holds, and runs again. Gives what the command said.
fn adopts_from_north(lab: &mut Lab) -> String {
    adopts_what_was_lost(lab, "zone", |lab| serves_edit(lab, "lost.uni.example", "10.1.4.234"))
}

fn adopts_what_was_lost(lab: &mut Lab, feed: &str, edit: impl FnOnce(&Lab)) -> String {
    put_back_behind(lab, edit);
    eventually("it is halted", || Ok(master_is_ready(lab)?.contains(&format!("holds {feed}"))));
    let north = state_dir(lab, Part::Agent(NORTH)).display().to_string();
    let wrong = lab.run(Part::Master, &["adopt-from-agent", &north]).unwrap_err().to_string();
    assert!(wrong.contains("stop it first"), "{wrong}");
    lab.stop(Part::Master).unwrap();
    let said = lab.run(Part::Master, &["adopt-from-agent", &north]).unwrap();
    lab.start(Part::Master).unwrap();
    eventually("it is halted no longer", || Ok(master_is_ready(lab)?.starts_with("HTTP/1.1 200")));
    both_have_a_line(lab);
    said
}

#[test]
fn a_master_that_was_put_back_takes_from_an_agent_what_it_lost_and_publishes_none_of_it_away() {
    let Some(mut lab) = two_campuses("a restored master adopts") else { return };
    let before = snapshot(&lab, NORTH, "zone")["applied"].as_u64().unwrap();
    let said = adopts_from_north(&mut lab);
    let held = snapshot(&lab, NORTH, "zone")["applied"].as_u64().unwrap();
    assert!(said.contains(&format!("1.{before} -> 1.{held}")) && said.contains("- lost.uni.example. A 10.1.4.234"), "{said}");
    let admin = lab.admin().unwrap();
    let list = admin.holdfast(&["snapshot", "list"]).unwrap();
    assert!(list.contains("lost.uni.example. A 10.1.4.234"), "it names what is missing: {list}");

    admin.holdfast(&["host", "add", "after.uni.example", "--address", "10.1.4.235"]).unwrap();
    let at = |campus: Campus, name: &str| names(lab.network(), campus, campus, name);
    let is_taken_up = admin.holdfast(&["host", "add", "later.uni.example", "--address", "10.1.4.236", "--wait=2s"]);
    assert!(format!("{is_taken_up:?}").contains("held"), "{is_taken_up:?}");
    for campus in Campus::BOTH {
        assert_eq!(at(campus, "lost.uni.example").unwrap(), ["10.1.4.234"], "agents stay where they are");
        assert_eq!(at(campus, "after.uni.example").unwrap(), Vec::<String>::new());
        assert_eq!(snapshot(&lab, campus, "zone")["applied"], held);
    }

    lab.run(Part::Master, &["adopt-from-agent", "--keep-database", "--reason", "the edit was a mistake"]).unwrap();
    for campus in Campus::BOTH {
        eventually("the database wins", || Ok(at(campus, "lost.uni.example")?.is_empty() && at(campus, "after.uni.example")? == ["10.1.4.235"]));
        assert!(snapshot(&lab, campus, "zone")["applied"].as_u64().unwrap() > held, "under a higher number");
        assert_eq!(snapshot(&lab, campus, "zone")["epoch"], 1);
    }
    let verified = admin.holdfast(&["snapshot", "verify", "zone"]).unwrap();
    assert!(verified.contains("holds together") && verified.contains(&format!("took generation {held} from an agent")), "{verified}");
    let newest = snapshot(&lab, NORTH, "zone")["applied"].as_u64().unwrap().to_string();
    let diff = admin.holdfast(&["snapshot", "diff", "zone", &before.to_string(), &newest]).unwrap();
    assert!(diff.contains("is missing") && diff.contains("+ after.uni.example. A 10.1.4.235") && !diff.contains("lost"), "{diff}");
}

#[test]
fn what_is_entered_again_settles_what_was_adopted() {
    let Some(mut lab) = two_campuses("a lost edit is entered again") else { return };
    adopts_from_north(&mut lab);
    let held = snapshot(&lab, NORTH, "zone")["applied"].clone();
    let admin = lab.admin().unwrap();
    admin.holdfast(&["host", "add", "lost.uni.example", "--address", "10.1.4.234"]).unwrap();
    eventually("nothing is held", || Ok(!admin.holdfast(&["snapshot", "list"])?.contains("adopted")));
    assert_eq!(snapshot(&lab, NORTH, "zone")["applied"], held, "agents have it already");
    serves_edit(&lab, "next.uni.example", "10.1.4.235");
    assert_eq!(names(lab.network(), SOUTH, SOUTH, "lost.uni.example").unwrap(), ["10.1.4.234"]);
    assert!(snapshot(&lab, NORTH, "zone")["applied"].as_u64() > held.as_u64());
}

#[test]
fn what_agents_lend_since_the_backup_is_theirs_after_an_adoption() {
    let Some(mut lab) = two_campuses("shares that a backup lacks") else { return };
    let said = adopts_what_was_lost(&mut lab, "bootptab", |lab| {
        let added = lab.admin().unwrap().holdfast(&["pool", "add", "10.1.6.100", "10.1.6.199", "--kind", "dynamic", "--wait=15s"]).unwrap();
        assert!(added.contains("north serves it since") && added.contains("south serves it since"), "{added}");
    });
    assert!(said.contains("100 addresses have the agents of the adopted generation"), "{said}");
    let admin = lab.admin().unwrap();
    // The database has no such pool, so the agents are to stop; until that is published and over, the addresses are nobody's.
    // The pools of the samples have shares, too, which move as agents come.
    let given_up = |shares: &str| shares.lines().filter(|line| line.starts_with("10.1.6.") && (line.contains("stopping") || line.contains("ending"))).count();
    eventually("they are to stop", || {
        let shares = admin.holdfast(&["pool", "shares"])?;
        anyhow::ensure!(given_up(&shares) == 2, "{shares}");
        Ok(true)
    });
    let shares = admin.holdfast(&["pool", "shares"]).unwrap();
    assert!(shares.contains("10.1.6.100") && shares.contains("10.1.6.169") && shares.contains("north") && shares.contains("south"), "{shares}");
    let refused = admin.holdfast(&["host", "add", "static.uni.example", "--address", "10.1.6.150"]).unwrap_err().to_string();
    assert!(refused.contains("may still be lent") || refused.contains("on loan"), "{refused}");
}

#[test]
fn a_master_that_was_put_back_publishes_nothing_until_a_new_epoch() {
    let Some(mut lab) = two_campuses("a restored master") else { return };
    put_back_behind(&mut lab, |lab| serves_edit(lab, "lost.uni.example", "10.1.4.234"));

    let ready = || master_is_ready(&lab);
    eventually("it says why it publishes nothing", || Ok(ready()?.contains("holds zone")));
    let held = snapshot(&lab, NORTH, "zone")["applied"].as_u64().unwrap();
    lab.admin().unwrap().holdfast(&["host", "add", "after.uni.example", "--address", "10.1.4.235"]).unwrap();
    assert!(ready().unwrap().contains("holds zone"));
    let north = |name: &str| names(lab.network(), NORTH, NORTH, name);
    assert_eq!(north("after.uni.example").unwrap(), Vec::<String>::new());
    assert_eq!(north("lost.uni.example").unwrap(), ["10.1.4.234"], "what was signed is served on");
    assert_eq!(snapshot(&lab, NORTH, "zone")["applied"], held, "no number was given out twice");

    let said = ceremony(&lab, &["--new-epoch"], &[FIRST_ROOT]);
    assert!(said.contains("epoch 2"), "{said}");
    eventually("it publishes again", || Ok(ready()?.starts_with("HTTP/1.1 200")));
    eventually("agents take the new epoch", || Ok(north("after.uni.example")? == ["10.1.4.235"] && north("lost.uni.example")?.is_empty()));
    for feed in ["zone", "bootptab", "auth-access", "auth-people", "trust"] {
        eventually("every feed is of the new epoch", || Ok(snapshot(&lab, NORTH, feed)["epoch"] == 2));
    }
    eventually("people log in", || logs_in(&lab, NORTH));
    eventually("and it is kept", || Ok(identity(&lab, NORTH).trust.draft().epoch.0 == 2));
}
