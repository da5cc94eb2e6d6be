//! What the pages promise: rules with tests, a code map that is true, links that lead somewhere.
//!
//! A rule of `docs/protocol.md` is a line that begins with its id in bold: `**R12.**`. A test names it in a comment
//! on or directly above its `fn`: `// protocol.md R12`, or `// protocol.md R12, R13`. A transcript names it in a line
//! of its header, which begins with `#`.

use std::collections::{BTreeMap, BTreeSet};

use crate::source;
use crate::tree::Tree;

const PROTOCOL: &str = "docs/protocol.md";
const MARK: &str = "protocol.md R";

/// Compares the rules of the protocol page with the rules that tests name, both ways.
pub(crate) fn rules(tree: &Tree) -> Vec<String> {
    let Some(page) = tree.text(PROTOCOL) else {
        return vec![format!("{PROTOCOL}: missing")];
    };
    let mut found = Vec::new();
    let mut stated: BTreeMap<u32, usize> = BTreeMap::new();
    for (number, line) in page.lines().enumerate() {
        if let Some(rule) = stated_rule(line)
            && let Some(other) = stated.insert(rule, number + 1)
        {
            found.push(format!(
                "{PROTOCOL}:{}: R{rule} stands in line {other} too",
                number + 1
            ));
        }
    }
    if stated.is_empty() {
        found.push(format!(
            "{PROTOCOL}: no line begins with a rule such as **R1.**"
        ));
    }
    let mut tested = BTreeSet::new();
    for (path, text) in tree
        .files()
        .filter(|(path, _)| path.ends_with(".rs") || is_transcript(path))
    {
        tested.extend(if is_transcript(path) {
            transcript_rules(text)
        } else {
            tested_rules(text)
        });
        for (number, line) in text.lines().enumerate() {
            for rule in rules_in(line)
                .into_iter()
                .filter(|rule| !stated.contains_key(rule))
            {
                // The checks' own examples are strings, not claims.
                if !path.starts_with("tests/tidy") {
                    found.push(format!(
                        "{path}:{}: no rule R{rule} in {PROTOCOL}",
                        number + 1
                    ));
                }
            }
        }
    }
    for (rule, line) in stated.iter().filter(|(rule, _)| !tested.contains(*rule)) {
        found.push(format!("{PROTOCOL}:{line}: no test names R{rule}"));
    }
    found
}

/// Returns the rule that a line of the page states: `**R12.** Text` states 12.
fn stated_rule(line: &str) -> Option<u32> {
    let (digits, _) = line.strip_prefix("**R")?.split_once(".**")?;
    digits.parse().ok()
}

fn is_transcript(path: &str) -> bool {
    path.contains("testdata/transcripts/") && path.ends_with(".txt")
}

/// Returns the rules named in one line: all of `R12`, `R13` in `protocol.md R12, R13`.
fn rules_in(line: &str) -> Vec<u32> {
    let Some(at) = line.find(MARK) else {
        return Vec::new();
    };
    let list = &line[at + MARK.len() - 1..];
    let mut rules = Vec::new();
    for word in list
        .split([' ', ','])
        .filter(|word| !word.is_empty() && *word != "and")
    {
        let digits = word
            .strip_prefix('R')
            .map(|rest| rest.trim_end_matches(['.', ':', ';', ')']));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(rule) => rules.push(rule),
            None => break,
        }
    }
    rules
}

fn transcript_rules(text: &str) -> BTreeSet<u32> {
    text.lines()
        .take_while(|line| line.starts_with('#'))
        .flat_map(rules_in)
        .collect()
}

/// Returns the rules named by comments that belong to a `#[test]` function.
fn tested_rules(text: &str) -> BTreeSet<u32> {
    let mut tested = BTreeSet::new();
    let mut above = Vec::new();
    let mut is_test = false;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("//") {
            above.extend(rules_in(line));
        } else if trimmed.starts_with("#[") {
            is_test |= trimmed.contains("test]") || trimmed.contains("::test(");
            above.extend(rules_in(line));
        } else {
            let mut words = trimmed.split_whitespace();
            if is_test && words.any(|word| word == "fn") {
                tested.extend(above.iter().copied());
                tested.extend(rules_in(line));
            }
            above.clear();
            is_test = false;
        }
    }
    tested
}

const MAP: &str = "ARCHITECTURE.md";

/// Finds files and folders that the code map names and that are not there.
///
/// The map is the part of the page under `## Code map`; a name in it is a word in backticks with a `/` in it.
pub(crate) fn code_map(tree: &Tree) -> Vec<String> {
    let Some(page) = tree.text(MAP) else {
        return vec![format!("{MAP}: missing")];
    };
    let mut found = Vec::new();
    let mut named = 0;
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("## ") {
            inside = line == "## Code map";
        }
        for path in line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| inside && word.contains('/'))
        {
            named += 1;
            if !tree.has(path) {
                found.push(format!("{MAP}:{}: {path} does not exist", number + 1));
            }
        }
    }
    if named == 0 {
        found.push(format!("{MAP}: no file is named under `## Code map`"));
    }
    found
}

/// Finds links between pages whose target is not there.
pub(crate) fn links(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".md") {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..]
                .split([')', ' ', '\n'])
                .next()
                .unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !tree.has(&joined(folder, file)) {
                found.push(format!(
                    "{path}:{}: {target} leads nowhere",
                    source::line_of(text, at)
                ));
            }
        }
    }
    found
}

/// Returns `path` as seen from `folder`, with `..` taken away.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
const PAGE: (&str, &str) = (
    PROTOCOL,
    "# P\n**R1.** First.\n\ntext **R9.** is no rule\n**R2.** Second.\n",
);

#[test]
fn a_rule_without_a_test_is_found() {
    let one = ("a/src/b.rs", "// protocol.md R1\n#[test]\nfn f() {}\n");
    let found = rules(&Tree::of(&[PAGE, one]));
    assert_eq!(found, ["docs/protocol.md:5: no test names R2"]);
    let both = (
        "a/src/b.rs",
        "#[test]\n// protocol.md R1, R2: why\nfn f() {}\n",
    );
    assert_eq!(rules(&Tree::of(&[PAGE, both])).len(), 0);
    let transcript = ("a/testdata/transcripts/b.txt", "# protocol.md R2\nhello\n");
    assert_eq!(rules(&Tree::of(&[PAGE, one, transcript])).len(), 0);
}

#[test]
fn a_rule_named_by_something_that_is_no_test_does_not_count() {
    let plain = ("a/src/b.rs", "// protocol.md R1, R2\nfn f() {}\n");
    assert_eq!(rules(&Tree::of(&[PAGE, plain])).len(), 2);
    let apart = (
        "a/src/b.rs",
        "// protocol.md R1, R2\n\nconst A: u8 = 1;\n#[test]\nfn f() {}\n",
    );
    assert_eq!(rules(&Tree::of(&[PAGE, apart])).len(), 2);
    let late = (
        "a/testdata/transcripts/b.txt",
        "hello\n# protocol.md R1, R2\n",
    );
    assert_eq!(rules(&Tree::of(&[PAGE, late])).len(), 2);
}

#[test]
fn a_rule_that_no_page_states_or_that_stands_twice_is_found() {
    let all = (
        "a/b.rs",
        "#[tokio::test]\nasync fn f() {} // protocol.md R1, R2, R3\n",
    );
    assert_eq!(
        rules(&Tree::of(&[PAGE, all])),
        ["a/b.rs:2: no rule R3 in docs/protocol.md"]
    );
    let twice = (PROTOCOL, "**R1.** a\n**R1.** b\n");
    let one = ("a/src/b.rs", "// protocol.md R1\n#[test]\nfn f() {}\n");
    assert_eq!(rules(&Tree::of(&[twice, one])).len(), 1);
}

#[test]
fn a_page_without_rules_is_found() {
    assert_eq!(rules(&Tree::of(&[])).len(), 1);
    assert_eq!(rules(&Tree::of(&[(PROTOCOL, "# nothing\n")])).len(), 1);
}

#[test]
fn a_code_map_that_names_a_missing_file_is_found() {
    let page = "# A\n`x/gone.rs`\n## Code map\n`a/b.rs` and `a/c.rs`, `Type`\n## After\n`y/z.rs`\n";
    let found = code_map(&Tree::of(&[(MAP, page), ("a/b.rs", "")]));
    assert_eq!(found, ["ARCHITECTURE.md:4: a/c.rs does not exist"]);
    assert_eq!(code_map(&Tree::of(&[(MAP, "# no map\n")])).len(), 1);
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = "[a](../a.md#x) [b](b.md) [c](https://example.org/) [d](#here)";
    let found = links(&Tree::of(&[("docs/x.md", page), ("a.md", "")]));
    assert_eq!(found, ["docs/x.md:1: b.md leads nowhere"]);
}
