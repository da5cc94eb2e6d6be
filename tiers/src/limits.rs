//! Every bound of this room on size and count, each with its reason.

/// Bytes of one change to a dossier: with its header it still fits an entry of 64 KiB beside others.
pub const CHANGE_SIZE_MAX: usize = 48 * 1024;
/// Operations in one change. A few bytes of a column can claim millions of them, so they are counted
/// before anything is built from them.
pub const CHANGE_OPS_MAX: usize = 2_000;
/// Other actors a change refers to, and changes it depends on: the nodes of one unit, many times over.
pub const CHANGE_ACTORS_MAX: usize = 64;
/// Bytes of a key in a dossier: a record id and a suffix, with room for keys of later versions.
pub const KEY_SIZE_MAX: usize = 128;
/// Bytes of one dossier's changes and records in it: a semester of the busiest subject (a venue, a
/// township) several times over. A merged dossier above it stays valid.
pub const DOSSIER_SIZE_MAX: usize = 1024 * 1024;
/// Records of one dossier; see [`DOSSIER_SIZE_MAX`].
pub const DOSSIER_RECORDS_MAX: usize = 4_000;
/// Writers stop at half the cap, so that two writers apart can merge and stay below it.
pub const WRITER_SIZE_MAX: usize = DOSSIER_SIZE_MAX / 2;
/// See [`WRITER_SIZE_MAX`].
pub const WRITER_RECORDS_MAX: usize = DOSSIER_RECORDS_MAX / 2;
/// Bytes of a dossier this node projects at all. Beyond it the dossier is *unprojected*, an alarm and
/// never a verdict: the entries stay valid.
pub const PROJECTION_SIZE_MAX: usize = 8 * DOSSIER_SIZE_MAX;
/// Secrets kept per dossier: one per node that began it while apart from the others.
pub const DOSSIER_SECRETS_MAX: usize = 8;
/// Changes that one projection may find to break the document engine before it gives up blaming them
/// one by one and leaves the dossier unprojected.
pub const BROKEN_CHANGES_MAX: usize = 16;

/// Bytes of one text value, several pages of Chinese.
pub const TEXT_SIZE_MAX: usize = 16 * 1024;
/// Items of one set value.
pub const SET_ITEMS_MAX: usize = 256;
/// Digits after the decimal point.
pub const SCALE_MAX: u8 = 9;
/// Fields of one record.
pub const RECORD_FIELDS_MAX: usize = 200;

/// Bytes of a kind's definition: fits one statement.
pub const KIND_SIZE_MAX: usize = 48 * 1024;
/// Depth of tables and lists in a definition.
pub const KIND_DEPTH_MAX: usize = 8;
/// Largest field number; the numbers above are kept for children's own fields.
pub const FIELD_NUMBER_MAX: u16 = 999;

/// Rosters, and kinds, that a registry holds: a large city's, many times over.
pub const STATEMENTS_MAX: usize = 100_000;
/// Children of one unit: a city with its direct schools and venues; the roster still fits one
/// statement.
pub const CHILDREN_MAX: usize = 400;
/// Tiers of one federation.
pub const TIERS_MAX: usize = 16;
/// Units between a unit and the root; more means a broken roster.
pub const DEPTH_MAX: usize = 8;
