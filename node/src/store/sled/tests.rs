//! The guard around a real sled on a real disk. Power cuts and kills are in `tests/store`.

use std::os::unix::fs::symlink;

use super::*;
use crate::store::{CommitError, conformance, move_aside};

fn options() -> SledOptions {
    SledOptions {
        reserve: Reserve::NONE,
        cache_bytes: 8 << 20,
        // A stop must fail the test that caused it instead of ending the whole run.
        on_fail_stop: Arc::new(|why| panic!("{why}")),
        ..SledOptions::default()
    }
}

fn open_at(dir: &Path) -> Result<SledStore, StoreError> {
    SledStore::open(dir, options())
}

fn wait(future: CommitFuture) -> Result<(), CommitError> {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn put(store: &SledStore, key: &str, value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(key, value);
    wait(store.commit(batch)).unwrap();
}

fn noise(seed: u64, size: usize) -> Vec<u8> {
    (0..size.div_ceil(32) as u64)
        .flat_map(|n| *keys::Hash::of(&[seed.to_be_bytes(), n.to_be_bytes()].concat()).as_bytes())
        .take(size)
        .collect()
}

#[test]
fn the_sled_store_conforms() {
    let scratch = tempfile::tempdir().unwrap();
    let number = AtomicU32::new(0);
    conformance::check_all(|| {
        let name = format!("store {}", number.fetch_add(1, Ordering::Relaxed));
        open_at(&scratch.path().join(name)).unwrap()
    });
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("deep/er/store");
    let store = open_at(&dir).unwrap();
    put(&store, "k", b"value");
    drop(store);
    let store = open_at(&dir).unwrap();
    assert_eq!(store.get(b"k").unwrap().unwrap(), b"value");
    let check = store.check();
    assert!(check.is_sound());
    assert_eq!((check.values, check.bytes), (1, 6));
    assert!(store.disk_bytes().unwrap() > 0);
    assert!(store.free_bytes().unwrap() > 0);
    assert_eq!(store.stats().groups, 0);
}

#[test]
fn a_store_in_use_is_said_to_be_in_use() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("store");
    let store = open_at(&dir).unwrap();
    assert!(matches!(open_at(&dir), Err(StoreError::InUse { .. })));
    drop(store);
    open_at(&dir).unwrap();
}

#[test]
fn a_half_written_snapshot_does_not_keep_it_from_opening() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("store");
    let store = open_at(&dir).unwrap();
    put(&store, "k", b"value");
    drop(store);
    let half = guard::engine_dir(&dir).join("snap.00000000FFFFFFFF.generating");
    fs::write(&half, b"half").unwrap();
    let store = open_at(&dir).unwrap();
    assert_eq!(store.get(b"k").unwrap().unwrap(), b"value");
    assert!(!half.exists());
}

#[test]
fn an_unfinished_creation_is_replaced_by_a_whole_one() {
    let scratch = tempfile::tempdir().unwrap();
    let unfinished = scratch.path().join("store.new-0011223344556677");
    fs::create_dir_all(unfinished.join("engine")).unwrap();
    fs::write(unfinished.join("engine/conf"), b"").unwrap();
    let store = open_at(&scratch.path().join("store")).unwrap();
    put(&store, "k", b"value");
    assert!(!unfinished.exists());
}

#[test]
fn a_log_that_lost_its_end_is_noticed() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("store");
    drop(open_at(&dir).unwrap());
    guard::write_mark(&dir, 1_000).unwrap();
    let error = open_at(&dir).unwrap_err();
    assert!(matches!(
        error,
        StoreError::Damaged {
            damage: Damage::Truncated {
                marked: 1_000,
                found: 2
            },
            ..
        }
    ));
    assert!(
        error.to_string().contains("sanji doctor --repair"),
        "{error}"
    );
    let aside = move_aside(&dir).unwrap();
    assert!(aside.join("READY").exists());
    assert!(open_at(&dir).unwrap().check().is_sound());
}

#[test]
fn an_engine_that_lost_everything_is_noticed() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("store");
    drop(open_at(&dir).unwrap());
    let engine = guard::engine_dir(&dir);
    fs::remove_dir_all(&engine).unwrap();
    fs::create_dir(&engine).unwrap();
    fs::write(engine.join("db"), b"").unwrap();
    assert!(matches!(
        open_at(&dir),
        Err(StoreError::Damaged {
            damage: Damage::Canary,
            ..
        })
    ));
}

#[test]
fn a_store_that_cannot_be_reached_is_not_called_damaged() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("store");
    drop(open_at(&dir).unwrap());
    let log = guard::engine_dir(&dir).join("db");
    fs::remove_file(&log).unwrap();
    symlink("db", &log).unwrap();
    assert!(matches!(open_at(&dir), Err(StoreError::Io { .. })));
}

#[test]
fn a_damaged_value_is_found_by_get_scan_and_check() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open_at(&scratch.path().join("store")).unwrap();
    put(&store, "a", b"sound");
    put(&store, "b", b"to be damaged");
    let other = value::encode(b"c", b"a sound frame of another key");
    store
        .committer
        .inspect(|engine| {
            engine
                .db
                .insert(stored_key(b"b"), other)
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .unwrap();
    assert!(matches!(store.get(b"b"), Err(StoreError::Corrupt { key }) if key == b"b"));
    assert!(matches!(store.scan(b"a", b"z", 9), Err(StoreError::Corrupt { key }) if key == b"b"));
    assert_eq!(store.get(b"a").unwrap().unwrap(), b"sound");
    let check = store.check();
    assert_eq!((check.values, check.corrupt_count), (1, 1));
    assert_eq!(check.corrupt, [b"b"]);
    assert!(!check.is_sound());
    put(&store, "b", b"written again");
    assert!(store.check().is_sound());
}

#[test]
fn the_longest_values_never_leave_the_log() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open_at(&scratch.path().join("store")).unwrap();
    let blobs = guard::engine_dir(store.dir()).join("blobs");
    for round in 0..3 {
        for base in 0..20_u64 {
            let mut batch = Batch::new();
            for n in 0..3 {
                let mut key = vec![b'k'; KEY_SIZE_MAX];
                key.extend_from_slice(&(base * 7 % 20 * 3 + n).to_be_bytes());
                key.drain(..8);
                batch.put(key, noise(round * 100 + base + n, VALUE_SIZE_MAX));
            }
            wait(store.commit(batch)).unwrap();
        }
    }
    assert_eq!(
        fs::read_dir(&blobs).unwrap().count(),
        0,
        "a page left the log"
    );
    assert_eq!(store.check().values, 60);
}

#[test]
fn a_batch_of_the_largest_size_is_committed_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("store");
    let store = open_at(&dir).unwrap();
    let mut batch = Batch::new();
    for n in 0..600_u32 {
        batch.put(n.to_be_bytes(), noise(u64::from(n), VALUE_SIZE_MAX));
    }
    batch.check_bounds().unwrap();
    wait(store.commit(batch)).unwrap();
    drop(store);
    assert_eq!(open_at(&dir).unwrap().check().values, 600);
}

#[test]
fn a_nearly_full_disk_is_refused_before_the_engine_sees_it() {
    let scratch = tempfile::tempdir().unwrap();
    let reserve = Reserve {
        percent: 0,
        at_least: u64::MAX / 2,
        at_most: 0,
    };
    let options = SledOptions {
        reserve,
        ..options()
    };
    let store = SledStore::open(&scratch.path().join("store"), options).unwrap();
    let mut batch = Batch::new();
    batch.put("k", "v");
    assert!(matches!(
        wait(store.commit(batch)),
        Err(CommitError::Full { .. })
    ));
    assert_eq!(store.get(b"k").unwrap(), None);
}
