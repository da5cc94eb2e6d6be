//! Receipts: given to children after durable append, relayed down, kept newest per issuer and unit.

use super::Replica;
use crate::limits::{HEADS_MAX, RECEIPTS_MAX};
use crate::{Message, Misbehaved, Output, Receipt, ReceiptHead, Relation, SessionId};
use keys::{Hash, Signed, UnitId};
use std::collections::BTreeMap;

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
    pub(super) fn give_receipts(&mut self, now_ms: u64) {
        for unit in std::mem::take(&mut self.unreceipted) {
            let to: Vec<_> = self.children_over(&unit).collect();
            if to.is_empty() {
                continue;
            }
            let Some(bytes) = self.issue(now_ms, &unit) else { continue };
            for id in to {
                self.send(id, Message::Receipt(bytes.clone().into()));
            }
        }
    }

    /// Gives a child every receipt it may lack.
    pub(super) fn give_all_receipts(&mut self, now_ms: u64, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        if session.relation != Some(Relation::Child) {
            return;
        }
        let Some(peer) = session.unit().cloned() else { return };
        let units: Vec<UnitId> = self
            .logs
            .units()
            .filter(|unit| self.placement.is_within(&peer, unit))
            .take(RECEIPTS_MAX)
            .cloned()
            .collect();
        for unit in units {
            if let Some(bytes) = self.issue(now_ms, &unit) {
                self.send(id, Message::Receipt(bytes.into()));
            }
        }
        let relayed: Vec<Vec<u8>> = self
            .receipts
            .iter()
            .filter(|((_, unit), _)| self.placement.is_within(&peer, unit))
            .map(|(_, (_, bytes))| bytes.clone())
            .take(RECEIPTS_MAX)
            .collect();
        for bytes in relayed {
            self.send(id, Message::Receipt(bytes.into()));
        }
    }

    /// Returns a digest of the receipts that the lower unit of a session should hold.
    pub(super) fn receipts_digest(&self, id: SessionId) -> Hash {
        let nothing = Hash::tagged("sanji/1/receipts", &[]);
        let Some(session) = self.sessions.get(&id) else { return nothing };
        let Some(peer) = session.unit() else { return nothing };
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
            for unit in self.logs.units().filter(|unit| self.placement.is_within(lower, unit)) {
                known.insert((self.unit.clone(), unit.clone()), self.held(unit));
            }
        }
        let lines: Vec<u8> = known
            .into_iter()
            .flat_map(|((issuer, unit), heads)| {
                keys::cbor::to_vec(&(issuer, unit, heads))
            })
            .collect();
        Hash::tagged("sanji/1/receipts", &[&lines])
    }

    /// Takes a receipt from above; the newest of its issuer about its unit is kept and relayed.
    pub(super) fn take_receipt(&mut self, id: SessionId, bytes: Vec<u8>) {
        let from_parent =
            self.sessions.get(&id).is_some_and(|s| s.relation == Some(Relation::Parent));
        let Some(verified) =
            Signed::<Receipt>::from_bytes(bytes.clone()).ok().and_then(|signed| signed.verify().ok())
        else {
            self.punish(id, &Misbehaved::Message { what: "receipt" });
            return;
        };
        let issuer_known = self
            .trust
            .node(verified.signer().as_node())
            .is_some_and(|chain| chain.unit() == &verified.value().issuer);
        let receipt = verified.into_value();
        let ours = self.placement.is_within(&self.unit, &receipt.unit)
            && self.placement.is_ancestor(&receipt.issuer, &receipt.unit)
            && !self.placement.is_within(&self.unit, &receipt.issuer);
        if !from_parent || !issuer_known || !ours {
            return;
        }
        let place = (receipt.issuer.clone(), receipt.unit.clone());
        if self.receipts.get(&place).is_some_and(|(known, _)| known.time_ms >= receipt.time_ms) {
            return;
        }
        for child in self.children_over(&receipt.unit).collect::<Vec<_>>() {
            self.send(child, Message::Receipt(bytes.clone().into()));
        }
        self.outputs.push_back(Output::KeepReceipt {
            issuer: receipt.issuer.clone(),
            unit: receipt.unit.clone(),
            bytes: bytes.clone(),
        });
        self.receipts.insert(place, (receipt, bytes));
    }

    fn children_over<'a>(&'a self, unit: &'a UnitId) -> impl Iterator<Item = SessionId> + 'a {
        self.sessions
            .values()
            .filter(|session| session.relation == Some(Relation::Child))
            .filter(move |session| {
                session.unit().is_some_and(|peer| self.placement.is_within(peer, unit))
            })
            .map(|session| session.id)
    }

    /// Returns the heads of a unit's logs that its own nodes hold too.
    fn held(&self, unit: &UnitId) -> Vec<ReceiptHead> {
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

    fn issue(&self, now_ms: u64, unit: &UnitId) -> Option<Vec<u8>> {
        let heads = self.held(unit);
        if heads.is_empty() {
            return None;
        }
        let receipt = Receipt {
            issuer: self.unit.clone(),
            unit: unit.clone(),
            heads,
            time_ms: now_ms,
        };
        Some(Signed::sign(&receipt, &self.config.secret).bytes().to_vec())
    }
}
