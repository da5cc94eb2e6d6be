use super::*;
use node::store::conformance;
use tokio::time::advance;

fn batch(pairs: &[(&str, &str)]) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in pairs {
        batch.put(*key, *value);
    }
    batch
}

fn value(store: &SimStore, key: &str) -> Option<String> {
    let value = store.get(key.as_bytes()).unwrap();
    value.map(|value| String::from_utf8(value).unwrap())
}

/// A disk whose every sync takes exactly 10 ms.
fn steady(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.set_sync_time(Duration::from_millis(10), Duration::from_millis(10));
    disk
}

#[test]
fn the_simulated_store_conforms() {
    conformance::check_all(|| {
        let disk = SimDisk::new(1);
        disk.set_sync_time(Duration::ZERO, Duration::ZERO);
        disk.open()
    });
}

#[tokio::test(start_paused = true)]
async fn writes_are_visible_at_once_and_durable_when_the_commit_resolves() {
    let disk = steady(1);
    let store = disk.open();
    let began = Instant::now();
    let commit = store.commit(batch(&[("k", "v")]));
    assert_eq!(value(&store, "k").as_deref(), Some("v"));
    assert!(disk.image().is_empty());
    commit.await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(10));
    assert_eq!(disk.image().len(), 1);
    assert_eq!(disk.crash(), 0);
    assert_eq!(value(&disk.open(), "k").as_deref(), Some("v"));
}

#[tokio::test(start_paused = true)]
async fn batches_that_arrive_during_a_sync_share_the_next_one() {
    let store = steady(1).open();
    let began = Instant::now();
    let first = store.commit(batch(&[("a", "1")]));
    let rest: Vec<_> = (0..50)
        .map(|n| store.commit(batch(&[("b", &n.to_string())])))
        .collect();
    first.await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(10));
    for commit in rest {
        commit.await.unwrap();
    }
    assert_eq!(began.elapsed(), Duration::from_millis(20));
    assert_eq!(store.disk.totals().syncs, 2);
    assert_eq!(store.disk.totals().batches, 51);
}

#[tokio::test(start_paused = true)]
async fn a_crash_takes_a_tail_of_what_was_not_durable_group_by_group() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..60 {
        let disk = steady(seed);
        let store = disk.open();
        store
            .commit(batch(&[("a", "old"), ("z", "old")]))
            .await
            .unwrap();
        drop(store.commit(batch(&[("a", "1"), ("new", "1")])));
        let mut second = batch(&[("b", "2")]);
        second.delete("z");
        drop(store.commit(second));
        drop(store.commit(batch(&[("c", "3")])));
        disk.crash();
        assert!(matches!(store.get(b"a"), Err(StoreError::Stopped)));
        let store = disk.open();
        let found = ["a", "new", "b", "z", "c"].map(|key| value(&store, key));
        let found = found.map(|value| value.unwrap_or_default()).join(",");
        outcomes.insert(found);
    }
    // Nothing, the group that was being synced, or both; never half of one, never the second alone.
    let expected = ["1,1,,old,", "1,1,2,,3", "old,,,old,"].map(str::to_owned);
    assert_eq!(outcomes, BTreeSet::from(expected));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_loses_the_same_groups() {
    let survived = |seed| {
        let disk = steady(seed);
        let mut kept = Vec::new();
        for round in 0..20 {
            let store = disk.open();
            drop(store.commit(batch(&[("k", &round.to_string())])));
            disk.crash();
            kept.push(value(&disk.open(), "k"));
        }
        kept
    };
    assert_eq!(survived(3), survived(3));
    assert_ne!(survived(3), survived(4));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_commit_becomes_durable_all_the_same() {
    let disk = steady(1);
    drop(disk.open().commit(batch(&[("k", "v")])));
    advance(Duration::from_millis(11)).await;
    assert_eq!(disk.crash(), 0);
    assert_eq!(value(&disk.open(), "k").as_deref(), Some("v"));
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_under_way_in_a_crash_is_never_acknowledged() {
    let disk = steady(1);
    let commit = disk.open().commit(batch(&[("k", "v")]));
    disk.crash();
    let _reopened = disk.open();
    assert!(matches!(commit.await, Err(CommitError::Poisoned)));
}

#[tokio::test(start_paused = true)]
async fn a_lying_sync_loses_what_it_acknowledged() {
    let lost = (0..20).filter(|seed| {
        let disk = steady(*seed);
        disk.set_lies(true);
        let store = disk.open();
        let acknowledged = futures_ready(store.commit(batch(&[("k", "v")])));
        assert!(acknowledged);
        disk.crash();
        value(&disk.open(), "k").is_none()
    });
    assert!(lost.count() > 3);
}

/// Whether a commit resolves well without waiting.
fn futures_ready(mut commit: CommitFuture) -> bool {
    use std::task::{Context, Poll, Waker};
    let polled = commit
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Ok(())))
}

#[tokio::test(start_paused = true)]
async fn a_damaged_value_fails_to_read_until_it_is_written_anew() {
    let disk = steady(1);
    let store = disk.open();
    store
        .commit(batch(&[("a", "1"), ("b", "2")]))
        .await
        .unwrap();
    assert!(!disk.corrupt(b"missing"));
    assert!(disk.corrupt(b"a"));
    disk.crash();
    let store = disk.open();
    assert!(matches!(store.get(b"a"), Err(StoreError::Corrupt { key }) if key == b"a"));
    assert!(matches!(
        store.scan(b"a", b"c", 9),
        Err(StoreError::Corrupt { .. })
    ));
    assert_eq!(value(&store, "b").as_deref(), Some("2"));
    let mut judged = Batch::new();
    judged.expect_value("a", b"1");
    assert!(matches!(
        store.commit(judged).await,
        Err(CommitError::Read(_))
    ));
    store.commit(batch(&[("a", "3")])).await.unwrap();
    assert_eq!(value(&store, "a").as_deref(), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_and_keeps_what_it_has() {
    let disk = steady(1);
    let store = disk.open();
    store.commit(batch(&[("a", "1")])).await.unwrap();
    disk.set_full(true);
    let refused = store.commit(batch(&[("a", "2")])).await;
    assert!(
        matches!(refused, Err(CommitError::Full { free: 0, .. })),
        "{refused:?}"
    );
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    disk.set_full(false);
    store.commit(batch(&[("a", "2")])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_sync_the_store_stops_until_it_is_opened_again() {
    let disk = steady(1);
    let store = disk.open();
    let earlier = store.commit(batch(&[("a", "1")]));
    disk.fail_next_sync();
    assert!(matches!(
        store.commit(batch(&[("b", "1")])).await,
        Err(CommitError::Poisoned)
    ));
    assert!(matches!(earlier.await, Err(CommitError::Poisoned)));
    assert!(matches!(store.get(b"a"), Err(StoreError::Stopped)));
    assert!(matches!(
        store.commit(Batch::new()).await,
        Err(CommitError::Poisoned)
    ));
    disk.crash();
    let store = disk.open();
    store.commit(batch(&[("c", "1")])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_image_put_back_is_what_was_durable_then() {
    let disk = steady(1);
    let store = disk.open();
    store.commit(batch(&[("a", "1")])).await.unwrap();
    drop(store.commit(batch(&[("a", "2"), ("b", "2")])));
    let image = disk.image();
    let pairs: Vec<_> = image.pairs().collect();
    assert_eq!(pairs, [(&b"a"[..], &b"1"[..])]);
    advance(Duration::from_secs(1)).await;
    disk.restore(&image);
    assert!(store.get(b"a").is_err());
    assert_eq!(value(&disk.open(), "a").as_deref(), Some("1"));
    assert_eq!(disk.image(), image);
}

#[tokio::test(start_paused = true)]
async fn after_any_crash_the_store_holds_a_prefix_of_the_commits_and_all_acknowledged_ones() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let mut luck = SplitMix::new(seed, &[99]);
        let mut store = disk.open();
        let (mut next, mut acknowledged) = (0_u64, 0_u64);
        for _ in 0..40 {
            let commits: Vec<_> = (0..luck.below(4))
                .map(|_| {
                    next += 1;
                    (next, store.commit(batch(&[(&format!("{next:06}"), "x")])))
                })
                .collect();
            advance(Duration::from_millis(luck.below(6))).await;
            for (number, commit) in commits {
                if luck.below(2) == 0 {
                    commit.await.unwrap();
                    acknowledged = number;
                }
            }
            if luck.below(5) == 0 {
                disk.crash();
                store = disk.open();
                let kept = store.scan(b"", b"\xff", usize::MAX).unwrap().len() as u64;
                assert!(
                    kept >= acknowledged && kept <= next,
                    "{acknowledged} {kept} {next}"
                );
                let last = format!("{kept:06}").into_bytes();
                assert!(kept == 0 || store.get(&last).unwrap().is_some());
                next = kept;
            }
        }
    }
}
