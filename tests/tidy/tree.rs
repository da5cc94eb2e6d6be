//! `Tree`: the checkout as paths and texts, read from disk or made up by a test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Files above this size are data: their path is known, their text is not looked at.
const TEXT_SIZE_MAX: u64 = 2 * 1024 * 1024;

/// Every file of the checkout by its path from the root, with `/` between the parts.
#[derive(Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
    folders: BTreeSet<String>,
}

impl Tree {
    /// Reads a checkout, without `.git`, `target` and the top-level names that `.gitignore` lists.
    pub(crate) fn read(root: &Path) -> Self {
        let mut skipped = BTreeSet::from([".git".to_owned(), "target".to_owned()]);
        let ignored = std::fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        skipped.extend(
            ignored
                .lines()
                .filter_map(|line| line.strip_prefix('/'))
                .map(|line| line.trim_end_matches('/').to_owned()),
        );
        let mut tree = Self::default();
        tree.read_folder(root, "", &skipped);
        tree
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str, skipped: &BTreeSet<String>) {
        let entries = std::fs::read_dir(folder).expect("a folder of the checkout can be listed");
        for entry in entries {
            let entry = entry.expect("a folder of the checkout can be listed");
            let name = entry.file_name().to_string_lossy().into_owned();
            if prefix.is_empty() && skipped.contains(&name) {
                continue;
            }
            let path = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}/{name}")
            };
            let kind = entry
                .file_type()
                .expect("a file of the checkout has a type");
            if kind.is_dir() {
                self.folders.insert(path.clone());
                self.read_folder(&entry.path(), &path, skipped);
            } else {
                let small = entry
                    .metadata()
                    .is_ok_and(|found| found.len() <= TEXT_SIZE_MAX);
                // A file that vanishes while we look was somebody's temporary file.
                let bytes = if small {
                    std::fs::read(entry.path())
                } else {
                    Ok(Vec::new())
                };
                if let Ok(bytes) = bytes {
                    self.files
                        .insert(path, String::from_utf8_lossy(&bytes).into_owned());
                }
            }
        }
    }

    /// Makes a tree of the given files, for tests of the checks.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.files.insert((*path).to_owned(), (*text).to_owned());
            for (at, _) in path.match_indices('/') {
                tree.folders.insert(path[..at].to_owned());
            }
        }
        tree
    }

    /// Returns the text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Returns whether a file or folder of that path exists.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.contains_key(path) || self.folders.contains(path)
    }

    /// Returns all files in order of their paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Returns the files whose name ends in the given ending.
    pub(crate) fn ending<'a>(
        &'a self,
        ending: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files().filter(move |(path, _)| path.ends_with(ending))
    }

    /// Returns the folders that lie directly in the root.
    pub(crate) fn top_folders(&self) -> impl Iterator<Item = &str> {
        self.folders
            .iter()
            .map(String::as_str)
            .filter(|path| !path.contains('/'))
    }
}

#[test]
fn a_made_up_tree_knows_its_folders() {
    let tree = Tree::of(&[("a/b/c.rs", "x"), ("d.md", "y")]);
    assert!(tree.has("a/b") && tree.has("a/b/c.rs") && tree.has("a/"));
    assert!(!tree.has("a/c.rs"));
    assert_eq!(tree.top_folders().collect::<Vec<_>>(), ["a"]);
    assert_eq!(tree.text("d.md"), Some("y"));
}
