//! The demo's folder: made afresh each time, and only ever taken away when a demo made it.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::cast::CAST;
use super::error::DemoError;
use crate::home::Home;

/// The file that says a demo made the folder.
const MARKER: &str = "made-by-sanji-demo";
/// What stands in it.
const MARKED: &str = "This folder was made by `sanji demo`, which replaces it each time it runs.\n";
/// Bytes of a Unix socket's path on Linux, less the closing zero.
const SOCKET_PATH_MAX: usize = 107;

/// Prepares an empty folder with its subfolders; the remains of a former demo are taken away.
///
/// # Errors
/// The folder is something else, is in use, or cannot be made; nothing of it was touched.
pub(super) fn prepare(dir: &Path) -> Result<(), DemoError> {
    let longest = CAST
        .iter()
        .map(|role| socket_length(dir, role.name))
        .max()
        .unwrap_or_default();
    if longest > SOCKET_PATH_MAX {
        let own = dir.as_os_str().len();
        let max = SOCKET_PATH_MAX - (longest - own).min(SOCKET_PATH_MAX);
        return Err(DemoError::TooLong {
            dir: dir.to_owned(),
            max,
        });
    }
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| DemoError::File { path, source }
    };
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(DemoError::NotADemo {
                dir: dir.to_owned(),
            });
        }
        Err(error) => return Err(at(dir)(error)),
        Ok(mut entries) => {
            let is_empty = entries.next().is_none();
            if !is_empty && !dir.join(MARKER).is_file() {
                return Err(DemoError::NotADemo {
                    dir: dir.to_owned(),
                });
            }
            if is_in_use(dir) {
                return Err(DemoError::InUse {
                    dir: dir.to_owned(),
                });
            }
            for name in ["homes", "input", "output", "logs"] {
                match fs::remove_dir_all(dir.join(name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(at(&dir.join(name))(error));
                    }
                    _ => {}
                }
            }
        }
    }
    fs::create_dir_all(dir).map_err(at(dir))?;
    let marker = dir.join(MARKER);
    fs::write(&marker, MARKED).map_err(at(&marker))?;
    for name in ["homes", "input", "output", "logs"] {
        let path = dir.join(name);
        fs::create_dir(&path).map_err(at(&path))?;
    }
    Ok(())
}

fn socket_length(dir: &Path, name: &str) -> usize {
    Home::control_path(&dir.join("homes").join(name))
        .as_os_str()
        .len()
}

/// Tells whether a node still answers there.
fn is_in_use(dir: &Path) -> bool {
    CAST.iter().any(|role| {
        UnixStream::connect(Home::control_path(&dir.join("homes").join(role.name))).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_something_else_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "mine").unwrap();
        assert!(matches!(
            prepare(dir.path()),
            Err(DemoError::NotADemo { .. })
        ));
        assert_eq!(
            fs::read_to_string(dir.path().join("thesis.txt")).unwrap(),
            "mine"
        );
        let file = dir.path().join("thesis.txt");
        assert!(matches!(prepare(&file), Err(DemoError::NotADemo { .. })));
    }

    #[test]
    fn an_empty_or_a_former_demo_folder_is_made_afresh_and_foreign_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        fs::write(dir.path().join("homes/leftover"), "x").unwrap();
        fs::write(dir.path().join("notes.txt"), "kept").unwrap();
        prepare(dir.path()).unwrap();
        assert!(!dir.path().join("homes/leftover").exists());
        assert!(dir.path().join("notes.txt").exists());
        prepare(&dir.path().join("new/deeper")).unwrap();
    }

    #[test]
    fn a_folder_whose_nodes_still_answer_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        let home = dir.path().join("homes/city");
        fs::create_dir(&home).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(Home::control_path(&home)).unwrap();
        assert!(matches!(prepare(dir.path()), Err(DemoError::InUse { .. })));
        drop(socket);
        prepare(dir.path()).unwrap();
    }

    #[test]
    fn a_path_too_long_for_sockets_is_refused_before_anything_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(90));
        let Err(DemoError::TooLong { max, .. }) = prepare(&long) else {
            panic!("not refused")
        };
        assert!(max < 90 && max > 40, "{max}");
        assert!(!long.exists());
    }
}
