//! The committer over an engine whose every step the test decides.

use std::sync::mpsc::{Receiver, Sender, channel};

use futures_util::FutureExt as _;

use super::*;

/// What a gated engine does at its next sync.
enum Turn {
    Pass,
    Fail,
    Panic,
}

#[derive(Default)]
struct Seen {
    syncs: u64,
    applied: Vec<Writes>,
    closed: u64,
}

struct Gated {
    map: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    seen: Arc<Mutex<Seen>>,
    arrived: Sender<()>,
    turns: Mutex<Receiver<Turn>>,
    free: u64,
}

impl Engine for Gated {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(lock(&self.map).get(key).cloned())
    }

    fn apply(&self, writes: Writes) -> Result<(), String> {
        lock(&self.seen).applied.push(writes.clone());
        for (key, frame) in writes {
            match frame {
                Some(frame) => lock(&self.map).insert(key, frame),
                None => lock(&self.map).remove(&key),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), String> {
        lock(&self.seen).syncs += 1;
        self.arrived.send(()).unwrap();
        // A test that ended has dropped its end; then nothing is gated any more.
        match lock(&self.turns).recv() {
            Ok(Turn::Fail) => Err("EIO".to_owned()),
            Ok(Turn::Panic) => panic!("assertion of the engine"),
            Ok(Turn::Pass) | Err(_) => Ok(()),
        }
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        Ok((self.free, 1_000))
    }

    fn close(self) -> Result<(), String> {
        lock(&self.seen).closed += 1;
        Ok(())
    }
}

struct Bench {
    committer: Committer<Gated>,
    seen: Arc<Mutex<Seen>>,
    arrived: Receiver<()>,
    turns: Sender<Turn>,
    stops: Receiver<FailStop>,
}

const PATIENT: Duration = Duration::from_secs(3_600);

fn bench(free: u64, step: Duration) -> Bench {
    let seen = Arc::<Mutex<Seen>>::default();
    let (arrive, arrived) = channel();
    let (turns, turn) = channel();
    let (stop, stops) = channel();
    let engine = Gated {
        map: Mutex::default(),
        seen: Arc::clone(&seen),
        arrived: arrive,
        turns: Mutex::new(turn),
        free,
    };
    let limits = Limits {
        queue_batches: 3,
        queue_bytes: 10_000,
        group_bytes: 5_000,
        step,
    };
    let stop = Mutex::new(stop);
    let on_fail_stop: OnFailStop = Arc::new(move |why| lock(&stop).send(why.clone()).unwrap());
    let committer = Committer::start(engine, limits, on_fail_stop).unwrap();
    Bench {
        committer,
        seen,
        arrived,
        turns,
        stops,
    }
}

fn wait(future: CommitFuture) -> Result<(), CommitError> {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn put(key: &str, value: &str) -> Batch {
    let mut batch = Batch::new();
    batch.put(key, value);
    batch
}

#[test]
fn nothing_is_answered_before_its_sync_and_waiting_batches_share_the_next() {
    let bench = bench(1 << 20, PATIENT);
    let mut first = bench.committer.commit(put("a", "1"));
    bench.arrived.recv().unwrap();
    let mut later: Vec<_> = ["b", "c", "d"]
        .map(|key| bench.committer.commit(put(key, "1")))
        .into();
    assert!(first.as_mut().now_or_never().is_none());
    bench.turns.send(Turn::Pass).unwrap();
    wait(first).unwrap();
    bench.arrived.recv().unwrap();
    assert!(
        later
            .iter_mut()
            .all(|commit| commit.as_mut().now_or_never().is_none())
    );
    bench.turns.send(Turn::Pass).unwrap();
    later.into_iter().for_each(|commit| wait(commit).unwrap());
    let stats = bench.committer.stats();
    assert_eq!((stats.groups, stats.batches, stats.writes), (2, 4, 4));
    assert_eq!(lock(&bench.seen).syncs, 2);
}

#[test]
fn expectations_see_earlier_batches_of_the_same_group() {
    let bench = bench(1 << 20, PATIENT);
    let first = bench.committer.commit(put("gate", ""));
    bench.arrived.recv().unwrap();
    let mut claim = put("k", "one");
    claim.expect_absent("k");
    let mut again = put("k", "two");
    again.expect_absent("k").put("other", "x");
    let mut swap = put("k", "three");
    swap.expect_value("k", b"one");
    let [claim, again, swap] = [claim, again, swap].map(|batch| bench.committer.commit(batch));
    drop(bench.turns);
    wait(first).unwrap();
    wait(claim).unwrap();
    assert!(matches!(wait(again), Err(CommitError::Conflict { key }) if key == b"k"));
    wait(swap).unwrap();
    let applied = lock(&bench.seen).applied.pop().unwrap();
    let keys: Vec<_> = applied.keys().collect();
    assert_eq!(keys, [b"k"]);
    let frame = applied[&b"k"[..]].as_ref().unwrap();
    assert_eq!(value::decode(b"k", frame).unwrap(), b"three");
    assert_eq!(bench.committer.stats().conflicts, 1);
}

#[test]
fn a_failed_sync_stops_the_store_for_good() {
    for turn in [Turn::Fail, Turn::Panic] {
        let bench = bench(1 << 20, PATIENT);
        let first = bench.committer.commit(put("a", "1"));
        bench.arrived.recv().unwrap();
        let waiting = bench.committer.commit(put("b", "1"));
        bench.turns.send(turn).unwrap();
        assert!(matches!(wait(first), Err(CommitError::Poisoned)));
        assert!(matches!(wait(waiting), Err(CommitError::Poisoned)));
        assert!(matches!(
            bench.stops.recv().unwrap(),
            FailStop::Engine {
                phase: Phase::Syncing,
                ..
            }
        ));
        assert!(matches!(
            wait(bench.committer.commit(put("c", "1"))),
            Err(CommitError::Poisoned)
        ));
        drop(bench.committer);
        assert_eq!(
            lock(&bench.seen).closed,
            0,
            "a failed engine is not touched again"
        );
        assert!(bench.stops.try_recv().is_err(), "the owner is told once");
    }
}

#[test]
fn a_hung_sync_is_noticed_by_the_watchdog_and_does_not_hang_the_owner() {
    let bench = bench(1 << 20, Duration::from_millis(8));
    let first = bench.committer.commit(put("a", "1"));
    assert!(matches!(wait(first), Err(CommitError::Poisoned)));
    assert_eq!(
        bench.stops.recv().unwrap(),
        FailStop::Hung {
            phase: Phase::Syncing
        }
    );
    assert!(matches!(
        wait(bench.committer.commit(put("b", "1"))),
        Err(CommitError::Poisoned)
    ));
    drop(bench.committer);
    drop(bench.turns);
}

#[test]
fn a_crowded_queue_refuses_and_keeps_its_promises() {
    let bench = bench(1 << 20, PATIENT);
    let first = bench.committer.commit(put("gate", ""));
    bench.arrived.recv().unwrap();
    let taken: Vec<_> = ["a", "b", "c"]
        .map(|key| bench.committer.commit(put(key, "1")))
        .into();
    let refused = bench.committer.commit(put("d", "1"));
    assert!(matches!(
        wait(refused),
        Err(CommitError::Busy { batches: 3, .. })
    ));
    drop(bench.turns);
    wait(first).unwrap();
    taken.into_iter().for_each(|commit| wait(commit).unwrap());
}

#[test]
fn a_batch_larger_than_the_queue_is_taken_alone() {
    let bench = bench(1 << 20, PATIENT);
    drop(bench.turns);
    wait(bench.committer.commit(put("big", &"x".repeat(20_000)))).unwrap();
}

#[test]
fn a_nearly_full_disk_refuses_writes_and_not_judgements() {
    let bench = bench(1_010, PATIENT);
    drop(bench.turns);
    let refused = wait(bench.committer.commit(put("key", "value")));
    assert!(matches!(
        refused,
        Err(CommitError::Full {
            free: 1_010,
            needed: 1_016
        })
    ));
    let mut judgement = Batch::new();
    judgement.expect_absent("key");
    wait(bench.committer.commit(judgement)).unwrap();
    assert!(!bench.committer.has_stopped());
}

#[test]
fn dropping_the_store_commits_what_waits_and_closes_the_engine() {
    let bench = bench(1 << 20, PATIENT);
    let commits: Vec<_> = ["a", "b"]
        .map(|key| bench.committer.commit(put(key, "1")))
        .into();
    drop(bench.turns);
    drop(bench.committer);
    commits.into_iter().for_each(|commit| wait(commit).unwrap());
    assert_eq!(lock(&bench.seen).closed, 1);
}

#[test]
fn a_damaged_expected_value_refuses_the_batch_and_the_store_goes_on() {
    let bench = bench(1 << 20, PATIENT);
    drop(bench.turns);
    let damage = |engine: &Gated| {
        lock(&engine.map).insert(b"k".to_vec(), b"not a frame".to_vec());
        Ok(())
    };
    bench.committer.inspect(damage).unwrap();
    let mut batch = put("k", "new");
    batch.expect_value("k", b"old");
    let refused = wait(bench.committer.commit(batch));
    assert!(matches!(refused, Err(CommitError::Read(StoreError::Corrupt { key })) if key == b"k"));
    wait(bench.committer.commit(put("k", "new"))).unwrap();
}
