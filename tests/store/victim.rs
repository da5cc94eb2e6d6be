//! The process that the crash tests kill: `write` plays a script on the product's own store and says
//! what is acknowledged, `dump` opens a store and says what it holds.
//!
//! Lines on standard output: `O` opened, `A n` batch n and all before it acknowledged, `C` closed,
//! `E reason` refused to open or to go on, `K key batch` a value found, `B reason` a wrong value that
//! was not noticed by the store, `X reason` a value refused by the store, `END`.

mod workload;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use node::store::{Batch, CommitError, Kv as _, Reserve, SledOptions, SledStore, prefix_end};
use workload::{Random, Sizes};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["write", dir, sizes, from, batches] => write(
            Path::new(dir),
            parse(sizes),
            from.parse().expect("a number"),
            batches.parse().expect("a number"),
        ),
        ["dump", dir, sizes] => dump(Path::new(dir), parse(sizes)),
        _ => Err("usage: store-victim write DIR SIZES FROM BATCHES | dump DIR SIZES".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            say(&format!("E {}", reason.replace('\n', " ")));
            ExitCode::from(3)
        }
    }
}

fn parse(word: &str) -> Sizes {
    [Sizes::Mixed, Sizes::Wide, Sizes::Large]
        .into_iter()
        .find(|sizes| sizes.word() == word)
        .expect("one of the two words")
}

/// One line, in one write: the shim logs it between the changes before and after it.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let line = format!("{line}\n");
    // The reader may have given up on us.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

fn open(dir: &Path) -> Result<SledStore, String> {
    let options = SledOptions {
        cache_bytes: 4 << 20,
        // The disk that fills up is the shim's.
        reserve: Reserve::NONE,
        step_limit: Duration::from_secs(3),
        unguarded: std::env::var_os("VICTIM_UNGUARDED").is_some(),
        ..SledOptions::default()
    };
    SledStore::open(dir, options).map_err(|error| chain(&error))
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn write(dir: &Path, sizes: Sizes, from: u64, batches: u64) -> Result<(), String> {
    let store = open(dir)?;
    say("O");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("needs nothing");
    let mut random = Random::new(from);
    let mut next = from;
    while next < from + batches {
        let commits: Vec<_> = (0..1 + random.below(4))
            .map(|_| {
                let mut batch = Batch::new();
                for (key, len) in workload::batch(next, sizes) {
                    match len {
                        Some(len) => batch.put(key_name(key), value(next, key, len)),
                        None => batch.delete(key_name(key)),
                    };
                }
                next += 1;
                store.commit(batch)
            })
            .collect();
        for commit in commits {
            runtime
                .block_on(commit)
                .map_err(|error: CommitError| chain(&error))?;
        }
        say(&format!("A {}", next - 1));
    }
    drop(store);
    say("C");
    Ok(())
}

fn dump(dir: &Path, sizes: Sizes) -> Result<(), String> {
    let store = open(dir)?;
    say("O");
    let mut out = String::new();
    let mut from = Vec::new();
    loop {
        let page = match store.scan(&from, &prefix_end(b""), 100) {
            Ok(page) => page,
            Err(error) => {
                say(&format!("X {}", chain(&error).replace('\n', " ")));
                return Ok(());
            }
        };
        let Some((last, _)) = page.last() else { break };
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in page {
            let number = std::str::from_utf8(&key)
                .ok()
                .and_then(|key| key.strip_prefix("key "));
            let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else {
                out += &format!("B a key that was never written: {key:?}\n");
                continue;
            };
            match author(number, &value, sizes) {
                Ok(author) => out += &format!("K {number} {author}\n"),
                Err(reason) => out += &format!("B {reason}\n"),
            }
        }
    }
    say(&format!("{out}END"));
    Ok(())
}

/// The key with a number.
fn key_name(number: u64) -> Vec<u8> {
    format!("key {number:06}").into_bytes()
}

/// The value that batch `number` stores under a key: its own number, then bytes that follow from
/// both. Every third one compresses.
fn value(number: u64, key: u64, len: usize) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    let mut random = Random::new(number ^ (key << 32));
    let word = random.next();
    while value.len() < len.max(8) {
        let word = if number.is_multiple_of(3) {
            word
        } else {
            random.next()
        };
        value.extend_from_slice(&word.to_be_bytes());
    }
    value.truncate(len.max(8));
    value
}

/// Says which batch wrote the value found under a key, or what is wrong with it.
fn author(key: u64, found: &[u8], sizes: Sizes) -> Result<u64, String> {
    let (number, _) = found
        .split_first_chunk()
        .ok_or("a value too short to be ours")?;
    let number = u64::from_be_bytes(*number);
    match workload::batch(number, sizes).get(&key) {
        Some(Some(len)) if value(number, key, *len) == found => Ok(number),
        _ => Err(format!(
            "the value under key {key} is not what batch {number} wrote"
        )),
    }
}
