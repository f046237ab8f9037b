//! The whole room at once: what is composed and sealed is opened and applied, and nothing else is.

use super::file::v1::{decode_base, encode_base as encode_v1_base, encode_frame as encode_v1_frame, frames};
use super::file::{BaseFile, BaseFileError, Chain, HEADER_BYTES, SlotFiles, StoreKey, decode_frame, encode_base, encode_frame, prove};
use super::*;
use crate::words::{Epoch, Generation, UnixMillis};
use proptest::prelude::*;
use std::collections::BTreeMap;

const INSTITUTION: Institution = Institution(*b"uni.example-0001");
const T: Table = Table(2);

/// A master with its key, and a root that trusts it.
struct Site {
    root: SigningKey,
    master: SigningKey,
    portal: SigningKey,
    trust: Trust,
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

fn site() -> Site {
    let (root, master, portal) = (key(), key(), key());
    let trust = draft(&root, &master, &portal).sign(&[&root]).unwrap();
    Site { root, master, portal, trust }
}

fn draft(root: &SigningKey, master: &SigningKey, portal: &SigningKey) -> TrustDraft {
    let grant = |key: &SigningKey, kind, family| Grant { key: key.public(), kind, family };
    TrustDraft {
        version: 1,
        institution: INSTITUTION,
        name: "University of Examples".to_owned(),
        epoch: Epoch(1),
        threshold: 1,
        roots: vec![root.public()],
        grants: vec![grant(master, Kind::Zone, Family::Whole), grant(master, Kind::Auth, Family::Access), grant(portal, Kind::Auth, Family::People)],
        authorities: vec![b"an authority".to_vec()],
    }
}

fn stamp() -> Stamp {
    Stamp { institution: INSTITUTION, epoch: Epoch(1), issued_at: UnixMillis(1_700_000_000_000), soft_age_s: 3600, hard_age_s: 0 }
}

fn put(key: &str, value: &str) -> Change {
    Change::put(T, key, value)
}

/// Composes and seals the next generation.
fn publish(state: &State, key: &SigningKey, changes: Vec<Change>) -> (Sealed, Vec<u8>, State) {
    state.compose(changes).unwrap().expect("a change").seal(key, stamp()).unwrap()
}

#[test]
fn an_agent_ends_at_exactly_the_masters_state() {
    let site = site();
    let (sealed, payload, one) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1"), put("b", "2")]);
    let agent = State::empty(Feed::ZONE).advance(&site.trust.open(&sealed).unwrap(), &payload).unwrap();
    let (sealed, payload, two) = publish(&one, &site.master, vec![put("a", "3"), Change::delete(T, "b"), put("c", "4")]);
    let agent = agent.advance(&site.trust.open(&sealed).unwrap(), &payload).unwrap();
    assert_eq!((agent.digest(), agent.view().generation()), (two.digest(), Generation(2)));
    assert_eq!(agent.view().get(T, b"a"), Ok(Some(&b"3"[..])));
    assert_eq!(agent.view().get(T, b"b"), Ok(None));
    assert_eq!(agent.encode_rows(), two.encode_rows());
    // The manifest of a delta vouches for the whole state as well.
    let restored = State::restore(&site.trust.open(&sealed).unwrap(), &two.encode_rows().unwrap()).unwrap();
    assert_eq!(restored.digest(), two.digest());
    assert_eq!(restored.rebased().unwrap().view().iter(T).count(), 2);
}

#[test]
fn the_wrong_key_for_a_scope_is_refused() {
    let site = site();
    let (by_master, ..) = publish(&State::empty(Feed::PEOPLE), &site.master, vec![put("ada", "x")]);
    assert!(matches!(site.trust.open(&by_master), Err(OpenError::WrongKey { feed: Feed::PEOPLE, .. })));
    let (by_portal, ..) = publish(&State::empty(Feed::ACCESS), &site.portal, vec![put("nas", "x")]);
    assert!(matches!(site.trust.open(&by_portal), Err(OpenError::WrongKey { feed: Feed::ACCESS, .. })));
    let (by_portal, ..) = publish(&State::empty(Feed::PEOPLE), &site.portal, vec![put("ada", "x")]);
    assert!(site.trust.open(&by_portal).is_ok());
    let (by_stranger, ..) = publish(&State::empty(Feed::ZONE), &key(), vec![put("a", "x")]);
    assert!(matches!(site.trust.open(&by_stranger), Err(OpenError::ForeignKey(_))));
}

#[test]
fn any_flipped_bit_of_a_sealed_manifest_is_refused() {
    let site = site();
    let (sealed, ..) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1")]);
    for bit in 0..Sealed::BYTES * 8 {
        let mut bytes = sealed.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(site.trust.open(&Sealed::from_bytes(&bytes).unwrap()).is_err(), "bit {bit}");
    }
}

#[test]
fn older_foreign_and_altered_payloads_leave_the_state_alone() {
    let site = site();
    let (first, first_payload, one) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1")]);
    let (second, second_payload, two) = publish(&one, &site.master, vec![put("a", "2")]);
    let open = |sealed| site.trust.open(sealed).unwrap();
    assert!(matches!(two.advance(&open(&first), &first_payload), Err(ApplyError::NotNewer { .. })));
    assert!(matches!(two.advance(&open(&second), &second_payload), Err(ApplyError::NotNewer { .. })));
    assert!(matches!(one.advance(&open(&second), &first_payload), Err(ApplyError::OtherPayload)));
    assert!(matches!(State::empty(Feed::ZONE).advance(&open(&second), &second_payload), Err(ApplyError::OtherParent { .. })));
    assert!(matches!(State::empty(Feed::BOOTPTAB).advance(&open(&first), &first_payload), Err(ApplyError::OtherFeed { .. })));
    assert!(matches!(State::restore(&open(&second), &one.encode_rows().unwrap()), Err(ApplyError::OtherDigest { .. })));
    // A fork: another child of the same parent, with the same number.
    let (_, _, fork) = publish(&one, &site.master, vec![put("a", "9")]);
    let (third, third_payload, _) = publish(&two, &site.master, vec![put("b", "1")]);
    assert!(matches!(fork.advance(&open(&third), &third_payload), Err(ApplyError::OtherParent { .. })));
}

#[test]
fn no_change_is_no_generation() {
    let site = site();
    let (_, _, one) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1")]);
    assert!(one.compose(vec![put("a", "1"), Change::delete(T, "never was")]).unwrap().is_none());
    let draft = one.compose(vec![put("a", "2"), put("a", "3")]).unwrap().unwrap();
    assert_eq!(draft.into_view().get(T, b"a"), Ok(Some(&b"3"[..])), "the last wish for a row counts");
}

#[test]
fn a_renewed_generation_has_the_same_rows_under_the_new_key_and_epoch() {
    let (site, newer) = (site(), key());
    let (_, _, one) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1"), put("b", "2")]);
    let grants = site.trust.draft().grants.iter().copied().chain([Grant { key: newer.public(), kind: Kind::Zone, family: Family::Whole }]).collect();
    let overlap = TrustDraft { version: 2, grants, ..site.trust.draft().clone() }.sign(&[&site.root]).unwrap();
    let (sealed, payload, two) = one.renew().unwrap().seal(&newer, stamp()).unwrap();
    let agent = one.advance(&overlap.open(&sealed).unwrap(), &payload).unwrap();
    assert_eq!((agent.digest(), agent.view().generation(), payload.len()), (one.digest(), Generation(2), 0));
    assert!(matches!(site.trust.open(&sealed), Err(OpenError::ForeignKey(_))), "before the root named it");

    let later = TrustDraft { version: 3, epoch: Epoch(2), ..overlap.draft().clone() }.sign(&[&site.root]).unwrap();
    let (sealed, payload, three) = two.renew().unwrap().seal(&newer, Stamp { epoch: Epoch(2), ..stamp() }).unwrap();
    let agent = agent.advance(&later.open(&sealed).unwrap(), &payload).unwrap();
    assert_eq!((agent.digest(), agent.view().epoch(), agent.view().generation()), (three.digest(), Epoch(2), Generation(3)));
    assert_eq!(payload, one.encode_rows().unwrap(), "the first of an epoch starts from nothing");
}

#[test]
fn an_ended_epoch_and_another_institution_are_refused() {
    let site = site();
    let (sealed, ..) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1")]);
    let later = TrustDraft { epoch: Epoch(2), version: 2, ..site.trust.draft().clone() }.sign(&[&site.root]).unwrap();
    assert_eq!(later.open(&sealed), Err(OpenError::OldEpoch(Epoch(1))));
    let other = TrustDraft { institution: Institution([9; 16]), ..site.trust.draft().clone() }.sign(&[&site.root]).unwrap();
    assert_eq!(other.open(&sealed), Err(OpenError::OtherInstitution));
}

#[test]
fn a_torn_or_flipped_file_of_the_first_version_is_never_read_as_whole() {
    let site = site();
    let (sealed, payload, state) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1")]);
    let rows = state.encode_rows().unwrap();
    let base = encode_v1_base(&sealed, &rows);
    assert_eq!(decode_base(&base).unwrap().1, rows);
    let log = [encode_v1_frame(&sealed, &payload), encode_v1_frame(&sealed, &payload)].concat();
    assert_eq!(frames(&log).count(), 2);
    for at in 0..base.len() {
        assert!(decode_base(&base[..at]).is_err());
        let mut flipped = base.clone();
        flipped[at] ^= 0x10;
        assert!(decode_base(&flipped).is_err(), "byte {at}");
    }
    for at in 0..log.len() {
        assert_eq!(frames(&log[..at]).count(), at / (log.len() / 2));
        let mut flipped = log.clone();
        flipped[at] ^= 0x10;
        assert_eq!(frames(&flipped).count(), at / (log.len() / 2), "byte {at}");
    }
}

/// Enough rows for several blocks, rebased at generation 1, with three generations after it.
fn several_blocks(site: &Site) -> Vec<(Sealed, Vec<u8>, State)> {
    let rows = (0..2000).map(|n| put(&format!("row {n:05}"), "some thirty bytes of value, or so"));
    let (sealed, payload, state) = publish(&State::empty(Feed::ZONE), &site.master, rows.collect());
    let mut all = vec![(sealed, payload, state.rebased().unwrap())];
    for n in 0..3 {
        let changes = vec![put("counter", &n.to_string()), put(&format!("row {n:05}"), "changed"), Change::delete(T, format!("row {:05}", 1000 + n))];
        all.push(publish(&all[n].2, &site.master, changes));
    }
    all
}

#[test]
fn merged_deltas_lead_where_the_single_ones_do_and_nowhere_else() {
    let site = site();
    let all = several_blocks(&site);
    let merged = merge_payloads(all[1..].iter().map(|(_, payload, _)| &payload[..])).unwrap();
    let target = site.trust.open(&all[3].0).unwrap();
    let agent = all[0].2.advance_merged(&target, &merged).unwrap();
    assert_eq!((agent.digest(), agent.view().generation()), (all[3].2.digest(), Generation(4)));
    assert_eq!(all[3].2.changes_since_base(), merged, "since the base: the same rows");
    assert!(all[1].2.advance_merged(&target, &merged).is_ok(), "from any generation between");
    let short = merge_payloads([&all[2].1[..]]).unwrap();
    assert!(matches!(all[0].2.advance_merged(&target, &short), Err(ApplyError::OtherCount { .. } | ApplyError::OtherDigest { .. })));
    assert!(matches!(all[3].2.advance_merged(&target, &merged), Err(ApplyError::NotNewer { .. })));
}

#[test]
fn a_manifest_names_the_base_that_whole_transfers_carry() {
    let site = site();
    let all = several_blocks(&site);
    let manifest = site.trust.open(&all[3].0).unwrap().manifest().clone();
    assert_eq!((manifest.base_generation, manifest.base_root), (Generation(1), all[0].2.base().root()));
    let base = all[3].2.base();
    assert!(base.head().blocks.len() > 3);
    let head = Head::decode(&base.head().encode()).unwrap();
    assert_eq!(head.root(), manifest.base_root);
    let blocks = (0..head.blocks.len()).map(|number| base.block(number).unwrap().to_vec());
    let arrived = Base::from_blocks(head.clone(), blocks.clone().collect()).unwrap();
    let state = State::of_base(&site.trust.open(&all[0].0).unwrap(), arrived).unwrap();
    assert_eq!(state.advance_merged(&site.trust.open(&all[3].0).unwrap(), &all[3].2.changes_since_base()).unwrap().digest(), all[3].2.digest());
    let mut altered: Vec<Vec<u8>> = blocks.collect();
    altered[2][20] ^= 1;
    assert_eq!(Base::from_blocks(head, altered).unwrap_err(), BaseError::Block(2));
}

#[test]
fn an_agent_that_went_astray_finds_the_rows_that_differ() {
    let site = site();
    let all = several_blocks(&site);
    let astray = all[2].2.compose(vec![put("row 00500", "never published"), put("stray", "x"), Change::delete(T, "row 00600")]).unwrap().unwrap();
    let astray = astray.seal(&site.master, stamp()).unwrap().2;
    let found = all[3].2.tally().unwrap().difference(astray.tally().unwrap().marks());
    assert!(found.buckets.count() >= 3 && found.buckets.count() < 10, "{found:?}");
    let mut rows = Vec::new();
    all[3].2.bucket_rows(&found.buckets).for_each(|row| encode_row(row.unwrap(), &mut rows).unwrap());
    assert_eq!(rows.len() as u64, found.bytes);
    // What it holds has the same number: an ordinary delta would not lead there.
    let target = site.trust.open(&all[3].0).unwrap();
    let changes = astray.bucket_changes(&found.buckets, &rows).unwrap();
    assert!(matches!(astray.advance_merged(&target, &changes), Err(ApplyError::NotNewer { .. })));
    assert_eq!(astray.mend(&target, &changes).unwrap().digest(), all[3].2.digest());
    assert!(astray.bucket_changes(&Buckets::none(), &rows).is_err(), "rows that were not asked for");
}

#[test]
fn rows_that_are_not_what_their_sum_says_are_counted_anew_before_they_are_mended() {
    let site = site();
    let all = several_blocks(&site);
    // The base's rows were altered, and its head still names the sum of the true ones.
    let altered = publish(&all[3].2, &site.master, vec![put("row 00500", "altered by nobody")]).2;
    let sum = all[3].2.rebased().unwrap().base().head().sum.clone();
    let mut builder = Builder::new(Feed::ZONE, all[3].2.view().epoch(), all[3].2.view().generation());
    builder.push_rows(&altered.encode_rows().unwrap()).unwrap();
    let lying = State::of_base(&site.trust.open(&all[3].0).unwrap(), builder.finish(sum)).unwrap();
    assert_eq!(lying.digest(), all[3].2.digest());
    let found = all[3].2.tally().unwrap().difference(lying.tally().unwrap().marks());
    let mut rows = Vec::new();
    all[3].2.bucket_rows(&found.buckets).for_each(|row| encode_row(row.unwrap(), &mut rows).unwrap());
    let (target, changes) = (site.trust.open(&all[3].0).unwrap(), lying.bucket_changes(&found.buckets, &rows).unwrap());
    assert!(matches!(lying.mend(&target, &changes), Err(ApplyError::OtherDigest { .. })), "its sum is not that of its rows");
    let mended = lying.recounted().unwrap().mend(&target, &changes).unwrap();
    assert_eq!(mended.encode_rows().unwrap(), all[3].2.encode_rows().unwrap());
}

#[test]
fn the_next_format_is_read_by_the_reader_before_it() {
    // The first version's reader: fields at their places, nothing behind the key's id looked at, and no newer `min_reader`.
    let site = site();
    let all = several_blocks(&site);
    let bytes = all[3].0.bytes();
    assert_eq!(u16::from_le_bytes([bytes[2], bytes[3]]), 1, "min_reader");
    let generation = u64::from_le_bytes(bytes[30..38].try_into().unwrap());
    assert_eq!(generation, 4);
    let digest: [u8; 32] = bytes[86..118].try_into().unwrap();
    assert_eq!(digest, all[3].2.digest().0);
}

/// A base on a disk that is a slice.
#[derive(Debug)]
struct Image {
    bytes: Vec<u8>,
    file: BaseFile,
}

impl BlockSource for Image {
    fn rows(&self, start: u64, len: usize) -> Option<Vec<u8>> {
        let at = (self.file.rows_at + start) as usize;
        self.bytes.get(at..at + len).map(<[u8]>::to_vec)
    }

    fn index(&self, number: usize) -> Option<Vec<u8>> {
        let at = self.file.index_at as usize + number * file::INDEX_BLOCK_BYTES;
        self.bytes.get(at..at + file::INDEX_BLOCK_BYTES).map(<[u8]>::to_vec)
    }
}

fn open_image(bytes: &[u8], key: &StoreKey) -> Result<Base, BaseFileError> {
    let front = BaseFile::front_len(bytes.get(..HEADER_BYTES).ok_or(BaseFileError::Torn)?)? as usize;
    let file = BaseFile::decode(bytes.get(..front).ok_or(BaseFileError::Torn)?, key)?;
    file.vouched()?;
    let image = Image { bytes: bytes.to_vec(), file: file.clone() };
    Ok(Base::on_disk(file.head, file.index_marks, std::sync::Arc::new(image)))
}

#[test]
fn a_flipped_bit_of_a_base_file_is_refused_or_found_when_it_is_touched() {
    let site = site();
    let all = several_blocks(&site);
    let (store_key, state) = (StoreKey::from_bytes([5; 32]), &all[0].2);
    let mut file = Vec::new();
    encode_base(&all[0].0, state.base(), &store_key, &mut file).unwrap();
    assert!(matches!(open_image(&file, &StoreKey::from_bytes([6; 32])), Err(BaseFileError::Foreign)));
    assert_eq!(open_image(&file, &store_key).unwrap().audit().unwrap().fold(), state.digest());
    let front = BaseFile::front_len(&file[..HEADER_BYTES]).unwrap() as usize;
    let (mut refused, mut found, mut right) = (0, 0, 0);
    for at in (0..file.len()).step_by(37) {
        let mut flipped = file.clone();
        flipped[at] ^= 1 << (at % 8);
        let Ok(base) = open_image(&flipped, &store_key) else {
            refused += 1;
            assert!(at < front);
            continue;
        };
        let view = View::of(std::sync::Arc::new(base));
        for n in (0..2000).step_by(41) {
            let key = format!("row {n:05}");
            match view.get(T, key.as_bytes()) {
                Ok(value) => {
                    assert_eq!(value, state.view().get(T, key.as_bytes()).unwrap(), "a wrong answer with byte {at} flipped");
                    right += 1;
                }
                Err(Damaged) => found += 1,
            }
        }
    }
    assert!(refused > 0 && found > 0 && right > 0, "{refused} {found} {right}");
}

#[test]
fn a_log_cut_or_flipped_anywhere_ends_with_the_frame_before() {
    let site = site();
    let all = several_blocks(&site);
    let key = StoreKey::from_bytes([5; 32]);
    let mut chain = Chain::after([9; 32], key.clone());
    let frames: Vec<Vec<u8>> = all[1..].iter().map(|(sealed, payload, _)| encode_frame(&mut chain, sealed, false, Generation(1), payload)).collect();
    let log = frames.concat();
    let count = |log: &[u8]| {
        let (mut chain, mut at, mut count) = (Chain::after([9; 32], key.clone()), 0, 0);
        while let Some(frame) = decode_frame(&mut chain, &log[at..]) {
            at += frame.len;
            count += 1;
        }
        count
    };
    let whole_before = |at: usize| {
        frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            })
            .filter(|end| *end <= at)
            .count()
    };
    assert_eq!(count(&log), 3);
    for at in 0..log.len() {
        assert_eq!(count(&log[..at]), whole_before(at), "cut at {at}");
        let mut flipped = log.clone();
        flipped[at] ^= 0x10;
        assert_eq!(count(&flipped), whole_before(at), "flipped at {at}");
    }
    assert!(decode_frame(&mut Chain::after([8; 32], key.clone()), &log).is_none(), "the log of another base");
    assert!(decode_frame(&mut Chain::after([9; 32], key.clone()), &frames[1]).is_none(), "a frame was left out");
}

/// A slot as a box with a key of its own left it: the base of one generation, and the frames of those after it.
fn slot(all: &[(Sealed, Vec<u8>, State)], base: usize, frames: std::ops::Range<usize>) -> SlotFiles {
    let key = StoreKey::from_bytes([5; 32]);
    let mut slot = SlotFiles::default();
    let mac = encode_base(&all[base].0, all[base].2.rebased().unwrap().base(), &key, &mut slot.base).unwrap();
    let mut chain = Chain::after(mac, key);
    slot.log = all[frames].iter().flat_map(|(sealed, payload, _)| encode_frame(&mut chain, sealed, false, Generation(1), payload)).collect();
    slot
}

#[test]
fn files_of_another_box_are_proven_without_its_key() {
    let site = site();
    let all = several_blocks(&site);
    let proven = |slots: &[SlotFiles]| prove(Feed::ZONE, slots, |sealed| site.trust.open(sealed));
    let number = |slots: &[SlotFiles]| proven(slots).0.view().generation().0;
    let (state, wrong) = proven(&[slot(&all, 0, 1..3), slot(&all, 2, 3..4)]);
    assert_eq!((state.digest(), &wrong[..]), (all[3].2.digest(), &[][..]));
    // A damaged newer base: the older one's log leads up to it, and its own log goes on.
    let mut damaged = slot(&all, 2, 3..4);
    *damaged.base.last_mut().unwrap() ^= 1;
    let (state, wrong) = proven(&[slot(&all, 0, 1..3), damaged.clone()]);
    assert_eq!((state.digest(), wrong.len()), (all[3].2.digest(), 1));
    assert_eq!(number(&[damaged]), 0, "and alone it proves nothing");
    // Rows that somebody merged are proven by the state that they lead to.
    let merged = merge_payloads(all[1..4].iter().map(|(_, payload, _)| &payload[..])).unwrap();
    let mut chain = Chain::after([0; 32], StoreKey::from_bytes([5; 32]));
    let log = encode_frame(&mut chain, &all[3].0, true, Generation(1), &merged);
    assert_eq!(number(&[SlotFiles { log, ..slot(&all, 0, 0..0) }]), 4);
    // Another feed's files, and another institution's.
    assert_eq!(prove(Feed::ACCESS, &[slot(&all, 0, 1..3)], |sealed| site.trust.open(sealed)).0.sealed(), None);
    let other = self::site();
    assert_eq!(prove(Feed::ZONE, &[slot(&all, 0, 1..3)], |sealed| other.trust.open(sealed)).0.sealed(), None);
}

#[test]
fn no_damage_makes_files_prove_what_was_never_signed() {
    let site = site();
    let all = several_blocks(&site);
    let whole = slot(&all, 0, 1..4);
    let check = |files: SlotFiles, what: &str| {
        let (state, _) = prove(Feed::ZONE, &[files], |sealed| site.trust.open(sealed));
        let signed =
            state.sealed().is_none() || all.iter().any(|(sealed, _, signed)| state.sealed() == Some(sealed) && state.encode_rows() == signed.encode_rows());
        assert!(signed, "{what}");
    };
    for at in (0..whole.base.len()).step_by(997) {
        let mut base = whole.base.clone();
        base[at] ^= 1 << (at % 8);
        check(SlotFiles { base, log: whole.log.clone() }, &format!("byte {at} of the base flipped"));
        check(SlotFiles { base: whole.base[..at].to_vec(), log: whole.log.clone() }, &format!("the base cut at {at}"));
    }
    for at in (0..whole.log.len()).step_by(13) {
        let mut log = whole.log.clone();
        log[at] ^= 1 << (at % 8);
        check(SlotFiles { base: whole.base.clone(), log }, &format!("byte {at} of the log flipped"));
        check(SlotFiles { base: whole.base.clone(), log: whole.log[..at].to_vec() }, &format!("the log cut at {at}"));
    }
}

#[test]
fn a_state_out_of_a_store_goes_on_as_one_that_was_never_put_away() {
    let site = site();
    let all = several_blocks(&site);
    let opened = |n: usize| site.trust.open(&all[n].0).unwrap();
    let kept = State::vouched(all[0].0.clone(), all[0].2.base().clone());
    let replayed = kept.replay(&opened(2), [&all[1].1[..], &all[2].1]).unwrap();
    assert_eq!((replayed.digest(), replayed.view().row_count()), (all[2].2.digest(), all[2].2.view().row_count()));
    assert_eq!(replayed.audited().unwrap().digest(), all[2].2.digest());
    assert_eq!(replayed.advance(&opened(3), &all[3].1).unwrap().digest(), all[3].2.digest());
    let folded = all[1].2.rebased().unwrap();
    let onto = all[3].2.onto(folded.base().clone(), [&all[2].1[..], &all[3].1]).unwrap();
    assert_eq!(onto.encode_rows(), all[3].2.encode_rows());
    // A store that vouched for the wrong rows is found out by the sum.
    assert!(matches!(kept.replay(&opened(2), [&all[2].1[..]]).unwrap().audited(), Err(ApplyError::OtherDigest { .. })));
}

#[test]
fn neighbours_are_found_across_blocks_and_not_across_tables() {
    let ordered = Table(200);
    let key = |number: u16| number.to_be_bytes().to_vec();
    let rows = (0..3000).map(|number| Change::put(ordered, key(number * 10), vec![7; 50]));
    let beside = [Change::put(Table(199), key(9), b"before".to_vec()), Change::put(Table(201), key(9), b"behind".to_vec())];
    let view = State::empty(Feed::ZONE).compose(rows.chain(beside).collect()).unwrap().unwrap().seal(&self::key(), stamp()).unwrap().2.rebased().unwrap();
    let state = view.compose(vec![Change::delete(ordered, key(500)), Change::put(ordered, key(505), b"new".to_vec())]).unwrap().unwrap();
    let view = state.into_view();
    assert!(view.base().parts() > 5, "more than a block");
    let floor = |number: u16| view.floor(ordered, &key(number)).unwrap().map(|(key, _)| u16::from_be_bytes([key[0], key[1]]));
    for (asked, found) in [(0, 0), (7, 0), (509, 505), (505, 505), (504, 490), (500, 490), (29_990, 29_990), (65_535, 29_990)] {
        assert_eq!(floor(asked), Some(found), "{asked}");
    }
    for number in (0..3000).filter(|number| *number != 50) {
        assert_eq!((floor(number * 10), floor(number * 10 + 3)), (Some(number * 10), Some(number * 10)));
    }
    assert_eq!(view.floor(ordered, b"").unwrap(), None, "the row before it is another table's");
}

proptest! {
    /// A view after any history equals a plain map, over any mix of base and overlay.
    #[test]
    fn a_view_is_a_map(history in proptest::collection::vec(proptest::collection::vec((0u8..12, proptest::option::of(0u8..4)), 1..6), 1..12), rebase_every in 1usize..5, table in prop_oneof![Just(T), Just(Table(200))]) {
        let site_key = key();
        let (mut state, mut model) = (State::empty(Feed::ZONE), BTreeMap::new());
        for (step, changes) in history.into_iter().enumerate() {
            let wishes = changes.iter().map(|(key, value)| Change { table, key: vec![*key], value: value.map(|v| vec![v]) }).collect();
            for (key, value) in changes {
                match value { Some(value) => model.insert(vec![key], vec![value]), None => model.remove(&vec![key]) };
            }
            if let Some(draft) = state.compose(wishes).unwrap() {
                state = draft.seal(&site_key, stamp()).unwrap().2;
            }
            if step % rebase_every == 0 {
                state = state.rebased().unwrap();
            }
            let seen: BTreeMap<_, _> = state.view().iter(table).map(|row| row.map(|(k, v)| (k.to_vec(), v.to_vec())).unwrap()).collect();
            prop_assert_eq!(&seen, &model);
            prop_assert_eq!(state.view().row_count(), model.len() as u64);
            prop_assert_eq!((0u8..12).filter(|key| state.view().get(table, &[*key]).unwrap().is_some()).count(), model.len());
            for key in (0u8..12).filter(|_| table.is_ordered()) {
                let floor = model.range(..=vec![key]).next_back().map(|(key, value)| (&key[..], &value[..]));
                prop_assert_eq!(state.view().floor(table, &[key]).unwrap(), floor);
            }
        }
    }
}
