//! Boot options that are inherited: what an institution, a campus, a subnet and a device class say, each over the one before; a host's
//! own entry goes over them all.

use super::boot::{BootParameters, OptionDraft};
use super::{DbError, json, to_json};
use holdfast_proto::words::DomainName;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, query, query_scalar};
use std::net::Ipv4Addr;

/// From where boot options can come, the outermost first: each goes over the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Level {
    /// The whole of it, without a name.
    Institution,
    /// A campus, by its name.
    Campus,
    /// A subnet, by its network.
    Subnet,
    /// A device class, by its name.
    Class,
}

/// What everything below a level is told at boot. What is not said is inherited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BootDefaults {
    /// Whom to fetch the boot file from (`siaddr`).
    #[schema(value_type = Option<String>)]
    pub next_server: Option<Ipv4Addr>,
    /// The name of the boot server (`sname`), at most 63 bytes.
    pub server_name: String,
    /// The boot file, at most 127 bytes.
    pub boot_file: String,
    /// The domain (option 15).
    #[schema(value_type = Option<String>)]
    pub domain: Option<DomainName>,
    /// The DNS servers (option 6).
    #[schema(value_type = Vec<String>)]
    pub dns_servers: Vec<Ipv4Addr>,
    /// How long an address may be kept, in seconds (option 51).
    pub lease_secs: Option<u32>,
    /// Further options over the inherited ones; one without a value takes the inherited one away.
    pub options: Vec<OptionDraft>,
}

impl BootDefaults {
    /// Everything that goes out as an option, each once: `options` has the last word.
    pub fn all_options(&self) -> Vec<OptionDraft> {
        let domain = self.domain.as_ref().map(|domain| (15, domain.without_dot().into_bytes()));
        let servers = (!self.dns_servers.is_empty()).then(|| (6, self.dns_servers.iter().flat_map(Ipv4Addr::octets).collect()));
        let lease = self.lease_secs.map(|secs| (51, secs.to_be_bytes().to_vec()));
        let named = [domain, servers, lease].into_iter().flatten().map(|(code, value)| OptionDraft { code, value: Some(value) });
        let is_said = |code: u8| self.options.iter().any(|option| option.code == code);
        named.filter(|option| !is_said(option.code)).chain(self.options.iter().cloned()).collect()
    }
}

/// The parameters of a host with all that is inherited worked in, but for the options of its subnet and outwards, which the
/// subnet's own row carries. `outer` are subnet, campus and institution, the nearest first.
pub fn inherited(own: BootParameters, class: Option<&BootDefaults>, outer: &[BootDefaults]) -> BootParameters {
    let layers = || class.into_iter().chain(outer);
    let text = |own: String, pick: fn(&BootDefaults) -> &String| match own.is_empty() {
        true => layers().map(pick).find(|text| !text.is_empty()).cloned().unwrap_or_default(),
        false => own,
    };
    let mut options = own.options;
    let of_class = class.map(BootDefaults::all_options).unwrap_or_default();
    options.extend(of_class.into_iter().filter(|option| !options.iter().any(|own| own.code == option.code)).collect::<Vec<_>>());
    options.sort_by_key(|option| option.code);
    BootParameters {
        next_server: own.next_server.or_else(|| layers().find_map(|layer| layer.next_server)),
        server_name: text(own.server_name, |layer| &layer.server_name),
        boot_file: text(own.boot_file, |layer| &layer.boot_file),
        options,
        ..own
    }
}

/// What one level says about one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DefaultsRow {
    /// The level.
    pub level: Level,
    /// The object, as people call it; empty for the institution.
    pub object: String,
    /// What it says.
    pub parameters: BootDefaults,
    /// How often it was changed.
    pub version: i64,
}

/// What all levels say, the outermost first.
pub async fn all(db: &mut PgConnection) -> Result<Vec<DefaultsRow>, DbError> {
    let sql = query!(
        r#"select d.level as "level: Level", coalesce(ca.name, s.network::text, c.name, '') as "object!", d.parameters, d.version
           from boot.defaults d left join org.campus ca on ca.id = d.campus_id left join ipam.subnet s on s.id = d.subnet_id
           left join ipam.device_class c on c.id = d.class_id"#
    );
    let rows = sql.fetch_all(db).await?.into_iter();
    let mut rows: Vec<DefaultsRow> = rows
        .map(|row| Ok(DefaultsRow { level: row.level, object: row.object, parameters: json(row.parameters)?, version: row.version }))
        .collect::<Result<_, DbError>>()?;
    rows.sort_by(|one, other| (one.level, &one.object).cmp(&(other.level, &other.object)));
    Ok(rows)
}

/// Keeps what a level says about an object, new or changed; its version, `None` where there is no such object.
pub async fn put(db: &mut PgConnection, level: Level, object: &str, parameters: &BootDefaults) -> Result<Option<i64>, DbError> {
    let sql = query_scalar!(
        "insert into boot.defaults (level, campus_id, subnet_id, class_id, parameters)
         select $1, ca.id, s.id, c.id, $3 from (select) nothing
           left join org.campus ca on $1 = 'campus' and ca.name = $2 left join ipam.subnet s on $1 = 'subnet' and s.network::text = $2
           left join ipam.device_class c on $1 = 'class' and c.name = $2
         where $1 = 'institution' and $2 = '' or num_nonnulls(ca.id, s.id, c.id) = 1
         on conflict (level, object_key) do update set parameters = excluded.parameters, version = boot.defaults.version + 1
         returning version",
        level as _,
        object,
        to_json(parameters)
    );
    Ok(sql.fetch_optional(db).await?)
}

/// Lets an object inherit everything again; false where it said nothing.
pub async fn delete(db: &mut PgConnection, level: Level, object: &str) -> Result<bool, DbError> {
    let sql = query!(
        "delete from boot.defaults d where d.level = $1 and case $1
           when 'campus' then d.campus_id = (select id from org.campus where name = $2)
           when 'subnet' then d.subnet_id = (select id from ipam.subnet where network::text = $2)
           when 'class' then d.class_id = (select id from ipam.device_class where name = $2)
           else $2 = '' end",
        level as _,
        object
    );
    Ok(sql.execute(db).await?.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(code: u8, value: Option<u8>) -> OptionDraft {
        OptionDraft { code, value: value.map(|byte| vec![byte]) }
    }

    #[test]
    fn a_host_goes_over_its_class_and_the_class_over_what_is_further_out() {
        let class = BootDefaults { boot_file: "class.img".into(), options: vec![option(42, Some(1)), option(60, Some(2))], ..BootDefaults::default() };
        let campus = BootDefaults { next_server: Some([10, 1, 4, 2].into()), boot_file: "campus.img".into(), ..BootDefaults::default() };
        let own = BootParameters { options: vec![option(60, None)], ..BootParameters::default() };
        let found = inherited(own, Some(&class), &[campus]);
        assert_eq!((found.next_server, found.boot_file.as_str()), (Some([10, 1, 4, 2].into()), "class.img"));
        assert_eq!(found.options, [option(42, Some(1)), option(60, None)]);
    }

    #[test]
    fn named_fields_are_options_unless_an_option_says_otherwise() {
        let defaults = BootDefaults { lease_secs: Some(3600), domain: Some("uni.example".parse().unwrap()), ..BootDefaults::default() };
        let codes = |defaults: &BootDefaults| defaults.all_options().iter().map(|option| (option.code, option.value.is_some())).collect::<Vec<_>>();
        assert_eq!(codes(&defaults), [(15, true), (51, true)]);
        assert_eq!(codes(&BootDefaults { options: vec![option(51, None)], ..defaults }), [(15, true), (51, false)]);
    }
}
