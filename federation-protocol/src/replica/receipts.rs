//! Receipts: given to children after durable append, relayed down, kept newest per issuer and unit.

use super::Replica;
use crate::limits::{HEADS_MAX, RECEIPTS_EARLY_MAX, RECEIPTS_MAX};
use crate::session::Due;
use crate::{LogId, Misbehaved, Output, Receipt, ReceiptHead, Relation, SessionId};
use keys::{Hash, Signed, UnitId, Verified};
use std::collections::BTreeMap;
use std::ops::Bound;

/// How long a receipt may wait for more entries to cover, in milliseconds: one signature then covers
/// a burst.
const RECEIPT_DELAY_MS: u64 = 50;

impl Replica {
    /// Returns the newest receipts held, by issuer and unit.
    pub fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.receipts.values().map(|(receipt, _)| receipt)
    }

    pub(super) fn schedule_receipts(&mut self, now_ms: u64) {
        if !self.unreceipted.is_empty() && self.receipts_due_ms.is_none() {
            self.receipts_due_ms = Some(now_ms.saturating_add(RECEIPT_DELAY_MS));
        }
    }

    /// Gives receipts for every unit whose logs grew to the child sessions above that unit.
    pub(super) fn give_receipts(&mut self) {
        for unit in std::mem::take(&mut self.unreceipted) {
            for id in self.children_over(&unit) {
                self.tell(id, Due::Receipt(self.unit.clone(), unit.clone()));
            }
        }
    }

    /// Makes the receipts about the next unit due, of all that a child may lack.
    pub(super) fn continue_receipts(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(after) = session.receipts_after.take() else {
            return;
        };
        let Some(peer) = session.unit().cloned() else {
            return;
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self
            .logs
            .units_from(from)
            .find(|unit| self.placement.is_within(&peer, unit))
            .cloned();
        let Some(unit) = next else { return };
        let above = self.placement.ancestors(&self.unit);
        let issuers: Vec<UnitId> = above
            .filter(|issuer| {
                self.receipts
                    .contains_key(&((*issuer).clone(), unit.clone()))
            })
            .chain(std::iter::once(&self.unit))
            .cloned()
            .collect();
        for issuer in issuers {
            self.tell(id, Due::Receipt(issuer, unit.clone()));
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.receipts_after = Some(Some(unit));
        }
    }

    /// Returns a receipt: our own, signed now, or the newest held of an issuer above.
    pub(super) fn receipt_bytes(&self, issuer: &UnitId, unit: &UnitId) -> Option<Vec<u8>> {
        if issuer != &self.unit {
            let (_, bytes) = self.receipts.get(&(issuer.clone(), unit.clone()))?;
            return Some(bytes.clone());
        }
        let receipt = Receipt {
            issuer: issuer.clone(),
            unit: unit.clone(),
            heads: self.custody(unit),
            time_ms: self.now_ms,
        };
        Some(Signed::sign(&receipt, &self.config.secret).bytes().to_vec())
    }

    /// Returns a digest of the receipts that the lower unit of a session should hold.
    pub(super) fn receipts_digest(&self, id: SessionId) -> Hash {
        let nothing = Hash::tagged("sanji/1/receipts", &[]);
        let Some(session) = self.sessions.get(&id) else {
            return nothing;
        };
        let Some(peer) = session.unit() else {
            return nothing;
        };
        let mut known: BTreeMap<(UnitId, UnitId), Vec<ReceiptHead>> = BTreeMap::new();
        let lower = match session.relation {
            Some(Relation::Child) => peer,
            Some(Relation::Parent) => &self.unit,
            Some(Relation::Sibling) | None => return nothing,
        };
        for ((issuer, unit), (receipt, _)) in &self.receipts {
            if self.placement.is_within(lower, unit) && !self.placement.is_within(lower, issuer) {
                known.insert((issuer.clone(), unit.clone()), receipt.heads.clone());
            }
        }
        if session.relation == Some(Relation::Child) {
            for unit in self
                .logs
                .units()
                .filter(|unit| self.placement.is_within(lower, unit))
            {
                known.insert((self.unit.clone(), unit.clone()), self.custody(unit));
            }
        }
        let lines: Vec<u8> = known
            .into_iter()
            .flat_map(|((issuer, unit), heads)| keys::cbor::to_vec(&(issuer, unit, heads)))
            .collect();
        Hash::tagged("sanji/1/receipts", &[&lines])
    }

    /// Takes a receipt from a peer. One whose issuer is not certified here yet, or whose unit has no
    /// place yet, is kept aside until that has come.
    pub(super) fn on_receipt(&mut self, id: SessionId, bytes: Vec<u8>) {
        let signed = Signed::<Receipt>::from_bytes(bytes);
        let Some(verified) = signed.ok().and_then(|signed| signed.verify().ok()) else {
            self.punish(id, &Misbehaved::Message { what: "receipt" });
            return;
        };
        let heads = &verified.value().heads;
        if heads.len() > HEADS_MAX || !heads.is_sorted_by(|a, b| a.log < b.log) {
            self.punish(id, &Misbehaved::Message { what: "receipt" });
            return;
        }
        let from_above = self
            .sessions
            .get(&id)
            .is_some_and(|s| s.relation == Some(Relation::Parent));
        if !from_above {
            return;
        }
        let place = (
            verified.value().issuer.clone(),
            verified.value().unit.clone(),
        );
        let bytes = verified.bytes().to_vec();
        if !self.take_receipt(verified)
            && (self.receipts_early.len() < RECEIPTS_EARLY_MAX
                || self.receipts_early.contains_key(&place))
        {
            self.receipts_early.insert(place, bytes);
        }
    }

    /// Looks again at the receipts that came before what they need.
    pub(super) fn take_early_receipts(&mut self) {
        for (place, bytes) in std::mem::take(&mut self.receipts_early) {
            let signed = Signed::<Receipt>::from_bytes(bytes.clone());
            if let Some(verified) = signed.ok().and_then(|signed| signed.verify().ok())
                && !self.take_receipt(verified)
            {
                self.receipts_early.insert(place, bytes);
            }
        }
    }

    /// Keeps and relays a receipt that says more than the one held of its issuer about its unit;
    /// returns false when what it needs to be judged has not come yet.
    fn take_receipt(&mut self, verified: Verified<Receipt>) -> bool {
        let node = verified.signer().as_node();
        let bytes = verified.bytes().to_vec();
        let receipt = verified.into_value();
        let ours = self.placement.is_within(&self.unit, &receipt.unit)
            && self.placement.is_ancestor(&receipt.issuer, &receipt.unit)
            && !self.placement.is_within(&self.unit, &receipt.issuer);
        if !ours || self.trust.entitled(node, &receipt.issuer).is_none() {
            return false;
        }
        let place = (receipt.issuer.clone(), receipt.unit.clone());
        match self.receipts.get(&place) {
            Some((known, _)) if !replaces(&receipt, known) => return true,
            None if self.receipts.len() >= RECEIPTS_MAX => return true,
            _ => {}
        }
        self.outputs.push_back(Output::KeepReceipt {
            issuer: receipt.issuer.clone(),
            unit: receipt.unit.clone(),
            bytes: bytes.clone(),
        });
        let children = self.children_over(&receipt.unit);
        self.receipts.insert(place.clone(), (receipt, bytes));
        for child in children {
            self.tell(child, Due::Receipt(place.0.clone(), place.1.clone()));
        }
        true
    }

    fn children_over(&self, unit: &UnitId) -> Vec<SessionId> {
        self.sessions
            .values()
            .filter(|session| session.relation == Some(Relation::Child))
            .filter(|session| {
                session
                    .unit()
                    .is_some_and(|peer| self.placement.is_within(peer, unit))
            })
            .map(|session| session.id)
            .collect()
    }

    /// Returns the heads of a unit's logs that are held here, forked ones left out.
    fn custody(&self, unit: &UnitId) -> Vec<ReceiptHead> {
        self.logs
            .of_unit(unit)
            .filter(|(_, state)| state.forked.is_none())
            .take(HEADS_MAX)
            .map(|(log, state)| ReceiptHead {
                log,
                seq_num: state.head.seq_num,
                hash: state.head.hash,
            })
            .collect()
    }
}

/// Returns true when a receipt says more than the one held: it is later, or, from a node whose clock
/// went back or of another node of the issuer, it covers all that the other does and more.
fn replaces(new: &Receipt, known: &Receipt) -> bool {
    let held: BTreeMap<LogId, u64> = new
        .heads
        .iter()
        .map(|head| (head.log, head.seq_num))
        .collect();
    let covers = known.heads.iter().all(|head| {
        held.get(&head.log)
            .is_some_and(|seq_num| *seq_num >= head.seq_num)
    });
    new.time_ms > known.time_ms || (covers && new.heads != known.heads)
}
