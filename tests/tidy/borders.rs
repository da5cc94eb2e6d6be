//! The borders between the rooms: the table of DESIGN 7 (docs/adr/0001) as data, and the doors of the vendors.

use std::collections::BTreeMap;

use crate::source;
use crate::tree::Tree;

/// What one member of the workspace may and may not depend on.
struct Border {
    member: &'static str,
    /// Members it may use; every other member is forbidden.
    may_use: &'static [&'static str],
    /// Packages from outside that it may not name in any section.
    never: &'static [&'static [&'static str]],
    /// Packages that it may name for its tests only.
    tests_only: &'static [&'static str],
}

const RUNTIMES: &[&str] = &[
    "tokio",
    "tokio-util",
    "async-std",
    "smol",
    "async-io",
    "futures-executor",
    "mio",
];
const TRANSPORT: &[&str] = &[
    "quinn",
    "quinn-proto",
    "quinn-udp",
    "rustls",
    "rustls-pki-types",
    "socket2",
];
const STORE: &[&str] = &["sled", "redb", "fjall", "rusqlite"];
const DOCUMENTS: &[&str] = &["automerge", "hexane"];
const SIGNATURES: &[&str] = &["ed25519-dalek", "ed25519", "curve25519-dalek"];
const CLOCKS: &[&str] = &["chrono", "time", "quanta", "instant"];
/// Files, processes and randomness that nobody passed in. Tests of a pure crate may need them.
const AMBIENT: &[&str] = &[
    "getrandom",
    "rand",
    "fastrand",
    "tempfile",
    "rustix",
    "libc",
    "nix",
    "memmap2",
];

const BORDERS: &[Border] = &[
    Border {
        member: "keys",
        may_use: &[],
        never: &[RUNTIMES, TRANSPORT, STORE, DOCUMENTS, CLOCKS],
        tests_only: AMBIENT,
    },
    Border {
        member: "federation-protocol",
        may_use: &["keys"],
        never: &[RUNTIMES, TRANSPORT, STORE, DOCUMENTS, SIGNATURES, CLOCKS],
        tests_only: AMBIENT,
    },
    Border {
        member: "tiers",
        may_use: &["keys", "federation-protocol"],
        never: &[RUNTIMES, TRANSPORT, STORE, SIGNATURES, CLOCKS],
        tests_only: AMBIENT,
    },
    Border {
        member: "node",
        may_use: &["keys", "federation-protocol", "tiers"],
        never: &[DOCUMENTS, SIGNATURES],
        tests_only: &[],
    },
    Border {
        member: "simulations",
        may_use: &["keys", "federation-protocol", "tiers", "node"],
        never: &[STORE, DOCUMENTS, SIGNATURES, CLOCKS],
        tests_only: &[],
    },
    Border {
        member: "tests",
        may_use: &[
            "keys",
            "federation-protocol",
            "tiers",
            "node",
            "simulations",
        ],
        never: &[DOCUMENTS, SIGNATURES],
        tests_only: &[],
    },
];

/// Compares every member's manifest with the table.
pub(crate) fn dependencies(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let root = tree.text("Cargo.toml").unwrap_or_default();
    let aliases: BTreeMap<String, String> = entries(root)
        .into_iter()
        .filter(|entry| entry.section == "workspace.dependencies")
        .map(|entry| (entry.key, entry.package))
        .collect();
    let members = BORDERS.iter().map(|border| border.member);
    for member in members.clone() {
        if !tree.has(&format!("{member}/Cargo.toml")) {
            found.push(format!("{member}/Cargo.toml: the member is missing"));
        }
    }
    for (path, manifest) in tree
        .ending("Cargo.toml")
        .filter(|(path, _)| *path != "Cargo.toml")
    {
        let member = path.trim_end_matches("/Cargo.toml");
        let Some(border) = BORDERS.iter().find(|border| border.member == member) else {
            found.push(format!(
                "{path}: no such member in the table of tests/tidy/borders.rs"
            ));
            continue;
        };
        for entry in entries(manifest).into_iter().filter(Entry::is_dependency) {
            // `foo.workspace = true` means what the root calls foo.
            let package = match aliases.get(&entry.key) {
                Some(package) if entry.package == entry.key => package.clone(),
                _ => entry.package.clone(),
            };
            if let Some(why) = border.refusal(&package, entry.for_tests(), members.clone()) {
                found.push(format!("{path}: [{}] {package}: {why}", entry.section));
            }
        }
    }
    found
}

impl Border {
    fn refusal(
        &self,
        package: &str,
        for_tests: bool,
        mut members: impl Iterator<Item = &'static str>,
    ) -> Option<&'static str> {
        if members.any(|member| member == package) {
            let allowed = self.may_use.contains(&package);
            return (!allowed).then_some("this member stands to the right of the crate");
        }
        if self.never.iter().any(|group| group.contains(&package)) {
            return Some("forbidden here");
        }
        let ambient = self.tests_only.contains(&package) && !for_tests;
        ambient.then_some("allowed in dev-dependencies only")
    }
}

/// One line of a manifest that names a package.
struct Entry {
    section: String,
    key: String,
    package: String,
}

impl Entry {
    fn is_dependency(&self) -> bool {
        self.section != "workspace.dependencies"
    }

    fn for_tests(&self) -> bool {
        self.section.ends_with("dev-dependencies")
    }
}

/// Reads the dependency sections of a manifest, in the forms that Cargo allows.
fn entries(manifest: &str) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::new();
    let mut section = String::new();
    // Set inside `[dependencies.foo]`, whose lines describe one package.
    let mut table_of_one = false;
    for line in manifest.lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if let Some(header) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let header = header.trim().trim_matches(['[', ']']);
            let (outer, key) = header.rsplit_once('.').unwrap_or(("", header));
            table_of_one = outer.ends_with("dependencies");
            section = if table_of_one { outer } else { header }.to_owned();
            if table_of_one {
                let key = unquoted(key);
                out.push(Entry {
                    section: section.clone(),
                    key: key.clone(),
                    package: key,
                });
            }
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        if !section.ends_with("dependencies") || line.starts_with('#') {
            continue;
        }
        if table_of_one {
            if name.trim() == "package" {
                let entry = out.last_mut().expect("a table header pushed one");
                entry.package = unquoted(value);
            }
            continue;
        }
        let key = unquoted(name.split('.').next().unwrap_or_default());
        let package = match value.split_once("package") {
            Some((_, rest)) if rest.trim_start().starts_with('=') => unquoted(
                rest.trim_start_matches([' ', '='])
                    .split([',', '}'])
                    .next()
                    .unwrap_or_default(),
            ),
            _ => key.clone(),
        };
        out.push(Entry {
            section: section.clone(),
            key,
            package,
        });
    }
    out
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches(['"', '\'']).to_owned()
}

/// Where a vendor may be named: at most one file, besides test modules, in each of the given rooms.
struct Door {
    vendor: &'static str,
    /// Returns the places where a file's code names the vendor.
    names: fn(&str) -> Vec<usize>,
    rooms: &'static [&'static str],
}

const STOPWATCH: &str = "the machine's stopwatch";

/// Returns whether a file measures this machine and decides nothing: benches, examples, tests of real processes.
fn measures(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/benches/") || path.contains("/examples/")
}

const DOORS: &[Door] = &[
    Door {
        vendor: "sled",
        names: |code| source::crate_uses(code, "sled"),
        rooms: &["node"],
    },
    Door {
        vendor: "quinn",
        names: |code| {
            let protocol = source::crate_uses(code, "quinn_proto");
            [source::crate_uses(code, "quinn"), protocol].concat()
        },
        // The simulated socket is a quinn trait; the foreign client of the tests speaks QUIC without the node.
        rooms: &["node", "simulations", "tests"],
    },
    Door {
        vendor: "rustls",
        names: |code| source::crate_uses(code, "rustls"),
        rooms: &["node", "tests"],
    },
    Door {
        vendor: "automerge",
        names: |code| source::crate_uses(code, "automerge"),
        rooms: &["tiers"],
    },
    Door {
        vendor: "ed25519_dalek",
        names: |code| source::crate_uses(code, "ed25519_dalek"),
        rooms: &["keys"],
    },
    Door {
        vendor: "the time of day",
        names: |code| source::words(code, "SystemTime").collect(),
        rooms: &["node"],
    },
    Door {
        vendor: STOPWATCH,
        names: |code| source::std_uses(code, "time::Instant"),
        rooms: &["node"],
    },
];

/// Finds every vendor that is named in a room it has no door to, or in two files of one room.
pub(crate) fn doors(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let codes: Vec<(&str, String)> = tree
        .ending(".rs")
        .map(|(path, text)| (path, source::code(text)))
        .collect();
    for door in DOORS {
        let mut at_door: BTreeMap<&str, &str> = BTreeMap::new();
        for (path, code) in &codes {
            let Some(first) = (door.names)(code).into_iter().min() else {
                continue;
            };
            let line = source::line_of(code, first);
            let room = path.split('/').next().unwrap_or_default();
            let measuring = door.vendor == STOPWATCH && measures(path);
            if measuring {
                continue;
            }
            if !door.rooms.contains(&room) {
                found.push(format!(
                    "{path}:{line}: {} has no door in {room}",
                    door.vendor
                ));
            } else if is_test_module(tree, path) {
                continue;
            } else if let Some(other) = at_door.insert(room, path) {
                found.push(format!(
                    "{path}:{line}: {} has its door in {other}",
                    door.vendor
                ));
            }
        }
    }
    found
}

/// Returns whether a file is a module that its parent declares for tests only. Such a file may name the vendor of
/// its room: it checks our use of the vendor, and is not part of the product.
fn is_test_module(tree: &Tree, path: &str) -> bool {
    let Some((folder, name)) = path.trim_end_matches(".rs").rsplit_once('/') else {
        return false;
    };
    let parents = [
        format!("{folder}.rs"),
        format!("{folder}/lib.rs"),
        format!("{folder}/main.rs"),
    ];
    let declares = |parent: &String| {
        let code = source::code(tree.text(parent).unwrap_or_default());
        code.split("#[cfg(test)]").skip(1).any(|rest| {
            let item = rest.split(';').next().unwrap_or_default();
            item.split_once("mod ")
                .is_some_and(|(_, module)| module.trim() == name)
        })
    };
    parents.iter().any(declares)
}

/// Parts of `std` that a pure crate has no use for.
const OUTSIDE: &[&str] = &["fs", "net", "thread", "env", "process", "os"];
const PURE: &[&str] = &["keys/src/", "federation-protocol/src/", "tiers/src/"];

/// Finds files, sockets, threads, settings and processes in the crates that have none.
pub(crate) fn pure(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let sources = tree
        .ending(".rs")
        .filter(|(path, _)| PURE.iter().any(|at| path.starts_with(at)));
    for (path, text) in sources {
        let code = source::code(text);
        for module in OUTSIDE {
            for at in source::std_uses(&code, module) {
                let line = source::line_of(&code, at);
                found.push(format!(
                    "{path}:{line}: std::{module} in a crate that is a pure function"
                ));
            }
        }
    }
    found
}

#[cfg(test)]
const ROOT: &str = "[workspace]\nmembers = []\n[workspace.dependencies]\nkeys = { path = \"keys\" }\n\
    sled = \"=0.34.7\"\ndisk = { package = \"sled\", version = \"0.34\" }\n";

/// A tree whose members all have empty manifests, but for the given one.
#[cfg(test)]
fn house(member: &str, manifest: &str) -> Tree {
    let mut files: Vec<(String, &str)> = BORDERS
        .iter()
        .map(|border| (format!("{}/Cargo.toml", border.member), ""))
        .collect();
    files.retain(|(path, _)| *path != format!("{member}/Cargo.toml"));
    files.push((format!("{member}/Cargo.toml"), manifest));
    files.push(("Cargo.toml".to_owned(), ROOT));
    Tree::of(
        &files
            .iter()
            .map(|(path, text)| (path.as_str(), *text))
            .collect::<Vec<_>>(),
    )
}

#[test]
fn a_forbidden_dependency_is_found_in_every_form() {
    let forms = [
        "[dependencies]\nsled.workspace = true\n",
        "[dependencies]\nsled = \"0.34\"\n",
        "[dependencies]\ndisk.workspace = true\n",
        "[dependencies]\nx = { version = \"1\", package = \"sled\" }\n",
        "[dependencies.sled]\nversion = \"0.34\"\n",
        "[dependencies.x]\nversion = \"0.34\"\npackage = \"sled\"\n",
        "[target.'cfg(unix)'.dependencies]\nsled = \"0.34\"\n",
        "[build-dependencies]\nsled = \"0.34\"\n",
        "[dev-dependencies]\nsled = \"0.34\"\n",
    ];
    for form in forms {
        assert_eq!(dependencies(&house("tiers", form)).len(), 1, "{form}");
        assert_eq!(dependencies(&house("node", form)).len(), 0, "{form}");
    }
}

#[test]
fn a_member_to_the_right_is_found_even_for_tests() {
    let upward = "[dev-dependencies]\ntiers.workspace = true\n";
    assert_eq!(dependencies(&house("keys", upward)).len(), 1);
    assert_eq!(dependencies(&house("node", upward)).len(), 0);
}

#[test]
fn ambient_things_are_for_tests_of_pure_crates_only() {
    assert_eq!(
        dependencies(&house("keys", "[dependencies]\ngetrandom = \"0.4\"\n")).len(),
        1
    );
    assert_eq!(
        dependencies(&house("keys", "[dev-dependencies]\ngetrandom = \"0.4\"\n")).len(),
        0
    );
}

#[test]
fn an_unknown_or_missing_member_is_found() {
    assert_eq!(dependencies(&house("node", "")).len(), 0);
    assert_eq!(dependencies(&house("tiers/extra", "")).len(), 1);
    let empty = Tree::of(&[("Cargo.toml", ROOT)]);
    assert_eq!(dependencies(&empty).len(), BORDERS.len());
}

#[test]
fn a_second_door_and_a_door_in_the_wrong_room_are_found() {
    let door = ("node/src/store/sled.rs", "use sled::Db;");
    let found = |files: &[(&str, &str)]| doors(&Tree::of(files)).len();
    assert_eq!(found(&[door]), 0);
    assert_eq!(found(&[door, ("node/src/doctor.rs", "sled::open(p)")]), 1);
    assert_eq!(found(&[("simulations/src/disk.rs", "use sled::Db;")]), 1);
    assert_eq!(
        found(&[("node/src/a.rs", "// sled::Db\nlet x = \"sled::Db\";")]),
        0
    );
}

#[test]
fn a_test_module_may_name_the_vendor_of_its_room_only() {
    let found = |files: &[(&str, &str)]| doors(&Tree::of(files)).len();
    let door = ("node/src/store/sled.rs", "use sled::Db;");
    let tests = ("node/src/store/size/tests.rs", "use sled::Db;");
    let declared = (
        "node/src/store/size.rs",
        "#[cfg(test)]\npub(crate) mod tests;",
    );
    let compiled = (
        "node/src/store/size.rs",
        "mod tests;\n#[cfg(test)]\nmod other;",
    );
    assert_eq!(found(&[door, tests, declared]), 0);
    assert_eq!(found(&[door, tests, compiled]), 1);
    assert_eq!(found(&[door, tests]), 1);
    let elsewhere = ("tiers/src/change/tests.rs", "use sled::Db;");
    assert_eq!(
        found(&[
            elsewhere,
            ("tiers/src/change.rs", "#[cfg(test)]\nmod tests;")
        ]),
        1
    );
}

#[test]
fn only_what_measures_has_a_stopwatch_of_its_own() {
    let found = |path| doors(&Tree::of(&[(path, "use std::time::Instant;")])).len();
    assert_eq!([found("tests/a.rs"), found("node/benches/a.rs")], [0, 0]);
    assert_eq!(
        [found("tiers/src/a.rs"), found("simulations/src/a.rs")],
        [1, 1]
    );
    let day = Tree::of(&[("tests/a.rs", "std::time::SystemTime::now()")]);
    assert_eq!(doors(&day).len(), 1);
}

#[test]
fn each_vendor_is_recognised() {
    let bad = [
        ("tiers/src/a.rs", "use ed25519_dalek::Signature;"),
        ("node/src/a.rs", "automerge::Automerge::new()"),
        ("simulations/src/a.rs", "use rustls::ClientConfig;"),
        ("tiers/src/a.rs", "use quinn_proto::Endpoint;"),
        (
            "simulations/src/a.rs",
            "use std::time::{Duration, Instant};",
        ),
        ("tests/a.rs", "let now = std::time::SystemTime::now();"),
        ("keys/src/a.rs", "let now = std::time::Instant::now();"),
    ];
    for file in bad {
        assert_eq!(doors(&Tree::of(&[file])).len(), 1, "{file:?}");
    }
    let fine = (
        "simulations/src/a.rs",
        "use std::time::Duration; use tokio::time::Instant;",
    );
    assert_eq!(doors(&Tree::of(&[fine])).len(), 0);
}

#[test]
fn a_file_or_thread_in_a_pure_crate_is_found() {
    let bad = [
        ("tiers/src/a.rs", "std::fs::read(p)"),
        ("keys/src/a.rs", "use std::{fmt, thread};"),
        ("federation-protocol/src/a.rs", "use std::net::SocketAddr;"),
    ];
    for file in bad {
        assert_eq!(pure(&Tree::of(&[file])).len(), 1, "{file:?}");
    }
    assert_eq!(
        pure(&Tree::of(&[("tiers/tests/a.rs", "std::fs::read(p)")])).len(),
        0
    );
    assert_eq!(
        pure(&Tree::of(&[("node/src/a.rs", "std::fs::read(p)")])).len(),
        0
    );
}
