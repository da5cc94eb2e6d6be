//! Just enough of a reader of Rust: code with comments and strings blanked out, and words in it.

/// Returns the source with comments, strings and character literals replaced by spaces; lines keep their numbers.
pub(crate) fn code(source: &str) -> String {
    let text: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < text.len() {
        let end = match text[at] {
            '/' if text.get(at + 1) == Some(&'/') => line_end(&text, at),
            '/' if text.get(at + 1) == Some(&'*') => block_end(&text, at),
            '"' => string_end(&text, at),
            'r' if !follows_word(&text, at) || follows_prefix(&text, at) => raw_end(&text, at),
            '\'' => literal_end(&text, at),
            _ => at,
        };
        if end == at {
            out.push(text[at]);
            at += 1;
        } else {
            out.extend(
                text[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    out
}

fn line_end(text: &[char], at: usize) -> usize {
    (at..text.len())
        .find(|i| text[*i] == '\n')
        .unwrap_or(text.len())
}

fn block_end(text: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

fn string_end(text: &[char], at: usize) -> usize {
    let mut i = at + 1;
    while i < text.len() {
        match text[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    text.len()
}

/// Returns where the raw string that starts at `at` ends, or `at` when none starts there.
fn raw_end(text: &[char], at: usize) -> usize {
    let hashes = text[at + 1..].iter().take_while(|c| **c == '#').count();
    if text.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let mut i = at + 2 + hashes;
    while i < text.len() {
        let closed =
            text[i] == '"' && text[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
        if closed {
            return i + 1 + hashes;
        }
        i += 1;
    }
    text.len()
}

/// Returns where the character literal at `at` ends, or `at` when it is a lifetime.
fn literal_end(text: &[char], at: usize) -> usize {
    match text.get(at + 1) {
        Some('\\') => {
            let close = (at + 3..text.len()).find(|i| text[*i] == '\'');
            close.map_or(text.len(), |i| i + 1)
        }
        Some(_) if text.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn follows_word(text: &[char], at: usize) -> bool {
    at > 0 && is_word(text[at - 1])
}

/// Returns whether the `r` at `at` is the one in `br"` or `cr"`.
fn follows_prefix(text: &[char], at: usize) -> bool {
    at > 0 && matches!(text[at - 1], 'b' | 'c') && !follows_word(text, at - 1)
}

/// Returns the byte positions at which `word` stands as a whole word in the code.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let before = code[..*at].chars().next_back();
            let after = code[at + word.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
}

/// Returns the line number, from 1, of a byte position.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Returns where the code uses the crate `name` by path or import: `name::x`, `::name::x`, `use name;`.
///
/// A module of the same name, reached as `self::name` or `crate::x::name`, is not the crate.
pub(crate) fn crate_uses(code: &str, name: &str) -> Vec<usize> {
    words(code, name)
        .filter(|at| {
            let before = code[..*at].trim_end();
            let inner = before.strip_suffix("::");
            if inner.is_some_and(|path| path.ends_with(|c: char| is_word(c) || c == '>')) {
                return false;
            }
            let after = code[at + name.len()..].trim_start();
            after.starts_with("::") || before.ends_with("use") || before.ends_with("extern crate")
        })
        .collect()
}

/// Returns where the code names `std::module::...` or `std::{..., module, ...}`; `path` is `a::b` below `std`.
pub(crate) fn std_uses(code: &str, path: &str) -> Vec<usize> {
    let (outer, last) = path
        .rsplit_once("::")
        .map_or(("", path), |(outer, last)| (outer, last));
    let prefix = if outer.is_empty() {
        "std::".to_owned()
    } else {
        format!("std::{outer}::")
    };
    let mut found = Vec::new();
    for (at, _) in code.match_indices(&prefix) {
        if code[..at].ends_with(is_word) {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let hit = match rest.strip_prefix('{') {
            Some(group) => group_items(group).iter().any(|item| item == last),
            None => words(rest, last).next() == Some(0),
        };
        if hit {
            found.push(at);
        }
    }
    found
}

/// Returns the first path segment of each item in a `{...}` import group whose opening brace has been taken off.
fn group_items(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut items = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ if depth == 0 => items.last_mut().expect("never empty").push(c),
            _ => {}
        }
    }
    let first = |item: &String| {
        let head = item.trim().split("::").next().unwrap_or_default();
        head.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    items.iter().map(first).collect()
}

#[test]
fn comments_and_strings_are_blank_and_code_is_not() {
    let source = "a // b\n/* c /* d */ e */ f \"g \\\" h\" i r#\"j \" k\"# l 'm' n '\\'' o<'p> b\"q\" br\"s\"";
    let code = code(source);
    let left: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(left, ["a", "f", "i", "l", "n", "o<'p>", "b", "b"]);
    assert_eq!(code.lines().count(), source.lines().count());
}

#[test]
fn words_are_whole() {
    assert_eq!(words("sled sledge _sled sled", "sled").count(), 2);
    assert_eq!(line_of("a\nb\nc", 4), 3);
}

#[test]
fn a_crate_is_seen_and_a_module_of_its_name_is_not() {
    assert_eq!(crate_uses("let db = sled::open(p);", "sled").len(), 1);
    assert_eq!(crate_uses("let db = ::sled::open(p);", "sled").len(), 1);
    assert_eq!(crate_uses("use sled;", "sled").len(), 1);
    assert_eq!(crate_uses("use {a::b, sled::Db};", "sled").len(), 1);
    assert_eq!(
        crate_uses("mod sled; pub use self::sled::SledStore;", "sled").len(),
        0
    );
    assert_eq!(
        crate_uses("use crate::store::sled::SledStore;", "sled").len(),
        0
    );
}

#[test]
fn a_module_of_std_is_seen_in_every_form_of_import() {
    assert_eq!(std_uses("use std::fs;", "fs").len(), 1);
    assert_eq!(std_uses("std::fs::read(p)", "fs").len(), 1);
    assert_eq!(std_uses("use std::{fmt, fs::File};", "fs").len(), 1);
    assert_eq!(std_uses("use std::{fmt, io};", "fs").len(), 0);
    assert_eq!(
        std_uses("use std::time::{Duration, Instant};", "time::Instant").len(),
        1
    );
    assert_eq!(
        std_uses("use std::time::Instant as Now;", "time::Instant").len(),
        1
    );
    assert_eq!(
        std_uses("use std::time::Duration;", "time::Instant").len(),
        0
    );
    assert_eq!(
        std_uses("use tokio::time::Instant;", "time::Instant").len(),
        0
    );
}
