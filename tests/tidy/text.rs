//! What a file may be called, how long it may be, and which words and letters it may not hold.

use crate::source;
use crate::tree::Tree;

const LINES_MAX: usize = 1_000;
/// Below this a file is one thought of its neighbour and belongs there.
const LINES_MIN: usize = 15;

/// Finds Rust files that are too long to read or too short to be files.
pub(crate) fn sizes(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let lines = text.lines().count();
        // Cargo asks for these by name, however little they hold.
        let root = ["/lib.rs", "/main.rs", "/build.rs"]
            .iter()
            .any(|name| path.ends_with(name));
        if lines > LINES_MAX {
            found.push(format!(
                "{path}: {lines} lines, at most {LINES_MAX}: split it by noun or verb"
            ));
        } else if lines < LINES_MIN && !root {
            found.push(format!(
                "{path}: {lines} lines, at least {LINES_MIN}: fold it into a neighbour"
            ));
        }
    }
    found
}

const EMPTY_WORDS: &[&str] = &[
    "core", "common", "util", "utils", "manager", "helper", "helpers", "service",
];

/// Finds names that say nothing: `util.rs`, `mod.rs`, `FooManager`, `get_foo`.
pub(crate) fn names(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let parts = path.trim_end_matches(".rs").split('/');
        if let Some(part) = parts
            .clone()
            .find(|part| part.split(['_', '-']).any(|w| EMPTY_WORDS.contains(&w)))
        {
            found.push(format!("{path}: the name `{part}` says nothing"));
        }
        if path.ends_with("/mod.rs") {
            found.push(format!(
                "{path}: write foo.rs beside foo/ instead of foo/mod.rs"
            ));
        }
        let code = source::code(text);
        for (at, _) in code.match_indices("fn get_") {
            found.push(format!(
                "{path}:{}: a getter has no prefix",
                source::line_of(&code, at)
            ));
        }
        for ending in ["Manager", "Helper", "Helpers", "Util", "Utils"] {
            for keyword in ["struct ", "enum ", "trait "] {
                for (at, _) in code.match_indices(keyword) {
                    let rest = &code[at + keyword.len()..];
                    let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
                    if name.ends_with(ending) {
                        let line = source::line_of(&code, at);
                        found.push(format!("{path}:{line}: the name `{name}` says nothing"));
                    }
                }
            }
        }
    }
    found
}

/// Returns whether a file is written for people or holds data, and so may use any letters.
fn any_letters(path: &str) -> bool {
    path.ends_with(".md")
        || path
            .split('/')
            .any(|part| ["labels", "kinds", "testdata"].contains(&part))
}

const SOURCE_ENDINGS: &[&str] = &[
    ".rs",
    ".toml",
    ".cddl",
    ".sh",
    ".yml",
    ".yaml",
    ".json",
    ".txt",
    ".svg",
    "justfile",
    "/run",
    "Cargo.lock",
];

fn is_source(path: &str) -> bool {
    SOURCE_ENDINGS.iter().any(|ending| path.ends_with(ending))
}

/// Finds letters outside ASCII in sources: they hide look-alikes, and words for people belong into labels.
pub(crate) fn ascii(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree
        .files()
        .filter(|(path, _)| is_source(path) && !any_letters(path))
    {
        for (number, line) in text.lines().enumerate() {
            if let Some(c) = line.chars().find(|c| !c.is_ascii()) {
                let code = u32::from(c);
                found.push(format!("{path}:{}: U+{code:04X} outside ASCII", number + 1));
            }
        }
    }
    found
}

/// Finds words of work left for later. `concat!` keeps this list from finding itself.
pub(crate) fn unfinished(tree: &Tree) -> Vec<String> {
    let notes = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
    ];
    let calls = ["todo!", "unimplemented!", "#[ignore"];
    let mut found = Vec::new();
    for (path, text) in tree
        .files()
        .filter(|(path, _)| is_source(path) && *path != "Cargo.lock")
    {
        if path.split('/').any(|part| part == "testdata") {
            continue;
        }
        for note in notes {
            for at in source::words(text, note) {
                found.push(format!("{path}:{}: {note}", source::line_of(text, at)));
            }
        }
        if path.ends_with(".rs") {
            let code = source::code(text);
            for call in calls {
                for (at, _) in code.match_indices(call) {
                    found.push(format!("{path}:{}: {call}", source::line_of(&code, at)));
                }
            }
        }
    }
    found
}

/// Finds sleeping in tests: it is either too short and fails, or too long and is paid for in every run.
pub(crate) fn sleeps(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let code = source::code(text);
        let all_tests = path
            .split('/')
            .any(|part| part == "tests" || part == "tests.rs");
        let from = if all_tests {
            Some(0)
        } else {
            code.find("#[cfg(test)]")
        };
        let Some(from) = from else { continue };
        for call in ["thread::sleep", "time::sleep", "sleep_ms"] {
            for at in source::words(&code[from..], call) {
                // Everything in that room runs on made-up time.
                let made_up = path.starts_with("simulations/");
                if call == "time::sleep" && (made_up || is_on_paused_time(&code[..from + at])) {
                    continue;
                }
                let line = source::line_of(&code, from + at);
                found.push(format!(
                    "{path}:{line}: {call}: wait for the condition instead"
                ));
            }
        }
    }
    found
}

/// Returns whether the last test that begins in this code runs on tokio's paused time, where waiting takes none.
fn is_on_paused_time(before: &str) -> bool {
    let attribute = before.rfind("#[tokio::test").map(|at| &before[at..]);
    let last_test = before.rfind("#[test]").unwrap_or_default();
    attribute.is_some_and(|text| {
        let own = text.split(']').next().unwrap_or_default();
        before.len() - text.len() >= last_test && own.contains("start_paused = true")
    })
}

/// Finds paths that exist on one machine only.
pub(crate) fn machine_paths(tree: &Tree) -> Vec<String> {
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/fa", "rm/"),
    ];
    let mut found = Vec::new();
    for (file, text) in tree.files() {
        for path in paths {
            for (at, _) in text.match_indices(path) {
                found.push(format!("{file}:{}: {path}", source::line_of(text, at)));
            }
        }
    }
    found
}

const FOLDERS: &[&str] = &[
    ".ci",
    ".config",
    "docs",
    "federation-protocol",
    "keys",
    "node",
    "simulations",
    "tests",
    "tiers",
];

/// Finds top-level folders that the design does not know. A new one needs an ADR.
pub(crate) fn folders(tree: &Tree) -> Vec<String> {
    let unknown = tree
        .top_folders()
        .filter(|folder| !FOLDERS.contains(folder));
    let mut found: Vec<String> = unknown
        .map(|folder| format!("{folder}/: needs an ADR"))
        .collect();
    found.extend(
        FOLDERS
            .iter()
            .filter(|at| !tree.has(at))
            .map(|at| format!("{at}/: missing")),
    );
    found
}

#[test]
fn long_and_tiny_files_are_found() {
    let (long, tiny) = ("x\n".repeat(LINES_MAX + 1), "x\n".repeat(LINES_MIN - 1));
    assert_eq!(sizes(&Tree::of(&[("a/src/b.rs", &long)])).len(), 1);
    assert_eq!(sizes(&Tree::of(&[("a/src/b.rs", &tiny)])).len(), 1);
    assert_eq!(
        sizes(&Tree::of(&[("a/src/lib.rs", &tiny), ("b.md", &long)])).len(),
        0
    );
    assert_eq!(
        sizes(&Tree::of(&[("a/src/b.rs", &"x\n".repeat(LINES_MAX))])).len(),
        0
    );
}

#[test]
fn names_that_say_nothing_are_found() {
    assert_eq!(names(&Tree::of(&[("node/src/util.rs", "")])).len(), 1);
    assert_eq!(
        names(&Tree::of(&[("node/src/sync_manager.rs", "")])).len(),
        1
    );
    assert_eq!(names(&Tree::of(&[("node/src/store/mod.rs", "")])).len(), 1);
    assert_eq!(
        names(&Tree::of(&[(
            "a.rs",
            "pub fn get_head() {}\nstruct SyncManager;"
        )]))
        .len(),
        2
    );
    assert_eq!(
        names(&Tree::of(&[(
            "node/src/store.rs",
            "fn head() {} struct Store;"
        )]))
        .len(),
        0
    );
}

#[test]
fn letters_outside_ascii_are_found_where_they_do_not_belong() {
    let text = "let a = \"\u{5b66}\";\n";
    assert_eq!(
        ascii(&Tree::of(&[("node/src/a.rs", text), ("a.toml", text)])).len(),
        2
    );
    let fine = [
        ("a.md", text),
        ("node/labels/zh-CN/a.ftl", text),
        ("tiers/kinds/a.toml", text),
    ];
    assert_eq!(ascii(&Tree::of(&fine)).len(), 0);
}

#[test]
fn unfinished_words_are_found_in_comments_and_code() {
    let note = concat!("// TO", "DO later\n");
    assert_eq!(unfinished(&Tree::of(&[("a.rs", note)])).len(), 1);
    assert_eq!(
        unfinished(&Tree::of(&[("tests/run", concat!("# FIX", "ME"))])).len(),
        1
    );
    assert_eq!(
        unfinished(&Tree::of(&[("a.rs", "fn f() { todo!() }")])).len(),
        1
    );
    assert_eq!(
        unfinished(&Tree::of(&[("a.rs", "#[ignore = \"slow\"]\nfn f() {}")])).len(),
        1
    );
    assert_eq!(
        unfinished(&Tree::of(&[("a.rs", "let s = \"todo!\";"), ("a.md", note)])).len(),
        0
    );
}

#[test]
fn sleeping_tests_are_found() {
    let call = "fn f() { std::thread::sleep(d); }";
    assert_eq!(
        sleeps(&Tree::of(&[
            ("tests/a.rs", call),
            ("node/tests/b.rs", call)
        ]))
        .len(),
        2
    );
    assert_eq!(
        sleeps(&Tree::of(&[("keys/src/chain/tests.rs", call)])).len(),
        1
    );
    let inside = format!("fn g() {{}}\n#[cfg(test)]\nmod tests {{ {call} }}");
    assert_eq!(sleeps(&Tree::of(&[("node/src/a.rs", &inside)])).len(), 1);
    assert_eq!(
        sleeps(&Tree::of(&[("tests/a.rs", "tokio::time::sleep(d).await")])).len(),
        1
    );
    assert_eq!(sleeps(&Tree::of(&[("node/src/a.rs", call)])).len(), 0);
}

#[test]
fn waiting_on_paused_time_is_no_sleep() {
    let body = "async fn f() { tokio::time::sleep(d).await }";
    let paused = format!("#[tokio::test(start_paused = true)]\n{body}");
    assert_eq!(sleeps(&Tree::of(&[("tests/a.rs", &paused)])).len(), 0);
    let real = format!("{paused}\n#[tokio::test]\n{body}\n#[test]\nfn g() {{}} {body}");
    assert_eq!(sleeps(&Tree::of(&[("tests/a.rs", &real)])).len(), 2);
    assert_eq!(
        sleeps(&Tree::of(&[("simulations/tests/a.rs", &real)])).len(),
        0
    );
    let thread = paused.replace("tokio::time", "thread");
    let both = [
        ("tests/a.rs", thread.as_str()),
        ("simulations/tests/a.rs", thread.as_str()),
    ];
    assert_eq!(sleeps(&Tree::of(&both)).len(), 2);
}

#[test]
fn paths_of_a_machine_are_found() {
    let text = concat!("see /wo", "rk/main");
    assert_eq!(
        machine_paths(&Tree::of(&[("README.md", text), ("a.rs", text)])).len(),
        2
    );
    assert_eq!(
        machine_paths(&Tree::of(&[(
            "README.md",
            concat!("see docs/wo", "rk/x and network/")
        )]))
        .len(),
        1
    );
    assert_eq!(
        machine_paths(&Tree::of(&[("README.md", "see framework/x")])).len(),
        0
    );
}

#[test]
fn an_unknown_or_missing_top_folder_is_found() {
    let mut files: Vec<String> = FOLDERS.iter().map(|folder| format!("{folder}/x")).collect();
    let tree = |files: &[String]| {
        Tree::of(
            &files
                .iter()
                .map(|path| (path.as_str(), ""))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(folders(&tree(&files)).len(), 0);
    files.push("scripts/x".to_owned());
    assert_eq!(folders(&tree(&files)).len(), 1);
    files.remove(0);
    assert_eq!(folders(&tree(&files)).len(), 2);
}
