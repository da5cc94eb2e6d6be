//! What must hold, judged from outside: the promises made to users and peers, and the disks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use federation_protocol::{Entry, LogId, LogKey, Period, Reach};
use node::handle::NodeHandle;
use node::schema::Schema;
use tiers::{DossierView, RecordId, Value};

use super::world::{Checked, World};

/// What was acknowledged: to whom, at which machine.
#[derive(Default)]
pub(super) struct Promises {
    /// Unit, then machine, then records acknowledged there.
    recorded: BTreeMap<String, BTreeMap<usize, Vec<RecordId>>>,
    /// Last acknowledged edit of a record by each machine.
    edited: BTreeMap<(RecordId, u16), BTreeMap<usize, Value>>,
    /// Every entry ever seen on a disk after a commit: its hash.
    entries: BTreeMap<(usize, LogId, u64), keys::Hash>,
}

impl Promises {
    pub(super) fn recorded(&mut self, unit: &str, machine: usize, records: Vec<RecordId>) {
        let unit = self.recorded.entry(unit.to_owned()).or_default();
        unit.entry(machine).or_default().extend(records);
    }

    pub(super) fn recorded_at(&self, unit: &str, machine: usize) -> Vec<RecordId> {
        let at = self
            .recorded
            .get(unit)
            .and_then(|machines| machines.get(&machine));
        at.cloned().unwrap_or_default()
    }

    pub(super) fn edited(&mut self, record: RecordId, field: u16, machine: usize, value: Value) {
        self.edited
            .entry((record, field))
            .or_default()
            .insert(machine, value);
    }

    fn of_unit(&self, unit: &str) -> BTreeSet<RecordId> {
        self.recorded
            .get(unit)
            .into_iter()
            .flatten()
            .flat_map(|(_, r)| r.iter().copied())
            .collect()
    }
}

/// Returns whom a record held by a node is about.
pub(super) fn subject_of(node: &NodeHandle, record: RecordId, period: Period) -> Option<String> {
    let mut found = None;
    let unit = node.identity().unit.clone();
    let looked = node
        .schema()
        .for_each_dossier(Some(&unit), Some(period), |dossier| {
            let view = DossierView::from_bytes(&dossier.view).ok();
            if view.is_some_and(|view| view.records.contains_key(&record)) {
                found = Some(dossier.id.subject);
            }
            found.is_none()
        });
    looked.ok()?;
    found
}

impl World {
    /// After a start: every record acknowledged by this machine is there, and no entry that was
    /// durable has changed or gone.
    pub(super) async fn check_kept(&mut self, index: usize) -> Checked {
        let Some(node) = self.machines[index].node().cloned() else {
            return Ok(());
        };
        node.projected().await;
        let unit = self.machines[index].role.unit.clone();
        let promised: BTreeSet<RecordId> = self
            .promises
            .recorded_at(&unit, index)
            .into_iter()
            .collect();
        let held = records(&node, self.period)?;
        if let Some(lost) = promised.iter().find(|record| !held.contains_key(record)) {
            let name = &self.machines[index].role.name;
            return Err(("acked_is_durable", format!("{name} lost record {lost}")));
        }
        self.check_append_only(index, &node)
    }

    fn check_append_only(&mut self, index: usize, node: &NodeHandle) -> Checked {
        let mut now = BTreeMap::new();
        for_each_entry(node.schema(), |entry| {
            now.insert((index, entry.log(), entry.seq_num()), entry.hash());
        })?;
        let before = self
            .promises
            .entries
            .range((index, lowest(), 0)..(index + 1, lowest(), 0));
        for (place, hash) in before {
            if now.get(place) != Some(hash) {
                let name = &self.machines[index].role.name;
                return Err((
                    "append_only",
                    format!("{name}: entry {place:?} changed or went"),
                ));
            }
        }
        self.promises.entries.extend(now);
        Ok(())
    }

    /// While a machine is down: what it gave receipts for is on its disk.
    pub(super) async fn check_receipted(&self, index: usize) -> Checked {
        let down = &self.machines[index];
        let schema = Schema::open(Arc::new(down.disk.open()))
            .await
            .map_err(|error| ("opens after a crash", error.to_string()))?;
        let mut heads = BTreeMap::new();
        schema
            .for_each_log(|state| {
                heads.insert(state.key.id(), state.head.seq_num);
            })
            .map_err(|error| ("opens after a crash", error.to_string()))?;
        for machine in &self.machines {
            let Some(node) = machine.node() else { continue };
            for bytes in node
                .schema()
                .receipts()
                .map_err(|e| ("reads", e.to_string()))?
            {
                let signed = keys::Signed::<federation_protocol::Receipt>::from_bytes(bytes);
                let Some(verified) = signed.ok().and_then(|signed| signed.verify().ok()) else {
                    return Err(("authority", "a stored receipt does not verify".to_owned()));
                };
                if verified.signer().as_node() != down.key() {
                    continue;
                }
                for head in &verified.value().heads {
                    if heads.get(&head.log).is_none_or(|have| *have < head.seq_num) {
                        return Err((
                            "acked_is_durable",
                            format!(
                                "{} gave a receipt for entry {} of {} and lost it",
                                down.role.name, head.seq_num, head.log
                            ),
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Equal digests from every school to the top, equal views, and everything acknowledged there.
    pub(super) async fn converged(&self) -> Checked {
        for (index, machine) in self.machines.iter().enumerate() {
            let Some(node) = machine.node() else {
                return Err(("convergence", format!("{} is down", machine.role.name)));
            };
            let Some(parent) = machine.role.parent else {
                continue;
            };
            let Some(above) = self.machines[parent].node() else {
                return Err(("convergence", "a parent is down".to_owned()));
            };
            let unit: keys::UnitId = machine.role.unit.parse().expect("an id");
            let audience = above.identity().unit.clone();
            let stopped = |error: node::handle::WriteError| ("convergence", error.to_string());
            let ours = node
                .digest(unit.clone(), audience.clone())
                .await
                .map_err(stopped)?;
            let theirs = above.digest(unit, audience).await.map_err(stopped)?;
            if ours != theirs {
                let name = &machine.role.name;
                return Err((
                    "convergence",
                    format!("{name} ({index}) differs from its parent"),
                ));
            }
        }
        for machine in &self.machines {
            if let Some(node) = machine.node() {
                node.projected().await;
            }
        }
        for machine in self.machines.iter().filter(|m| m.role.tier == "school") {
            let promised = self.promises.of_unit(&machine.role.unit);
            let mut at = Some(machine);
            while let Some(here) = at {
                let Some(node) = here.node() else { break };
                let held = records(node, self.period)?;
                if let Some(lost) = promised.iter().find(|record| !held.contains_key(record)) {
                    let what = format!("{} does not show record {lost}", here.role.name);
                    return Err(("convergence", what));
                }
                at = here.role.parent.map(|parent| &self.machines[parent]);
            }
        }
        Ok(())
    }

    /// The final judgement over every disk.
    pub(super) async fn check_everything(&mut self) -> Checked {
        for index in 0..self.machines.len() {
            self.check_kept(index).await?;
        }
        let authors: BTreeMap<keys::NodeKey, String> = self
            .machines
            .iter()
            .map(|m| (m.key(), m.role.unit.clone()))
            .collect();
        let mut views: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for machine in &self.machines {
            let Some(node) = machine.node() else { continue };
            let mut failure = None;
            for_each_entry(node.schema(), |entry| {
                let key = entry.key();
                if authors.get(&key.author).map(String::as_str) != Some(key.unit.as_str()) {
                    failure = Some(("authority", format!("an entry of {} is held", key.author)));
                }
                if !self.may_hold(&machine.role.unit, key) {
                    let what = format!(
                        "{} holds a log {} of {}",
                        machine.role.name, key.reach, key.unit
                    );
                    failure = Some(("reach", what));
                }
            })?;
            let states = node
                .logs()
                .await
                .map_err(|error| ("convergence", error.to_string()))?;
            if let Some((log, _)) = states.iter().find(|(_, state)| state.forked.is_some()) {
                failure = Some(("no_silent_fork", format!("log {log} forked by itself")));
            }
            node.schema()
                .for_each_dossier(None, None, |dossier| {
                    let id = dossier.id.to_key_bytes();
                    let known = views.entry(id).or_insert_with(|| dossier.view.clone());
                    if *known != dossier.view {
                        let what =
                            format!("{} shows {:?} otherwise", machine.role.name, dossier.id);
                        failure = Some(("convergence", what));
                    }
                    true
                })
                .map_err(|error| ("reads", error.to_string()))?;
            let links = node::status::status(node).await;
            let links = links.map_err(|error| ("bounded", error.to_string()))?;
            if links.parents.len() > 1 || links.alerts.len() > 100 {
                failure = Some((
                    "bounded",
                    format!("{} sessions upwards", links.parents.len()),
                ));
            }
            if links.quarantined + links.unprojected_dossiers > 0 {
                failure = Some(("convergence", "honest parts were put aside".to_owned()));
            }
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
        self.check_edits().await
    }

    /// An edit that was acknowledged and that nobody else touched is what everybody shows.
    async fn check_edits(&self) -> Checked {
        let Some(city) = self.machines[0].node() else {
            return Ok(());
        };
        let held = records(city, self.period)?;
        for ((record, field), by) in &self.promises.edited {
            let Some(view) = held.get(record) else {
                continue;
            };
            let mut shown: Vec<&Value> = view.fields.get(field).into_iter().collect();
            shown.extend(view.conflicts.get(field).into_iter().flatten().flatten());
            let any = by.values().any(|value| shown.contains(&value));
            if !any || (by.len() == 1 && shown.len() > 1) {
                return Err((
                    "acked_is_durable",
                    format!("an edit of {record} is not shown"),
                ));
            }
        }
        Ok(())
    }

    /// An oracle of its own for reach: from the drawn tree, not from the product's placement.
    fn may_hold(&self, holder: &str, key: &LogKey) -> bool {
        let unit = key.unit.as_str();
        if holder == unit {
            return true;
        }
        let above = |unit: &str| -> Vec<(String, usize)> {
            let mut found = Vec::new();
            let mut at = self
                .machines
                .iter()
                .find(|m| m.role.unit == unit && !m.role.laptop);
            while let Some(parent) = at.and_then(|m| m.role.parent) {
                let machine = &self.machines[parent];
                found.push((machine.role.unit.clone(), rank(machine.role.tier)));
                at = Some(machine);
            }
            found
        };
        match &key.reach {
            Reach::Own => false,
            Reach::Below => above(holder).iter().any(|(ancestor, _)| ancestor == unit),
            Reach::Up(tier) => {
                let wanted = rank(tier.as_str());
                let ancestors = above(unit);
                let last = ancestors.iter().position(|(_, rank)| *rank >= wanted);
                let reached = last.map_or(ancestors.len(), |last| last + 1);
                ancestors
                    .iter()
                    .take(reached)
                    .any(|(ancestor, _)| ancestor == holder)
            }
            Reach::To(_) => false,
        }
    }
}

fn rank(tier: &str) -> usize {
    match tier {
        "school" => 1,
        "district" => 2,
        "city" => 3,
        _ => usize::MAX,
    }
}

fn lowest() -> LogId {
    LogId::from_bytes([0; 32])
}

fn for_each_entry(schema: &Schema, mut found: impl FnMut(&Entry)) -> Checked {
    let unreadable = |error: node::schema::SchemaError| ("append_only", error.to_string());
    let mut logs = Vec::new();
    schema
        .for_each_log(|state| logs.push(state))
        .map_err(unreadable)?;
    for state in logs {
        let mut next = 0;
        while next <= state.head.seq_num {
            let page = schema
                .entries_from(state.key.id(), next, 64, 1 << 20)
                .map_err(unreadable)?;
            if page.is_empty() {
                return Err(("append_only", format!("entry {next} is missing")));
            }
            for entry in &page {
                next = entry.seq_num() + 1;
                found(entry);
            }
        }
    }
    Ok(())
}

type Shown = BTreeMap<RecordId, tiers::RecordView>;

fn records(node: &NodeHandle, period: Period) -> Result<Shown, (&'static str, String)> {
    let mut found = Shown::new();
    node.schema()
        .for_each_dossier(None, Some(period), |dossier| {
            if let Ok(view) = DossierView::from_bytes(&dossier.view) {
                found.extend(view.records);
            }
            true
        })
        .map_err(|error| ("reads", error.to_string()))?;
    Ok(found)
}
