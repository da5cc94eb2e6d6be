//! The contract of [`Kv`] as a suite that every store passes: memory, sled, the simulated one and
//! whatever comes after. It runs against fresh, empty stores and panics with the name of the clause
//! that does not hold. Durability is not in here: it takes a power cut to judge it.

use std::collections::BTreeMap;

use keys::Hash;

use super::{
    BATCH_SIZE_MAX, Batch, CommitError, KEY_SIZE_MAX, Kv, Pair, VALUE_SIZE_MAX, prefix_end,
};

/// Runs the whole suite; `make` returns a new, empty store each time.
///
/// # Panics
/// When a clause of the contract does not hold.
pub fn check_all<K: Kv>(make: impl Fn() -> K) {
    what_was_put_is_found(&make());
    absent_keys_are_absent(&make());
    the_empty_key_and_the_empty_value_exist(&make());
    scans_are_half_open_and_in_byte_order(&make());
    scans_stop_at_their_limit_and_go_on(&make());
    a_prefix_is_scanned_whole(&make());
    the_last_word_about_a_key_wins(&make());
    a_failed_expectation_changes_nothing(&make());
    expectations_judge_the_state_before_the_batch(&make());
    expectations_compare_the_whole_value(&make());
    a_batch_of_expectations_alone_is_judged(&make());
    batches_take_effect_in_the_order_of_commits(&make());
    of_two_claims_to_one_key_exactly_one_wins(&make());
    a_dropped_future_takes_nothing_back(&make());
    bounds_are_kept_and_refusals_change_nothing(&make());
    long_and_incompressible_values_come_back(&make());
    it_equals_a_plain_map(&make());
}

/// Waits for a commit on the calling thread.
fn commit<K: Kv>(store: &K, batch: &Batch) -> Result<(), CommitError> {
    wait(store.commit(batch.clone()))
}

fn wait(future: super::CommitFuture) -> Result<(), CommitError> {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a current-thread runtime needs nothing that can be missing")
        .block_on(future)
}

fn put<K: Kv>(store: &K, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(key, value);
    commit(store, &batch).expect("a small put is accepted");
}

fn get<K: Kv>(store: &K, key: &[u8]) -> Option<Vec<u8>> {
    store.get(key).expect("reading a sound store does not fail")
}

fn scan<K: Kv>(store: &K, from: &[u8], to: &[u8], limit: usize) -> Vec<Pair> {
    store
        .scan(from, to, limit)
        .expect("scanning a sound store does not fail")
}

fn everything<K: Kv>(store: &K) -> Vec<Pair> {
    scan(store, b"", &prefix_end(b""), usize::MAX)
}

fn keys(pairs: &[Pair]) -> Vec<&[u8]> {
    pairs.iter().map(|(key, _)| key.as_slice()).collect()
}

fn conflicts_at(outcome: Result<(), CommitError>, key: &[u8]) {
    assert!(
        matches!(&outcome, Err(CommitError::Conflict { key: found }) if found == key),
        "expected a conflict at {key:?}, found {outcome:?}"
    );
}

fn what_was_put_is_found<K: Kv>(store: &K) {
    put(store, b"k", b"one");
    assert_eq!(get(store, b"k").as_deref(), Some(&b"one"[..]));
    put(store, b"k", b"two");
    assert_eq!(get(store, b"k").as_deref(), Some(&b"two"[..]));
    let mut batch = Batch::new();
    batch.delete("k");
    commit(store, &batch).expect("a delete is accepted");
    assert_eq!(get(store, b"k"), None);
    commit(store, &batch).expect("deleting twice is fine");
}

fn absent_keys_are_absent<K: Kv>(store: &K) {
    put(store, b"bb", b"x");
    for key in [&b""[..], b"b", b"bb\0", b"bbb", b"c", b"\xff"] {
        assert_eq!(get(store, key), None, "{key:?}");
    }
    assert_eq!(get(store, &vec![0; KEY_SIZE_MAX + 1]), None);
}

fn the_empty_key_and_the_empty_value_exist<K: Kv>(store: &K) {
    put(store, b"", b"");
    assert_eq!(get(store, b"").as_deref(), Some(&b""[..]));
    assert_eq!(everything(store), [(vec![], vec![])]);
    let mut batch = Batch::new();
    batch.expect_absent("").put("x", "");
    conflicts_at(commit(store, &batch), b"");
}

fn scans_are_half_open_and_in_byte_order<K: Kv>(store: &K) {
    let mut batch = Batch::new();
    for key in [
        &b"b"[..],
        b"a",
        b"a\0",
        b"\xff\xff",
        b"\x7f",
        b"\x80",
        b"ab",
    ] {
        batch.put(key, key);
    }
    commit(store, &batch).expect("accepted");
    let sorted = [
        &b"a"[..],
        b"a\0",
        b"ab",
        b"b",
        b"\x7f",
        b"\x80",
        b"\xff\xff",
    ];
    assert_eq!(keys(&everything(store)), sorted);
    assert_eq!(
        keys(&scan(store, b"a", b"b", 10)),
        [&b"a"[..], b"a\0", b"ab"]
    );
    assert_eq!(keys(&scan(store, b"a\0", b"a\x01", 10)), [&b"a\0"[..]]);
    assert!(scan(store, b"b", b"b", 10).is_empty());
    assert!(scan(store, b"b", b"a", 10).is_empty());
    assert!(scan(store, b"c", b"d", 10).is_empty());
}

fn scans_stop_at_their_limit_and_go_on<K: Kv>(store: &K) {
    let mut batch = Batch::new();
    for n in 0..100_u8 {
        batch.put([n], [n]);
    }
    commit(store, &batch).expect("accepted");
    assert!(scan(store, b"", b"\xff", 0).is_empty());
    let (mut from, mut found) = (Vec::new(), Vec::new());
    loop {
        let page = scan(store, &from, b"\xff", 7);
        assert!(page.len() <= 7);
        let Some((last, _)) = page.last() else { break };
        from = [last.as_slice(), &[0]].concat();
        found.extend(page);
    }
    assert_eq!(found, everything(store));
    assert_eq!(found.len(), 100);
}

fn a_prefix_is_scanned_whole<K: Kv>(store: &K) {
    for key in [&b"p"[..], b"p\0", b"p\xff", b"p\xff\xff", b"q", b"o\xff"] {
        put(store, key, b"");
    }
    let found = scan(store, b"p", &prefix_end(b"p"), 10);
    assert_eq!(keys(&found), [&b"p"[..], b"p\0", b"p\xff", b"p\xff\xff"]);
}

fn the_last_word_about_a_key_wins<K: Kv>(store: &K) {
    let mut batch = Batch::new();
    batch
        .put("a", "1")
        .delete("a")
        .put("b", "1")
        .put("b", "2")
        .delete("c")
        .put("c", "3");
    commit(store, &batch).expect("accepted");
    assert_eq!(
        everything(store),
        [
            (b"b".to_vec(), b"2".to_vec()),
            (b"c".to_vec(), b"3".to_vec())
        ]
    );
}

fn a_failed_expectation_changes_nothing<K: Kv>(store: &K) {
    put(store, b"old", b"value");
    let before = everything(store);
    let mut batch = Batch::new();
    batch
        .expect_value("old", b"value")
        .expect_absent("free")
        .expect_absent("old");
    batch.put("new", "x").put("old", "changed").delete("old");
    conflicts_at(commit(store, &batch), b"old");
    assert_eq!(everything(store), before);
    let mut batch = Batch::new();
    batch.expect_value("missing", b"").put("new", "x");
    conflicts_at(commit(store, &batch), b"missing");
    assert_eq!(everything(store), before);
}

fn expectations_judge_the_state_before_the_batch<K: Kv>(store: &K) {
    let mut batch = Batch::new();
    batch.put("k", "1").expect_absent("k");
    commit(store, &batch).expect("absent before the batch");
    let mut batch = Batch::new();
    batch.delete("k").expect_value("k", b"1");
    commit(store, &batch).expect("present before the batch");
    assert_eq!(get(store, b"k"), None);
}

fn expectations_compare_the_whole_value<K: Kv>(store: &K) {
    let long = noise(5, 40_000);
    put(store, b"k", &long);
    let mut batch = Batch::new();
    batch.expect("k", Some(Hash::of(&long))).put("k", "short");
    commit(store, &batch).expect("the hash is of the value as it was given");
    conflicts_at(commit(store, &batch), b"k");
    let mut batch = Batch::new();
    batch.expect_value("k", b"shor").put("k", "x");
    conflicts_at(commit(store, &batch), b"k");
}

fn a_batch_of_expectations_alone_is_judged<K: Kv>(store: &K) {
    commit(store, &Batch::new()).expect("an empty batch is fine");
    let mut batch = Batch::new();
    batch.expect_absent("k");
    commit(store, &batch).expect("it holds");
    put(store, b"k", b"");
    conflicts_at(commit(store, &batch), b"k");
}

fn batches_take_effect_in_the_order_of_commits<K: Kv>(store: &K) {
    put(store, b"n", b"0");
    let commits: Vec<_> = (1..=50_u32)
        .map(|n| {
            let mut batch = Batch::new();
            batch
                .expect_value("n", (n - 1).to_string().as_bytes())
                .put("n", n.to_string());
            store.commit(batch)
        })
        .collect();
    for (n, commit) in commits.into_iter().enumerate() {
        wait(commit).unwrap_or_else(|error| panic!("commit {n} of a chain: {error}"));
    }
    assert_eq!(get(store, b"n").as_deref(), Some(&b"50"[..]));
}

fn of_two_claims_to_one_key_exactly_one_wins<K: Kv>(store: &K) {
    let won: Vec<u8> = std::thread::scope(|scope| {
        let claims: Vec<_> = (0..8_u8)
            .map(|who| {
                scope.spawn(move || {
                    let mut batch = Batch::new();
                    batch
                        .expect_absent("seat")
                        .put("seat", [who])
                        .put([b's', who], "");
                    wait(store.commit(batch)).is_ok().then_some(who)
                })
            })
            .collect();
        claims
            .into_iter()
            .filter_map(|claim| claim.join().expect("no panic"))
            .collect()
    });
    assert_eq!(won.len(), 1, "winners: {won:?}");
    assert_eq!(get(store, b"seat"), Some(won.clone()));
    assert_eq!(everything(store).len(), 2, "a loser left something behind");
    assert!(get(store, &[b's', won[0]]).is_some());
}

fn a_dropped_future_takes_nothing_back<K: Kv>(store: &K) {
    let mut batch = Batch::new();
    batch.put("dropped", "x");
    drop(store.commit(batch));
    // Commits take effect in order, so this one is a barrier.
    commit(store, &Batch::new()).expect("accepted");
    put(store, b"after", b"");
    assert_eq!(get(store, b"dropped").as_deref(), Some(&b"x"[..]));
}

fn bounds_are_kept_and_refusals_change_nothing<K: Kv>(store: &K) {
    let mut batch = Batch::new();
    batch
        .put("fine", "x")
        .put("long", vec![0; VALUE_SIZE_MAX + 1]);
    let refused = commit(store, &batch);
    assert!(
        matches!(&refused, Err(CommitError::ValueTooLarge { key, size })
            if key == b"long" && *size == VALUE_SIZE_MAX + 1),
        "{refused:?}"
    );
    let mut batch = Batch::new();
    batch.put("fine", "x").put(vec![0; KEY_SIZE_MAX + 1], "");
    assert!(matches!(
        commit(store, &batch),
        Err(CommitError::KeyTooLarge { .. })
    ));
    let mut batch = Batch::new();
    for n in 0..=u32::try_from(BATCH_SIZE_MAX / VALUE_SIZE_MAX).expect("a few hundred") {
        batch.put(n.to_be_bytes(), vec![0; VALUE_SIZE_MAX]);
    }
    assert!(matches!(
        commit(store, &batch),
        Err(CommitError::BatchTooLarge { .. })
    ));
    assert!(everything(store).is_empty());
}

fn long_and_incompressible_values_come_back<K: Kv>(store: &K) {
    let longest_key = vec![u8::MAX; KEY_SIZE_MAX];
    let mut batch = Batch::new();
    batch.put(longest_key.clone(), noise(1, VALUE_SIZE_MAX));
    for (n, size) in [1, 255, 256, 257, 4_096, 65_536, VALUE_SIZE_MAX]
        .into_iter()
        .enumerate()
    {
        batch.put(format!("noise {n}"), noise(n as u64, size));
        batch.put(format!("zero {n}"), vec![0; size]);
    }
    commit(store, &batch).expect("inside the bounds");
    let found = everything(store);
    let expected: Vec<_> = batch
        .writes()
        .filter_map(|(key, value)| Some((key.to_vec(), value?.to_vec())))
        .collect();
    assert!(found == expected, "a long value came back different");
    assert_eq!(
        get(store, &longest_key).map(|value| value.len()),
        Some(VALUE_SIZE_MAX)
    );
}

/// Random batches against a plain map; deterministic, so a failure repeats.
fn it_equals_a_plain_map<K: Kv>(store: &K) {
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut random = Random(7);
    for round in 0..300_u64 {
        let mut batch = Batch::new();
        for _ in 0..random.below(8) {
            let key = random.key();
            match random.below(4) {
                0 => batch.delete(key),
                _ => {
                    let size = random.below(600);
                    batch.put(key, noise(round, size))
                }
            };
        }
        let mut holds = true;
        if random.below(3) == 0 {
            let key = random.key();
            if random.below(2) == 0 {
                holds = !model.contains_key(&key);
                batch.expect_absent(key);
            } else {
                let value = model.get(&key).map(|value| Hash::of(value));
                batch.expect(key, value);
            }
        }
        let outcome = commit(store, &batch);
        assert_eq!(outcome.is_ok(), holds, "round {round}: {outcome:?}");
        if holds {
            for (key, value) in batch.writes() {
                match value {
                    Some(value) => model.insert(key.to_vec(), value.to_vec()),
                    None => model.remove(key),
                };
            }
        }
        let (from, to) = (random.key(), random.key());
        let expected: Vec<Pair> = if from < to {
            model
                .range(from.clone()..to.clone())
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        } else {
            Vec::new()
        };
        assert!(
            scan(store, &from, &to, usize::MAX) == expected,
            "round {round}: a scan differs"
        );
        let key = random.key();
        assert!(
            get(store, &key) == model.get(&key).cloned(),
            "round {round}: a get differs"
        );
    }
    assert!(
        everything(store).into_iter().eq(model),
        "the end state differs"
    );
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound.max(1)
    }

    fn key(&mut self) -> Vec<u8> {
        format!("k{}", self.below(60)).into_bytes()
    }
}

/// Bytes that do not compress.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 32);
    let mut block = Hash::of(&seed.to_be_bytes());
    while bytes.len() < size {
        bytes.extend_from_slice(block.as_bytes());
        block = Hash::of(block.as_bytes());
    }
    bytes.truncate(size);
    bytes
}
