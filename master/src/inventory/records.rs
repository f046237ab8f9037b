//! Records that no host implies, as people and programs write them: `MX` and `10 mail.uni.example.` in place of numbers and bytes.

use super::{Problem, RecordDraft};
use crate::db::DbError;
use crate::db::records::{self, RecordFilter, RecordRow};
use holdfast_proto::dns::rdata;
use holdfast_proto::words::{DomainName, HostName};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

/// A record as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRecord {
    /// The owner name, in one of our zones.
    #[schema(value_type = String)]
    pub name: DomainName,
    /// Its type, such as `MX` or `TYPE65280`.
    #[serde(rename = "type")]
    pub rtype: String,
    /// Its TTL in seconds; the zone's where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Its data as in a zone file; names in it are full names.
    pub data: String,
}

/// A record as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RecordObject {
    /// What an admin may write.
    #[serde(flatten)]
    pub record: WrittenRecord,
    /// The host whose alias it is: then it is changed with the host.
    #[schema(value_type = Option<String>)]
    pub host: Option<HostName>,
}

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct RecordQuery {
    /// Of this zone.
    pub zone: Option<DomainName>,
    /// At this name.
    pub name: Option<DomainName>,
    /// Of this type.
    pub rtype: Option<String>,
    /// With this data, however it is spelled; only together with a type.
    pub data: Option<String>,
    /// Where the page before ended.
    pub after: Option<(String, i64)>,
    /// How many at most.
    pub limit: u32,
}

/// A page of records by name, and where the next one starts.
pub async fn records(pool: &PgPool, query: &RecordQuery) -> Result<(Vec<RecordObject>, Option<(String, i64)>), super::Refusal> {
    let wrong = |code, parameter: &'static str| move |wrong: rdata::RdataError| Problem::new(code, parameter, wrong.to_string());
    let rtype = query.rtype.as_deref().map(|text| rdata::parse_type(text).map_err(wrong("no-such-type", "?type")));
    let data = match (&query.data, &query.rtype) {
        (None, _) => None,
        (Some(_), None) => return Err(Problem::new("bad-record", "?data", "data is looked for together with its type").into()),
        (Some(data), Some(rtype)) => Some(rdata::parse_text(rtype, data, Some(&DomainName::root())).map_err(wrong("bad-record", "?data"))?.1),
    };
    let (zone, name) = (query.zone.as_ref().map(DomainName::without_dot), query.name.as_ref().map(DomainName::without_dot));
    let filter = RecordFilter {
        zone: zone.as_deref(),
        name: name.as_deref(),
        rtype: rtype.transpose()?,
        rdata: data.as_deref(),
        after: query.after.as_ref().map(|(name, id)| (name.as_str(), *id)),
        limit: i64::from(query.limit) + 1,
    };
    let mut rows = records::list(&mut *pool.acquire().await.map_err(DbError::from)?, filter).await?;
    let more = rows.len() > query.limit as usize;
    rows.truncate(query.limit as usize);
    let next = rows.last().filter(|_| more).map(|row| (row.name.without_dot(), row.id));
    Ok((rows.into_iter().map(object).collect(), next))
}

fn object(row: RecordRow) -> RecordObject {
    let RecordRow { id: _, name, rtype, ttl, rdata, host } = row;
    RecordObject { record: WrittenRecord { name, rtype: rdata::type_name(rtype), ttl, data: rdata::print(rtype, &rdata) }, host }
}

/// The record that is meant, in wire form.
pub fn record_draft(written: &WrittenRecord) -> Result<RecordDraft, Problem> {
    let wrong = |pointer: &'static str| move |wrong: rdata::RdataError| Problem::new("bad-record", pointer, wrong.to_string());
    let rtype = rdata::parse_type(&written.rtype).map_err(wrong("/type"))?;
    let (_, rdata) = rdata::parse_text(&written.rtype, &written.data, Some(&DomainName::root())).map_err(wrong("/data"))?;
    let text = rdata::print(rtype, &rdata);
    Ok(RecordDraft { name: written.name.clone(), rtype, ttl: written.ttl, rdata, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(rtype: &str, data: &str) -> WrittenRecord {
        WrittenRecord { name: "uni.example".parse().unwrap(), rtype: rtype.into(), ttl: None, data: data.into() }
    }

    #[test]
    fn names_in_data_are_full_names_with_and_without_a_dot() {
        let [short, long] = ["10 mail.uni.example", "10 mail.uni.example."].map(|data| record_draft(&written("mx", data)).unwrap());
        assert_eq!(short, long);
        assert_eq!((short.rtype, short.text.as_str()), (15, "10 mail.uni.example."));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        assert_eq!(record_draft(&written("MXX", "x")).unwrap_err().pointer, "/type");
        assert_eq!(record_draft(&written("MX", "mail")).unwrap_err().pointer, "/data");
    }
}
