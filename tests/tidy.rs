//! The house rules as a test: what may depend on what, where each vendor's door is, how long a file may be, which
//! words may not stay, which rule of `docs/protocol.md` has no test, which page names a file that is gone.
//!
//! Every check is a pure function over a [`Tree`](tree::Tree) of paths and texts. The real checkout passes all of
//! them; beside each check stands a test that feeds it a bad tree, so that no check can pass by being blind.
//! Only the standard library is used: `.ci/run` compiles this file alone and has its answer within seconds.

#[path = "tidy/borders.rs"]
mod borders;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/text.rs"]
mod text;
#[path = "tidy/tree.rs"]
mod tree;

use std::path::Path;

use tree::Tree;

/// Runs one check over the checkout and fails with everything it found.
fn holds(check: fn(&Tree) -> Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests lies in the root");
    let tree = Tree::read(root);
    assert!(
        tree.text("Cargo.toml").is_some(),
        "the root of the checkout was not found"
    );
    let found = check(&tree);
    assert!(
        found.is_empty(),
        "{} finding(s):\n  {}",
        found.len(),
        found.join("\n  ")
    );
}

#[test]
fn crates_depend_only_on_what_the_table_allows() {
    holds(borders::dependencies);
}

#[test]
fn each_vendor_has_one_door() {
    holds(borders::doors);
}

#[test]
fn pure_crates_do_not_reach_outside() {
    holds(borders::pure);
}

#[test]
fn files_are_neither_long_nor_tiny() {
    holds(text::sizes);
}

#[test]
fn files_and_functions_have_names_that_say_something() {
    holds(text::names);
}

#[test]
fn sources_are_ascii() {
    holds(text::ascii);
}

#[test]
fn nothing_is_left_unfinished() {
    holds(text::unfinished);
}

#[test]
fn tests_do_not_sleep() {
    holds(text::sleeps);
}

#[test]
fn no_path_of_a_machine_is_named() {
    holds(text::machine_paths);
}

#[test]
fn top_level_folders_are_those_of_the_design() {
    holds(text::folders);
}

#[test]
fn every_protocol_rule_is_named_by_a_test() {
    holds(pages::rules);
}

#[test]
fn the_code_map_names_files_that_exist() {
    holds(pages::code_map);
}

#[test]
fn links_between_pages_lead_somewhere() {
    holds(pages::links);
}
