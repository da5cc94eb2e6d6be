//! The canonical form of a definition, which its hash is taken of: the TOML table as deterministic
//! CBOR. Spaces, comments and the order of keys do not count; the order of lists does.

use keys::Hash;
use minicbor::Encoder;
use toml::{Table, Value};

use super::KindError;
use crate::limits::KIND_DEPTH_MAX;

/// Returns the hash that names the definition.
pub(super) fn hash(table: &Table) -> Result<Hash, KindError> {
    let mut bytes = Vec::new();
    write_table(table, &mut bytes, KIND_DEPTH_MAX)?;
    Ok(Hash::tagged("sanji/1/kind", &[&bytes]))
}

fn write_table(table: &Table, out: &mut Vec<u8>, depth: usize) -> Result<(), KindError> {
    let mut keys: Vec<_> = table
        .iter()
        .map(|(key, value)| (head(key), value))
        .collect();
    keys.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    encoder(out)
        .map(keys.len() as u64)
        .expect("writing to a vector cannot fail");
    for (key, value) in keys {
        out.extend_from_slice(&key);
        write(value, out, depth)?;
    }
    Ok(())
}

fn write(value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), KindError> {
    let depth = depth.checked_sub(1).ok_or(KindError::NoCanonicalForm)?;
    match value {
        Value::String(text) => out.extend_from_slice(&head(text)),
        Value::Integer(number) => out.extend_from_slice(&keys::cbor::to_vec(number)),
        Value::Boolean(yes) => out.extend_from_slice(&keys::cbor::to_vec(yes)),
        Value::Float(_) | Value::Datetime(_) => return Err(KindError::NoCanonicalForm),
        Value::Table(table) => write_table(table, out, depth)?,
        Value::Array(items) => {
            encoder(out)
                .array(items.len() as u64)
                .expect("writing to a vector cannot fail");
            for item in items {
                write(item, out, depth)?;
            }
        }
    }
    Ok(())
}

/// Returns a text as CBOR: the form keys are sorted in.
fn head(text: &str) -> Vec<u8> {
    keys::cbor::to_vec(&text)
}

fn encoder(out: &mut Vec<u8>) -> Encoder<&mut Vec<u8>> {
    Encoder::new(out)
}
