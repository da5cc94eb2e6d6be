//! The closed list of things that can be signed. A signature made for one never counts for another.

/// Defines the list once: variant, wire number, tag.
macro_rules! domains {
    ($($(#[$meta:meta])* $name:ident = $number:literal, $tag:literal;)*) => {
        /// Names what a signature is about; its tag is the signature's external data (COSE
        /// `external_aad`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Domain {
            $($(#[$meta])* $name = $number,)*
        }

        impl Domain {
            /// Every domain, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the tag that goes into every signature of this domain.
            pub const fn tag(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("sanji/1/", $tag),)*
                }
            }
        }
    };
}

domains! {
    /// An entry of a log, signed by its author's node.
    Entry = 1, "entry";
    /// A certificate, signed by the issuer's unit key.
    Certificate = 2, "certificate";
    /// The federation's constitution: origin, tier order, root unit.
    Federation = 3, "federation";
    /// A parent's list of its child units.
    Roster = 4, "roster";
    /// A definition of a kind of record.
    Kind = 5, "kind";
    /// The closing statement of an import.
    Import = 6, "import";
    /// A receipt: what a node durably holds.
    Receipt = 7, "receipt";
    /// A joining node's request.
    Enrolment = 8, "enrolment";
    /// The first frame of a connection.
    Hello = 9, "hello";
    /// A revocation of a key from a cut on.
    Revocation = 10, "revocation";
    /// A right to write, given to another unit.
    Grant = 11, "grant";
    /// A calendar: periods, windows, enabled kinds.
    Calendar = 12, "calendar";
    /// A school's list of students of a period.
    EnrolmentList = 13, "enrolment-list";
    /// A workflow step over records.
    Step = 14, "step";
    /// A unit's seal of a period.
    Seal = 15, "seal";
    /// A parent's countersignature of a seal.
    Countersignature = 16, "countersignature";
    /// The certificate of a period.
    Certification = 17, "certification";
    /// A hand-over of the deciding node.
    Handover = 18, "handover";
    /// A choice of one branch of a fork.
    ForkSettlement = 19, "fork-settlement";
    /// A summary of a subtree's last contacts.
    Presence = 20, "presence";
    /// A legal order to erase.
    Erasure = 21, "erasure";
}

impl Domain {
    /// Returns the number that stands for the domain where bytes of several domains travel together.
    /// It is a hint to the reader: only the signature binds.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the domain with this number; `None` for one that a newer version may know.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|domain| domain.number() == number)
    }
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.tag())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn tags_and_numbers_are_unique_and_no_tag_begins_another() {
        let tags: BTreeSet<_> = Domain::ALL.iter().map(|d| d.tag()).collect();
        let numbers: BTreeSet<_> = Domain::ALL.iter().map(|d| d.number()).collect();
        assert_eq!(
            (tags.len(), numbers.len()),
            (Domain::ALL.len(), Domain::ALL.len())
        );
        assert!(
            tags.iter()
                .all(|tag| tag.starts_with("sanji/1/") && tag.len() < 256)
        );
        for domain in Domain::ALL {
            assert_eq!(Domain::from_number(domain.number()), Some(*domain));
        }
        assert_eq!(Domain::from_number(0), None);
    }
}
