//! Records: their ids, how they are born, and how the fields of one record part into classes of reach.
//!
//! A record is born as one value: the canonical CBOR `[1, kind hash, {field: value}, {class: commitment}]`,
//! the last map left out when empty. The birth in the widest dossier carries a commitment to each
//! narrower class, so whoever may not see those fields can still hold the school to them.

use std::collections::BTreeMap;

use federation_protocol::Period;
use keys::{DecodeError, DossierSecret, Hash, TierName, UnitId};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use rand_core::CryptoRng;

use crate::class::ReachClass;
use crate::kind::{Fields, Kind, RowError};
use crate::leaf::class_commitment;
use crate::limits::{FIELD_NUMBER_MAX, RECORD_FIELDS_MAX};
use crate::value::Value;

keys::byte_newtype! {
    /// Names a record for ever, in every dossier that holds a class of its fields.
    pub struct RecordId(16);
}

impl RecordId {
    /// Derives the id of an imported row, so that importing the same row twice, here or on another
    /// node of the unit, is the same record. `fields` is the canonical CBOR of all its fields
    /// ([`fields_bytes`]); `occurrence` counts equal rows of one file from 0.
    pub fn derive(
        unit: &UnitId,
        kind: &str,
        period: Option<Period>,
        fields: &[u8],
        occurrence: u32,
    ) -> Self {
        let period = period.map(|period| period.to_string()).unwrap_or_default();
        let hash = Hash::tagged(
            "sanji/1/record-id",
            &[
                unit.as_str().as_bytes(),
                kind.as_bytes(),
                period.as_bytes(),
                fields,
                &occurrence.to_be_bytes(),
            ],
        );
        let (id, _) = hash
            .as_bytes()
            .split_first_chunk()
            .expect("a hash is longer than an id");
        Self::from_bytes(*id)
    }

    /// Draws the id of a record that a person creates.
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        Self::from_bytes(id)
    }
}

/// Returns the canonical CBOR of fields by number: what commitments and derived ids are taken of.
pub fn fields_bytes(fields: &Fields) -> Vec<u8> {
    keys::cbor::to_vec(fields)
}

/// How a record begins in one dossier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth {
    /// The hash of the kind's definition.
    pub kind: Hash,
    /// The fields of the dossier's class.
    pub fields: Fields,
    /// In the widest dossier, what stands for the narrower classes; empty in the others.
    pub commitments: BTreeMap<ReachClass, Hash>,
}

impl Birth {
    /// Returns the canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        keys::cbor::to_vec(self)
    }

    /// Reads a birth from its canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        keys::cbor::from_slice(bytes)
    }
}

impl<C> Encode<C> for Birth {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let committed = !self.commitments.is_empty();
        e.array(3 + u64::from(committed))?.u8(BIRTH_VERSION)?;
        e.encode_with(self.kind, ctx)?
            .encode_with(&self.fields, ctx)?;
        if committed {
            e.encode_with(&self.commitments, ctx)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Birth {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let length = d.array()?;
        if !matches!(length, Some(3 | 4)) || d.u8()? != BIRTH_VERSION {
            return Err(decode::Error::message("not a birth of version 1"));
        }
        let kind = d.decode_with(ctx)?;
        let fields = decode_fields(d, ctx)?;
        let commitments: BTreeMap<_, _> = if length == Some(4) {
            d.decode_with(ctx)?
        } else {
            BTreeMap::new()
        };
        if length == Some(4) && commitments.is_empty() {
            return Err(decode::Error::message(
                "an empty map of commitments is left out",
            ));
        }
        Ok(Self {
            kind,
            fields,
            commitments,
        })
    }
}

/// Reads fields by number, within bounds.
pub(crate) fn decode_fields<C>(d: &mut Decoder<'_>, ctx: &mut C) -> Result<Fields, decode::Error> {
    let count = d.map()?.filter(|count| *count <= RECORD_FIELDS_MAX as u64);
    let mut fields = Fields::new();
    for _ in 0..count.ok_or(decode::Error::message("too many fields"))? {
        let number = d.u16()?;
        if number == 0 || number > FIELD_NUMBER_MAX {
            return Err(decode::Error::message("field number out of range"));
        }
        fields.insert(number, Value::decode(d, ctx)?);
    }
    Ok(fields)
}

/// Why a record cannot be parted. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// Fields do not fit the kind.
    #[error("{} fields do not fit the kind", .0.len())]
    Fields(Vec<RowError>),
    /// A narrower class has fields and the secret of its dossier was not given.
    #[error("the secret of the {0} dossier is missing")]
    Secret(ReachClass),
}

/// Checks the fields against the kind and parts them into the record's births, one per class of reach,
/// widest first. The widest is always there and carries a commitment per narrower class, made with the
/// secret of that class's dossier; a narrower class without fields has neither birth nor commitment.
///
/// # Errors
/// The fields do not fit the kind, or `secrets` lacks the dossier secret of a narrower class.
pub fn split_record(
    kind: &Kind,
    tiers: &[TierName],
    record: &RecordId,
    fields: &Fields,
    secrets: &BTreeMap<ReachClass, DossierSecret>,
) -> Result<Vec<(ReachClass, Birth)>, SplitError> {
    kind.check_fields(fields).map_err(SplitError::Fields)?;
    let classes = kind.classes(tiers);
    let mut births: Vec<(ReachClass, Birth)> = Vec::with_capacity(classes.len());
    let mut commitments = BTreeMap::new();
    for class in classes.iter().rev() {
        let is_widest = classes.first() == Some(class);
        let fields: Fields = kind
            .fields()
            .iter()
            .filter(|field| field.reach.settled(tiers) == *class)
            .filter_map(|field| {
                fields
                    .get(&field.number)
                    .map(|value| (field.number, value.clone()))
            })
            .collect();
        if is_widest {
            let commitments = std::mem::take(&mut commitments);
            births.push((
                *class,
                Birth {
                    kind: kind.hash(),
                    fields,
                    commitments,
                },
            ));
        } else if !fields.is_empty() {
            let secret = secrets.get(class).ok_or(SplitError::Secret(*class))?;
            commitments.insert(*class, class_commitment(secret, record, &fields));
            births.push((
                *class,
                Birth {
                    kind: kind.hash(),
                    fields,
                    commitments: BTreeMap::new(),
                },
            ));
        }
    }
    births.reverse();
    Ok(births)
}

const BIRTH_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers() -> Vec<TierName> {
        ["school", "district", "city"]
            .map(|tier| TierName::new(tier).unwrap())
            .to_vec()
    }

    fn volunteer() -> (Kind, Fields) {
        let kind = Kind::parse(include_str!("../kinds/volunteer-service.toml")).unwrap();
        let text = |text: &str| Value::Text(text.into());
        let time = "2026-09-01T14:00/2026-09-01T16:00";
        let time = kind.field(9).unwrap().parse_text(time).unwrap().unwrap();
        let fields = [
            (1, text("G1")),
            (2, text("s1")),
            (3, text("2026-1")),
            (4, text("individual")),
            (5, text("other")),
            (6, text("Library")),
            (9, time),
            (10, Value::Int(90)),
        ];
        (kind, fields.into())
    }

    #[test]
    fn a_record_parts_into_classes_and_the_widest_commits_to_the_narrower() {
        let (kind, fields) = volunteer();
        let record = RecordId::from_bytes([1; 16]);
        let missing = split_record(&kind, &tiers(), &record, &fields, &BTreeMap::new());
        assert_eq!(missing, Err(SplitError::Secret(ReachClass::School)));

        let secret = DossierSecret::from_bytes([9; 32]);
        let secrets = [(ReachClass::School, secret.clone())].into();
        let births = split_record(&kind, &tiers(), &record, &fields, &secrets).unwrap();
        let [(ReachClass::City, wide), (ReachClass::School, narrow)] = births.as_slice() else {
            panic!("{births:?}");
        };
        assert_eq!(narrow.fields.keys().collect::<Vec<_>>(), [&9]);
        assert_eq!(wide.fields.len() + narrow.fields.len(), fields.len());
        let commitment = class_commitment(&secret, &record, &narrow.fields);
        assert_eq!(wide.commitments, [(ReachClass::School, commitment)].into());
        assert!(narrow.commitments.is_empty());
        for (_, birth) in &births {
            assert_eq!(Birth::from_bytes(&birth.to_bytes()).as_ref(), Ok(birth));
        }
    }

    #[test]
    fn a_class_without_fields_has_no_birth() {
        let text = include_str!("../kinds/volunteer-service.toml");
        let optional = "name = \"time\", type = \"interval\", required = false,";
        let kind = Kind::parse(&text.replace("name = \"time\", type = \"interval\",", optional));
        let (_, mut fields) = volunteer();
        fields.remove(&9);
        let record = RecordId::from_bytes([1; 16]);
        let births =
            split_record(&kind.unwrap(), &tiers(), &record, &fields, &BTreeMap::new()).unwrap();
        assert_eq!(births.len(), 1);
        assert!(births[0].1.commitments.is_empty());
    }

    #[test]
    fn fields_that_do_not_fit_are_named() {
        let (kind, mut fields) = volunteer();
        fields.remove(&1);
        fields.insert(99, Value::Bool(true));
        let record = RecordId::from_bytes([1; 16]);
        let refused = split_record(&kind, &tiers(), &record, &fields, &BTreeMap::new());
        let Err(SplitError::Fields(errors)) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(
            errors.iter().map(|error| error.field).collect::<Vec<_>>(),
            [1, 99]
        );
    }

    #[test]
    fn only_the_canonical_birth_is_read() {
        let birth = Birth {
            kind: Hash::of(b"kind"),
            fields: Fields::new(),
            commitments: BTreeMap::new(),
        };
        let bytes = birth.to_bytes();
        let mut with_empty_commitments = bytes.clone();
        with_empty_commitments[0] = 0x84;
        with_empty_commitments.push(0xa0);
        assert!(Birth::from_bytes(&with_empty_commitments).is_err());
        let mut newer = bytes;
        newer[1] = 2;
        assert!(Birth::from_bytes(&newer).is_err());
    }

    #[test]
    fn a_derived_id_depends_on_every_part() {
        let derive = |unit: &str, kind, period, fields: &[u8], occurrence| {
            let period = Some(Period::new(period, 1).unwrap());
            RecordId::derive(
                &UnitId::new(unit).unwrap(),
                kind,
                period,
                fields,
                occurrence,
            )
        };
        let ids = [
            derive("s1", "k", 2026, b"f", 0),
            derive("s2", "k", 2026, b"f", 0),
            derive("s1", "l", 2026, b"f", 0),
            derive("s1", "k", 2027, b"f", 0),
            derive("s1", "k", 2026, b"g", 0),
            derive("s1", "k", 2026, b"f", 1),
        ];
        assert_eq!(derive("s1", "k", 2026, b"f", 0), ids[0]);
        assert_eq!(
            ids.iter().collect::<std::collections::BTreeSet<_>>().len(),
            ids.len()
        );
    }
}
