//! How one value stands on disk: a flag, a checksum bound to its key, and the bytes, compressed when
//! that helps.
//!
//! The engine's own checksums cover its pages, not the way from our hands to its pages and back, and
//! a page that is sound but belongs elsewhere passes them. Every value therefore carries its own,
//! over the key as well: `flag (0 raw, 1 zstd) | SHA-256 truncated to 8 bytes | body`, where a zstd
//! body opens with the plain length (u32, big-endian) that bounds its inflation.

use std::cell::RefCell;

use keys::Hash;
use zstd::bulk::{Compressor, Decompressor};

use super::VALUE_SIZE_MAX;

const RAW: u8 = 0;
const ZSTD: u8 = 1;
const CHECKSUM: usize = 8;
const PREFIX: usize = 1 + CHECKSUM;
const LENGTH: usize = 4;

/// Values up to this many bytes stay as they are: too short for compression to win a disk page.
const COMPRESS_ABOVE: usize = 256;

/// Fast; the saving of higher levels on values this short is a few percent.
const LEVEL: i32 = 1;

/// Bytes a frame adds at most to a value.
pub(crate) const OVERHEAD_MAX: usize = PREFIX + LENGTH;

thread_local! {
    // A compression context is half a megabyte of tables: made once for a thread, not for a value.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Frames `value` for storage under `key`.
pub(crate) fn encode(key: &[u8], value: &[u8]) -> Vec<u8> {
    let compressed = if value.len() > COMPRESS_ABOVE {
        compress(value)
    } else {
        None
    };
    let (flag, body_len) = match &compressed {
        Some(body) => (ZSTD, LENGTH + body.len()),
        None => (RAW, value.len()),
    };
    let mut frame = Vec::with_capacity(PREFIX + body_len);
    frame.push(flag);
    frame.extend_from_slice(&[0; CHECKSUM]);
    match &compressed {
        Some(body) => {
            frame.extend_from_slice(&plain_length(value));
            frame.extend_from_slice(body);
        }
        None => frame.extend_from_slice(value),
    }
    let sum = checksum(key, flag, &frame[PREFIX..]);
    frame[1..PREFIX].copy_from_slice(&sum);
    frame
}

/// Returns the value in `frame`, or `None` when it is not what [`encode`] made for this `key`.
pub(crate) fn decode(key: &[u8], frame: &[u8]) -> Option<Vec<u8>> {
    let (prefix, body) = frame.split_at_checked(PREFIX)?;
    let (flag, sum) = prefix.split_first()?;
    if checksum(key, *flag, body) != sum {
        return None;
    }
    match *flag {
        RAW => Some(body.to_vec()),
        ZSTD => {
            let (length, body) = body.split_first_chunk::<LENGTH>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            if length > VALUE_SIZE_MAX {
                return None;
            }
            decompress(body, length).filter(|value| value.len() == length)
        }
        _ => None,
    }
}

fn plain_length(value: &[u8]) -> [u8; LENGTH] {
    u32::try_from(value.len())
        .expect("values are bounded far below 4 GiB")
        .to_be_bytes()
}

fn checksum(key: &[u8], flag: u8, body: &[u8]) -> [u8; CHECKSUM] {
    let hash = Hash::tagged("sanji/store/value", &[key, &[flag], body]);
    let (sum, _) = hash
        .as_bytes()
        .split_first_chunk()
        .expect("a hash is longer than a checksum");
    *sum
}

/// Returns the compressed bytes if they save at least a sixteenth.
fn compress(value: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(LEVEL).ok();
        }
        let body = slot.as_mut()?.compress(value).ok()?;
        (LENGTH + body.len() + value.len() / 16 < value.len()).then_some(body)
    })
}

fn decompress(body: &[u8], length: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        slot.as_mut()?.decompress(body, length).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(len: usize) -> Vec<u8> {
        b"the same words again and again, "
            .iter()
            .copied()
            .cycle()
            .take(len)
            .collect()
    }

    fn noise(len: usize) -> Vec<u8> {
        (0..len.div_ceil(32) as u64)
            .flat_map(|i| *Hash::of(&i.to_be_bytes()).as_bytes())
            .take(len)
            .collect()
    }

    #[test]
    fn every_length_comes_back() {
        for len in [0, 1, 255, 256, 257, 1_000, VALUE_SIZE_MAX] {
            for value in [text(len), noise(len)] {
                let frame = encode(b"key", &value);
                assert!(frame.len() <= value.len() + OVERHEAD_MAX);
                assert_eq!(decode(b"key", &frame).unwrap(), value);
            }
        }
    }

    #[test]
    fn only_long_values_that_shrink_are_compressed() {
        assert_eq!(encode(b"k", &text(COMPRESS_ABOVE))[0], RAW);
        assert_eq!(encode(b"k", &noise(4_000))[0], RAW);
        let frame = encode(b"k", &text(4_000));
        assert_eq!(frame[0], ZSTD);
        assert!(frame.len() < 200);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        for value in [text(40), text(4_000), noise(300)] {
            let frame = encode(b"key", &value);
            for at in 0..frame.len() {
                for bit in 0..8 {
                    let mut damaged = frame.clone();
                    damaged[at] ^= 1 << bit;
                    assert_eq!(decode(b"key", &damaged), None, "byte {at} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_value_under_another_key_is_noticed() {
        let frame = encode(b"key", b"value");
        assert_eq!(decode(b"yek", &frame), None);
    }

    #[test]
    fn every_truncation_is_noticed() {
        let frame = encode(b"key", &text(4_000));
        for len in 0..frame.len() {
            assert_eq!(decode(b"key", &frame[..len]), None);
        }
    }

    #[test]
    fn a_frame_that_promises_too_much_is_refused_before_it_is_inflated() {
        let mut frame = vec![ZSTD];
        frame.extend_from_slice(&[0; CHECKSUM]);
        frame.extend_from_slice(&u32::MAX.to_be_bytes());
        frame.extend_from_slice(&compress(&text(4_000)).unwrap());
        let sum = checksum(b"k", ZSTD, &frame[PREFIX..]);
        frame[1..PREFIX].copy_from_slice(&sum);
        assert_eq!(decode(b"k", &frame), None);
    }
}
