//! What a certificate allows: roles and kinds, each a subset of the issuer's.

use std::collections::BTreeSet;

use minicbor::{Decode, Decoder, Encode, Encoder};

/// Something a certified key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Write entries of the unit.
    Write = 0,
    /// Decide for the unit: seal, sequence steps and quotas.
    Decide = 1,
    /// Countersign and certify what child units sealed.
    Certify = 2,
    /// Admit child units: without it, a unit's key cannot certify another unit.
    Enrol = 3,
    /// Hold and forward logs of other units.
    Relay = 4,
}

impl Role {
    /// Every role, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Write,
        Self::Decide,
        Self::Certify,
        Self::Enrol,
        Self::Relay,
    ];
}

/// What a key may do, and with which kinds of records.
///
/// ```text
/// scope = {1: [* role], ? 2: [* kind]}        ; both ascending and without repeats
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// What the key may do.
    pub roles: BTreeSet<Role>,
    /// The kinds it may do it with, by id; `None` for every kind, now and later.
    pub kinds: Option<BTreeSet<String>>,
}

impl Scope {
    /// Returns a scope with these roles and every kind.
    pub fn of_roles(roles: impl IntoIterator<Item = Role>) -> Self {
        Self {
            roles: roles.into_iter().collect(),
            kinds: None,
        }
    }

    /// Returns the scope of a unit that may do everything.
    pub fn full() -> Self {
        Self::of_roles(Role::ALL)
    }

    /// Tells whether everything this scope allows is allowed by `other`.
    pub fn subset_of(&self, other: &Self) -> bool {
        let kinds_within = match (&self.kinds, &other.kinds) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(mine), Some(theirs)) => mine.is_subset(theirs),
        };
        kinds_within && self.roles.is_subset(&other.roles)
    }

    /// Tells whether the scope has a role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Tells whether the scope covers a kind, by id.
    pub fn covers_kind(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }
}

/// Most kinds a scope can list.
pub const KINDS_MAX: usize = 256;

/// Longest kind id in a scope, in bytes.
pub const KIND_SIZE_MAX: usize = 64;

impl<C> Encode<C> for Scope {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.map(1 + u64::from(self.kinds.is_some()))?
            .u8(1)?
            .array(self.roles.len() as u64)?;
        for role in &self.roles {
            e.u8(*role as u8)?;
        }
        if let Some(kinds) = &self.kinds {
            e.u8(2)?.array(kinds.len() as u64)?;
            for kind in kinds {
                e.str(kind)?;
            }
        }
        e.ok()
    }
}

impl<'b, C> Decode<'b, C> for Scope {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        /// As on the wire, before the sets are checked.
        #[derive(Decode)]
        #[cbor(map)]
        struct Fields {
            #[n(1)]
            roles: Vec<u8>,
            #[n(2)]
            kinds: Option<Vec<String>>,
        }

        let at = d.position();
        let refuse = |why| minicbor::decode::Error::message(why).at(at);
        let fields = Fields::decode(d, ctx)?;
        // One set has one spelling, so that equal certificates have equal bytes.
        if !fields.roles.is_sorted_by(|a, b| a < b) {
            return Err(refuse("roles are not ascending"));
        }
        let roles = fields.roles.iter().map(|number| {
            let known = Role::ALL.into_iter().find(|role| *role as u8 == *number);
            known.ok_or_else(|| minicbor::decode::Error::unknown_variant((*number).into()).at(at))
        });
        let roles = roles.collect::<Result<_, _>>()?;
        let Some(kinds) = fields.kinds else {
            return Ok(Self { roles, kinds: None });
        };
        if kinds.len() > KINDS_MAX
            || !kinds.is_sorted_by(|a, b| a < b)
            || kinds
                .iter()
                .any(|kind| kind.is_empty() || kind.len() > KIND_SIZE_MAX)
        {
            return Err(refuse(
                "kinds are too many, not ascending, empty or too long",
            ));
        }
        Ok(Self {
            roles,
            kinds: Some(kinds.into_iter().collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor;

    fn kinds(of: &[&str]) -> Option<BTreeSet<String>> {
        Some(of.iter().map(|kind| (*kind).to_owned()).collect())
    }

    #[test]
    fn a_scope_is_within_another_when_roles_and_kinds_are() {
        let full = Scope::full();
        let some = Scope {
            roles: [Role::Write].into(),
            kinds: kinds(&["a", "b"]),
        };
        let fewer = Scope {
            roles: [Role::Write].into(),
            kinds: kinds(&["a"]),
        };
        let none = Scope {
            roles: [].into(),
            kinds: kinds(&[]),
        };
        let every_kind = Scope::of_roles([Role::Write]);
        for (inner, outer, expected) in [
            (&full, &full, true),
            (&some, &full, true),
            (&fewer, &some, true),
            (&none, &fewer, true),
            (&some, &fewer, false),
            (&full, &some, false),
            (&every_kind, &some, false),
            (&some, &every_kind, true),
        ] {
            assert_eq!(inner.subset_of(outer), expected, "{inner:?} in {outer:?}");
        }
        assert!(every_kind.covers_kind("x") && some.covers_kind("a") && !fewer.covers_kind("b"));
    }

    #[test]
    fn a_scope_survives_its_bytes_and_has_one_spelling() {
        for scope in [
            Scope::full(),
            Scope {
                roles: [].into(),
                kinds: kinds(&[]),
            },
            Scope {
                roles: [Role::Relay, Role::Write].into(),
                kinds: kinds(&["aa", "b"]),
            },
        ] {
            assert_eq!(cbor::from_slice::<Scope>(&cbor::to_vec(&scope)), Ok(scope));
        }
        let unsorted_roles = [0xa1, 0x01, 0x82, 0x01, 0x00];
        let repeated_roles = [0xa1, 0x01, 0x82, 0x01, 0x01];
        let unknown_role = [0xa1, 0x01, 0x81, 0x05];
        let unsorted_kinds = [0xa2, 0x01, 0x80, 0x02, 0x82, 0x61, b'b', 0x61, b'a'];
        let empty_kind = [0xa2, 0x01, 0x80, 0x02, 0x81, 0x60];
        for bytes in [
            &unsorted_roles[..],
            &repeated_roles,
            &unknown_role,
            &unsorted_kinds,
            &empty_kind,
        ] {
            assert!(cbor::from_slice::<Scope>(bytes).is_err(), "{bytes:02x?}");
        }
    }
}
