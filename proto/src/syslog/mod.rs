//! Syslog messages (RFC 5424) and their frames on a stream (RFC 6587 section 3.4.1, which RFC 5425 builds on).
//!
//! Only the text: who sends it, and over what, is for the programs. Any report gives a message that a strict receiver
//! takes: names are brought into the characters that the grammar allows, values are escaped, and line breaks cannot forge
//! a second entry.

use crate::words::UnixMillis;
use std::fmt::Write;

#[cfg(test)]
mod tests;

/// How grave something is (RFC 5424 section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something must be done at once.
    Alert = 1,
    /// A part does not work.
    Critical = 2,
    /// Something failed.
    Error = 3,
    /// Something that may become a failure.
    Warning = 4,
    /// Normal and worth noting.
    Notice = 5,
    /// For the record.
    Info = 6,
}

impl Severity {
    /// By its number; a number that is none of ours counts as a warning.
    pub fn of(number: u32) -> Self {
        match number {
            1 => Self::Alert,
            2 => Self::Critical,
            3 => Self::Error,
            5 => Self::Notice,
            6 => Self::Info,
            _ => Self::Warning,
        }
    }

    /// Its name, as it is shown and asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
        }
    }
}

/// Where a message belongs (RFC 5424 section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facility {
    /// System daemons.
    Daemon = 3,
    /// Security and authorisation, kept from ordinary readers.
    AuthPriv = 10,
    /// The log of who did what.
    Audit = 13,
}

/// A message before it is text.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Where it belongs.
    pub facility: Facility,
    /// How grave it is.
    pub severity: Severity,
    /// When.
    pub at: UnixMillis,
    /// The box it comes from.
    pub host: &'a str,
    /// The program.
    pub app: &'a str,
    /// The kind of message: the event's stable name.
    pub id: &'a str,
    /// The element's name with its enterprise number, such as `report@32473`.
    pub element: &'a str,
    /// Its parameters: names and values.
    pub parameters: &'a [(&'a str, String)],
    /// The sentence.
    pub text: &'a str,
}

impl Message<'_> {
    /// Its text (RFC 5424 section 6), without any framing.
    pub fn text(&self) -> String {
        let priority = self.facility as u8 * 8 + self.severity as u8;
        let (host, app, id) = (name(self.host, 255), name(self.app, 48), name(self.id, 32));
        let mut out = format!("<{priority}>1 {} {host} {app} - {id} ", timestamp(self.at));
        write!(out, "[{}", parameter_name(self.element)).expect("a String takes it");
        for (key, value) in self.parameters {
            write!(out, " {}=\"{}\"", parameter_name(key), escape(value)).expect("a String takes it");
        }
        out.push_str("] ");
        out.extend(self.text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        out
    }
}

/// A message as it stands on a stream: its length in bytes, a space, itself (RFC 5425 section 4.3).
pub fn octet_counted(text: &str) -> Vec<u8> {
    format!("{} {text}", text.len()).into_bytes()
}

/// Printable ASCII without spaces, never empty: `-` stands for nothing (RFC 5424 section 6).
fn name(text: &str, limit: usize) -> String {
    let name: String = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(limit).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

/// As [`name`], without what would end it (RFC 5424 section 6.3.2).
fn parameter_name(text: &str) -> String {
    name(text, 32).chars().map(|c| if matches!(c, '=' | ']' | '"') { '_' } else { c }).collect()
}

/// RFC 5424 section 6.3.3: these three are escaped, and nothing else is.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

/// RFC 3339 in UTC with milliseconds. A year of five digits has no place in it: time stops at the end of 9999.
fn timestamp(at: UnixMillis) -> String {
    const LAST_MS: u64 = 253_402_300_799_999;
    let ms = at.0.min(LAST_MS);
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// The date of a day counted from 1970-01-01: in years that begin in March, so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, in_era) = (days / 146_097, days % 146_097);
    let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * in_year + 2) / 153;
    let day = in_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}
