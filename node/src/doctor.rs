//! Examination of a node: store, entries, keys, disk; what is wrong and what to do about it.

use serde_json::{Value, json};

use crate::handle::NodeHandle;
use crate::status::StatusError;
use crate::store::{Kv, StoreError, prefix_end};

/// Entries read from one log at a time.
const PAGE: usize = 64;
/// Stored values read at a time.
const VALUES: usize = 256;
/// Damaged values listed; the rest is counted.
const LISTED_MAX: usize = 20;
/// What helps when the store itself is damaged.
const MEND: &str = "stop the node and run `sanji doctor --repair`, or restore the newest backup";
/// A certificate that ends within so many days is worth a word.
const EXPIRY_WARNING_DAYS: u64 = 30;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Reads everything back: every stored value's checksum, every entry's signature and hashes, every
/// chain of backlinks.
///
/// # Errors
/// The node is stopping, or its store cannot be read at all.
pub async fn examine(node: &NodeHandle) -> Result<Value, StatusError> {
    let kv = node.schema().kv().clone();
    let read = tokio::task::spawn_blocking(move || read_all(&*kv));
    let (values, mut findings) = read.await.expect("reading the store does not panic");
    let mut entries: u64 = 0;
    let logs = node.logs().await?;
    let count = logs.len();
    for (id, state) in logs {
        let (mut next, mut previous) = (0, None);
        while next <= state.head.seq_num {
            let page = match node.schema().entries_from(id, next, PAGE, 4 << 20) {
                Ok(page) if page.is_empty() => {
                    findings.push(json!({
                        "severity": "error",
                        "what": "missing-entry",
                        "text": format!("entry {next} of log {id} is missing"),
                        "do": MEND,
                    }));
                    break;
                }
                Ok(page) => page,
                Err(error) => {
                    findings.push(json!({
                        "severity": "error",
                        "what": "damaged-entry",
                        "text": format!("log {id} from entry {next}: {error}"),
                        "do": MEND,
                    }));
                    break;
                }
            };
            for entry in page {
                if entry.header().backlink != previous {
                    findings.push(json!({
                        "severity": "error",
                        "what": "broken-chain",
                        "text": format!("entry {} of log {id} does not follow", entry.seq_num()),
                        "do": "report this: the store was changed from outside",
                    }));
                }
                previous = Some(entry.hash());
                next = entry.seq_num() + 1;
                entries += 1;
            }
        }
    }
    let identity = node.identity();
    let now = node.clock().now_ms();
    let ends = identity.chain.verify(&identity.root).map_or(0, |chain| {
        chain
            .certificates()
            .iter()
            .map(|c| c.value().not_after)
            .min()
            .unwrap_or(0)
    });
    let days = ends.saturating_sub(now) / DAY_MS;
    if days <= EXPIRY_WARNING_DAYS {
        findings.push(json!({
            "severity": "warning",
            "what": "certificate-ends",
            "text": format!("a certificate of this node ends in {days} days"),
            "do": "ask the unit above for a new one",
        }));
    }
    let quarantined = node.schema().quarantined()?.len();
    if quarantined > 0 {
        findings.push(json!({
            "severity": "warning",
            "what": "quarantined",
            "text": format!("{quarantined} parts were put aside"),
            "do": "see the status for their authors",
        }));
    }
    Ok(json!({
        "logs": count,
        "entries": entries,
        "values": values,
        "certificate_days": days,
        "findings": findings,
    }))
}

/// Tells whether an examination found something that is wrong, not only worth a word.
pub fn found_errors(examined: &Value) -> bool {
    let findings = examined["findings"].as_array();
    findings.is_some_and(|findings| findings.iter().any(|f| f["severity"] == "error"))
}

/// Adds to an examination what was found wrong with the home around the node.
pub fn add_error(examined: &mut Value, text: &str) {
    if let Some(findings) = examined["findings"].as_array_mut() {
        findings.push(json!({
            "severity": "error",
            "what": "damaged-home",
            "text": text,
            "do": "restore this file from a backup of the home",
        }));
    }
}

/// Reads every stored value; returns how many are sound, and a finding for each that is not.
fn read_all(kv: &dyn Kv) -> (u64, Vec<Value>) {
    let finding = |text: String| json!({ "severity": "error", "what": "damaged-store", "text": text, "do": MEND });
    let (mut values, mut damaged, mut findings) = (0, 0_usize, Vec::new());
    let (mut from, end) = (Vec::new(), prefix_end(&[]));
    loop {
        match kv.scan(&from, &end, VALUES) {
            Ok(page) => {
                values += page.len() as u64;
                let Some((last, _)) = page.last() else { break };
                from.clone_from(last);
            }
            Err(StoreError::Corrupt { key }) => {
                damaged += 1;
                if damaged <= LISTED_MAX {
                    findings.push(finding(format!(
                        "the value under key {} is damaged",
                        hex::encode(&key)
                    )));
                }
                // Those before it in its page are sound and are not worth a second look.
                from = key;
            }
            Err(error) => {
                findings.push(finding(error.to_string()));
                break;
            }
        }
        from.push(0);
    }
    if damaged > LISTED_MAX {
        findings.push(finding(format!("{damaged} values are damaged")));
    }
    (values, findings)
}
