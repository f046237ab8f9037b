//! Stores a plan: all its edits through `inventory::change` in one transaction, or nothing.

use super::dhcp::{isc, kea};
use super::format::{FORMATS, Format, UPLOAD_LIMIT_BYTES, Upload, base_name, origin_by_name};
use super::place::{ImportError, Place};
use super::plan::{Files, Hints, Known, Plan, plan};
use super::report::Report;
use super::table::Mapping;
use super::{claims, clients, hosts_table, people, subnets, zone};
use crate::db::DbError;
use crate::inventory::authority::authorise_edits;
use crate::inventory::boot::{BootEdit, Level};
use crate::inventory::organisation::{Entry, OrganisationEdit};
use crate::inventory::records::{RecordQuery, record_draft};
use crate::inventory::{self, Actor, Changed, Edit, Host, HostQuery, NasDraft, RecordDraft, Refusal, Sight, SpaceEdit, Version, change};
use holdfast_proto::radius;
use holdfast_proto::snapshot::DataKey;
use sqlx::{PgPool, Postgres, Transaction};
use std::collections::{HashMap, HashSet};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// How to import.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Do everything, tell what came of it, and roll back.
    pub dry_run: bool,
    /// The campus of subnets that the files do not place.
    pub campus: Option<String>,
    /// The domain of bare names that the files do not complete.
    pub domain: Option<String>,
    /// What tables call our columns: ours, then theirs.
    pub mapping: Vec<(String, String)>,
}

/// So many imports are planned at a time: each holds its files and what the database has.
const PLANNED_AT_A_TIME: usize = 2;
static PLANNING: Semaphore = Semaphore::const_new(PLANNED_AT_A_TIME);
/// Hosts are read and written so many at a time.
const HOSTS_PER_PAGE: u32 = 1_000;
/// Records are read so many at a time.
const RECORDS_PER_PAGE: u32 = 10_000;

/// Imports files as one change set. Mistakes in the files and refusals of the database come back in the report, each with
/// its line; the error side is for what the files cannot help: no right to import, or the database failing.
/// `access_key` encrypts the secrets of RADIUS clients; without it a file of clients is refused.
pub async fn import(
    pool: &PgPool,
    actor: &Actor,
    reason: &str,
    uploads: Vec<Upload>,
    options: Options,
    access_key: Option<&DataKey>,
) -> Result<Report, Refusal> {
    authorise_edits(actor, "the hosts of the files")?;
    let (mut plan, versions) = planned(pool, uploads, &options).await?;
    if access_key.is_none()
        && let Some(client) = plan.clients.first()
    {
        plan.errors
            .push(ImportError::new(client.place.clone(), "this master has no key for RADIUS secrets yet: start its publisher once, then import clients"));
    }
    let (counts, rows) = (plan.counts(), plan.rows());
    let mut report = Report { counts, rows, findings: std::mem::take(&mut plan.findings), errors: std::mem::take(&mut plan.errors), change_set: None };
    if !report.errors.is_empty() {
        return Ok(report);
    }
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let mut storing = Storing { tx: &mut tx, actor, reason, versions, change_set: None };
    match storing.store(plan, access_key).await? {
        Err(errors) => report.errors = errors,
        Ok(()) if options.dry_run => {}
        Ok(()) => {
            let change_set = storing.change_set;
            inventory::commit(tx).await?;
            report.change_set = change_set;
        }
    }
    Ok(report)
}

/// Parses and plans on a thread of its own: large files take seconds, in which others are served.
async fn planned(pool: &PgPool, uploads: Vec<Upload>, options: &Options) -> Result<(Plan, Versions), Refusal> {
    let one_of_few = PLANNING.acquire().await.expect("nobody closes it");
    let (known, versions) = read_known(pool).await?;
    let Options { campus, domain, mapping, .. } = options.clone();
    let planning = tokio::task::spawn_blocking(move || {
        let (files, errors) = parse_uploads(uploads, &mapping);
        let mut plan = plan(&known, files, Hints { campus: campus.as_deref(), domain: domain.as_deref() });
        plan.errors.splice(0..0, errors);
        // Held here, and not by the one who waits: that one may go away earlier.
        drop(one_of_few);
        plan
    });
    // A panic there is one here.
    let plan = planning.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
    Ok((plan, versions))
}

/// Parses each file by its format; a file without one is an error.
pub fn parse_uploads(uploads: Vec<Upload>, mapping: &Mapping) -> (Files, Vec<ImportError>) {
    let mut files = Files::default();
    let mut errors = Vec::new();
    let included = included(&uploads, mapping);
    for upload in uploads {
        let whole = Place::new(&upload.name.as_str().into(), 0);
        if upload.text.len() > UPLOAD_LIMIT_BYTES {
            errors.push(ImportError::new(whole, format!("the file is larger than {} MiB: split it", UPLOAD_LIMIT_BYTES >> 20)));
            continue;
        }
        let base = base_name(&upload.name);
        if included.contains(base) {
            if files.included.contains_key(base) {
                let message = format!("two files are called {base}, which another file includes: nobody knows which of them is meant; give one another name");
                errors.push(ImportError::new(whole, message));
            } else {
                files.included.insert(base.to_owned(), upload.text);
            }
            continue;
        }
        match Format::detect(&upload, mapping) {
            Some(Format::Bootptab) => files.bootptabs.push((upload.name, upload.text)),
            Some(Format::Zone) => {
                let scanned = zone::scan(&upload.name, &upload.text, origin_by_name(&upload.name), None);
                files.zones.push((upload.name, scanned));
            }
            Some(Format::ClientsConf) => files.clients.push(clients::parse(&upload.name, &upload.text)),
            Some(Format::Subnets) => files.subnets.push(subnets::parse(&upload.name, &upload.text, mapping)),
            Some(Format::Hosts) => files.hosts.push(hosts_table::parse(&upload.name, &upload.text, mapping)),
            Some(Format::People) => files.people.push((upload.name.clone(), people::parse(&upload.name, &upload.text, mapping))),
            Some(Format::Dhcpd) => files.dhcpd.push((upload.name, upload.text)),
            Some(Format::Kea) => files.kea.push(kea::parse(&upload.name, &upload.text)),
            Some(Format::EtcHosts) => files.claims.push(claims::parse_hosts(&upload.name, &upload.text)),
            Some(Format::NetboxAddresses) => files.claims.push(claims::parse_addresses(&upload.name, &upload.text, mapping)),
            Some(Format::NetboxPrefixes) => files.prefixes.push(claims::parse_prefixes(&upload.name, &upload.text, mapping)),
            Some(Format::Ethers) => {
                let (ethers, wrong) = claims::parse_ethers(&upload.name, &upload.text);
                files.ethers.extend(ethers);
                errors.extend(wrong);
            }
            None => errors.push(ImportError::new(whole, format!("this is none of what can be imported: {FORMATS}"))),
        }
    }
    if let Some(name) = files.included.keys().min().filter(|_| files.dhcpd.is_empty()) {
        let message = "files include one another, and none of them is the first: give the one that dhcpd begins with in the same call";
        errors.push(ImportError::new(Place::new(&name.as_str().into(), 0), message));
    }
    (files, errors)
}

/// The files that a dhcpd.conf of the same call includes: they are read where they are included, and not by themselves.
fn included(uploads: &[Upload], mapping: &Mapping) -> HashSet<String> {
    let is_dhcpd = |upload: &&Upload| Format::detect(upload, mapping) == Some(Format::Dhcpd);
    let others = uploads.iter().filter(is_dhcpd).flat_map(|upload| {
        let own = base_name(&upload.name).to_owned();
        isc::includes(&upload.text).into_iter().filter(move |file| *file != own)
    });
    others.collect()
}

/// The versions of what an import may change, by what people call it. Whole objects are written, so that one that somebody else has changed since
/// must not be.
#[derive(Debug, Default)]
struct Versions(HashMap<String, Version>);

impl Versions {
    fn keep(&mut self, object: String, version: Version) {
        self.0.insert(object, version);
    }

    /// Whether the object that an edit left at this version was another before the edit than the one that was read. Every change adds one, and an
    /// object that the import itself has changed is not asked for again.
    fn moved_on(&mut self, object: &str, now: Option<Version>) -> bool {
        self.0.remove(object).is_some_and(|read| now != Some(Version(read.0 + 1)))
    }
}

/// What the edit changes, as [`Versions`] knows it; `None` for what it makes.
fn changed_object(edit: &Edit) -> Option<String> {
    match edit {
        Edit::HostSet { name, .. } => Some(format!("host {name}")),
        Edit::SubnetSet { network, .. } => Some(format!("subnet {network}")),
        Edit::Organisation(OrganisationEdit::Set { name, entry: Entry::Contact(_) }) => Some(format!("contact {name}")),
        _ => None,
    }
}

async fn read_known(pool: &PgPool) -> Result<(Known, Versions), Refusal> {
    let mut versions = Versions::default();
    let campuses = inventory::campuses(pool).await?.into_iter().map(|campus| campus.name).collect();
    let mut subnets = Vec::new();
    for subnet in inventory::subnets(pool, &Sight::All).await? {
        versions.keep(format!("subnet {}", subnet.draft.network), subnet.version);
        subnets.push(subnet.draft);
    }
    let zones = inventory::zones(pool, &Sight::All).await?.into_iter().map(|zone| zone.draft).collect();
    let departments = inventory::organisation::all_departments(pool).await?.into_iter().map(|kept| kept.draft.name).collect();
    let mut contacts = Vec::new();
    for contact in inventory::organisation::all_contacts(pool).await? {
        versions.keep(format!("contact {}", contact.draft.handle), Version(contact.version));
        contacts.push(contact.draft);
    }
    let containers = inventory::containers(pool).await?.into_iter().map(|container| container.network).collect();
    let pools = inventory::pools(pool, None).await?.into_iter().map(|pool| (pool.first, pool.last)).collect();
    let records = read_records(pool).await?;
    let mut known = Known { campuses, subnets, zones, departments, contacts, containers, pools, records, hosts: vec![] };
    let mut query = HostQuery { limit: HOSTS_PER_PAGE, ..HostQuery::default() };
    loop {
        let page = inventory::host_list(pool, &Sight::All, &query).await?;
        for Host { draft, version, .. } in page.hosts {
            versions.keep(format!("host {}", draft.name), version);
            known.hosts.push(draft);
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok((known, versions)),
        }
    }
}

async fn read_records(pool: &PgPool) -> Result<Vec<RecordDraft>, Refusal> {
    let mut query = RecordQuery { limit: RECORDS_PER_PAGE, ..RecordQuery::default() };
    let mut out = Vec::new();
    loop {
        let (page, next) = inventory::records::records(pool, &query).await?;
        for one in &page {
            out.push(record_draft(&one.record)?);
        }
        match next {
            Some(next) => query.after = Some(next),
            None => return Ok(out),
        }
    }
}

struct Storing<'t, 'p> {
    tx: &'t mut Transaction<'p, Postgres>,
    actor: &'t Actor,
    reason: &'t str,
    versions: Versions,
    change_set: Option<Uuid>,
}

/// The outer error ends the import; the inner ones are told with their lines.
type Stored = Result<Result<(), Vec<ImportError>>, Refusal>;

impl Storing<'_, '_> {
    async fn store(&mut self, plan: Plan, access_key: Option<&DataKey>) -> Stored {
        let mut edits: Vec<(Vec<Place>, Edit)> = Vec::new();
        let organise = |edit: OrganisationEdit| Edit::Organisation(edit);
        let departments = plan.departments.into_iter().map(|(place, draft)| (place, OrganisationEdit::Add(Entry::Department(draft))));
        let contacts = plan.contacts.into_iter().map(|(place, draft)| (place, OrganisationEdit::Add(Entry::Contact(draft))));
        let changed = plan.contacts_changed.into_iter().map(|(place, draft)| {
            let name = draft.handle.clone();
            (place, OrganisationEdit::Set { name, entry: Entry::Contact(draft) })
        });
        edits.extend(departments.chain(contacts).chain(changed).map(|(place, edit)| (vec![place], organise(edit))));
        edits.extend(plan.campuses.into_iter().map(|(place, draft)| (vec![place], Edit::CampusAdd(draft))));
        edits.extend(plan.subnets.into_iter().map(|(place, draft)| (vec![place], Edit::SubnetAdd(draft))));
        edits.extend(plan.containers.into_iter().map(|(place, draft)| (vec![place], Edit::Space(SpaceEdit::ContainerAdd(draft)))));
        edits.extend(plan.zones.into_iter().map(|(place, draft)| (vec![place], Edit::ZoneAdd(draft))));
        // A subnet may name a zone of this import for its leases.
        edits.extend(plan.subnets_changed.into_iter().map(|(place, draft)| (vec![place], Edit::SubnetSet { network: draft.network, draft })));
        edits.extend(plan.defaults.into_iter().map(|(place, network, parameters)| {
            let edit = BootEdit::Put { level: Level::Subnet, object: network.to_string(), parameters };
            (vec![place], Edit::Boot(edit))
        }));
        edits.extend(plan.pools.into_iter().map(|(place, draft)| (vec![place], Edit::Space(SpaceEdit::PoolAdd(draft)))));
        edits.extend(plan.templates.into_iter().map(|(place, draft)| (vec![place], Edit::TemplatePut(draft))));
        edits.extend(many(plan.hosts, Edit::HostsAdd));
        edits.extend(plan.changed.into_iter().map(|(place, draft)| (vec![place], Edit::HostSet { name: draft.name.clone(), draft })));
        edits.extend(many(plan.records, Edit::RecordsAdd));
        for client in plan.clients {
            let Some(key) = access_key else { continue };
            let row_key = radius::nas_key(client.prefix.net());
            let Ok(secret) = key.encrypt(radius::NAS, &row_key, client.secret.expose()) else {
                return Ok(Err(vec![ImportError::new(client.place, "the secret could not be encrypted: the system gives no randomness")]));
            };
            let draft = NasDraft {
                name: client.name,
                prefix: client.prefix,
                secret,
                require_message_authenticator: client.require_message_authenticator,
                has_former_secret: false,
                about: None,
            };
            edits.push((vec![client.place], Edit::NasPut(draft)));
        }
        for (places, edit) in edits {
            if let Err(errors) = self.make(&places, edit).await? {
                return Ok(Err(errors));
            }
        }
        Ok(Ok(()))
    }

    async fn make(&mut self, places: &[Place], edit: Edit) -> Stored {
        let object = changed_object(&edit);
        match change(self.tx, self.actor, self.reason, edit).await {
            Ok(Changed { change_set, version }) => {
                self.change_set = Some(change_set);
                // Its row is ours until the transaction ends, so that nobody comes between the comparison and the commit.
                match object.filter(|object| self.versions.moved_on(object, version)) {
                    None => Ok(Ok(())),
                    Some(object) => Ok(Err(vec![ImportError::new(place_of(places, ""), format!("{object} was changed meanwhile: import again"))])),
                }
            }
            Err(Refusal::Invalid(problems)) => {
                Ok(Err(problems.into_iter().map(|problem| ImportError::new(place_of(places, &problem.pointer), problem.detail)).collect()))
            }
            Err(Refusal::Missing(problem)) => Ok(Err(vec![ImportError::new(place_of(places, &problem.pointer), problem.detail)])),
            Err(other) => Err(other),
        }
    }
}

/// One edit for a list of drafts, or none for none.
fn many<D>(drafts: Vec<(Place, D)>, edit: impl Fn(Vec<D>) -> Edit) -> Option<(Vec<Place>, Edit)> {
    let (places, drafts): (Vec<Place>, Vec<D>) = drafts.into_iter().unzip();
    (!drafts.is_empty()).then(|| (places, edit(drafts)))
}

/// The line that a problem's pointer means: `/17/name` is the 18th draft of a list.
fn place_of(places: &[Place], pointer: &str) -> Place {
    let index: Option<usize> = pointer.strip_prefix('/').and_then(|rest| rest.split('/').next()).and_then(|first| first.parse().ok());
    let place = index.filter(|_| places.len() > 1).and_then(|index| places.get(index)).or(places.first());
    place.cloned().unwrap_or(Place { file: "import".into(), line: 0, column: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_points_at_its_line() {
        let places: Vec<Place> = (1..4).map(|line| Place::new(&"f".into(), line)).collect();
        assert_eq!(place_of(&places, "/2/name").line, 3);
        assert_eq!(place_of(&places[..1], "/interfaces/0").line, 1);
        assert_eq!(place_of(&places, "").line, 1);
    }

    #[test]
    fn a_file_of_no_format_is_an_error() {
        let (_, errors) = parse_uploads(vec![Upload { name: "letter.txt".into(), text: "Dear all,\n".into() }], &[]);
        assert_eq!(errors[0].place.to_string(), "letter.txt:0");
    }

    #[test]
    fn what_somebody_else_changed_meanwhile_is_known_by_its_version() {
        let mut versions = Versions::default();
        versions.keep("host a".into(), Version(4));
        versions.keep("host b".into(), Version(4));
        assert!(!versions.moved_on("host a", Some(Version(5))), "that was this import");
        assert!(!versions.moved_on("host a", Some(Version(6))), "and so was that");
        assert!(versions.moved_on("host b", Some(Version(6))));
        assert!(!versions.moved_on("host new", Some(Version(1))));
    }

    #[test]
    fn of_two_files_of_one_name_neither_is_included_in_silence() {
        let upload = |name: &str, text: &str| Upload { name: name.into(), text: text.into() };
        let main = upload("dhcpd.conf", "include \"/etc/hosts.conf\";\n");
        let (files, errors) = parse_uploads(vec![main.clone(), upload("a/hosts.conf", "authoritative;\n"), upload("b/hosts.conf", "")], &[]);
        assert_eq!((files.included.len(), errors.len(), errors[0].place.to_string().as_str()), (1, 1, "b/hosts.conf:0"));
        let (_, errors) = parse_uploads(vec![main, upload("hosts.conf", "include \"dhcpd.conf\";\n")], &[]);
        assert!(errors[0].message.contains("include one another"), "{errors:?}");
    }
}
