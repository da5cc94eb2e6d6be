//! What lies under which key of the store, and the typed reads and writes over it.
//!
//! One key space, first byte a table, so that one batch is atomic over everything; see
//! `docs/formats.md`. Values larger than the store takes are cut into numbered pieces.

use std::sync::Arc;

use federation_protocol::{Entry, LogId, LogReader, LogState, Period, Reach, ReadError};
use keys::{Hash, UnitId};
use tiers::DossierId;

use crate::store::{Batch, Kv, StoreError, VALUE_SIZE_MAX, prefix_end};

/// The tables, by first byte of the key.
mod table {
    pub(super) const META: u8 = b'm';
    pub(super) const ENTRY: u8 = b'e';
    pub(super) const HEAD: u8 = b'h';
    pub(super) const EVIDENCE: u8 = b'f';
    pub(super) const STATEMENT: u8 = b's';
    pub(super) const RECEIPT: u8 = b'r';
    pub(super) const INVITATION: u8 = b'i';
    pub(super) const CURSOR: u8 = b'p';
    pub(super) const VIEW: u8 = b'v';
    pub(super) const STATE: u8 = b'd';
    pub(super) const COUNT: u8 = b'n';
    pub(super) const QUARANTINE: u8 = b'q';
    pub(super) const UNPROJECTED: u8 = b'u';
}

/// Version of the layout; a store with a higher one is refused, a lower one is migrated step by step.
pub const LAYOUT_VERSION: u64 = 1;

/// Pieces a large value may have: 16 MiB in all.
const PIECES_MAX: usize = 180;
/// Bytes of one piece.
const PIECE_SIZE: usize = VALUE_SIZE_MAX - 64;
/// Rows read from the store at a time.
const PAGE: usize = 512;

/// The node's store with its layout. Clones share the store.
#[derive(Clone)]
pub struct Schema {
    kv: Arc<dyn Kv>,
}

/// Stored bytes are not what the layout says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The engine could not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value under this table does not decode.
    #[error("stored {table} record is damaged")]
    Damaged {
        /// What was read.
        table: &'static str,
    },
    /// The store was written by a newer release.
    #[error("the store has layout {found}, this release knows {LAYOUT_VERSION}; update sanji")]
    Newer {
        /// Its layout version.
        found: u64,
    },
}

/// A dossier as the projector left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDossier {
    /// Whose it is.
    pub id: DossierId,
    /// The view, see [`tiers::DossierView`].
    pub view: Vec<u8>,
}

impl Schema {
    /// Opens the layout over a store, creating it in an empty one.
    ///
    /// # Errors
    /// [`SchemaError::Newer`] for a store of a later release.
    pub async fn open(kv: Arc<dyn Kv>) -> Result<Self, OpenError> {
        let key = [table::META, b'v'];
        match kv.get(&key).map_err(SchemaError::from)? {
            None => {
                let mut batch = Batch::new();
                batch.put(key, LAYOUT_VERSION.to_be_bytes());
                kv.commit(batch).await?;
            }
            Some(bytes) => {
                let found = number(&bytes).ok_or(SchemaError::Damaged { table: "layout" })?;
                if found > LAYOUT_VERSION {
                    return Err(SchemaError::Newer { found }.into());
                }
            }
        }
        Ok(Self { kv })
    }

    /// Returns the store.
    pub fn kv(&self) -> &Arc<dyn Kv> {
        &self.kv
    }

    // -- entries and logs ------------------------------------------------------------------------

    /// Adds an append to a batch.
    pub fn append(batch: &mut Batch, entries: &[Entry], states: &[LogState], evidence: &[Entry]) {
        for entry in entries {
            batch.put(
                entry_key(table::ENTRY, entry.log(), entry.seq_num()),
                entry.bytes(),
            );
        }
        for entry in evidence {
            batch.put(
                entry_key(table::EVIDENCE, entry.log(), entry.seq_num()),
                entry.bytes(),
            );
        }
        for state in states {
            batch.put(
                log_key(table::HEAD, state.key.id()),
                keys::cbor::to_vec(state),
            );
        }
    }

    /// Calls back with every stored log.
    pub fn for_each_log(&self, mut found: impl FnMut(LogState)) -> Result<(), SchemaError> {
        self.for_each(&[table::HEAD], |_, value| {
            let state = keys::cbor::from_slice(&value)
                .map_err(|_| SchemaError::Damaged { table: "log" })?;
            found(state);
            Ok(())
        })
    }

    /// Returns one stored entry, checked.
    pub fn entry(&self, log: LogId, seq_num: u64) -> Result<Option<Entry>, SchemaError> {
        match self.kv.get(&entry_key(table::ENTRY, log, seq_num))? {
            None => Ok(None),
            Some(bytes) => Entry::verify(bytes)
                .map(Some)
                .map_err(|_| SchemaError::Damaged { table: "entry" }),
        }
    }

    /// Returns checked entries of a log from a position, at most `bytes_max` bytes after the first.
    pub fn entries_from(
        &self,
        log: LogId,
        from: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, SchemaError> {
        let raw = self.raw_entries(log, from, count_max, bytes_max)?;
        raw.into_iter()
            .map(|bytes| Entry::verify(bytes).map_err(|_| SchemaError::Damaged { table: "entry" }))
            .collect()
    }

    fn raw_entries(
        &self,
        log: LogId,
        from: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let end = prefix_end(&log_key(table::ENTRY, log));
        let mut found: Vec<Vec<u8>> = Vec::new();
        let (mut at, mut bytes) = (from, 0);
        // Entries are up to 64 KiB, so few are read at a time.
        while found.len() < count_max && (found.is_empty() || bytes < bytes_max) {
            let page = self.kv.scan(
                &entry_key(table::ENTRY, log, at),
                &end,
                (count_max - found.len()).min(8),
            )?;
            if page.is_empty() {
                break;
            }
            for (_, value) in page {
                if !found.is_empty() && bytes + value.len() > bytes_max {
                    return Ok(found);
                }
                bytes += value.len();
                found.push(value);
                at += 1;
            }
        }
        Ok(found)
    }

    // -- statements, receipts, invitations -------------------------------------------------------

    /// Adds a statement to a batch: those that came with the enrolment, before any log.
    pub fn put_statement(batch: &mut Batch, domain: &str, bytes: &[u8]) {
        let mut key = vec![table::STATEMENT];
        key.extend_from_slice(Hash::of(bytes).as_bytes());
        let value = keys::cbor::to_vec(&(domain, minicbor::bytes::ByteVec::from(bytes.to_vec())));
        batch.put(key, value);
    }

    /// Returns the statements that came with the enrolment, as (domain tag, bytes).
    pub fn statements(&self) -> Result<Vec<(String, Vec<u8>)>, SchemaError> {
        let mut found = Vec::new();
        self.for_each(&[table::STATEMENT], |_, value| {
            let (domain, bytes): (String, minicbor::bytes::ByteVec) =
                keys::cbor::from_slice(&value)
                    .map_err(|_| SchemaError::Damaged { table: "statement" })?;
            found.push((domain, bytes.into()));
            Ok(())
        })?;
        Ok(found)
    }

    /// Adds the newest receipt of an issuer about a unit to a batch.
    pub fn put_receipt(batch: &mut Batch, issuer: &UnitId, unit: &UnitId, bytes: &[u8]) {
        let mut key = vec![table::RECEIPT];
        push_text(&mut key, unit.as_str());
        push_text(&mut key, issuer.as_str());
        put_large(batch, key, bytes.to_vec());
    }

    /// Returns every stored receipt.
    pub fn receipts(&self) -> Result<Vec<Vec<u8>>, SchemaError> {
        self.all_large(table::RECEIPT)
    }

    /// Returns the key of an invitation.
    pub fn invitation_key(id: &[u8; 16]) -> Vec<u8> {
        let mut key = vec![table::INVITATION];
        key.extend_from_slice(id);
        key
    }

    /// Returns every invitation.
    pub fn invitations(&self) -> Result<Vec<Vec<u8>>, SchemaError> {
        let mut found = Vec::new();
        self.for_each(&[table::INVITATION], |_, value| {
            found.push(value);
            Ok(())
        })?;
        Ok(found)
    }

    // -- projection ------------------------------------------------------------------------------

    /// Returns how far a log is projected: the next position.
    pub fn cursor(&self, log: LogId) -> Result<u64, SchemaError> {
        match self.kv.get(&log_key(table::CURSOR, log))? {
            None => Ok(0),
            Some(bytes) => number(&bytes).ok_or(SchemaError::Damaged { table: "cursor" }),
        }
    }

    /// Adds a log's cursor to a batch.
    pub fn put_cursor(batch: &mut Batch, log: LogId, next: u64) {
        batch.put(log_key(table::CURSOR, log), next.to_be_bytes());
    }

    /// Returns the state of a dossier, as [`tiers::project`] wrote it.
    pub fn dossier_state(&self, id: &DossierId) -> Result<Option<Vec<u8>>, SchemaError> {
        self.large(&dossier_key(table::STATE, id))
    }

    /// Returns the view of a dossier.
    pub fn dossier_view(&self, id: &DossierId) -> Result<Option<Vec<u8>>, SchemaError> {
        self.large(&dossier_key(table::VIEW, id))
    }

    /// Adds a projected dossier to a batch.
    pub fn put_dossier(batch: &mut Batch, id: &DossierId, state: Vec<u8>, view: Vec<u8>) {
        put_large(batch, dossier_key(table::STATE, id), state);
        put_large(batch, dossier_key(table::VIEW, id), view);
    }

    /// Calls back with every dossier view of a unit and period, or of everything; stops when the
    /// callback returns false.
    pub fn for_each_dossier(
        &self,
        unit: Option<&UnitId>,
        period: Option<Period>,
        mut found: impl FnMut(StoredDossier) -> bool,
    ) -> Result<(), SchemaError> {
        let mut prefix = vec![table::VIEW];
        if let Some(unit) = unit {
            push_text(&mut prefix, unit.as_str());
            if let Some(period) = period {
                push_text(&mut prefix, &period.to_string());
            }
        }
        let mut from = prefix.clone();
        let end = prefix_end(&prefix);
        loop {
            let page = self.kv.scan(&from, &end, PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            from = [last.as_slice(), &[0]].concat();
            for (key, value) in page {
                // Further pieces of a large value follow its first one and are read with it.
                let Some(id) = dossier_of(&key) else { continue };
                if period.is_some() && id.period != period {
                    continue;
                }
                let view = self.assemble(&key, value)?;
                if !found(StoredDossier { id, view }) {
                    return Ok(());
                }
            }
        }
    }

    /// Returns how many records a unit's dossiers of one period and reach hold.
    pub fn counts(&self) -> Result<Vec<RecordCount>, SchemaError> {
        let mut found = Vec::new();
        self.for_each(&[table::COUNT], |key, value| {
            let damaged = || SchemaError::Damaged { table: "count" };
            let mut rest = key.get(1..).ok_or_else(damaged)?;
            let unit = take_text(&mut rest)
                .and_then(|t| t.parse().ok())
                .ok_or_else(damaged)?;
            let period = take_text(&mut rest).ok_or_else(damaged)?;
            let reach = take_text(&mut rest).ok_or_else(damaged)?;
            found.push(RecordCount {
                unit,
                period: if period.is_empty() {
                    None
                } else {
                    period.parse().ok()
                },
                reach,
                records: number(&value).ok_or_else(damaged)?,
            });
            Ok(())
        })?;
        Ok(found)
    }

    /// Returns the record count of one unit, period and reach.
    pub fn count(
        &self,
        unit: &UnitId,
        period: Option<Period>,
        reach: &Reach,
    ) -> Result<u64, SchemaError> {
        match self.kv.get(&count_key(unit, period, reach))? {
            None => Ok(0),
            Some(bytes) => number(&bytes).ok_or(SchemaError::Damaged { table: "count" }),
        }
    }

    /// Adds a record count to a batch.
    pub fn put_count(
        batch: &mut Batch,
        unit: &UnitId,
        period: Option<Period>,
        reach: &Reach,
        records: u64,
    ) {
        batch.put(count_key(unit, period, reach), records.to_be_bytes());
    }

    /// Adds a quarantined part to a batch: its entry and why.
    pub fn put_quarantine(batch: &mut Batch, entry: Hash, part: u32, why: &str) {
        let mut key = vec![table::QUARANTINE];
        key.extend_from_slice(entry.as_bytes());
        key.extend_from_slice(&part.to_be_bytes());
        batch.put(key, why.as_bytes());
    }

    /// Adds a note to a batch that a dossier could not be projected here, and why.
    pub fn put_unprojected(batch: &mut Batch, id: &DossierId, why: &str) {
        batch.put(dossier_key(table::UNPROJECTED, id), why.as_bytes());
    }

    /// Returns how many dossiers could not be projected here.
    pub fn unprojected(&self) -> Result<u64, SchemaError> {
        let mut found = 0;
        self.for_each(&[table::UNPROJECTED], |_, _| {
            found += 1;
            Ok(())
        })?;
        Ok(found)
    }

    /// Returns the quarantined parts as (entry, why).
    pub fn quarantined(&self) -> Result<Vec<(Hash, String)>, SchemaError> {
        let mut found = Vec::new();
        self.for_each(&[table::QUARANTINE], |key, value| {
            let hash = key.get(1..33).and_then(|h| h.try_into().ok());
            let hash = hash.ok_or(SchemaError::Damaged {
                table: "quarantine",
            })?;
            found.push((
                Hash::from_bytes(hash),
                String::from_utf8_lossy(&value).into_owned(),
            ));
            Ok(())
        })?;
        Ok(found)
    }

    /// Adds the removal of everything projected for a unit and period to a batch, so that it is
    /// rebuilt from entries.
    pub fn forget_projection(
        &self,
        batch: &mut Batch,
        unit: &UnitId,
        period: Option<Period>,
        logs: &[LogId],
    ) -> Result<(), SchemaError> {
        for table in [table::VIEW, table::STATE, table::COUNT] {
            let mut prefix = vec![table];
            push_text(&mut prefix, unit.as_str());
            push_text(
                &mut prefix,
                &period.map(|p| p.to_string()).unwrap_or_default(),
            );
            self.for_each(&prefix, |key, _| {
                batch.delete(key.to_vec());
                Ok(())
            })?;
        }
        for log in logs {
            batch.delete(log_key(table::CURSOR, *log));
        }
        Ok(())
    }

    // -- plumbing --------------------------------------------------------------------------------

    fn for_each(
        &self,
        prefix: &[u8],
        mut found: impl FnMut(&[u8], Vec<u8>) -> Result<(), SchemaError>,
    ) -> Result<(), SchemaError> {
        let mut from = prefix.to_vec();
        let end = prefix_end(prefix);
        loop {
            let page = self.kv.scan(&from, &end, PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            from = [last.as_slice(), &[0]].concat();
            for (key, value) in page {
                found(&key, value)?;
            }
        }
    }

    fn all_large(&self, table: u8) -> Result<Vec<Vec<u8>>, SchemaError> {
        let mut firsts = Vec::new();
        self.for_each(&[table], |key, value| {
            if !is_piece(key) {
                firsts.push((key.to_vec(), value));
            }
            Ok(())
        })?;
        firsts
            .into_iter()
            .map(|(key, value)| self.assemble(&key, value))
            .collect()
    }

    fn large(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SchemaError> {
        match self.kv.get(key)? {
            None => Ok(None),
            Some(first) => self.assemble(key, first).map(Some),
        }
    }

    /// Joins the pieces of a value: the first byte of the first says how many follow.
    fn assemble(&self, key: &[u8], first: Vec<u8>) -> Result<Vec<u8>, SchemaError> {
        let damaged = || SchemaError::Damaged {
            table: "large value",
        };
        let (&more, head) = first.split_first().ok_or_else(damaged)?;
        let mut whole = head.to_vec();
        for piece in 1..=more {
            let next = self.kv.get(&piece_key(key, piece))?.ok_or_else(damaged)?;
            whole.extend_from_slice(&next);
        }
        Ok(whole)
    }
}

/// How many records one unit's dossiers of one period and reach hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordCount {
    /// The unit.
    pub unit: UnitId,
    /// The period.
    pub period: Option<Period>,
    /// The reach, as text.
    pub reach: String,
    /// Records.
    pub records: u64,
}

/// The layout could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Reading failed.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Writing the layout's version failed.
    #[error(transparent)]
    Commit(#[from] crate::store::CommitError),
}

impl LogReader for Schema {
    fn entry(&self, log: LogId, seq_num: u64) -> Result<Option<Vec<u8>>, ReadError> {
        self.kv
            .get(&entry_key(table::ENTRY, log, seq_num))
            .map_err(|error| ReadError {
                log,
                seq_num,
                why: error.to_string(),
            })
    }

    fn entries(
        &self,
        log: LogId,
        from: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, ReadError> {
        self.raw_entries(log, from, count_max, bytes_max)
            .map_err(|error| ReadError {
                log,
                seq_num: from,
                why: error.to_string(),
            })
    }

    fn fork_evidence(&self, log: LogId, seq_num: u64) -> Result<Option<Vec<u8>>, ReadError> {
        self.kv
            .get(&entry_key(table::EVIDENCE, log, seq_num))
            .map_err(|error| ReadError {
                log,
                seq_num,
                why: error.to_string(),
            })
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn log_key(table: u8, log: LogId) -> Vec<u8> {
    let mut key = vec![table];
    key.extend_from_slice(log.as_bytes());
    key
}

fn entry_key(table: u8, log: LogId, seq_num: u64) -> Vec<u8> {
    let mut key = log_key(table, log);
    key.extend_from_slice(&seq_num.to_be_bytes());
    key
}

/// Text ended by a zero byte, so that prefixes of one name do not mix with another's.
fn push_text(key: &mut Vec<u8>, text: &str) {
    key.extend_from_slice(text.as_bytes());
    key.push(0);
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (text, after) = rest.split_at(end);
    *rest = after.get(1..)?;
    String::from_utf8(text.to_vec()).ok()
}

fn dossier_key(table: u8, id: &DossierId) -> Vec<u8> {
    let mut key = vec![table];
    push_text(&mut key, id.unit.as_str());
    push_text(
        &mut key,
        &id.period.map(|p| p.to_string()).unwrap_or_default(),
    );
    push_text(&mut key, &id.reach.to_string());
    // A subject may hold any byte but its length is known, so it is last and hex.
    push_text(&mut key, &hex::encode(&id.subject));
    key
}

fn dossier_of(key: &[u8]) -> Option<DossierId> {
    let mut rest = key.get(1..)?;
    let unit = take_text(&mut rest)?.parse().ok()?;
    let period = take_text(&mut rest)?;
    let period = if period.is_empty() {
        None
    } else {
        Some(period.parse().ok()?)
    };
    let reach = reach_of(&take_text(&mut rest)?)?;
    let subject = String::from_utf8(hex::decode(take_text(&mut rest)?).ok()?).ok()?;
    rest.is_empty().then_some(DossierId {
        unit,
        subject,
        period,
        reach,
    })
}

/// Reads a reach as [`Reach`] displays it.
pub fn reach_of(text: &str) -> Option<Reach> {
    match text.split_once(':') {
        None if text == "own" => Some(Reach::Own),
        None if text == "below" => Some(Reach::Below),
        Some(("up", tier)) => Some(Reach::Up(tier.parse().ok()?)),
        Some(("to", unit)) => Some(Reach::To(unit.parse().ok()?)),
        _ => None,
    }
}

fn count_key(unit: &UnitId, period: Option<Period>, reach: &Reach) -> Vec<u8> {
    let mut key = vec![table::COUNT];
    push_text(&mut key, unit.as_str());
    push_text(&mut key, &period.map(|p| p.to_string()).unwrap_or_default());
    push_text(&mut key, &reach.to_string());
    key
}

/// Pieces after the first hang below the key with a 0x01 and their number; texts in keys hold no 0x01.
fn piece_key(key: &[u8], piece: u8) -> Vec<u8> {
    [key, &[1, piece]].concat()
}

fn is_piece(key: &[u8]) -> bool {
    key.len() >= 2 && key[key.len() - 2] == 1 && key.last() != Some(&0)
}

fn put_large(batch: &mut Batch, key: Vec<u8>, value: Vec<u8>) {
    let pieces = value.len().div_ceil(PIECE_SIZE).max(1);
    assert!(
        pieces <= PIECES_MAX,
        "a dossier or receipt is bounded far below 16 MiB"
    );
    let more = u8::try_from(pieces - 1).expect("bounded just above");
    let (head, rest) = value.split_at(value.len().min(PIECE_SIZE));
    let mut first = Vec::with_capacity(head.len() + 1);
    first.push(more);
    first.extend_from_slice(head);
    for (piece, bytes) in (1..=more).zip(rest.chunks(PIECE_SIZE)) {
        batch.put(piece_key(&key, piece), bytes);
    }
    batch.put(key, first);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn id(subject: &str, reach: Reach) -> DossierId {
        DossierId {
            unit: "school-1".parse().unwrap(),
            subject: subject.to_owned(),
            period: Some("2026-1".parse().unwrap()),
            reach,
        }
    }

    #[tokio::test]
    async fn large_dossiers_are_cut_and_joined_and_listed_once() {
        let schema = Schema::open(Arc::new(MemoryStore::default()))
            .await
            .unwrap();
        let big: Vec<u8> = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
        let mut batch = Batch::new();
        let up = Reach::Up("city".parse().unwrap());
        Schema::put_dossier(
            &mut batch,
            &id("G\u{1}1", up.clone()),
            big.clone(),
            big.clone(),
        );
        Schema::put_dossier(&mut batch, &id("G2", Reach::Own), vec![1], vec![2]);
        schema.kv().commit(batch).await.unwrap();
        assert_eq!(
            schema.dossier_state(&id("G\u{1}1", up)).unwrap(),
            Some(big.clone())
        );
        let mut seen = Vec::new();
        schema
            .for_each_dossier(Some(&"school-1".parse().unwrap()), None, |dossier| {
                seen.push((dossier.id.subject, dossier.view.len()));
                true
            })
            .unwrap();
        assert_eq!(
            seen,
            [("G2".to_owned(), 1), ("G\u{1}1".to_owned(), big.len())]
        );
    }

    #[tokio::test]
    async fn a_store_of_a_newer_release_is_refused() {
        let kv = Arc::new(MemoryStore::default());
        let mut batch = Batch::new();
        batch.put([table::META, b'v'], (LAYOUT_VERSION + 1).to_be_bytes());
        kv.commit(batch).await.unwrap();
        assert!(matches!(
            Schema::open(kv).await.err(),
            Some(OpenError::Schema(SchemaError::Newer { .. }))
        ));
    }
}
