//! Examination of a node: store, entries, keys, disk; what is wrong and what to do about it.

use serde_json::{Value, json};

use crate::handle::NodeHandle;
use crate::status::StatusError;

/// Entries read from one log at a time.
const PAGE: usize = 64;
/// A certificate that ends within so many days is worth a word.
const EXPIRY_WARNING_DAYS: u64 = 30;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Reads everything back: every entry's signature and hashes, every chain of backlinks.
///
/// # Errors
/// The node is stopping, or its store cannot be read at all.
pub async fn examine(node: &NodeHandle) -> Result<Value, StatusError> {
    let mut findings: Vec<Value> = Vec::new();
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
                        "do": "stop the node, restore the newest backup or pull again from above",
                    }));
                    break;
                }
                Ok(page) => page,
                Err(error) => {
                    findings.push(json!({
                        "severity": "error",
                        "what": "damaged-entry",
                        "text": format!("log {id} from entry {next}: {error}"),
                        "do": "stop the node, restore the newest backup or pull again from above",
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
        chain.certificates().iter().map(|c| c.value().not_after).min().unwrap_or(0)
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
        "certificate_days": days,
        "findings": findings,
    }))
}
