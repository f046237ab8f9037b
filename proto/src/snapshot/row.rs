use super::Kind;
use std::collections::BTreeMap;

/// The longest key of a row. A domain name has 255 bytes; the rest is room for composite keys.
const KEY_LIMIT_BYTES: usize = 1024;
/// The longest value of a row: one node with all its records, one host with all its options.
const VALUE_LIMIT_BYTES: usize = 1 << 20;
/// `table u8, klen u16, vlen u32`, little-endian.
const ROW_HEADER_BYTES: usize = 7;
/// What a delta sets as the value length of a row that goes away.
const DELETED: u32 = u32::MAX;

/// Which table of its kind a row belongs to. The protocol cores name theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(pub u8);

impl Table {
    /// Whether rows are looked for by their neighbours, too ([`View::floor`](super::View::floor)): from 128 on.
    pub const fn is_ordered(self) -> bool {
        self.0 >= 128
    }
}

/// One row, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef<'a> {
    /// Its table.
    pub table: Table,
    /// Its key, unique within the table.
    pub key: &'a [u8],
    /// Its value, or `None` where a delta takes the row away.
    pub value: Option<&'a [u8]>,
}

/// A wish to set a row (`Some`) or to take it away (`None`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The row's table.
    pub table: Table,
    /// The row's key.
    pub key: Vec<u8>,
    /// The new value; `None` deletes.
    pub value: Option<Vec<u8>>,
}

impl Change {
    /// Sets a row.
    pub fn put(table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { table, key: key.into(), value: Some(value.into()) }
    }

    /// Takes a row away.
    pub fn delete(table: Table, key: impl Into<Vec<u8>>) -> Self {
        Self { table, key: key.into(), value: None }
    }

    /// Whether the row is within the limits of what is kept and sent.
    pub fn fits(&self) -> Result<(), EncodeError> {
        encode_row(self.as_ref(), &mut Vec::new())
    }

    pub(super) fn as_ref(&self) -> RowRef<'_> {
        RowRef { table: self.table, key: &self.key, value: self.value.as_deref() }
    }
}

/// A row that is too long to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The key passes its limit.
    #[error("a row's key has {0} bytes, over the limit of {KEY_LIMIT_BYTES}")]
    Key(usize),
    /// The value passes its limit.
    #[error("a row's value has {0} bytes, over the limit of {VALUE_LIMIT_BYTES}")]
    Value(usize),
}

/// Appends the one encoding of a row: `table u8 | klen u16 | vlen u32 | key | value`, little-endian; a deletion has the length 2^32-1 and no value.
pub fn encode_row(row: RowRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if row.key.len() > KEY_LIMIT_BYTES {
        return Err(EncodeError::Key(row.key.len()));
    }
    let value_len = match row.value {
        Some(value) if value.len() > VALUE_LIMIT_BYTES => return Err(EncodeError::Value(value.len())),
        Some(value) => value.len() as u32,
        None => DELETED,
    };
    out.push(row.table.0);
    out.extend_from_slice(&(row.key.len() as u16).to_le_bytes());
    out.extend_from_slice(&value_len.to_le_bytes());
    out.extend_from_slice(row.key);
    out.extend_from_slice(row.value.unwrap_or_default());
    Ok(())
}

/// Encodes changes in ascending order of (table, key), which the caller vouches for.
pub fn encode_changes<'a>(changes: impl IntoIterator<Item = RowRef<'a>>) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    changes.into_iter().try_for_each(|row| encode_row(row, &mut out))?;
    Ok(out)
}

/// Merges the payloads of consecutive generations, oldest first, into one: of each row the last word counts, a deletion too.
pub fn merge_payloads<'a>(payloads: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, RowsError> {
    let mut merged: BTreeMap<(Table, &[u8]), RowRef<'a>> = BTreeMap::new();
    for payload in payloads {
        for row in Rows::new(payload) {
            let row = row?;
            merged.insert((row.table, row.key), row);
        }
    }
    // Rows that were decoded are within their limits.
    Ok(encode_changes(merged.into_values()).expect("rows within their limits"))
}

/// The bytes that a row is hashed as: its kind, then its encoding.
pub(super) fn hashed_form(kind: Kind, row: RowRef<'_>, out: &mut Vec<u8>) {
    out.clear();
    out.push(kind as u8);
    // Rows come here only out of a checked payload or a checked draft, so they are within the limits.
    encode_row(row, out).expect("a row within its limits");
}

/// Rows that do not follow the one encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowsError {
    /// The bytes end within a row.
    #[error("the rows end in the middle of one, at byte {0}")]
    Torn(usize),
    /// A length passes its limit.
    #[error("the row at byte {0} is longer than its limit")]
    TooLong(usize),
    /// Keys are not strictly ascending, so the encoding would not be the only one.
    #[error("the row at byte {0} is out of order or doubled")]
    OutOfOrder(usize),
}

/// Walks encoded rows, checking lengths and strict order as it goes. Stops for good after an error.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    bytes: &'a [u8],
    at: usize,
    last: Option<(Table, &'a [u8])>,
}

impl<'a> Rows<'a> {
    /// Over these bytes, from their start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, last: None }
    }

    /// Where the next row starts.
    pub fn offset(&self) -> usize {
        self.at
    }

    fn read(&mut self) -> Result<RowRef<'a>, RowsError> {
        let start = self.at;
        let (row, end) = decode_row(self.bytes, start)?;
        if self.last.is_some_and(|last| last >= (row.table, row.key)) {
            return Err(RowsError::OutOfOrder(start));
        }
        self.last = Some((row.table, row.key));
        self.at = end;
        Ok(row)
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<RowRef<'a>, RowsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let row = self.read();
        if row.is_err() {
            self.at = self.bytes.len();
        }
        Some(row)
    }
}

/// Reads the row at `start`; gives it and where it ends.
pub(super) fn decode_row(bytes: &[u8], start: usize) -> Result<(RowRef<'_>, usize), RowsError> {
    let torn = RowsError::Torn(start);
    let header = bytes.get(start..start + ROW_HEADER_BYTES).ok_or(torn)?;
    let table = Table(header[0]);
    let key_len = u16::from_le_bytes([header[1], header[2]]) as usize;
    let value_len = u32::from_le_bytes([header[3], header[4], header[5], header[6]]);
    let key_start = start + ROW_HEADER_BYTES;
    if key_len > KEY_LIMIT_BYTES || (value_len != DELETED && value_len as usize > VALUE_LIMIT_BYTES) {
        return Err(RowsError::TooLong(start));
    }
    let key = bytes.get(key_start..key_start + key_len).ok_or(torn)?;
    let value_start = key_start + key_len;
    if value_len == DELETED {
        return Ok((RowRef { table, key, value: None }, value_start));
    }
    let end = value_start + value_len as usize;
    let value = bytes.get(value_start..end).ok_or(torn)?;
    Ok((RowRef { table, key, value: Some(value) }, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_encoding_of_a_row_is_golden() {
        let mut out = Vec::new();
        encode_row(RowRef { table: Table(2), key: b"key", value: Some(b"value") }, &mut out).unwrap();
        encode_row(RowRef { table: Table(3), key: b"gone", value: None }, &mut out).unwrap();
        assert_eq!(hex::encode(out), "020300050000006b657976616c7565030400ffffffff676f6e65");
    }

    #[test]
    fn doubled_and_unordered_rows_are_refused() {
        let row = |key| RowRef { table: Table(1), key, value: Some(b"") };
        let doubled = encode_changes([row(b"a"), row(b"a")]).unwrap();
        assert_eq!(Rows::new(&doubled).last(), Some(Err(RowsError::OutOfOrder(8))));
        let falling = encode_changes([row(b"b"), row(b"a")]).unwrap();
        assert_eq!(Rows::new(&falling).last(), Some(Err(RowsError::OutOfOrder(8))));
    }

    proptest! {
        #[test]
        fn any_bytes_end_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Rows::new(&bytes).count() <= bytes.len());
        }
    }
}
