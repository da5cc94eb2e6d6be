//! Links and connections: ordered, reliable streams with delay, until they break.
//!
//! Messages of one connection arrive in order; those of different connections overtake each other.
//! A connection that breaks loses what is under way, and each side notices in its own time, so an old
//! session may still stand at one end when the next one begins.

use super::machine::Input;
use super::seen::Seen;
use super::world::{Event, Phase, World};
use federation_protocol::{Message, SessionId};
use keys::NodeKey;
use std::rc::Rc;

/// Who sits at one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    /// A machine, in one of its incarnations.
    Machine(usize, u32),
    /// A dishonest party.
    Attacker(usize),
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    /// Who.
    pub party: Party,
    /// Its number for the session.
    pub session: SessionId,
    /// True until this end noticed that the connection is gone.
    pub up: bool,
    /// Bytes sent from this end that the other end has not read.
    pub unread: usize,
    /// When the newest message sent from this end arrives.
    last_arrival: u64,
    /// Messages sent from this end.
    pub sent: u64,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    /// The link it runs over; none for an attacker's.
    pub link: Option<usize>,
    /// The dialer and the acceptor.
    pub ends: [End; 2],
    /// True once it is cut: nothing arrives any more.
    pub cut: bool,
    delay: u64,
    jitter: u64,
    /// Bytes that may be unread before the sender waits.
    pub window: usize,
}

/// Two machines that connect when they can.
#[derive(Debug)]
pub(super) struct Link {
    /// The machine that dials.
    pub dialer: usize,
    /// The machine that accepts.
    pub acceptor: usize,
    /// Cuts in force.
    pub cuts: u32,
    /// False before its unit has joined, and after a machine left.
    pub enabled: bool,
    /// The connection, as the dialer sees it.
    pub current: Option<usize>,
    /// Least delay of a message, milliseconds.
    pub delay: u64,
}

/// Longest time until a broken connection is noticed, milliseconds.
const NOTICE_MS: u64 = 30_000;

impl World {
    /// Dials a link if it is free and both machines run.
    pub(super) fn dial(&mut self, index: usize) {
        let Some(link) = self.links.get(index) else {
            return;
        };
        let (dialer, acceptor, delay) = (link.dialer, link.acceptor, link.delay);
        let able = link.enabled && link.cuts == 0 && link.current.is_none();
        if !able || !self.machines[dialer].is_up() || !self.machines[acceptor].is_up() {
            return;
        }
        let parties = [dialer, acceptor].map(|m| Party::Machine(m, self.machines[m].incarnation));
        let id = self.connect(Some(index), parties, delay);
        self.links[index].current = Some(id);
    }

    /// Makes a connection; both ends hear of it a little later.
    pub(super) fn connect(
        &mut self,
        link: Option<usize>,
        parties: [Party; 2],
        delay: u64,
    ) -> usize {
        let rng = &mut self.rngs.net;
        let jitter = if rng.chance(30) {
            rng.between(0, 400)
        } else {
            rng.between(0, 20)
        };
        let window = usize::try_from(rng.between(1, 16)).unwrap_or(1) * 64 * 1024;
        let id = self.next_conn;
        self.next_conn += 1;
        let ends = parties.map(|party| End {
            session: match party {
                Party::Machine(machine, _) => self.machines[machine].next_session(),
                Party::Attacker(_) => SessionId(0),
            },
            party,
            up: true,
            unread: 0,
            last_arrival: 0,
            sent: 0,
        });
        self.conns.insert(
            id,
            Conn {
                link,
                ends,
                cut: false,
                delay,
                jitter,
                window,
            },
        );
        for side in [0, 1] {
            let wait = delay + self.rngs.net.between(0, 50);
            self.schedule(wait, Event::Connected(id, side));
            // Nothing reaches an end before it has heard of the connection.
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.ends[1 - side].last_arrival = self.now + wait;
            }
        }
        id
    }

    /// Tells one end that its connection stands.
    pub(super) fn connected(&mut self, id: usize, side: usize) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        if conn.cut || !conn.ends[side].up {
            return;
        }
        let session = conn.ends[side].session;
        let proven = self.key_of(conn.ends[1 - side].party);
        match conn.ends[side].party {
            Party::Machine(machine, incarnation) => {
                let machine_state = &mut self.machines[machine];
                if machine_state.incarnation != incarnation {
                    return;
                }
                let Some(running) = &mut machine_state.running else {
                    return;
                };
                running.sessions.insert(session, (id, side));
                self.enqueue(machine, Input::LinkUp(session, proven));
            }
            Party::Attacker(attacker) => self.attack_begins(attacker, id, side),
        }
    }

    fn key_of(&self, party: Party) -> NodeKey {
        match party {
            Party::Machine(machine, _) => self.machines[machine].node,
            Party::Attacker(attacker) => self.attackers[attacker].key(),
        }
    }

    /// Returns the unit of the node at an end, by certification; none for a stranger.
    pub(super) fn unit_of(&self, party: Party) -> Option<usize> {
        self.topology.certified_for(self.key_of(party))
    }

    /// Sends as much as the connection takes, pulled from the replica.
    pub(super) fn pump(&mut self, machine: usize, session: SessionId) -> Result<(), String> {
        loop {
            let Some(running) = &mut self.machines[machine].running else {
                return Ok(());
            };
            let Some((id, side)) = running.sessions.get(&session).copied() else {
                return Ok(());
            };
            let Some(conn) = self.conns.get(&id) else {
                return Ok(());
            };
            if !conn.ends[side].up || conn.ends[side].unread >= conn.window {
                return Ok(());
            }
            let state = &mut self.machines[machine];
            let Some(running) = &mut state.running else {
                return Ok(());
            };
            let next = running.replica.poll_transmit(session, &state.disk);
            match next.map_err(|error| error.to_string())? {
                Some(message) => self.send(machine, id, side, message),
                None => return Ok(()),
            }
        }
    }

    /// Puts one message of a machine on a connection.
    pub(super) fn send(&mut self, machine: usize, id: usize, side: usize, message: Message) {
        let bytes: Rc<[u8]> = message.to_bytes().into();
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let to = self.unit_of(conn.ends[1 - side].party);
        self.tell(Seen::Sent {
            machine,
            to,
            size: bytes.len(),
            message: Rc::new(message),
        });
        self.transport(id, side, bytes);
    }

    /// Puts bytes on a connection, whoever sent them.
    pub(super) fn transport(&mut self, id: usize, side: usize, bytes: Rc<[u8]>) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let jitter = self.rngs.net.between(0, conn.jitter);
        let end = &mut conn.ends[side];
        let arrival = (self.now + conn.delay + jitter).max(end.last_arrival);
        end.last_arrival = arrival;
        end.unread += bytes.len();
        end.sent += 1;
        if !conn.cut {
            self.schedule(arrival - self.now, Event::Deliver(id, 1 - side, bytes));
        }
    }

    /// Brings bytes to one end of a connection.
    pub(super) fn deliver(&mut self, id: usize, side: usize, bytes: Rc<[u8]>) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        if conn.cut || !conn.ends[side].up {
            return;
        }
        let session = conn.ends[side].session;
        match conn.ends[side].party {
            Party::Machine(machine, incarnation) => {
                if self.machines[machine].incarnation == incarnation {
                    self.enqueue(machine, Input::Message(session, bytes));
                }
            }
            Party::Attacker(attacker) => {
                let reads = self.attacker_reads(attacker, &bytes);
                if reads {
                    self.has_read(id, side, bytes.len());
                }
            }
        }
    }

    /// Notes that one end has read bytes; the other may send more.
    pub(super) fn has_read(&mut self, id: usize, side: usize, size: usize) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let sender = &mut conn.ends[1 - side];
        let was_full = sender.unread >= conn.window;
        sender.unread = sender.unread.saturating_sub(size);
        if was_full && sender.unread < conn.window {
            self.schedule(0, Event::Pump(id, 1 - side));
        }
    }

    /// Cuts a connection: what is under way is lost, and each end notices later.
    pub(super) fn cut(&mut self, id: usize) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if conn.cut {
            return;
        }
        conn.cut = true;
        for side in [0, 1] {
            let wait = self.rngs.net.between(0, NOTICE_MS);
            self.schedule(wait, Event::Gone(id, side));
        }
    }

    /// Tells one end that its connection is gone.
    pub(super) fn gone(&mut self, id: usize, side: usize) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let was_up = std::mem::replace(&mut conn.ends[side].up, false);
        let (session, party, link) = (conn.ends[side].session, conn.ends[side].party, conn.link);
        if was_up
            && let Party::Machine(machine, incarnation) = party
            && self.machines[machine].incarnation == incarnation
        {
            self.enqueue(machine, Input::LinkDown(session));
        }
        self.forget(id, side, link);
    }

    /// Closes a connection from one end, with a last word to the other.
    pub(super) fn close(&mut self, machine: usize, id: usize, side: usize, last: Option<Message>) {
        if let Some(last) = last {
            self.send(machine, id, side, last);
        }
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.ends[side].up = false;
        let link = conn.link;
        let wait = conn.ends[side].last_arrival.max(self.now) - self.now;
        self.schedule(wait, Event::Gone(id, 1 - side));
        self.forget(id, side, link);
    }

    /// Lets the dialer try again, and drops a connection that both ends have left.
    pub(super) fn forget(&mut self, id: usize, side: usize, link: Option<usize>) {
        if side == 0
            && let Some(index) = link
            && self.links[index].current == Some(id)
        {
            self.links[index].current = None;
            let longest = if self.phase == Phase::Faults {
                20_000
            } else {
                2_000
            };
            let wait = self.rngs.net.between(200, longest);
            self.schedule(wait, Event::Dial(index));
        }
        if self
            .conns
            .get(&id)
            .is_some_and(|conn| !conn.ends[0].up && !conn.ends[1].up)
        {
            self.conns.remove(&id);
        }
    }

    /// Returns the other party of a session when it runs the production code.
    pub(super) fn peer_is_honest(&self, id: usize, side: usize) -> bool {
        let party = self.conns.get(&id).map(|conn| conn.ends[1 - side].party);
        matches!(party, Some(Party::Machine(..)))
    }

    /// Cuts every connection of a link.
    pub(super) fn cut_link(&mut self, index: usize) {
        let ids: Vec<usize> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.link == Some(index))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.cut(id);
        }
    }

    /// Cuts every connection of a machine, whose own end is gone at once.
    pub(super) fn cut_machine(&mut self, machine: usize) {
        let of_machine = |party: Party| matches!(party, Party::Machine(m, _) if m == machine);
        let ids: Vec<usize> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.ends.iter().any(|end| of_machine(end.party)))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.cut(id);
            let Some(conn) = self.conns.get_mut(&id) else {
                continue;
            };
            let Some(side) = conn.ends.iter().position(|end| of_machine(end.party)) else {
                continue;
            };
            conn.ends[side].up = false;
            let link = conn.link;
            if side == 0
                && let Some(index) = link
            {
                self.links[index].current = None;
            }
        }
    }
}
