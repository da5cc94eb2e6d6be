//! The driver of one machine: it obeys the ordering contract as a real one must. Several inputs go in,
//! the outputs are drained, appends are committed, reported, and only then spoken of.

use super::Mutation;
use super::disk::Batch;
use super::machine::{Input, rosters};
use super::projection::Source;
use super::seen::Seen;
use super::world::{Event, World};
use federation_protocol::{Entry, Message, Misbehaved, Output, Phase, Report, SessionId, limits};
use keys::Hash;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Commits that may wait before a machine reads no more messages: bounds what is in flight.
const COMMITS_MAX: usize = 8;

impl World {
    /// Puts an input into a machine's inbox and schedules its turn.
    pub(super) fn enqueue(&mut self, machine: usize, input: Input) {
        let wait = self.rngs.net.between(0, 5);
        let state = &mut self.machines[machine];
        let incarnation = state.incarnation;
        let Some(running) = &mut state.running else {
            return;
        };
        running.inbox.push_back(input);
        if !std::mem::replace(&mut running.turn_due, true) {
            self.schedule(wait, Event::Turn(machine, incarnation));
        }
    }

    /// Handles a group of inputs, then what came of them.
    pub(super) fn turn(&mut self, machine: usize) -> Result<(), String> {
        let backlog = self.machines[machine]
            .running
            .as_ref()
            .map_or(0, |r| r.inbox.len());
        // A flood is read in large groups, as a real reading task would.
        let group = if backlog > 100 {
            backlog as u64
        } else {
            self.rngs.net.between(1, 8)
        };
        for _ in 0..group {
            let state = &mut self.machines[machine];
            let waiting = state.disk.waiting();
            let Some(running) = &mut state.running else {
                return Ok(());
            };
            let stalled =
                waiting >= COMMITS_MAX && matches!(running.inbox.front(), Some(Input::Message(..)));
            if stalled {
                break;
            }
            let Some(input) = running.inbox.pop_front() else {
                break;
            };
            self.handle(machine, input)?;
        }
        self.settle(machine)?;
        let state = &mut self.machines[machine];
        let stalled = state.disk.waiting() >= COMMITS_MAX;
        let incarnation = state.incarnation;
        let Some(running) = &mut state.running else {
            return Ok(());
        };
        running.turn_due = !running.inbox.is_empty();
        if running.turn_due {
            // A stalled machine waits for its disk.
            let wait = if stalled {
                5
            } else {
                self.rngs.net.between(0, 2)
            };
            self.schedule(wait, Event::Turn(machine, incarnation));
        }
        Ok(())
    }

    fn handle(&mut self, machine: usize, input: Input) -> Result<(), String> {
        let now = self.machines[machine].clock(self.now);
        let state = &mut self.machines[machine];
        let Some(running) = &mut state.running else {
            return Ok(());
        };
        match input {
            Input::LinkUp(session, proven) => running.replica.handle_link_up(now, session, proven),
            Input::LinkDown(session) => {
                running.replica.handle_link_down(session);
                running.sessions.remove(&session);
            }
            Input::Message(session, bytes) => self.handle_bytes(machine, now, session, &bytes)?,
            Input::Write(wish) => self.handle_wish(machine, now, &wish)?,
        }
        Ok(())
    }

    /// Decodes and checks a message as the driver's reading task does, then hands it in.
    fn handle_bytes(
        &mut self,
        machine: usize,
        now: u64,
        session: SessionId,
        bytes: &[u8],
    ) -> Result<(), String> {
        let place = self.machines[machine]
            .running
            .as_ref()
            .and_then(|running| running.sessions.get(&session).copied());
        let Some((id, side)) = place else {
            return Ok(());
        };
        self.has_read(id, side, bytes.len());
        let from = self
            .conns
            .get(&id)
            .and_then(|conn| self.unit_of(conn.ends[1 - side].party));
        let state = &mut self.machines[machine];
        let Some(running) = &mut state.running else {
            return Ok(());
        };
        let phase = |replica: &federation_protocol::Replica| {
            replica
                .sessions()
                .into_iter()
                .find(|s| s.id == session)
                .map(|s| s.phase)
        };
        let before = phase(&running.replica);
        let size_max = match before {
            Some(Phase::AwaitHello) => limits::HELLO_SIZE_MAX,
            _ => limits::MESSAGE_SIZE_MAX,
        };
        let decoded = if bytes.len() > size_max {
            Err(Misbehaved::Message { what: "size" })
        } else {
            Message::from_bytes(bytes)
        };
        let decoded = decoded.and_then(|message| {
            let entries = match &message {
                Message::Entries(entries) => entries.iter().map(|e| e.to_vec()).collect(),
                Message::Fork(first, second) => vec![first.to_vec(), second.to_vec()],
                _ => Vec::new(),
            };
            let checked: Result<Vec<Entry>, _> = entries
                .into_iter()
                .map(|bytes| self.verifier.verify(bytes))
                .collect();
            Ok((message, checked?))
        });
        let (message, entries) = match decoded {
            Ok(found) => found,
            Err(misbehaved) => {
                running.replica.handle_misbehaved(session, &misbehaved);
                return Ok(());
            }
        };
        let evidence = matches!(message, Message::Fork(..));
        // Evidence about an entry that is not held says nothing yet: it comes again behind that entry.
        let early = evidence
            && entries.first().is_some_and(|entry| {
                let place = (entry.log(), entry.seq_num());
                !state.disk.entries.contains_key(&place)
            });
        running
            .replica
            .handle_message(now, session, message, entries.clone(), &state.disk)
            .map_err(|error| error.to_string())?;
        let live = before == Some(Phase::Live) && phase(&running.replica) == Some(Phase::Live);
        if live && !early && !entries.is_empty() {
            self.tell(Seen::Took {
                machine,
                from,
                entries,
                evidence,
            });
        }
        Ok(())
    }

    /// Drains the outputs, carries them out, and sends what may be sent.
    pub(super) fn settle(&mut self, machine: usize) -> Result<(), String> {
        let mut wakes: BTreeSet<SessionId> = BTreeSet::new();
        loop {
            let Some(running) = &mut self.machines[machine].running else {
                return Ok(());
            };
            let Some(output) = running.replica.poll() else {
                break;
            };
            match output {
                Output::Append {
                    number,
                    entries,
                    states,
                    evidence,
                } => {
                    let batch = Batch {
                        number: Some(number),
                        entries,
                        states,
                        evidence,
                        ..Batch::default()
                    };
                    self.commit(machine, batch);
                    if self.options.mutation == Mutation::SkipCommit {
                        self.report_committed(machine, number)?;
                    }
                }
                Output::Appended { number, entries } => self.appended(machine, number, &entries),
                Output::Wake { session } => {
                    wakes.insert(session);
                }
                Output::Close {
                    session,
                    last,
                    misbehaved,
                    reason,
                } => {
                    let place = running.sessions.remove(&session);
                    running.replica.handle_link_down(session);
                    let Some((id, side)) = place else { continue };
                    let honest = self.peer_is_honest(id, side);
                    self.tell(Seen::Closed {
                        machine,
                        honest,
                        misbehaved,
                        reason,
                    });
                    self.close(machine, id, side, last);
                }
                Output::KeepReceipt {
                    issuer,
                    unit,
                    bytes,
                } => {
                    for seen in std::mem::take(&mut running.held_back) {
                        self.tell(seen);
                    }
                    let receipt = Some((issuer, unit, bytes));
                    self.commit(
                        machine,
                        Batch {
                            receipt,
                            ..Batch::default()
                        },
                    );
                }
                Output::Report(report) => self.reported(machine, report),
                other => return Err(format!("an output the driver does not know: {other:?}")),
            }
        }
        for session in wakes {
            self.pump(machine, session)?;
        }
        self.schedule_tick(machine);
        Ok(())
    }

    fn reported(&mut self, machine: usize, report: Report) {
        let state = &mut self.machines[machine];
        if let Some(running) = &mut state.running {
            match &report {
                Report::Forked { author, .. } => running.epoch_spent |= *author == state.node,
                Report::RolledBack { .. } => running.epoch_spent = true,
                _ => {}
            }
        }
        self.tell(Seen::Told { machine, report });
    }

    /// Hands a commit to the disk; it will be durable after a while, in order.
    fn commit(&mut self, machine: usize, batch: Batch) {
        let state = &mut self.machines[machine];
        let wait = self.rngs.disk.between(1, state.commit_ms.max(1));
        state.commit_due = state.commit_due.max(self.now + wait);
        let wait = state.commit_due - self.now;
        let incarnation = state.incarnation;
        state.disk.begin(batch);
        self.schedule(wait, Event::Durable(machine, incarnation));
    }

    /// The oldest waiting commit is durable: the replica hears of it, and only now speaks of it.
    pub(super) fn durable(&mut self, machine: usize) -> Result<(), String> {
        if std::mem::take(&mut self.machines[machine].disk_full) {
            return self.refuse_commits(machine);
        }
        let Some(batch) = self.machines[machine].disk.finish_oldest() else {
            return Ok(());
        };
        let number = batch.number;
        let forked: BTreeSet<Source> = batch
            .states
            .iter()
            .filter(|state| state.forked.is_some())
            .map(|state| Source::of(&state.key))
            .collect();
        self.tell(Seen::Durable {
            machine,
            batch: Rc::new(batch),
        });
        if let Some(number) = number
            && self.options.mutation != Mutation::SkipCommit
        {
            self.report_committed(machine, number)?;
        }
        self.settle(machine)?;
        // What is void now goes out of the documents.
        let state = &mut self.machines[machine];
        if let Some(running) = &mut state.running {
            for source in forked {
                let states: BTreeMap<_, _> = running.replica.logs().collect();
                running
                    .projection
                    .rebuild(&state.disk, &states, Some(&source));
            }
        }
        Ok(())
    }

    /// The disk is full: everything that waits is taken back, and whoever waited is told.
    fn refuse_commits(&mut self, machine: usize) -> Result<(), String> {
        let state = &mut self.machines[machine];
        let refused = state.disk.refuse();
        let Some(running) = &mut state.running else {
            return Ok(());
        };
        if refused > 0 {
            running.replica.handle_refused("the disk is full");
            running.waiting.clear();
            running.projection.forget_foreseen();
            let states: BTreeMap<_, _> = running.replica.logs().collect();
            running.projection.rebuild(&state.disk, &states, None);
            self.tell(Seen::Refused { machine });
            self.introduce(machine);
        }
        self.settle(machine)
    }

    fn report_committed(&mut self, machine: usize, number: u64) -> Result<(), String> {
        let now = self.machines[machine].clock(self.now);
        let Some(running) = &mut self.machines[machine].running else {
            return Ok(());
        };
        running
            .replica
            .handle_committed(now, number)
            .map_err(|error| error.to_string())
    }

    /// Entries are durable: users hear "saved", documents and rosters are brought up to date.
    fn appended(&mut self, machine: usize, number: u64, entries: &[Entry]) {
        let state = &mut self.machines[machine];
        let Some(running) = &mut state.running else {
            return;
        };
        let waiting = running.waiting.remove(&number).unwrap_or_default();
        let effective = entries.iter().filter(|entry| {
            running
                .replica
                .log(entry.log())
                .is_none_or(|log| log.is_effective(entry.seq_num()))
        });
        running.projection.apply(effective);
        let placed: BTreeSet<usize> = entries
            .iter()
            .flat_map(|entry| rosters(&self.topology, entry))
            .collect();
        let new: Vec<usize> = placed.difference(&running.known).copied().collect();
        if !new.is_empty() {
            running.known.extend(&new);
            running
                .replica
                .set_placement(self.topology.placement(&running.known));
        }
        let saved: BTreeSet<Hash> = waiting.into_iter().collect();
        let acks = entries
            .iter()
            .filter(|entry| saved.contains(&entry.hash()))
            .map(|entry| {
                let (log, seq_num, hash) = (entry.log(), entry.seq_num(), entry.hash());
                Seen::Acked {
                    machine,
                    log,
                    seq_num,
                    hash,
                }
            });
        let unit = state.unit;
        let has_parent = self.topology.units[unit].parent.is_some();
        if self.options.mutation == Mutation::WaitForParent && has_parent {
            running.held_back.extend(acks);
        } else {
            let acks: Vec<Seen> = acks.collect();
            for seen in acks {
                self.tell(seen);
            }
        }
        for child in new {
            if self.topology.units[child].parent == Some(unit) {
                self.joined(child);
            }
        }
    }

    /// Schedules the moment at which the replica wants to be woken.
    fn schedule_tick(&mut self, machine: usize) {
        let shown = self.machines[machine].clock(self.now);
        let state = &mut self.machines[machine];
        let incarnation = state.incarnation;
        let Some(running) = &mut state.running else {
            return;
        };
        let Some(due) = running.replica.next_tick_ms() else {
            return;
        };
        let at = self.now + due.saturating_sub(shown);
        if running
            .tick_at
            .is_none_or(|known| known > at || known < self.now)
        {
            running.tick_at = Some(at);
            self.schedule(at - self.now, Event::Tick(machine, incarnation));
        }
    }

    /// Lets the replica do what is due.
    pub(super) fn tick(&mut self, machine: usize) -> Result<(), String> {
        let now = self.machines[machine].clock(self.now);
        let Some(running) = &mut self.machines[machine].running else {
            return Ok(());
        };
        running.tick_at = None;
        if self.options.mutation == Mutation::NoTick && machine == 0 {
            return Ok(());
        }
        running.replica.handle_tick(now);
        self.settle(machine)
    }
}
