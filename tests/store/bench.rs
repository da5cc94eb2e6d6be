//! Durable commits a second of the product's store on this disk; prints, judges nothing.
//!
//! `cargo run --release -p tests --example store_bench [DIR]`
#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use node::store::{Batch, Kv as _, SledOptions, SledStore};

/// How long each row is measured.
const SPAN: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let place = std::env::args()
        .nth(1)
        .map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    println!("value    batch  commits/s  records/s   sync    slowest   disk/live");
    for (size, per_batch) in [
        (400, 1),
        (400, 100),
        (400, 1_000),
        (4_096, 1),
        (4_096, 100),
        (4_096, 1_000),
    ] {
        row(
            &place.join(format!("bench-{size}-{per_batch}")),
            size,
            per_batch,
        )?;
    }
    concurrent(&place.join("bench-concurrent"))
}

/// Bytes that shrink to about half, as records do.
fn value(number: u64, size: usize) -> Vec<u8> {
    let mut word = number ^ 0x9e37_79b9_7f4a_7c15;
    let mut value = Vec::with_capacity(size + 16);
    while value.len() < size {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        value.extend_from_slice(&word.to_be_bytes());
        value.extend_from_slice(b"a field\0");
    }
    value.truncate(size);
    value
}

fn row(dir: &std::path::Path, size: usize, per_batch: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let store = SledStore::open(dir, SledOptions::default())?;
    let started = Instant::now();
    let mut number = 0_u64;
    while started.elapsed() < SPAN {
        let mut batch = Batch::new();
        for _ in 0..per_batch {
            batch.put(number.to_be_bytes(), value(number, size));
            number += 1;
        }
        runtime.block_on(store.commit(batch))?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let stats = store.stats();
    println!(
        "{size:5} B {per_batch:6} {:10.0} {:10.0}  {:6.2} ms {:6.1} ms  {:.2}",
        stats.batches as f64 / seconds,
        stats.writes as f64 / seconds,
        stats.total_sync.as_secs_f64() * 1_000.0 / stats.groups as f64,
        stats.slowest_sync.as_secs_f64() * 1_000.0,
        store.disk_bytes()? as f64 / (number as f64 * (size + 8) as f64),
    );
    Ok(())
}

/// 32 callers, one record of 400 B each at a time: what group commit is for.
fn concurrent(dir: &std::path::Path) -> anyhow::Result<()> {
    let store = std::sync::Arc::new(SledStore::open(dir, SledOptions::default())?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()?;
    let started = Instant::now();
    let callers: Vec<_> = (0..32_u64)
        .map(|caller| {
            let store = std::sync::Arc::clone(&store);
            runtime.spawn(async move {
                let mut number = caller << 32;
                while started.elapsed() < SPAN {
                    let mut batch = Batch::new();
                    batch.put(number.to_be_bytes(), value(number, 400));
                    store.commit(batch).await?;
                    number += 1;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for caller in callers {
        runtime.block_on(caller).context("a caller panicked")??;
    }
    let (stats, seconds) = (store.stats(), started.elapsed().as_secs_f64());
    println!(
        "  400 B      1 {:10.0} {:10.0}  from 32 callers, {:.1} commits a sync",
        stats.batches as f64 / seconds,
        stats.writes as f64 / seconds,
        stats.batches as f64 / stats.groups as f64,
    );
    Ok(())
}
