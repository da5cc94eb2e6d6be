//! Looks at the container of a workbook before anything is inflated into memory.
//!
//! A workbook is a zip archive of XML parts and can be made to unfold into any size. The directory is summed first;
//! then every part is inflated once into nothing, counting, because a directory can lie. Only a workbook that passed
//! is given to the reader, which trusts some numbers it finds inside (it reserves memory for as many shared strings
//! as the table claims, and copies a font for every cell format), so those are bounded here too.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::error::{BombFault, Refusal};
use super::limits;

/// Refuses a workbook that breaks a bound of [`limits`]. Costs time proportional to the bound and 64 KiB of memory.
pub(super) fn check(bytes: &[u8]) -> Result<(), Refusal> {
    // The directory is read into memory as a whole, so its entries are counted by their mark first.
    let marks = bytes
        .windows(4)
        .filter(|window| *window == b"PK\x01\x02")
        .count();
    // A mark can also occur in packed bytes, once in four thousand million.
    if marks > limits::WORKBOOK_ENTRIES_MAX + 2 {
        return Err(Refusal::Bomb(BombFault::Entries));
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if archive.len() > limits::WORKBOOK_ENTRIES_MAX {
        return Err(Refusal::Bomb(BombFault::Entries));
    }
    let mut total = 0u64;
    for index in 0..archive.len() {
        let part = archive.by_index_raw(index).map_err(broken)?;
        if part.encrypted() {
            return Err(Refusal::Encrypted);
        }
        total = total.saturating_add(part.size());
        if total > limits::WORKBOOK_UNPACKED_MAX {
            return Err(Refusal::Bomb(BombFault::Unpacked));
        }
        if exceeds_ratio(part.size(), part.compressed_size()) {
            return Err(Refusal::Bomb(BombFault::Ratio));
        }
    }
    if archive.has_overlapping_entries().map_err(broken)? {
        return Err(Refusal::Bomb(BombFault::Overlap));
    }
    for index in 0..archive.len() {
        let mut part = archive.by_index(index).map_err(broken)?;
        let stated = part.size();
        let name = String::from_utf8_lossy(part.name_raw()).to_ascii_lowercase();
        measure(&mut part, stated, Rules::of(&name))?;
    }
    Ok(())
}

fn exceeds_ratio(size: u64, packed: u64) -> bool {
    size > limits::WORKBOOK_RATIO_FLOOR && size / packed.max(1) > limits::WORKBOOK_RATIO_MAX
}

fn broken(error: ZipError) -> Refusal {
    Refusal::BrokenWorkbook {
        detail: super::visible(&error.to_string()),
    }
}

/// Bounds on the content of one part.
struct Rules {
    size: u64,
    run: usize,
    tags: u64,
    strings: bool,
}

impl Rules {
    /// The names are fixed by the format and the reader finds its parts by them.
    fn of(name: &str) -> Self {
        let file = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let any = Self {
            size: limits::WORKBOOK_UNPACKED_MAX,
            run: limits::XML_RUN_MAX,
            tags: u64::MAX,
            strings: false,
        };
        match file {
            "styles.xml" => Self {
                size: limits::STYLES_SIZE_MAX,
                run: limits::STYLES_RUN_MAX,
                ..any
            },
            "sharedstrings.xml" => Self {
                tags: limits::SHARED_TAGS_MAX,
                strings: true,
                ..any
            },
            file if file.ends_with(".xml") || file.ends_with(".rels") => any,
            // Pictures and printer settings are no XML and are never read.
            _ => Self {
                run: usize::MAX,
                ..any
            },
        }
    }
}

/// Inflates one part into nothing and holds it against its rules.
fn measure(part: &mut dyn Read, stated: u64, rules: Rules) -> Result<(), Refusal> {
    /// Carried over between blocks, so that a claim across two blocks is seen: longer than any way to write it.
    const OVERLAP: usize = 256;
    let mut block = vec![0u8; OVERLAP + 64 * 1024];
    let (mut kept, mut size, mut run, mut tags) = (0usize, 0u64, 0usize, 0u64);
    loop {
        let room = block.get_mut(kept..).unwrap_or_default();
        let took = part.read(room).map_err(|error| Refusal::BrokenWorkbook {
            detail: super::visible(&error.to_string()),
        })?;
        let fresh = block.get(kept..kept + took).unwrap_or_default();
        size += took as u64;
        if size > stated {
            return Err(Refusal::Bomb(BombFault::Size));
        }
        for byte in fresh {
            run += 1;
            if *byte == b'<' {
                tags += 1;
                run = 0;
            }
            if run > rules.run {
                return Err(Refusal::Bomb(BombFault::Content));
            }
        }
        let held = kept + took;
        let whole = block.get(..held).unwrap_or_default();
        let claims = rules.strings && claims_too_many_strings(whole, took == 0);
        if size > rules.size || tags > rules.tags || claims {
            return Err(Refusal::Bomb(BombFault::Content));
        }
        if took == 0 {
            return if size == stated {
                Ok(())
            } else {
                Err(Refusal::Bomb(BombFault::Size))
            };
        }
        kept = held.min(OVERLAP);
        block.copy_within(held - kept..held, 0);
    }
}

/// Finds a `uniqueCount` above the limit. One too near the end to be read is left for the next block unless `last`.
fn claims_too_many_strings(block: &[u8], last: bool) -> bool {
    const NAME: &[u8] = b"uniqueCount";
    let mut rest = block;
    while let Some(at) = rest.windows(NAME.len()).position(|window| window == NAME) {
        rest = rest.get(at + NAME.len()..).unwrap_or_default();
        let claim = rest.trim_ascii_start();
        let Some(claim) = claim.strip_prefix(b"=").map(<[u8]>::trim_ascii_start) else {
            continue;
        };
        let Some((b'"' | b'\'', digits)) = claim.split_first() else {
            continue;
        };
        let length = digits
            .iter()
            .take_while(|digit| digit.is_ascii_digit())
            .count();
        if length == digits.len() && !last {
            // The digits may go on in the next block, where the name is seen again.
            continue;
        }
        let count = digits.iter().take(length).fold(0u64, |sum, digit| {
            sum.saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        });
        if count > limits::CELLS_MAX {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(content: &[u8], stated: u64, name: &str) -> Option<BombFault> {
        match measure(&mut &*content, stated, Rules::of(name)) {
            Ok(()) => None,
            Err(Refusal::Bomb(fault)) => Some(fault),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_endless_part_is_left_after_the_size_it_states() {
        struct Endless(u64);
        impl Read for Endless {
            fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
                room.fill(b'<');
                self.0 += room.len() as u64;
                Ok(room.len())
            }
        }
        let mut part = Endless(0);
        let refused = measure(&mut part, 100_000, Rules::of("xl/worksheets/sheet1.xml"));
        assert!(matches!(refused, Err(Refusal::Bomb(BombFault::Size))));
        assert!(part.0 < 200_000, "{} bytes were read", part.0);
    }

    #[test]
    fn a_part_has_exactly_the_size_it_states() {
        assert_eq!(measured(b"<a/>", 4, "a.xml"), None);
        assert_eq!(measured(b"<a/>", 3, "a.xml"), Some(BombFault::Size));
        assert_eq!(measured(b"<a/>", 5, "a.xml"), Some(BombFault::Size));
    }

    #[test]
    fn text_between_tags_is_bounded_in_xml_and_not_in_pictures() {
        let long = vec![b'x'; limits::XML_RUN_MAX + 1];
        let size = long.len() as u64;
        assert_eq!(
            measured(&long, size, "xl/sharedStrings.xml"),
            Some(BombFault::Content)
        );
        assert_eq!(measured(&long, size, "xl/media/image1.png"), None);
        let long = vec![b'x'; limits::STYLES_RUN_MAX + 1];
        let size = long.len() as u64;
        assert_eq!(
            measured(&long, size, "xl\\styles.xml"),
            Some(BombFault::Content)
        );
    }

    #[test]
    fn a_claim_is_read_however_it_is_written() {
        for claim in ["uniqueCount=\"1000001\"", "uniqueCount = '9999999'"] {
            let text = format!("<sst {claim}>");
            assert!(claims_too_many_strings(text.as_bytes(), false), "{claim}");
        }
        for fine in [
            "uniqueCount=\"1000000\"",
            "uniqueCount",
            "uniqueCount=\"",
            "uniqueCount=x",
        ] {
            let text = format!("<sst {fine}>");
            assert!(!claims_too_many_strings(text.as_bytes(), true), "{fine}");
        }
        assert!(!claims_too_many_strings(b"uniqueCount=\"99999999", false));
        assert!(claims_too_many_strings(b"uniqueCount=\"99999999", true));
    }
}
