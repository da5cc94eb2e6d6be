//! What one import file may cost. Every number is a bound on memory or time taken by a file nobody has vouched for.
//!
//! The measure of need is one school's semester: 1,200 students with 20 records each, 24,000 rows of about 10 columns.
//! As text that is 4 to 8 MB, as a workbook about 1.5 MB packed and 25 MB unpacked. The limits leave a factor of four.

/// Bytes of a csv or jsonl file: four times a semester of a school at 300 bytes a row.
pub const TEXT_SIZE_MAX: u64 = 32 * 1024 * 1024;

/// Bytes of a workbook as it lies on disk. A semester needs 1.5 MB with 10 columns and 4 MB with 20 wide ones.
pub const WORKBOOK_SIZE_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of all parts of a workbook after inflating: 24,000 rows of 20 inline strings take 40 MB.
pub const WORKBOOK_UNPACKED_MAX: u64 = 100 * 1024 * 1024;

/// How many times larger a part may become by inflating. Sheets of real programs stay below 40, zeros reach 1,000.
pub const WORKBOOK_RATIO_MAX: u64 = 100;

/// Bytes below which the ratio of a part is not looked at, since tiny repetitive parts are harmless and common.
pub const WORKBOOK_RATIO_FLOOR: u64 = 1024 * 1024;

/// Parts of a workbook. Excel writes about 12 and one or two per further sheet or picture.
pub const WORKBOOK_ENTRIES_MAX: usize = 200;

/// Bytes between two tags of a part: the 32,767 characters Excel allows in a cell, each written as an escape.
pub const XML_RUN_MAX: usize = 288 * 1024;

/// Bytes of the part with the cell styles, whose entries are copied once per cell format while reading.
pub const STYLES_SIZE_MAX: u64 = 2 * 1024 * 1024;

/// Bytes between two tags of the styles: a number format has at most 255 characters, a font name 31.
pub const STYLES_RUN_MAX: usize = 2048;

/// Tags in the table of shared strings: every cell its own string, each with opening, closing and one extra tag.
pub const SHARED_TAGS_MAX: u64 = 6 * CELLS_MAX;

/// Cells of a file that are not empty: twice what 24,000 rows of 20 columns need.
pub const CELLS_MAX: u64 = 1_000_000;

/// Rows of a file without the header: four semesters of one school.
pub const ROWS_MAX: u32 = 100_000;

/// Columns of a file: kinds have about 10, sheets grown over the years some dozens.
pub const COLUMNS_MAX: usize = 256;

/// Bytes of one cell: the 32,767 characters Excel allows, three bytes each. More in a csv is an unclosed quote.
pub const CELL_SIZE_MAX: usize = 32_767 * 3;

/// Bytes of one line of a jsonl file. A record has to fit into an entry of 64 KiB, so a longer line cannot be one.
pub const LINE_SIZE_MAX: usize = 64 * 1024;

/// Rows at the top of a sheet among which the header is looked for: schools put a title and a note above it.
pub const HEADER_ROWS_MAX: usize = 10;

/// Problems kept in full; the rest is counted. More than a person reads in one sitting.
pub const PROBLEMS_MAX: usize = 1_000;
