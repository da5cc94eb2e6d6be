//! What a seal covers of a record: one hash over its kind, a commitment per class, and its steps.

use std::collections::BTreeMap;

use keys::{DossierSecret, Hash};

use crate::class::ReachClass;
use crate::kind::Fields;
use crate::record::{RecordId, fields_bytes};
use crate::view::RecordView;

/// Commits to the fields of one class with the secret of that class's dossier.
pub fn class_commitment(secret: &DossierSecret, record: &RecordId, fields: &Fields) -> Hash {
    keys::commit(secret, record.as_bytes(), &fields_bytes(fields))
}

/// Returns the commitment of every class of a record, as whoever holds its widest dossier knows them:
/// that of the widest class made anew, the others as the record carries them.
pub fn commitments(
    record: &RecordId,
    widest: ReachClass,
    view: &RecordView,
    secret: &DossierSecret,
) -> BTreeMap<ReachClass, Hash> {
    let mut commitments = view.commitments.clone();
    commitments.insert(widest, class_commitment(secret, record, &view.fields));
    commitments
}

/// Returns the leaf of a record: `H("sanji/1/record-leaf", record id, kind id, kind hash, commitments,
/// steps)`, the last two as canonical CBOR, a map by class and a list in chain order.
pub fn record_leaf(
    record: &RecordId,
    kind: &str,
    kind_hash: &Hash,
    commitments: &BTreeMap<ReachClass, Hash>,
    steps: &[Hash],
) -> Hash {
    Hash::tagged(
        "sanji/1/record-leaf",
        &[
            record.as_bytes(),
            kind.as_bytes(),
            kind_hash.as_bytes(),
            &keys::cbor::to_vec(commitments),
            &keys::cbor::to_vec(&steps.to_vec()),
        ],
    )
}

/// How the clear part of a class stands to the commitment the record's widest dossier carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// They agree.
    Whole,
    /// They disagree: shown, and no step or seal covers the record until they are written anew.
    Torn,
}

/// Compares one narrow class of a record with the commitment in its widest dossier. `narrow` is the
/// record as the class's dossier shows it, if it is there; `secrets` are all secrets seen for that
/// dossier, because two nodes that began it apart each committed with their own.
///
/// Only who holds the class can tell: a node without its dossier does not ask.
pub fn tear(
    record: &RecordId,
    class: ReachClass,
    wide: &RecordView,
    narrow: Option<&RecordView>,
    secrets: &[DossierSecret],
) -> Tear {
    let agree = match (wide.commitments.get(&class), narrow) {
        (None, None) => true,
        (Some(commitment), Some(narrow)) => {
            let matches = |secret| class_commitment(secret, record, &narrow.fields) == *commitment;
            narrow.kind == wide.kind && secrets.iter().any(matches)
        }
        (Some(_), None) | (None, Some(_)) => false,
    };
    if agree { Tear::Whole } else { Tear::Torn }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn view(fields: &[(u16, &str)]) -> RecordView {
        RecordView {
            kind: Hash::of(b"kind"),
            fields: fields
                .iter()
                .map(|(n, text)| (*n, Value::Text((*text).into())))
                .collect(),
            commitments: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            edited: false,
        }
    }

    #[test]
    fn a_record_is_torn_until_clear_part_and_commitment_agree() {
        let record = RecordId::from_bytes([3; 16]);
        let secrets = [1, 2].map(|n| DossierSecret::from_bytes([n; 32]));
        let class = ReachClass::School;
        let narrow = view(&[(9, "two hours")]);
        let mut wide = view(&[(1, "G1")]);
        assert_eq!(tear(&record, class, &wide, None, &secrets), Tear::Whole);
        assert_eq!(
            tear(&record, class, &wide, Some(&narrow), &secrets),
            Tear::Torn
        );

        // Committed with the second of two secrets.
        let commitment = class_commitment(&secrets[1], &record, &narrow.fields);
        wide.commitments.insert(class, commitment);
        assert_eq!(
            tear(&record, class, &wide, Some(&narrow), &secrets),
            Tear::Whole
        );
        assert_eq!(
            tear(&record, class, &wide, Some(&narrow), &secrets[..1]),
            Tear::Torn
        );
        assert_eq!(tear(&record, class, &wide, None, &secrets), Tear::Torn);

        let edited = view(&[(9, "three hours")]);
        assert_eq!(
            tear(&record, class, &wide, Some(&edited), &secrets),
            Tear::Torn
        );
        let other = RecordId::from_bytes([4; 16]);
        assert_eq!(
            tear(&other, class, &wide, Some(&narrow), &secrets),
            Tear::Torn
        );
    }

    #[test]
    fn a_leaf_depends_on_every_part() {
        let record = RecordId::from_bytes([3; 16]);
        let hash = |text: &str| Hash::of(text.as_bytes());
        let own = commitments(
            &record,
            ReachClass::City,
            &view(&[(1, "G1")]),
            &DossierSecret::from_bytes([1; 32]),
        );
        let none = BTreeMap::new();
        let leaves = [
            record_leaf(&record, "k", &hash("k"), &own, &[hash("a"), hash("b")]),
            record_leaf(&record, "k", &hash("k"), &own, &[hash("b"), hash("a")]),
            record_leaf(&record, "k", &hash("k"), &own, &[]),
            record_leaf(&record, "k", &hash("k"), &none, &[]),
            record_leaf(&record, "k", &hash("l"), &none, &[]),
            record_leaf(&record, "l", &hash("l"), &none, &[]),
            record_leaf(&RecordId::from_bytes([4; 16]), "l", &hash("l"), &none, &[]),
        ];
        assert_eq!(
            leaves
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            leaves.len()
        );
    }
}
