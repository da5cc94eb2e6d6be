//! What a person or script may ask of a node, whether it runs as a server or only for this command.

use std::collections::BTreeMap;
use std::path::PathBuf;

use federation_protocol::Period;
use keys::{Hash, TierName, UnitId};
use serde::{Deserialize, Serialize};
use tiers::{DossierView, RecordId};

use crate::export::{CsvExport, ExportRow, write_json_line};
use crate::handle::NodeHandle;
use crate::label::Lang;
use crate::records::{self, NewRecord};
use crate::{enrol, schema, status};

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// How the node stands.
    Status,
    /// Import a file.
    Import {
        /// The kind's id.
        kind: String,
        /// The semester.
        period: String,
        /// The file, absolute.
        file: PathBuf,
        /// Check only.
        dry_run: bool,
        /// Language of messages.
        lang: String,
    },
    /// Change fields of a record.
    Edit {
        /// The semester.
        period: String,
        /// Whom the record is about.
        subject: String,
        /// The record.
        record: String,
        /// Field name to text.
        set: BTreeMap<String, String>,
        /// Language of messages.
        lang: String,
    },
    /// Invite a unit or a node.
    Invite {
        /// The unit.
        unit: String,
        /// Its tier.
        tier: String,
        /// Its name.
        name: String,
        /// Addresses to put into the token.
        addresses: Vec<String>,
    },
    /// Logs and their entries.
    Log {
        /// Only this unit.
        unit: Option<String>,
        /// Newest entries of each log to show.
        entries: usize,
    },
    /// Records, written to a file.
    Export {
        /// The kind's id.
        kind: String,
        /// The semester.
        period: String,
        /// Only this unit.
        unit: Option<String>,
        /// The file, absolute; never one that exists.
        file: PathBuf,
        /// `csv` or `jsonl`.
        format: String,
        /// Language of headers.
        lang: String,
    },
    /// The records of one subject.
    Show {
        /// The subject.
        subject: String,
        /// The semester.
        period: Option<String>,
        /// Only this unit.
        unit: Option<String>,
    },
    /// Receipts held, with the heads they name.
    Receipts,
    /// Examine the store.
    Doctor,
}

/// What a request says while it runs and when it is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// So much of so much.
    Progress {
        /// Done.
        done: u64,
        /// In all.
        total: u64,
    },
    /// Done; the answer.
    Done(serde_json::Value),
    /// Refused; nothing was changed.
    Refused(Refused),
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// In words, in the language asked for where there is one.
    pub message: String,
    /// Details, one per line: rows of a file for example.
    pub details: Vec<String>,
}

impl Refused {
    fn from_error(error: &dyn std::fmt::Display) -> Self {
        Self {
            message: error.to_string(),
            details: Vec::new(),
        }
    }
}

/// Answers a request.
///
/// # Errors
/// [`Refused`]: nothing was changed.
pub async fn answer(
    node: &NodeHandle,
    request: Request,
    mut progress: impl FnMut(u64, u64),
) -> Result<serde_json::Value, Refused> {
    fn refused<E: std::fmt::Display>(error: E) -> Refused {
        Refused::from_error(&error)
    }
    match request {
        Request::Status => {
            let status = status::status(node).await.map_err(refused)?;
            serde_json::to_value(status).map_err(refused)
        }
        Request::Import {
            kind,
            period,
            file,
            dry_run,
            lang,
        } => {
            let lang = lang.parse().unwrap_or_default();
            import(node, &kind, &period, file, dry_run, lang, &mut progress).await
        }
        Request::Edit {
            period,
            subject,
            record,
            set,
            lang,
        } => {
            let lang = lang.parse().unwrap_or_default();
            let period: Period = period.parse().map_err(refused)?;
            let record: RecordId = record.parse().map_err(refused)?;
            records::edit(node, period, &subject, record, &set)
                .await
                .map_err(|error| refused(error.message(lang)))?;
            Ok(serde_json::json!({ "edited": record.to_string() }))
        }
        Request::Invite {
            unit,
            tier,
            name,
            addresses,
        } => {
            let unit: UnitId = unit.parse().map_err(refused)?;
            let tier: TierName = tier.parse().map_err(refused)?;
            let token = enrol::invite(node, unit, tier, name, addresses)
                .await
                .map_err(refused)?;
            Ok(serde_json::json!({ "token": token.to_line(), "expires_ms": token.expires_ms }))
        }
        Request::Log { unit, entries } => log(node, unit.as_deref(), entries).await,
        Request::Export {
            kind,
            period,
            unit,
            file,
            format,
            lang,
        } => {
            let lang = lang.parse().unwrap_or_default();
            node.projected().await;
            let node = node.clone();
            // Reading a city's records takes a while; the loop goes on meanwhile.
            let work = move || export(&node, &kind, &period, unit.as_deref(), &file, &format, lang);
            tokio::task::spawn_blocking(work).await.map_err(refused)?
        }
        Request::Show {
            subject,
            period,
            unit,
        } => {
            node.projected().await;
            show(node, &subject, period.as_deref(), unit.as_deref())
        }
        Request::Receipts => {
            let receipts = node.links().await.map_err(refused)?.receipts;
            Ok(receipts.iter().map(receipt_json).collect())
        }
        Request::Doctor => crate::doctor::examine(node).await.map_err(refused),
    }
}

async fn import(
    node: &NodeHandle,
    kind: &str,
    period: &str,
    file: PathBuf,
    dry_run: bool,
    lang: Lang,
    progress: &mut impl FnMut(u64, u64),
) -> Result<serde_json::Value, Refused> {
    let period: Period = period
        .parse()
        .map_err(|error| Refused::from_error(&error))?;
    let registry = node.registry();
    let found = registry.kind(kind).ok_or_else(|| {
        Refused::from_error(&records::RecordError::UnknownKind {
            id: kind.to_owned(),
        })
    })?;
    let found = found.clone();
    let definition = found.clone();
    let context = found.context(&node.identity().unit, Some(period));
    let read = move || -> Result<_, crate::import::ImportError> {
        let source = crate::import::Source::open(&file)?;
        let hash = Hash::of(source.bytes());
        let parsed = crate::import::parse(&definition, &source, &context, lang)?;
        Ok((parsed, hash))
    };
    let parsed = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Refused::from_error(&error))?;
    let (parsed, file_hash) = parsed.map_err(|error| Refused {
        message: error.message(lang),
        details: Vec::new(),
    })?;
    let problems: Vec<String> = parsed.problems.iter().map(|p| p.line(lang)).collect();
    if parsed.errors > 0 {
        let mut details = problems;
        details.extend(parsed.unlisted_line(lang));
        let message = crate::label::text(
            lang,
            "import-refused",
            &[
                ("file", crate::label::Arg::Text(&parsed.file)),
                ("errors", crate::label::Arg::Count(parsed.errors)),
            ],
        );
        return Err(Refused { message, details });
    }
    let rows = parsed.rows_read;
    let encoding = parsed.encoding.to_string();
    let done = if dry_run {
        None
    } else {
        let records = parsed
            .records
            .into_iter()
            .map(|record| NewRecord {
                subject: record.subject,
                fields: record.fields,
            })
            .collect();
        let done = records::import(node, found, period, records, file_hash, progress)
            .await
            .map_err(|error| Refused::from_error(&error))?;
        Some(done)
    };
    Ok(serde_json::json!({
        "file": parsed.file,
        "rows": rows,
        "encoding": encoding,
        "warnings": problems,
        "dry_run": dry_run,
        "imported": done,
    }))
}

fn receipt_json(receipt: &federation_protocol::Receipt) -> serde_json::Value {
    let heads: Vec<_> = receipt
        .heads
        .iter()
        .map(|head| {
            serde_json::json!({
                "log": head.log.to_string(),
                "seq_num": head.seq_num,
                "hash": head.hash.to_string(),
            })
        })
        .collect();
    serde_json::json!({
        "issuer": receipt.issuer.to_string(),
        "unit": receipt.unit.to_string(),
        "time_ms": receipt.time_ms,
        "heads": heads,
    })
}

async fn log(
    node: &NodeHandle,
    unit: Option<&str>,
    entries: usize,
) -> Result<serde_json::Value, Refused> {
    let logs = node
        .logs()
        .await
        .map_err(|error| Refused::from_error(&error))?;
    let mut shown = Vec::new();
    for (id, state) in logs {
        if unit.is_some_and(|unit| unit != state.key.unit.as_str()) {
            continue;
        }
        let from = (state.head.seq_num + 1).saturating_sub(entries as u64);
        let newest = node
            .schema()
            .entries_from(id, from, entries, usize::MAX)
            .map_err(|error| Refused::from_error(&error))?;
        let newest: Vec<_> = newest
            .iter()
            .map(|entry| {
                serde_json::json!({
                    "seq_num": entry.seq_num(),
                    "hash": entry.hash().to_string(),
                    "time_ms": entry.header().hlc.ms(),
                    "parts": entry.slots().len(),
                    "bytes": entry.bytes().len(),
                })
            })
            .collect();
        shown.push(serde_json::json!({
            "log": id.to_string(),
            "unit": state.key.unit.to_string(),
            "author": state.key.author.to_string(),
            "epoch": state.key.epoch.to_string(),
            "reach": state.key.reach.to_string(),
            "period": state.key.period.map(|period| period.to_string()),
            "entries": state.head.seq_num + 1,
            "head": state.head.hash.to_string(),
            "forked": state.forked,
            "newest": newest,
        }));
    }
    Ok(serde_json::Value::Array(shown))
}

fn export(
    node: &NodeHandle,
    kind: &str,
    period: &str,
    unit: Option<&str>,
    file: &std::path::Path,
    format: &str,
    lang: Lang,
) -> Result<serde_json::Value, Refused> {
    fn refused<E: std::fmt::Display>(error: E) -> Refused {
        Refused::from_error(&error)
    }
    let period: Period = period.parse().map_err(refused)?;
    let unit: Option<UnitId> = unit.map(str::parse).transpose().map_err(refused)?;
    let registry = node.registry();
    let kind = registry.kind(kind).ok_or_else(|| {
        refused(records::RecordError::UnknownKind {
            id: kind.to_owned(),
        })
    })?;
    let out = std::fs::File::create_new(file)
        .map_err(|error| refused(format!("{}: {error}", file.display())))?;
    let out = std::io::BufWriter::new(out);
    let mut failure = None;
    let mut rows: u64 = 0;
    let mut csv = None;
    let mut jsonl = None;
    match format {
        "csv" => csv = Some(CsvExport::start(out, &kind, lang).map_err(refused)?),
        "jsonl" => jsonl = Some(out),
        _ => return Err(refused("the format is csv or jsonl")),
    }
    let widest = kind
        .classes(registry.tiers())
        .first()
        .map(|class| class.reach(registry.tiers()));
    node.schema()
        .for_each_dossier(unit.as_ref(), Some(period), |stored| {
            if Some(&stored.id.reach) != widest.as_ref() {
                return true;
            }
            let Ok(view) = DossierView::from_bytes(&stored.view) else {
                return true;
            };
            for (record, mut view) in view.records {
                if view.kind != kind.hash() {
                    continue;
                }
                join_own(node, &stored.id, &kind, registry.tiers(), record, &mut view);
                view.settle(&kind);
                let row = ExportRow {
                    record,
                    subject: &stored.id.subject,
                    view: &view,
                };
                let written = match (&mut csv, &mut jsonl) {
                    (Some(csv), _) => csv.write(row),
                    (None, Some(out)) => write_json_line(out, &kind, row),
                    (None, None) => Ok(()),
                };
                if let Err(error) = written {
                    failure = Some(error);
                    return false;
                }
                rows += 1;
            }
            true
        })
        .map_err(refused)?;
    if let Some(error) = failure {
        return Err(refused(error));
    }
    if let Some(csv) = csv {
        csv.finish().map_err(refused)?;
    }
    if let Some(mut out) = jsonl {
        std::io::Write::flush(&mut out).map_err(refused)?;
    }
    Ok(serde_json::json!({ "file": file, "rows": rows }))
}

/// Adds what narrower dossiers held here say of a record.
fn join_own(
    node: &NodeHandle,
    widest: &tiers::DossierId,
    kind: &tiers::Kind,
    tiers: &[TierName],
    record: RecordId,
    view: &mut tiers::RecordView,
) {
    for class in kind.classes(tiers).iter().skip(1) {
        let id = tiers::DossierId {
            reach: class.reach(tiers),
            ..widest.clone()
        };
        let narrow = node.schema().dossier_view(&id).ok().flatten();
        let narrow = narrow.and_then(|bytes| DossierView::from_bytes(&bytes).ok());
        if let Some(narrow) = narrow.and_then(|mut view| view.records.remove(&record)) {
            view.fields.extend(narrow.fields);
            view.conflicts.extend(narrow.conflicts);
        }
    }
}

fn show(
    node: &NodeHandle,
    subject: &str,
    period: Option<&str>,
    unit: Option<&str>,
) -> Result<serde_json::Value, Refused> {
    fn refused<E: std::fmt::Display>(error: E) -> Refused {
        Refused::from_error(&error)
    }
    let period: Option<Period> = period.map(str::parse).transpose().map_err(refused)?;
    let unit: Option<UnitId> = unit.map(str::parse).transpose().map_err(refused)?;
    let registry = node.registry();
    let mut shown = Vec::new();
    let mut places: Vec<(UnitId, Period, federation_protocol::Reach)> = Vec::new();
    for count in node.schema().counts().map_err(refused)? {
        let (Some(at), Some(reach)) = (count.period, schema::reach_of(&count.reach)) else {
            continue;
        };
        let wanted =
            period.is_none_or(|p| p == at) && unit.as_ref().is_none_or(|u| *u == count.unit);
        if wanted {
            places.push((count.unit, at, reach));
        }
    }
    for (unit, period, reach) in places {
        let id = tiers::DossierId {
            unit,
            subject: subject.to_owned(),
            period: Some(period),
            reach: reach.clone(),
        };
        let Some(bytes) = node.schema().dossier_view(&id).map_err(refused)? else {
            continue;
        };
        let view = DossierView::from_bytes(&bytes).map_err(refused)?;
        for (record, mut view) in view.records {
            let kind = registry.kind_by_hash(&view.kind);
            if let Some(kind) = &kind {
                view.settle(kind);
            }
            let name = |number: u16| {
                kind.as_ref()
                    .and_then(|kind| kind.field(number))
                    .map_or_else(|| number.to_string(), |field| field.name.clone())
            };
            let text = |number: u16, value: &tiers::Value| match kind
                .as_ref()
                .and_then(|kind| kind.field(number))
            {
                Some(field) => field.show(value, None),
                None => value.to_string(),
            };
            let fields: BTreeMap<String, String> = view
                .fields
                .iter()
                .map(|(n, value)| (name(*n), text(*n, value)))
                .collect();
            let conflicts: BTreeMap<String, Vec<Option<String>>> = view
                .conflicts
                .iter()
                .map(|(n, values)| {
                    let values = values.iter().map(|v| v.as_ref().map(|v| text(*n, v)));
                    (name(*n), values.collect())
                })
                .collect();
            shown.push(serde_json::json!({
                "unit": id.unit.to_string(),
                "period": period.to_string(),
                "reach": reach.to_string(),
                "record": record.to_string(),
                "kind": kind.as_ref().map(|kind| kind.id().to_owned()),
                "fields": fields,
                "conflicts": conflicts,
                "edited": view.edited,
            }));
        }
    }
    Ok(serde_json::Value::Array(shown))
}
