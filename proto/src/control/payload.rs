//! How rows travel: as they are where they are few, with zstd where they are many. What is signed is always the rows themselves.

use super::Compression;
use bytes::Bytes;

/// Below this, a packet is a packet.
const COMPRESS_FROM_BYTES: usize = 1024;
/// Higher levels cost ten times as much and gain nothing on this data.
const LEVEL: i32 = 1;

/// Rows as they travel, in one buffer that every line shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The bytes on the wire.
    pub bytes: Bytes,
    /// What they are.
    pub compression: Compression,
}

/// A payload that does not unpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the payload cannot be unpacked: it is damaged, longer than {limit_bytes} bytes, or of a compression that this build does not know")]
pub struct UnpackError {
    /// The longest payload that is taken here.
    pub limit_bytes: usize,
}

/// Packs a payload for the wire.
pub fn pack(payload: Bytes) -> Packed {
    if payload.len() >= COMPRESS_FROM_BYTES
        && let Ok(smaller) = zstd::bulk::compress(&payload, LEVEL)
        && smaller.len() < payload.len()
    {
        return Packed { bytes: smaller.into(), compression: Compression::Zstd };
    }
    Packed { bytes: payload, compression: Compression::None }
}

/// Unpacks what came over the wire. `limit_bytes` keeps a few hostile bytes from becoming many.
pub fn unpack(bytes: Bytes, compression: i32, limit_bytes: usize) -> Result<Bytes, UnpackError> {
    let wrong = UnpackError { limit_bytes };
    match Compression::try_from(compression) {
        Ok(Compression::None) if bytes.len() <= limit_bytes => Ok(bytes),
        Ok(Compression::Zstd) => zstd::bulk::decompress(&bytes, limit_bytes).map(Bytes::from).map_err(|_| wrong),
        _ => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_arrives_as_it_left() {
        for payload in [Bytes::new(), Bytes::from_static(b"few"), Bytes::from(vec![7; 100_000])] {
            let packed = pack(payload.clone());
            assert!(packed.bytes.len() <= payload.len().min(1024));
            assert_eq!(unpack(packed.bytes, packed.compression.into(), 100_000), Ok(payload));
        }
    }

    #[test]
    fn a_payload_over_the_limit_is_not_unpacked() {
        let packed = pack(Bytes::from(vec![7; 100_000]));
        assert!(unpack(packed.bytes.clone(), packed.compression.into(), 99_999).is_err());
        assert!(unpack(Bytes::from_static(b"four"), Compression::None.into(), 3).is_err());
        assert!(unpack(packed.bytes.slice(..20), Compression::Zstd.into(), 100_000).is_err());
        assert!(unpack(packed.bytes, 9, 100_000).is_err());
    }
}
