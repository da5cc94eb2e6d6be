//! What a peer can do that is certified and hostile: nothing that lasts. Queues stay bounded, nothing is
//! asked for twice in vain, a unit fills its own share only, and what it breaks is closed or left.

// Clippy's leave for tests covers test functions, not what they call.
#![allow(clippy::unwrap_used)]

#[path = "transcripts/store.rs"]
mod store;
#[path = "transcripts/words.rs"]
mod words;
#[path = "transcripts/world.rs"]
mod world;

use std::collections::BTreeMap;

use federation_protocol::{
    CHAIN_TAG, Child, Draft, Entry, HeadItem, Hlc, LogId, LogKey, Message, Part, Period, Phase,
    Reach, Rejected, Report, Step, limits,
};
use keys::{Hash, StoreEpoch, UnitId};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use store::Store;
use world::{World, node_secret};

const BEGIN_MS: u64 = 1_780_000_000_000;

/// A city, its district and one school, school and district connected and equal.
fn connected() -> World {
    let mut world = World::new(1);
    world.add_node("city", "city", "city", None);
    world.add_node("d1", "d1", "district", Some("city"));
    world.add_node("s1", "s1", "school", Some("d1"));
    world.link("s1", "d1", None);
    world.stabilize(None);
    world
}

/// Writes entries of the school's node as its owner could with a program of his own.
struct Forger {
    key: LogKey,
    rng: ChaCha20Rng,
}

impl Forger {
    fn new(period: Option<&str>, epoch: u8) -> Self {
        let key = LogKey {
            author: node_secret("s1").node_key(),
            epoch: StoreEpoch::from_bytes([epoch; 16]),
            unit: "s1".parse().unwrap(),
            reach: Reach::Up("city".parse().unwrap()),
            period: period.map(|period| period.parse().unwrap()),
        };
        Self {
            key,
            rng: ChaCha20Rng::seed_from_u64(9),
        }
    }

    fn entry(&mut self, seq_num: u64, backlink: Option<Hash>, hlc: Hlc, text: &str) -> Entry {
        let bytes = text.as_bytes().to_vec();
        let parts = vec![Part::Statement {
            domain: "sanji/1/kind".to_owned(),
            bytes,
        }];
        let draft = Draft {
            key: self.key.clone(),
            seq_num,
            backlink,
            hlc,
            parts,
        };
        Entry::verify(draft.sign(&node_secret("s1"), &mut self.rng)).unwrap()
    }

    fn chain(&mut self, count: u64) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for seq_num in 0..count {
            let before = entries.last().map(Entry::hash);
            entries.push(self.entry(seq_num, before, Hlc::from_ms(BEGIN_MS + seq_num), "text"));
        }
        entries
    }
}

fn send(world: &mut World, entries: &[Entry]) {
    let entries = entries
        .iter()
        .map(|entry| entry.bytes().to_vec().into())
        .collect();
    world.inject("s1", "d1", &Message::Entries(entries));
}

fn rejections(world: &World, name: &str) -> Vec<Rejected> {
    world.nodes[name]
        .reports
        .iter()
        .filter_map(|report| match report {
            Report::Rejected { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .collect()
}

/// Counts what `d1` says to `s1` that begins with these words.
fn said(world: &World, what: &str) -> usize {
    world
        .trace
        .iter()
        .filter(|line| line.starts_with(&format!("d1 -> s1  {what}")))
        .count()
}

fn is_live(world: &World) -> bool {
    world.nodes["d1"]
        .replica
        .sessions()
        .iter()
        .any(|session| session.phase == Phase::Live)
}

// protocol.md R17, R21
#[test]
fn a_gap_is_asked_for_once_however_many_entries_come_behind_it() {
    let mut world = connected();
    let entries = Forger::new(Some("2026-1"), 1).chain(400);
    for entry in &entries[200..] {
        send(&mut world, std::slice::from_ref(entry));
    }
    send(&mut world, &entries[10..200]);
    world.stabilize(None);
    assert_eq!(said(&world, "heads"), 1);
    assert_eq!(rejections(&world, "d1").len(), 1);
    // What was missing is taken when it comes.
    send(&mut world, &entries);
    world.stabilize(None);
    assert_eq!(
        world.nodes["d1"]
            .replica
            .log(entries[0].log())
            .unwrap()
            .head
            .seq_num,
        399
    );
}

// protocol.md R7, R17
#[test]
fn an_entry_that_links_to_nothing_does_not_make_two_nodes_talk_for_ever() {
    let mut world = connected();
    let mut forger = Forger::new(Some("2026-1"), 1);
    let entries = forger.chain(3);
    let astray = forger.entry(
        3,
        Some(Hash::of(b"nothing")),
        Hlc::from_ms(BEGIN_MS + 9),
        "x",
    );
    send(&mut world, &entries);
    for _ in 0..50 {
        send(&mut world, &[entries[2].clone(), astray.clone()]);
        world.stabilize(None);
    }
    assert_eq!(said(&world, "heads"), 1);
    let log = entries[0].log();
    assert_eq!(
        rejections(&world, "d1"),
        [Rejected::Diverges { log, seq_num: 3 }]
    );
    assert_eq!(world.nodes["d1"].replica.log(log).unwrap().head.seq_num, 2);
}

// protocol.md R7
#[test]
fn an_entry_older_than_the_one_before_it_closes_the_session() {
    let mut world = connected();
    let mut forger = Forger::new(Some("2026-1"), 1);
    let first = forger.entry(0, None, Hlc::from_ms(BEGIN_MS), "x");
    let second = forger.entry(1, Some(first.hash()), Hlc::from_ms(BEGIN_MS - 1), "y");
    send(&mut world, &[first.clone(), second]);
    assert!(!is_live(&world));
    world.stabilize(None);
    assert_eq!(
        world.nodes["d1"]
            .replica
            .log(first.log())
            .unwrap()
            .head
            .seq_num,
        0
    );
}

// protocol.md R6, R21
#[test]
fn a_unit_can_have_so_many_logs_and_periods_and_no_more() {
    let mut world = connected();
    let log = |epoch: u64, period: Option<Period>| {
        let mut forger = Forger::new(None, 0);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&epoch.to_be_bytes());
        forger.key.epoch = StoreEpoch::from_bytes(bytes);
        forger.key.period = period;
        forger.entry(0, None, Hlc::from_ms(BEGIN_MS), "x")
    };
    let one: Period = "2026-1".parse().unwrap();
    let count = limits::HEADS_MAX as u64 + 5;
    let entries: Vec<Entry> = (0..count).map(|epoch| log(epoch, Some(one))).collect();
    send(&mut world, &entries[..1_000]);
    send(&mut world, &entries[1_000..]);
    let d1 = &world.nodes["d1"].replica;
    assert_eq!(d1.logs().count(), limits::HEADS_MAX);
    let refused = Rejected::TooManyLogs {
        unit: "s1".parse().unwrap(),
    };
    assert_eq!(rejections(&world, "d1"), vec![refused; 5]);
    // Periods likewise; and all of it is still compared with the city, within every limit.
    let periods = (0..300).map(|n| Period::new(2_000 + n / 4, (n % 4 + 1) as u8).unwrap());
    let entries: Vec<Entry> = periods.map(|period| log(0, Some(period))).collect();
    send(&mut world, &entries);
    let logs = world.nodes["d1"].replica.logs().count();
    assert_eq!(logs, limits::HEADS_MAX + limits::UNIT_PERIODS_MAX - 2);
    world.link("d1", "city", None);
    world.stabilize(None);
    // The city does not know the forger's chain: what cannot be taken is asked for no more than once.
    let chain = world
        .chain(&"s1".parse().unwrap(), &node_secret("s1"))
        .to_bytes();
    let part = Part::Statement {
        domain: CHAIN_TAG.to_owned(),
        bytes: chain,
    };
    world
        .write("s1", Reach::Up("city".parse().unwrap()), None, vec![part])
        .unwrap();
    world.stabilize(None);
    assert_eq!(
        world.shared_digest("d1", "city"),
        world.shared_digest("city", "d1")
    );
}

fn random_units(n: usize) -> impl Iterator<Item = UnitId> {
    (0..256).map(move |at| format!("x{n:04}-{at:03}").parse().unwrap())
}

// protocol.md R21
#[test]
fn a_peer_that_asks_without_reading_fills_no_memory() {
    let mut world = connected();
    let digest = Hash::of(b"other");
    let session = world.nodes["d1"].replica.sessions()[0].id;
    for n in 0..200 {
        let step = |unit| Child {
            step: Step::Unit(unit),
            digest,
        };
        let children = random_units(n).map(step).collect();
        world.nodes.get_mut("d1").unwrap().held = true;
        world.inject("s1", "d1", &Message::Digest(vec![], children));
        let heads = (0..limits::HEADS_MAX).map(|at| HeadItem {
            log: LogId::from_bytes(*Hash::of(format!("{n} {at}").as_bytes()).as_bytes()),
            seq_num: u64::MAX,
            hash: digest,
            forked: None,
        });
        let unit = random_units(n).next().unwrap();
        world.inject(
            "s1",
            "d1",
            &Message::Heads(unit, None, heads.collect(), true),
        );
        world.inject("s1", "d1", &Message::Summary(digest, digest));
    }
    let d1 = &world.nodes["d1"].replica;
    assert!(d1.queued() <= limits::SESSION_QUEUE_MAX + limits::SESSION_DUE_MAX);
    let status = d1
        .sessions()
        .into_iter()
        .find(|status| status.id == session)
        .unwrap();
    assert_eq!(status.to_receive, u64::MAX, "promises are only counted");
    // When it reads again it is told so much and no more, and the session still works.
    world.release("d1");
    world.write("d1", Reach::Below, None, vec![]).unwrap();
    world.stabilize(None);
    assert!(is_live(&world));
    assert_eq!(
        world.shared_digest("d1", "s1"),
        world.shared_digest("s1", "d1")
    );
}

// protocol.md R16
#[test]
fn a_digest_of_no_place_or_out_of_order_closes_the_session() {
    let digest = Hash::of(b"other");
    let child = |step| Child { step, digest };
    let unit = |name: &str| Step::Unit(name.parse().unwrap());
    let bad: Vec<(Vec<Step>, Vec<Child>)> = vec![
        (vec![Step::Period(None)], vec![]),
        (vec![unit("s1"), Step::Bucket(1)], vec![]),
        (vec![], vec![child(Step::Period(None))]),
        (vec![], vec![child(Step::Bucket(1)), child(unit("s1"))]),
        (vec![], vec![child(unit("s2")), child(unit("s1"))]),
        (vec![], vec![child(unit("s1")), child(unit("s1"))]),
        (vec![Step::Bucket(1)], vec![child(Step::Bucket(2))]),
        (vec![unit("s1")], vec![child(unit("s1"))]),
    ];
    for (path, children) in bad {
        let mut world = connected();
        world.inject("s1", "d1", &Message::Digest(path.clone(), children.clone()));
        assert!(!is_live(&world), "{path:?} {children:?}");
    }
}

// protocol.md R13, R21
#[test]
fn a_second_hello_or_evidence_of_nothing_closes_the_session() {
    let mut world = connected();
    let hello = world
        .trace
        .iter()
        .filter(|line| line.contains("hello"))
        .count();
    assert_eq!(hello, 2);
    let entry = Forger::new(Some("2026-1"), 1).chain(1).remove(0);
    let bytes = || entry.bytes().to_vec().into();
    world.inject("s1", "d1", &Message::Fork(bytes(), bytes()));
    assert!(!is_live(&world));
    let mut world = connected();
    let again = federation_protocol::Hello {
        version: 1,
        version_min: 1,
        root: world::unit_secret("city").unit_key(),
        chain: vec![].into(),
        epoch: StoreEpoch::from_bytes([1; 16]),
        clock_ms: 0,
        software: String::new(),
    };
    world.inject("s1", "d1", &Message::Hello(again));
    assert!(!is_live(&world));
}

// protocol.md R14, R16, R17
#[test]
fn a_first_sync_of_more_places_than_may_wait_at_once_still_ends_equal() {
    let mut world = World::new(1);
    world.add_node("city", "city", "city", None);
    world.add_node("d1", "d1", "district", Some("city"));
    let units: Vec<String> = (0..300).map(|n| format!("school-{n}")).collect();
    for unit in &units {
        world.add_unit(unit, "school", "d1");
    }
    world.place_again();
    let mut store = Store::default();
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut texts = BTreeMap::new();
    for unit in &units {
        let secret = node_secret(unit);
        let chain = world.chain(&unit.parse().unwrap(), &secret).to_bytes();
        for n in 0..16_u8 {
            let period = n
                .checked_sub(1)
                .map(|n| Period::new(2_000 + u16::from(n) / 2, n % 2 + 1).unwrap());
            let key = LogKey {
                author: secret.node_key(),
                epoch: StoreEpoch::from_bytes([4; 16]),
                unit: unit.parse().unwrap(),
                reach: Reach::Up("city".parse().unwrap()),
                period,
            };
            let bytes = if n == 0 { chain.clone() } else { vec![n] };
            let parts = vec![Part::Statement {
                domain: CHAIN_TAG.to_owned(),
                bytes,
            }];
            let hlc = Hlc::from_ms(BEGIN_MS);
            let draft = Draft {
                key,
                seq_num: 0,
                backlink: None,
                hlc,
                parts,
            };
            let entry = Entry::verify(draft.sign(&secret, &mut rng)).unwrap();
            texts.insert(entry.log(), n);
            store.put(&entry);
        }
    }
    assert!(texts.len() > limits::SESSION_DUE_MAX);
    world.restart("d1", Some(store));
    world.link("d1", "city", None);
    world.stabilize(None);
    assert_eq!(world.nodes["city"].replica.logs().count(), texts.len());
    assert_eq!(
        world.shared_digest("d1", "city"),
        world.shared_digest("city", "d1")
    );
}

// protocol.md R9
#[test]
fn a_time_far_ahead_is_stored_and_not_adopted_after_a_restart_either() {
    let mut world = connected();
    let mut forger = Forger::new(Some("2026-1"), 1);
    let far = Hlc::from_ms(BEGIN_MS + 10 * limits::CLOCK_AHEAD_MAX_MS);
    let entry = forger.entry(0, None, far, "x");
    send(&mut world, std::slice::from_ref(&entry));
    world.stabilize(None);
    world.restart("d1", None);
    world.write("d1", Reach::Below, None, vec![]).unwrap();
    let d1 = &world.nodes["d1"].replica;
    assert_eq!(d1.log(entry.log()).unwrap().head.hlc, far);
    let own = d1
        .logs()
        .find(|(_, state)| state.key.reach == Reach::Below)
        .unwrap()
        .1;
    assert!(own.head.hlc.ms() < BEGIN_MS + limits::CLOCK_AHEAD_MAX_MS);
}

// protocol.md R19
#[test]
fn a_receipt_is_taken_from_above_only_and_from_a_clock_gone_back_when_it_covers_more() {
    let mut world = connected();
    let up = || Reach::Up("city".parse().unwrap());
    let period = Some("2026-1".parse().unwrap());
    let text = |text| vec![World::part(&up(), period, text, 0)];
    world.write("s1", up(), period, text("one")).unwrap();
    world.stabilize(None);
    let held = |world: &World| {
        let receipts: Vec<_> = world.nodes["s1"].replica.receipts().cloned().collect();
        assert_eq!(receipts.len(), 1);
        receipts[0].clone()
    };
    let before = held(&world);
    // The district's clock is set back; what it holds grows.
    world.now_ms -= 1_000_000;
    world.write("s1", up(), period, text("two")).unwrap();
    world.stabilize(None);
    let after = held(&world);
    assert!(after.time_ms < before.time_ms);
    let top = |receipt: &federation_protocol::Receipt| {
        receipt.heads.iter().map(|head| head.seq_num).max().unwrap()
    };
    assert_eq!((top(&before), top(&after)), (0, 1));
    // Its own word, brought by its child, is none.
    let bytes = world.nodes["s1"]
        .store
        .receipts
        .values()
        .next()
        .unwrap()
        .clone();
    world.inject("s1", "d1", &Message::Receipt(bytes.into()));
    assert!(is_live(&world));
    assert_eq!(world.nodes["d1"].replica.receipts().count(), 0);
}
