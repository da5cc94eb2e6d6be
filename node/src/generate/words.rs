//! What the generator writes into the columns of a kind: patterns over lists of words, kept as text beside the tests.

use std::collections::BTreeMap;

use serde::Deserialize;
use tiers::value::Date;

/// Every kind the generator has words for, with its file.
const KINDS: &[(&str, &str)] = &[
    (
        "practice-record",
        include_str!("../../testdata/words/practice-record.toml"),
    ),
    (
        "volunteer-service",
        include_str!("../../testdata/words/volunteer-service.toml"),
    ),
];

/// The words for one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    /// Pattern of each column, by the path of its field.
    columns: BTreeMap<String, String>,
    /// When things happen.
    pub(super) time: Times,
    /// Lists a pattern names in braces.
    lists: BTreeMap<String, Vec<String>>,
}

/// When things happen, and for how long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Times {
    /// First day.
    first: String,
    /// Days after it.
    pub(super) days: u32,
    /// Full hours something begins at.
    pub(super) hours: Vec<u32>,
    /// Minutes something counts.
    pub(super) durations: Vec<u32>,
    /// Minutes it takes longer than it counts.
    pub(super) slack: Vec<u32>,
}

impl Words {
    /// Reads the words of the kind called `id`; `None` if there are none.
    pub(super) fn of(id: &str) -> Option<Self> {
        let (_, text) = KINDS.iter().find(|(known, _)| *known == id)?;
        Some(toml::from_str(text).expect("a test reads every file of words"))
    }

    /// Returns the pattern of a column; a column without one stays empty.
    pub(super) fn pattern(&self, path: &str) -> &str {
        self.columns.get(path).map_or("", String::as_str)
    }

    /// Returns the lists in the order of their names.
    pub(super) fn lists(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.lists
            .iter()
            .map(|(name, list)| (name.as_str(), list.as_slice()))
    }

    /// Returns the day `days` after the first.
    pub(super) fn day(&self, days: u32) -> Date {
        let first: Date = self
            .time
            .first
            .parse()
            .expect("a test reads every file of words");
        let days = i32::try_from(days).expect("a semester has fewer days");
        Date::from_days(first.days() + days).expect("a semester lies within the calendar")
    }
}

/// Splits a pattern into what stands there and the names in braces.
pub(super) fn pieces(pattern: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        if !before.is_empty() {
            pieces.push(Piece::Plain(before));
        }
        let Some((name, more)) = after.split_once('}') else {
            break;
        };
        pieces.push(Piece::Name(name));
        rest = more;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Plain(rest));
    }
    pieces
}

/// One part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text as it stands.
    Plain(&'a str),
    /// Name of a list or of a made value.
    Name(&'a str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_words_is_complete() {
        const MADE: [&str; 5] = ["student", "date", "start", "end", "duration"];
        for (id, _) in KINDS {
            let words = Words::of(id).expect("listed");
            assert!(words.day(words.time.days) > words.day(0));
            for list in [&words.time.hours, &words.time.durations, &words.time.slack] {
                assert!(!list.is_empty(), "{id}");
            }
            for (path, pattern) in &words.columns {
                for piece in pieces(pattern) {
                    if let Piece::Name(name) = piece {
                        let list = words.lists.get(name);
                        let known =
                            MADE.contains(&name) || list.is_some_and(|list| !list.is_empty());
                        assert!(known, "{id}: {path} names {name}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_pattern_is_split_at_braces() {
        use Piece::{Name, Plain};
        assert_eq!(
            pieces("a{b}{c}d"),
            [Plain("a"), Name("b"), Name("c"), Plain("d")]
        );
        assert_eq!(pieces(""), []);
    }
}
