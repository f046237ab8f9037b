//! Deltas of consecutive generations as one: what a slow agent, a peer or a stick carries instead of many.

use super::row::{Rows, RowsError, encode_changes};
use super::{RowRef, Table};
use std::collections::BTreeMap;

/// Merges the deltas of consecutive generations, oldest first: of several writes to one row the last one counts.
pub fn merge_payloads<'a>(payloads: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, RowsError> {
    let mut last: BTreeMap<(Table, &[u8]), Option<&[u8]>> = BTreeMap::new();
    for payload in payloads {
        for row in Rows::new(payload) {
            let row = row?;
            last.insert((row.table, row.key), row.value);
        }
    }
    let rows = last.into_iter().map(|((table, key), value)| RowRef { table, key, value });
    Ok(encode_changes(rows).expect("rows that were read are within their limits"))
}
