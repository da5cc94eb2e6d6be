//! How a transcript says things: keys, logs and hashes by name, so that it reads and does not change
//! with the bytes.

// Shared by several test files, each of which uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;

use federation_protocol::{Entry, HeadItem, LogId, Message, Receipt, Report, Step};
use keys::{Chain, Hash, NodeKey, Signed};

/// Names given so far.
#[derive(Default)]
pub(crate) struct Words {
    keys: BTreeMap<NodeKey, String>,
    logs: BTreeMap<LogId, String>,
    names: BTreeMap<String, usize>,
    texts: BTreeMap<String, String>,
    digests: BTreeMap<Hash, usize>,
    hashes: BTreeMap<Hash, usize>,
}

impl Words {
    pub(crate) fn name_key(&mut self, key: NodeKey, name: &str) {
        self.keys.insert(key, name.to_owned());
        self.texts.insert(key.to_string(), format!("<{name}>"));
        self.texts.insert(key.short(), format!("<{name}>"));
    }

    pub(crate) fn name_text(&mut self, text: &str, name: &str) {
        self.texts.insert(text.to_owned(), name.to_owned());
    }

    pub(crate) fn name_log(&mut self, entry: &Entry) {
        let key = entry.key();
        let author = self.key(key.author);
        let period = key
            .period
            .map_or("-".to_owned(), |period| period.to_string());
        let name = format!("{}/{}/{period}/{author}", key.unit, key.reach);
        let log = entry.log();
        if self.logs.contains_key(&log) {
            return;
        }
        // A second log of that name differs in the store epoch.
        let same = self.names.entry(name.clone()).or_default();
        *same += 1;
        let name = if *same == 1 {
            name
        } else {
            format!("{name}.{same}")
        };
        self.texts.insert(log.short(), format!("<{name}>"));
        self.logs.insert(log, name);
    }

    fn key(&self, key: NodeKey) -> String {
        self.keys
            .get(&key)
            .cloned()
            .unwrap_or_else(|| "?".to_owned())
    }

    pub(crate) fn log(&self, log: LogId) -> String {
        self.logs
            .get(&log)
            .cloned()
            .unwrap_or_else(|| "a log unknown so far".to_owned())
    }

    fn digest(&mut self, digest: &Hash) -> String {
        let next = self.digests.len() + 1;
        format!("D{}", self.digests.entry(*digest).or_insert(next))
    }

    fn hash(&mut self, hash: &Hash) -> String {
        let next = self.hashes.len() + 1;
        format!("E{}", self.hashes.entry(*hash).or_insert(next))
    }

    /// Returns a text with the names of keys and logs in place of their bytes.
    pub(crate) fn plain(&self, text: &str) -> String {
        self.texts
            .iter()
            .rev()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    pub(crate) fn entries(&self, entries: &[Entry]) -> String {
        let mut runs: Vec<(LogId, u64, u64)> = Vec::new();
        for entry in entries {
            match runs.last_mut() {
                Some((log, _, to)) if *log == entry.log() && entry.seq_num() == *to + 1 => *to += 1,
                _ => runs.push((entry.log(), entry.seq_num(), entry.seq_num())),
            }
        }
        let said: Vec<String> = runs
            .into_iter()
            .map(|(log, from, to)| match from == to {
                true => format!("{} #{from}", self.log(log)),
                false => format!("{} #{from}..{to}", self.log(log)),
            })
            .collect();
        said.join(", ")
    }

    fn head(&mut self, head: &HeadItem) -> String {
        let fork = head
            .forked
            .map_or(String::new(), |fork| format!(" forked at {fork}"));
        format!(
            "{} #{} {}{fork}",
            self.log(head.log),
            head.seq_num,
            self.hash(&head.hash)
        )
    }

    pub(crate) fn receipt(&self, receipt: &Receipt) -> String {
        let heads: Vec<String> = receipt
            .heads
            .iter()
            .map(|head| format!("{} #{}", self.log(head.log), head.seq_num))
            .collect();
        let mut heads = heads;
        heads.sort();
        format!(
            "receipt of {} about {}: {}",
            receipt.issuer,
            receipt.unit,
            heads.join(", ")
        )
    }

    pub(crate) fn report(&self, report: &Report) -> String {
        match report {
            Report::Forked { log, seq_num, .. } => {
                format!("{} forked at {seq_num}", self.log(*log))
            }
            Report::RolledBack { log } => format!("own {} rolled back", self.log(*log)),
            Report::Rejected { reason, .. } => self.plain(&reason.to_string()),
            _ => panic!("a report these words do not know"),
        }
    }

    fn step(step: &Step) -> String {
        match step {
            Step::Bucket(bucket) => format!("bucket {bucket}"),
            Step::Unit(unit) => unit.to_string(),
            Step::Period(None) => "statements".to_owned(),
            Step::Period(Some(period)) => period.to_string(),
        }
    }

    pub(crate) fn message(&mut self, message: &Message) -> String {
        match message {
            Message::Hello(hello) => {
                let who = Chain::from_bytes(&hello.chain)
                    .ok()
                    .and_then(|chain| chain.certificates()[0].verify().ok())
                    .map_or("?".to_owned(), |leaf| leaf.value().unit.to_string());
                let root = self.plain(&hello.root.to_string());
                let (min, max) = (hello.version_min, hello.version);
                format!("hello versions {min}..{max}, for {who}, under {root}")
            }
            Message::Summary(all, receipts) => {
                format!(
                    "summary {}, receipts {}",
                    self.digest(all),
                    self.digest(receipts)
                )
            }
            Message::Digest(path, children) => {
                let path: Vec<String> = path.iter().map(Self::step).collect();
                let children: Vec<String> = children
                    .iter()
                    .map(|c| format!("{} {}", Self::step(&c.step), self.digest(&c.digest)))
                    .collect();
                format!("digest of /{}: {}", path.join("/"), children.join(", "))
            }
            Message::Heads(unit, period, heads, answer) => {
                let period = period.map_or("statements".to_owned(), |period| period.to_string());
                let mut heads: Vec<String> = heads.iter().map(|head| self.head(head)).collect();
                heads.sort();
                let asks = if *answer { ", and yours?" } else { "" };
                format!("heads of {unit} {period}: [{}]{asks}", heads.join(", "))
            }
            Message::Entries(entries) => {
                let entries: Vec<Entry> = entries
                    .iter()
                    .filter_map(|bytes| Entry::verify(bytes.to_vec()).ok())
                    .collect();
                for entry in &entries {
                    self.name_log(entry);
                }
                format!("entries {}", self.entries(&entries))
            }
            Message::Fork(first, _) => match Entry::verify(first.to_vec()) {
                Ok(entry) => format!("fork of {}", self.entries(&[entry])),
                Err(_) => "fork of ?".to_owned(),
            },
            Message::Receipt(bytes) => {
                match Signed::<Receipt>::from_bytes(bytes.to_vec()).map(|signed| signed.verify()) {
                    Ok(Ok(receipt)) => self.receipt(receipt.value()),
                    _ => "receipt ?".to_owned(),
                }
            }
            Message::Refused(reason) => format!("refused: {}", self.plain(reason)),
        }
    }
}
