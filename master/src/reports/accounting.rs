use super::Inbox;
use crate::db::DbError;
use crate::db::accounting::{self, SaidRow};
use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::control::{Accounting, AccountingRecord};
use holdfast_proto::radius::accounting::{Arrival, Record, Status, Told};
use holdfast_proto::words::{Mac, NodeId};

/// How far a NAS's or a box's time may be ahead of ours.
const AHEAD_LIMIT: TimeDelta = TimeDelta::minutes(5);
/// How long before a record came its NAS may say that it happened: a NAS that was cut off kept it. What is older is a clock that is wrong.
const LATE_LIMIT: TimeDelta = TimeDelta::days(7);

impl Inbox {
    /// Stores what NASs said of sessions; gives whether that is safe now, so that the agent may go on.
    pub async fn take_accounting(&self, node: NodeId, name: &str, told: &Accounting) -> bool {
        let now = Utc::now();
        // One that this build cannot read, or that tells of no session, must not keep the others.
        let said: Vec<SaidRow> = told.records.iter().filter_map(|record| said(record, told, now)).collect();
        // What tries a disk is empty, and nobody misses it.
        let unread = told.records.iter().filter(|told| !told.record.is_empty() && Record::decode(&told.record).is_err()).count();
        if unread > 0 {
            metrics::counter!("holdfast_agent_accounting_unread_total").increment(unread as u64);
            tracing::error!(
                event = "accounting_unread",
                agent = name,
                unread,
                "{unread} records of {name}'s accounting log are none that this master knows, and are lost"
            );
        }
        match self.put_accounting(node, &said).await {
            Ok(new) => {
                metrics::counter!("holdfast_agent_accounting_total").increment(new);
                true
            }
            Err(error) => {
                tracing::error!(event = "database_failed", %error, agent = name, "what NASs said of sessions could not be stored and will come again");
                false
            }
        }
    }

    async fn put_accounting(&self, node: NodeId, said: &[SaidRow]) -> Result<u64, DbError> {
        // Whoever waits for its turn does so here, and not with one of the connections that edits need.
        let _turn = self.accounting_turn.lock().await;
        let mut tx = self.pool.begin().await?;
        let new = accounting::put(&mut tx, node, said).await?;
        tx.commit().await?;
        Ok(new)
    }
}

fn said(told: &AccountingRecord, batch: &Accounting, now: DateTime<Utc>) -> Option<SaidRow> {
    let record = Record::decode(&told.record).ok()?;
    let status = match record.status {
        Status::Start => "start",
        Status::Interim => "interim",
        Status::Stop => "stop",
        Status::On => "on",
        Status::Off => "off",
        Status::Other(_) => return None,
    };
    let facts = record.told();
    let at = happened(came(&record.arrival, batch, now), &facts, now);
    let mac = mac_of(&facts.calling_station).map(|mac| mac.to_string()).unwrap_or_default();
    let octets = |octets: Option<u64>| octets.map(|octets| octets.min(i64::MAX as u64) as i64);
    Some(SaidRow {
        log: told.log.clone(),
        number: i64::try_from(told.number).ok()?,
        status,
        nas_ip: record.nas,
        nas: storable(record.nas_name),
        nas_identifier: storable(facts.nas_identifier),
        nas_port: storable(facts.nas_port),
        session_id: storable(facts.session_id),
        user_name: storable(facts.user_name),
        at,
        session_secs: facts.session_secs.map(i64::from),
        terminate_cause: facts.terminate_cause.map(i64::from),
        calling_station: storable(facts.calling_station),
        called_station: storable(facts.called_station),
        mac,
        framed_ip: facts.framed_ip.map(|ip| ip.to_string()),
        framed_ipv6: facts.framed_ipv6.map(|(ip, length)| format!("{ip}/{length}")),
        input_octets: octets(facts.input_octets),
        output_octets: octets(facts.output_octets),
    })
}

/// When it happened. By the NAS's own clock, where that can be right (RFC 2869 section 5.3); else when it came, less the time for which the
/// NAS had tried to say it (RFC 2866 section 5.2).
fn happened(came: DateTime<Utc>, told: &Told, now: DateTime<Utc>) -> DateTime<Utc> {
    let latest = now + AHEAD_LIMIT;
    let came = came - TimeDelta::seconds(told.delay_secs.into());
    let by_nas = told.event_secs.and_then(|secs| DateTime::from_timestamp(secs.into(), 0));
    by_nas.filter(|at| *at <= latest && *at >= came - LATE_LIMIT).unwrap_or(came)
}

/// When a record came to its box. In the boot in which it came that is known by how long ago it was, whatever the box's clock says; later the
/// box's time has to do, which may lag.
fn came(arrival: &Arrival, batch: &Accounting, now: DateTime<Utc>) -> DateTime<Utc> {
    let is_same_boot = batch.boot == arrival.boot && arrival.boot != [0; 16];
    let ago = batch.since_boot_ms.checked_sub(arrival.since_boot_ms).filter(|_| is_same_boot).and_then(|ago| i64::try_from(ago).ok());
    if let Some(came) = ago.and_then(TimeDelta::try_milliseconds).and_then(|ago| now.checked_sub_signed(ago)) {
        return came;
    }
    let received = i64::try_from(arrival.received.0).ok().and_then(DateTime::from_timestamp_millis);
    // A box whose clock is ahead must not say the last word about a session for years.
    received.unwrap_or(now).min(now + AHEAD_LIMIT)
}

/// Access points write the hardware address in many ways, and some a network's name behind it.
fn mac_of(station: &str) -> Option<Mac> {
    station.parse().ok().or_else(|| station.get(..17)?.parse().ok())
}

/// Postgres keeps no zeros in a text.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', " ") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::words::UnixMillis;

    fn arrival(received: i64, boot: u8, since_boot_ms: u64) -> Arrival {
        Arrival { received: UnixMillis(received as u64 * 1000), boot: [boot; 16], since_boot_ms }
    }

    #[test]
    fn in_the_boot_in_which_it_came_a_box_needs_no_clock() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let batch = |boot: u8| Accounting { boot: vec![boot; 16], since_boot_ms: 100_000, ..Accounting::default() };
        let ago = |arrival: Arrival, boot: u8| (now - came(&arrival, &batch(boot), now)).num_seconds();
        assert_eq!(ago(arrival(5000, 7, 40_000), 7), 60, "a box in 1970");
        assert_eq!(ago(arrival(1_799_999_900, 7, 40_000), 8), 100, "another boot: by its time");
        assert_eq!(ago(arrival(1_799_999_900, 0, 40_000), 0), 100, "a kernel without a number of its boot");
        assert_eq!(ago(arrival(1_799_999_900, 7, 200_000), 7), 100, "from the future");
        assert_eq!(ago(arrival(1_900_000_000, 7, 40_000), 8), -300, "a box that is ahead");
    }

    #[test]
    fn the_time_is_that_of_the_nas_where_its_clock_can_be_right() {
        let (day, now) = (86_400, 1_800_000_000i64);
        let time = |received: i64, delay_secs: u32, event_secs: Option<i64>| {
            let told = Told { delay_secs, event_secs: event_secs.map(|secs| secs as u32), ..Told::default() };
            let clock = DateTime::from_timestamp(now, 0).unwrap();
            happened(came(&arrival(received, 7, 0), &Accounting::default(), clock), &told, clock).timestamp() - now
        };
        assert_eq!(time(now - 100, 30, None), -130, "by the box, less the delay");
        assert_eq!(time(now - 100, 30, Some(now - 131)), -131, "by the NAS");
        assert_eq!(time(now - 100, 0, Some(5000)), -100, "a NAS in 1970");
        assert_eq!(time(now - 100, 0, Some(now + day)), -100, "a NAS that is ahead");
        assert_eq!(time(now - 30 * day, 0, Some(now - 20)), -20, "a box that woke up without a clock");
        assert_eq!(time(now - 100, 0, Some(now - 2 * day)), -2 * day, "a NAS that was cut off for two days");
        assert_eq!(time(now + 9 * day, 0, None), 300, "a box that is ahead");
    }

    #[test]
    fn a_calling_station_is_a_hardware_address_in_any_spelling() {
        let mac = |station: &str| mac_of(station).map(|mac| mac.to_string());
        for station in ["02-00-00-00-00-09", "0200.0000.0009", "02:00:00:00:00:09:eduroam", "020000000009"] {
            assert_eq!(mac(station).as_deref(), Some("02:00:00:00:00:09"), "{station}");
        }
        assert_eq!((mac("+49 30 1234"), mac("10.1.4.7"), mac("")), (None, None, None));
    }
}
