//! Which hosts are listed: all, those that a search finds, those of somebody's areas. Names come back, ascending.
//!
//! A search that matches much finds a page by walking the names in order; one that matches little finds it by the indexes. Which
//! of the two it is nobody knows beforehand, so the walk is tried for a bounded stretch first.

use super::DbError;
use super::parts::Within;
use sqlx::{PgConnection, query_scalar};

/// How many names are walked before the indexes are asked: a few milliseconds.
const WALK_ROWS: i64 = 1000;
/// Parts that are shorter have no trigram: they are looked for where a word begins.
const TRIGRAM_CHARS: usize = 3;

/// What is looked for, in forms that the indexes know. All lowercase.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sought {
    /// Part of a name, or of what people wrote about a host.
    pub part: String,
    /// First addresses of the stretches that the text can be the beginning of.
    pub firsts: Vec<String>,
    /// Last addresses, pairwise.
    pub lasts: Vec<String>,
    /// The end of an address.
    pub address_end: Option<String>,
    /// First hardware addresses of the stretch that the text can be the beginning of, and its last.
    pub macs: Option<(String, String)>,
    /// The end of a hardware address: hexadecimal digits alone.
    pub mac_end: Option<String>,
    /// Only names count.
    pub names_only: bool,
    /// It can match few at most: nothing is won by a walk.
    pub is_narrow: bool,
}

/// Which part of a list.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// Only names after this one; empty from the first on.
    pub after: &'a str,
    /// How many at most.
    pub limit: i64,
}

/// All hosts.
pub async fn all(db: &mut PgConnection, stretch: Stretch<'_>) -> Result<Vec<String>, DbError> {
    let sql = query_scalar!(
        "select n.name from dns.node n join ipam.host h on h.node_id = n.id where n.name > $1 order by n.name limit $2",
        stretch.after,
        stretch.limit
    );
    Ok(sql.fetch_all(db).await?)
}

/// The hosts that a search finds.
pub async fn found(db: &mut PgConnection, sought: &Sought, stretch: Stretch<'_>) -> Result<Vec<String>, DbError> {
    let walked = if sought.is_narrow { Vec::new() } else { walk(db, sought, stretch).await? };
    if walked.len() as i64 >= stretch.limit { Ok(walked) } else { by_index(db, sought, stretch).await }
}

/// Those among the next names.
async fn walk(db: &mut PgConnection, sought: &Sought, stretch: Stretch<'_>) -> Result<Vec<String>, DbError> {
    // `offset 0` keeps the planner from reading whole tables once in place of one row at a time.
    let sql = query_scalar!(
        r#"select w.name as "name!" from (
             select h.id, n.name, lower(h.contact || ' ' || h.location || ' ' || h.hardware || ' ' || h.comment) as words
             from dns.node n join ipam.host h on h.node_id = n.id where n.name > $1 order by n.name limit $2) w
           where w.name like $3
             or (not $4 and (w.words like $3
               or exists (select from ipam.equipment e where e.host_id = w.id
                    and lower(e.building || ' ' || e.room || ' ' || e.outlet || ' ' || e.asset_tag) like $3 offset 0)
               or exists (select from org.responsibility r join org.contact c on c.id = r.contact_id where r.host_id = w.id
                    and (lower(c.name) like $3 or c.handle like $3 or lower(c.mail) like $3) offset 0)
               or ($5 and exists (select from ipam.address a where a.host_id = w.id and (
                    right(host(a.ip), length($6)) = $6
                    or exists (select from unnest($7::text[]::inet[], $8::text[]::inet[]) r (first, last) where a.ip between r.first and r.last)) offset 0))
               or ($9 and exists (select from ipam.iface i where i.host_id = w.id and (
                    right(replace(i.mac::text, ':', ''), length($10)) = $10 or i.mac between $11::text::macaddr and $12::text::macaddr) offset 0))))
           order by w.name limit $13"#,
        stretch.after,
        WALK_ROWS,
        sought.pattern(),
        sought.names_only,
        sought.address_end.is_some() || !sought.firsts.is_empty(),
        sought.address_end,
        &sought.firsts,
        &sought.lasts,
        sought.macs.is_some(),
        sought.mac_end,
        sought.macs.as_ref().map(|(first, _)| first),
        sought.macs.as_ref().map(|(_, last)| last),
        stretch.limit
    );
    Ok(sql.fetch_all(db).await?)
}

/// Those that the indexes know.
async fn by_index(db: &mut PgConnection, sought: &Sought, stretch: Stretch<'_>) -> Result<Vec<String>, DbError> {
    // How many will be found the planner cannot know; `limit 1` keeps it from reading all names to be prepared for many.
    let sql = query_scalar!(
        r#"with found (id) as (
             select h.id from dns.node n cross join lateral (select h.id from ipam.host h where h.node_id = n.id limit 1) h where n.name like $2
             union select h.id from ipam.host h where not $3
               and lower(h.contact || ' ' || h.location || ' ' || h.hardware || ' ' || h.comment) like $2
             union select e.host_id from ipam.equipment e where not $3
               and lower(e.building || ' ' || e.room || ' ' || e.outlet || ' ' || e.asset_tag) like $2
             union select r.host_id from org.contact c join org.responsibility r on r.contact_id = c.id where not $3 and r.host_id is not null
               and (lower(c.name) like $2 or c.handle like $2 or lower(c.mail) like $2)
             union select a.host_id from unnest($4::text[]::inet[], $5::text[]::inet[]) s (first, last) join ipam.address a on a.ip between s.first and s.last
             union select a.host_id from ipam.address a where reverse(host(a.ip)) collate "C" between $6 and $6 || '~'
             union select i.host_id from ipam.iface i where i.mac between $7::text::macaddr and $8::text::macaddr
             union select i.host_id from ipam.iface i where i.mac is not null and reverse(replace(i.mac::text, ':', '')) collate "C" between $9 and $9 || '~')
           select l.name from found f cross join lateral (
             select n.name from ipam.host h join dns.node n on n.id = h.node_id where h.id = f.id limit 1) l
           where l.name > $1 order by l.name limit $10"#,
        stretch.after,
        sought.pattern(),
        sought.names_only,
        &sought.firsts,
        &sought.lasts,
        sought.address_end.as_deref().map(reversed),
        sought.macs.as_ref().map(|(first, _)| first),
        sought.macs.as_ref().map(|(_, last)| last),
        sought.mac_end.as_deref().map(reversed),
        stretch.limit
    );
    Ok(sql.fetch_all(db).await?)
}

/// The hosts in these areas, and of them those that a search finds.
pub async fn within(db: &mut PgConnection, within: Within<'_>, sought: Option<&Sought>, stretch: Stretch<'_>) -> Result<Vec<String>, DbError> {
    let nothing = Sought::default();
    let sought = sought.unwrap_or(&nothing);
    let sql = query_scalar!(
        r#"select n.name from access.hosts_within($1, $2, $3, $4, $5, $6) as w (id) join ipam.host h on h.id = w.id join dns.node n on n.id = h.node_id
           where n.name > $7 and (n.name like $8
             or (not $9 and (lower(h.contact || ' ' || h.location || ' ' || h.hardware || ' ' || h.comment) like $8
               or exists (select from ipam.equipment e where e.host_id = h.id
                    and lower(e.building || ' ' || e.room || ' ' || e.outlet || ' ' || e.asset_tag) like $8)
               or exists (select from org.responsibility r join org.contact c on c.id = r.contact_id where r.host_id = h.id
                    and (lower(c.name) like $8 or c.handle like $8 or lower(c.mail) like $8))
               or exists (select from ipam.address a where a.host_id = h.id and (
                    right(host(a.ip), length($10)) = $10
                    or exists (select from unnest($11::text[]::inet[], $12::text[]::inet[]) r (first, last) where a.ip between r.first and r.last)))
               or exists (select from ipam.iface i where i.host_id = h.id and (
                    right(replace(i.mac::text, ':', ''), length($13)) = $13 or i.mac between $14::text::macaddr and $15::text::macaddr)))))
           order by n.name limit $16"#,
        within.campuses,
        within.departments,
        within.apexes,
        within.names,
        within.firsts,
        within.lasts,
        stretch.after,
        sought.pattern(),
        sought.names_only,
        sought.address_end,
        &sought.firsts,
        &sought.lasts,
        sought.mac_end,
        sought.macs.as_ref().map(|(first, _)| first),
        sought.macs.as_ref().map(|(_, last)| last),
        stretch.limit
    );
    Ok(sql.fetch_all(db).await?)
}

impl Sought {
    /// For LIKE on a text.
    fn pattern(&self) -> String {
        let literal = literal(&self.part);
        if self.part.chars().count() < TRIGRAM_CHARS { format!("{literal}%") } else { format!("%{literal}%") }
    }
}

/// For an index that reads from behind. What stands in those texts sorts before `~`.
fn reversed(end: &str) -> String {
    end.chars().rev().collect()
}

/// A text without meaning of its own in LIKE.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out
}
