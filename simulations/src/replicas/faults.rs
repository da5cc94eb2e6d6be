//! What users and fate do: writes, crashes, cut links, weeks offline, slow disks, clocks that jump.

use super::machine::Wish;
use super::seen::Seen;
use super::world::{Event, Phase, World};
use crate::rng::Rng;
use federation_protocol::Reach;
use std::rc::Rc;

/// The end of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mend {
    /// A link may connect again.
    Link(usize),
    /// A disk is as fast as before.
    Disk(usize),
    /// A link is as fast as before: the link, and its delay.
    Delay(usize, u64),
    /// A clone is switched off for good.
    Retire(usize),
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const WEEK: u64 = 7 * 24 * HOUR;

/// Draws how long a fault lasts: seconds, minutes, hours, or weeks.
fn span(rng: &mut Rng) -> u64 {
    match rng.weighted(&[50, 30, 14, 6]) {
        0 => rng.between(100, 5 * SECOND),
        1 => rng.between(5 * SECOND, 2 * MINUTE),
        2 => rng.between(2 * MINUTE, 12 * HOUR),
        _ => rng.between(WEEK, 8 * WEEK),
    }
}

impl World {
    /// Does one thing, and plans the next.
    pub(super) fn act(&mut self) {
        let rng = &mut self.rngs.acts;
        let wait = match rng.weighted(&[70, 20, 8, 2]) {
            0 => rng.between(0, 2 * SECOND),
            1 => rng.between(2 * SECOND, MINUTE),
            2 => rng.between(MINUTE, 12 * HOUR),
            _ => rng.between(WEEK, 4 * WEEK),
        };
        let hostile = u64::from(self.hostile) * 8;
        let doubles = u64::from(self.doubles) * 3;
        match rng.weighted(&[60, 30, 3, hostile, doubles]) {
            0 => self.anyone_writes(),
            1 => self.something_fails(),
            2 => self.a_unit_joins(),
            3 => self.an_attack_starts(),
            _ => self.a_store_is_doubled(),
        }
        self.schedule(wait, Event::Act);
    }

    fn anyone_writes(&mut self) {
        let machine = self.rngs.acts.index(self.machines.len());
        let wish = self.draw_wish(machine);
        self.schedule(0, Event::Wish(machine, wish));
    }

    /// Draws what a user at a machine writes.
    pub(super) fn draw_wish(&mut self, machine: usize) -> Wish {
        let placed: Vec<usize> = (0..self.topology.units.len())
            .filter(|u| !self.topology.units[*u].late)
            .collect();
        let ups = ["school", "district", "city", "root"].map(|tier| self.up(tier));
        let [school, district, city, root] = ups;
        let late = self.topology.units[self.machines[machine].unit].late;
        let rng = &mut self.rngs.acts;
        let reach = match rng.weighted(&[15, 4, 20, 30, 6, 18, if late { 0 } else { 7 }]) {
            0 => Reach::Own,
            1 => school,
            2 => district,
            3 => city,
            4 => root,
            5 => Reach::Below,
            _ => {
                let to = rng.pick(&placed).copied().unwrap_or(0);
                Reach::To(self.topology.units[to].id.clone())
            }
        };
        // What travels below are statements: nobody above a unit writes its records.
        if reach == Reach::Below || rng.chance(25) {
            let sizes = (0..rng.between(1, 3))
                .map(|_| {
                    let large = rng.chance(2);
                    let size = if large {
                        rng.between(40_000, 55_000)
                    } else {
                        rng.between(20, 2_000)
                    };
                    usize::try_from(size).unwrap_or(0)
                })
                .collect();
            return Wish::Statements { reach, sizes };
        }
        let import = rng.chance(8);
        let term = if rng.chance(80) { 1 } else { 2 };
        let entries = if import { rng.between(3, 10) } else { 1 };
        let dossiers = if import {
            rng.between(2, 6)
        } else {
            rng.between(1, 2)
        };
        Wish::Records {
            reach,
            term,
            entries: usize::try_from(entries).unwrap_or(1),
            dossiers: usize::try_from(dossiers).unwrap_or(1),
        }
    }

    fn something_fails(&mut self) {
        let machine = self.rngs.acts.index(self.machines.len());
        let link = self.rngs.acts.index(self.links.len());
        let lasts = span(&mut self.rngs.acts);
        match self.rngs.acts.weighted(&[22, 14, 20, 8, 8, 8, 8, 6, 6]) {
            0 => self.crash_soon(machine, lasts),
            1 => self.cut_for(link, lasts),
            2 => self.cut_link(link),
            3 => self.partition(lasts),
            4 => {
                self.machines[machine].commit_ms = self.rngs.acts.between(200, 2 * SECOND);
                self.schedule(lasts, Event::Mend(Mend::Disk(machine)));
            }
            5 => self.jump_clock(machine),
            6 => {
                let before = self.links[link].delay;
                self.links[link].delay = self.rngs.acts.between(500, 4 * SECOND);
                self.schedule(lasts, Event::Mend(Mend::Delay(link, before)));
            }
            7 => self.isolate(lasts),
            _ => self.machines[machine].disk_full = true,
        }
    }

    /// Switches a machine off, often while commits or messages are under way.
    fn crash_soon(&mut self, machine: usize, lasts: u64) {
        if self.rngs.acts.chance(50) {
            let wish = self.draw_wish(machine);
            self.schedule(0, Event::Wish(machine, wish));
        }
        let wait = self.rngs.acts.between(0, 40);
        self.schedule(wait, Event::Crash(machine, lasts));
    }

    /// Switches a machine off without warning.
    pub(super) fn crash(&mut self, machine: usize, lasts: u64) {
        if !self.machines[machine].is_up() {
            return;
        }
        self.machines[machine].running = None;
        self.cut_machine(machine);
        let survived = self.machines[machine].disk.crash(&mut self.rngs.disk);
        let survived = survived.into_iter().map(Rc::new).collect();
        self.tell(Seen::Crashed { machine, survived });
        self.schedule(lasts, Event::Boot(machine));
    }

    fn cut_for(&mut self, link: usize, lasts: u64) {
        self.links[link].cuts += 1;
        self.cut_link(link);
        self.schedule(lasts, Event::Mend(Mend::Link(link)));
    }

    /// Cuts all links between two halves of the machines.
    fn partition(&mut self, lasts: u64) {
        let one_side: Vec<bool> = self
            .machines
            .iter()
            .map(|_| self.rngs.acts.chance(50))
            .collect();
        for link in 0..self.links.len() {
            let (dialer, acceptor) = (self.links[link].dialer, self.links[link].acceptor);
            if one_side[dialer] != one_side[acceptor] {
                self.cut_for(link, lasts);
            }
        }
    }

    /// Cuts all links; then everyone works on.
    fn isolate(&mut self, lasts: u64) {
        for link in 0..self.links.len() {
            self.cut_for(link, lasts.max(MINUTE));
        }
        for machine in 0..self.machines.len() {
            let wish = self.draw_wish(machine);
            let wait = self.rngs.acts.between(100, 5 * SECOND);
            self.schedule(wait, Event::Wish(machine, wish));
        }
    }

    fn jump_clock(&mut self, machine: usize) {
        let rng = &mut self.rngs.acts;
        let size = match rng.weighted(&[50, 30, 20]) {
            0 => MINUTE,
            1 => 3 * HOUR,
            _ => 4 * WEEK,
        };
        let jump = i64::try_from(rng.below(2 * size)).unwrap_or(0);
        self.machines[machine].skew_ms = jump - i64::try_from(size).unwrap_or(0);
    }

    /// A unit that is on no roster yet is placed by its parent.
    pub(super) fn a_unit_joins(&mut self) {
        let absent: Vec<usize> = self.units_to_join();
        let Some(unit) = self.rngs.acts.pick(&absent).copied() else {
            return;
        };
        self.place(unit);
    }

    fn units_to_join(&self) -> Vec<usize> {
        let joined = |unit: usize| {
            let links = self
                .links
                .iter()
                .filter(|link| self.machines[link.dialer].unit == unit);
            links
                .filter(|link| self.machines[link.acceptor].unit != unit)
                .any(|link| link.enabled)
        };
        let late = (0..self.topology.units.len()).filter(|u| self.topology.units[*u].late);
        late.filter(|unit| !joined(*unit)).collect()
    }

    fn place(&mut self, unit: usize) {
        let parent = self.topology.units[unit].parent;
        let server = self.machines.iter().position(|m| Some(m.unit) == parent);
        if let Some(server) = server {
            self.schedule(0, Event::Wish(server, Wish::Roster(unit)));
        }
    }

    /// A unit's roster is durable at its parent: its nodes may connect.
    pub(super) fn joined(&mut self, unit: usize) {
        for index in 0..self.links.len() {
            if self.machines[self.links[index].dialer].unit == unit
                && !std::mem::replace(&mut self.links[index].enabled, true)
            {
                self.schedule(100, Event::Dial(index));
            }
        }
    }

    /// A clone of a node starts, or a store is put back from a backup: two stores have written under
    /// one key and epoch.
    fn a_store_is_doubled(&mut self) {
        let first = self.rngs.acts.index(self.machines.len());
        let lasts = self.rngs.acts.between(5 * SECOND, 3 * MINUTE);
        if self.machines[first].retired || !self.doubled.is_empty() {
            return;
        }
        if let Some(backup) = self.backups.remove(&first)
            && self.machines[first].is_up()
        {
            self.doubled.insert(self.machines[first].node);
            self.machines[first].running = None;
            self.cut_machine(first);
            self.machines[first].disk = backup;
            self.tell(Seen::RolledBack { machine: first });
            self.schedule(lasts, Event::Boot(first));
        } else if self.rngs.acts.chance(50) {
            self.backups
                .insert(first, self.machines[first].disk.backup());
        } else if self.machines[first].is_up() {
            self.clone_machine(first, lasts);
        }
    }

    fn clone_machine(&mut self, first: usize, lasts: u64) {
        let disk = self.machines[first].disk.backup();
        let mut clone =
            super::machine::Machine::new(&self.topology, self.machines[first].plan, disk);
        clone.skew_ms = self.machines[first].skew_ms;
        let machine = self.machines.len();
        self.machines.push(clone);
        self.doubled.insert(self.machines[machine].node);
        let links: Vec<_> = self
            .links
            .iter()
            .filter(|link| link.dialer == first)
            .map(|link| (link.acceptor, link.delay, link.enabled))
            .collect();
        for (acceptor, delay, enabled) in links {
            self.links.push(super::network::Link {
                dialer: machine,
                acceptor,
                cuts: 0,
                enabled,
                current: None,
                delay,
            });
        }
        self.open(machine);
        // Both go on in the same logs.
        for _ in 0..self.rngs.acts.between(1, 4) {
            let wish = self.draw_wish(first);
            for writer in [first, machine] {
                let wait = self.rngs.acts.between(0, 10 * SECOND);
                self.schedule(wait, Event::Wish(writer, wish.clone()));
            }
        }
        self.schedule(lasts, Event::Mend(Mend::Retire(machine)));
    }

    /// Ends a fault.
    pub(super) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Retire(machine) => self.retire(machine),
            _ if self.phase != Phase::Faults => {}
            Mend::Link(link) => {
                self.links[link].cuts = self.links[link].cuts.saturating_sub(1);
                let wait = self.rngs.net.between(0, 2 * SECOND);
                self.schedule(wait, Event::Dial(link));
            }
            Mend::Disk(machine) => self.machines[machine].commit_ms = 10,
            Mend::Delay(link, delay) => self.links[link].delay = delay,
        }
    }

    fn retire(&mut self, machine: usize) {
        if std::mem::replace(&mut self.machines[machine].retired, true) {
            return;
        }
        self.machines[machine].running = None;
        self.cut_machine(machine);
        for link in &mut self.links {
            link.enabled &= link.dialer != machine;
        }
        self.tell(Seen::Retired { machine });
    }

    /// Faults stop: links connect, machines run, clones and attackers are gone.
    pub(super) fn heal(&mut self) {
        self.phase = Phase::Healing;
        self.forget_plans();
        for machine in 0..self.machines.len() {
            self.machines[machine].commit_ms = 10;
            self.machines[machine].disk_full = false;
            if self.machines[machine].plan != machine {
                self.retire(machine);
            }
            self.schedule(0, Event::Boot(machine));
        }
        self.attackers_leave();
        for unit in self.units_to_join() {
            // After the machines are up again.
            let parent = self.topology.units[unit].parent;
            if let Some(server) = self.machines.iter().position(|m| Some(m.unit) == parent) {
                self.schedule(SECOND, Event::Wish(server, Wish::Roster(unit)));
            }
        }
        for index in 0..self.links.len() {
            let link = &mut self.links[index];
            link.cuts = 0;
            link.delay = link.delay.min(200);
            let wait = self.rngs.net.between(0, 2 * SECOND);
            self.schedule(wait, Event::Dial(index));
        }
    }
}
