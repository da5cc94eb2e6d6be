//! The home of a node: one folder with its keys, its certificate and its store, used by one process.
//!
//! ```text
//! home/
//!   LOCK          held while a process uses the home
//!   node.toml     unit, tier, name, where to dial and listen; for people to read and edit
//!   identity      version, root, chain, epoch: deterministic CBOR, written once
//!   keys/node     the node's seed, mode 0600
//!   keys/unit     the unit's seed, on the unit's deciding node only, mode 0600
//!   statements    what the node started with, to start again when the store is lost; written once
//!   store/        the store
//!   control.sock  where commands reach the running node
//! ```

use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use keys::{Chain, Secret, StoreEpoch, UnitKey};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::identity::Identity;

/// Version of the home's own files.
const HOME_VERSION: u64 = 1;
/// No file of a home that is read whole is larger.
const FILE_SIZE_MAX: u64 = 64 * 1024;
/// The statements are what fits into the answer to an enrolment.
const STATEMENTS_SIZE_MAX: u64 = 2 * 1024 * 1024;

/// A home that is locked by this process.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    _lock: File,
}

/// What people may change, in `node.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The unit's id.
    pub unit: String,
    /// The unit's tier.
    pub tier: String,
    /// The unit's name.
    pub name: String,
    /// Nodes above, in order of preference: `address:port`.
    #[serde(default)]
    pub uplinks: Vec<String>,
    /// Where to listen unless the command line says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
}

/// The home cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// No home there.
    #[error("{} is not a sanji home; create one with `sanji init` or `sanji join`", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// A home is there already.
    #[error("{} is a sanji home already", dir.display())]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
    /// Another process uses it.
    #[error("{} is in use by another sanji process", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A secret's file can be read by others.
    #[error("{} can be read by others; make it `chmod 600`", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
struct IdentityFile {
    #[n(1)]
    root: UnitKey,
    #[n(2)]
    chain: ByteVec,
    #[n(3)]
    epoch: StoreEpoch,
}

impl Home {
    /// Returns true when a home is there.
    pub fn exists(dir: &Path) -> bool {
        dir.join("identity").exists()
    }

    /// Creates a home; `fill` is called to put the first statements into its store before the home
    /// counts as one.
    ///
    /// # Errors
    /// [`HomeError::Exists`] when there is one; nothing is changed.
    pub fn create(dir: &Path, identity: &Identity, settings: &Settings) -> Result<Self, HomeError> {
        if Self::exists(dir) {
            return Err(HomeError::Exists {
                dir: dir.to_owned(),
            });
        }
        let keys_dir = dir.join("keys");
        durable::create_dir_all(&keys_dir).map_err(at(&keys_dir))?;
        restrict(dir)?;
        let lock = lock(dir)?;
        write_secret(&keys_dir.join("node"), &identity.secret)?;
        if let Some(unit_secret) = &identity.unit_secret {
            write_secret(&keys_dir.join("unit"), unit_secret)?;
        }
        let home = Self {
            dir: dir.to_owned(),
            _lock: lock,
        };
        home.write_settings(settings)?;
        Ok(home)
    }

    /// Writes the identity: from here on the folder is a home. The store must be complete.
    ///
    /// # Errors
    /// [`HomeError::Io`].
    pub fn seal(&self, identity: &Identity) -> Result<(), HomeError> {
        let file = IdentityFile {
            root: identity.root,
            chain: identity.chain.to_bytes().into(),
            epoch: identity.epoch,
        };
        let path = self.dir.join("identity");
        durable::write(&path, &keys::cbor::to_vec_versioned(&file, HOME_VERSION)).map_err(at(&path))
    }

    /// Keeps the statements that the node starts with, as (domain tag, bytes), beside the store.
    ///
    /// # Errors
    /// [`HomeError::Io`].
    pub fn keep_statements(&self, statements: &[(String, Vec<u8>)]) -> Result<(), HomeError> {
        let path = self.dir.join("statements");
        let list: Vec<(&str, ByteVec)> = statements
            .iter()
            .map(|(domain, bytes)| (domain.as_str(), bytes.clone().into()))
            .collect();
        durable::write(&path, &keys::cbor::to_vec(&list)).map_err(at(&path))
    }

    /// Returns the statements that the node started with, without locking the home.
    ///
    /// # Errors
    /// [`HomeError`] when there are none to be read.
    pub fn first_statements(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, HomeError> {
        let path = dir.join("statements");
        let bytes = durable::read(&path, STATEMENTS_SIZE_MAX).map_err(at(&path))?;
        let list: Vec<(String, ByteVec)> =
            keys::cbor::from_slice(&bytes).map_err(|error| HomeError::Damaged {
                path,
                what: error.to_string(),
            })?;
        Ok(list
            .into_iter()
            .map(|(domain, bytes)| (domain, bytes.into()))
            .collect())
    }

    /// Opens a home and locks it for this process.
    ///
    /// # Errors
    /// [`HomeError`] names the file and what is wrong with it.
    pub fn open(dir: &Path) -> Result<(Self, Identity, Settings), HomeError> {
        if !Self::exists(dir) {
            return Err(HomeError::Missing {
                dir: dir.to_owned(),
            });
        }
        let home = Self {
            dir: dir.to_owned(),
            _lock: lock(dir)?,
        };
        let settings = Self::settings(dir)?;
        let path = dir.join("identity");
        let damaged = |what: String| HomeError::Damaged {
            path: path.clone(),
            what,
        };
        let file = identity_file(dir)?;
        let chain = Chain::from_bytes(&file.chain).map_err(|error| damaged(error.to_string()))?;
        let verified = chain
            .verify(&file.root)
            .map_err(|error| damaged(error.to_string()))?;
        let secret = read_secret(&dir.join("keys").join("node"))?;
        if verified.node_key() != Some(secret.node_key()) {
            return Err(damaged(
                "the certificate is for another key than keys/node".to_owned(),
            ));
        }
        let unit_secret = match dir.join("keys").join("unit").exists() {
            true => Some(read_secret(&dir.join("keys").join("unit"))?),
            false => None,
        };
        let uplinks = parse_addresses(&dir.join("node.toml"), &settings.uplinks)?;
        let identity = Identity {
            unit: verified.unit().clone(),
            tier: verified.tier().clone(),
            name: settings.name.clone(),
            secret,
            unit_secret,
            root: file.root,
            epoch: file.epoch,
            uplinks,
            chain,
        };
        Ok((home, identity, settings))
    }

    /// Returns the root that the node has pinned, without locking the home.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn root(dir: &Path) -> Result<UnitKey, HomeError> {
        Ok(identity_file(dir)?.root)
    }

    /// Reads the settings without locking the home.
    ///
    /// # Errors
    /// [`HomeError`] names the line that is wrong.
    pub fn settings(dir: &Path) -> Result<Settings, HomeError> {
        let path = dir.join("node.toml");
        let bytes = durable::read(&path, FILE_SIZE_MAX).map_err(at(&path))?;
        let damaged = |what: String| HomeError::Damaged {
            path: path.clone(),
            what,
        };
        let text = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
        toml::from_str(&text).map_err(|error| damaged(error.to_string()))
    }

    /// Replaces the settings.
    ///
    /// # Errors
    /// [`HomeError::Io`].
    pub fn write_settings(&self, settings: &Settings) -> Result<(), HomeError> {
        let path = self.dir.join("node.toml");
        let text = toml::to_string(settings).map_err(|error| HomeError::Damaged {
            path: path.clone(),
            what: error.to_string(),
        })?;
        durable::write(&path, text.as_bytes()).map_err(at(&path))
    }

    /// Returns the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the folder of the store.
    pub fn store_dir(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Returns where commands reach the running node of a home.
    pub fn control_path(dir: &Path) -> PathBuf {
        dir.join("control.sock")
    }
}

/// Returns the keys of a home that is being made, creating them the first time: a second attempt to
/// join uses the same keys.
///
/// # Errors
/// [`HomeError`].
pub fn draft_keys(
    dir: &Path,
    with_unit: bool,
    rng: &mut impl CryptoRng,
) -> Result<(Secret, Option<Secret>), HomeError> {
    let keys_dir = dir.join("keys");
    durable::create_dir_all(&keys_dir).map_err(at(&keys_dir))?;
    restrict(dir)?;
    let mut keep = |name: &str| {
        let path = keys_dir.join(name);
        if path.exists() {
            return read_secret(&path);
        }
        let secret = Secret::generate(rng);
        write_secret(&path, &secret)?;
        Ok(secret)
    };
    let secret = keep("node")?;
    let unit_secret = if with_unit { Some(keep("unit")?) } else { None };
    Ok((secret, unit_secret))
}

fn identity_file(dir: &Path) -> Result<IdentityFile, HomeError> {
    let path = dir.join("identity");
    let bytes = durable::read(&path, FILE_SIZE_MAX).map_err(at(&path))?;
    keys::cbor::from_slice_versioned(&bytes, HOME_VERSION).map_err(|error| HomeError::Damaged {
        path,
        what: error.to_string(),
    })
}

fn write_secret(path: &Path, secret: &Secret) -> Result<(), HomeError> {
    let seed = zeroize::Zeroizing::new(hex::encode(secret.seed().as_slice()));
    durable::write_private(path, seed.as_bytes()).map_err(at(path))
}

fn read_secret(path: &Path) -> Result<Secret, HomeError> {
    exposed(path)?;
    let bytes = zeroize::Zeroizing::new(durable::read(path, FILE_SIZE_MAX).map_err(at(path))?);
    let mut seed = [0; 32];
    hex::decode_to_slice(bytes.trim_ascii(), &mut seed).map_err(|_| HomeError::Damaged {
        path: path.to_owned(),
        what: "not 64 hex digits".to_owned(),
    })?;
    Ok(Secret::from_seed(seed))
}

/// Reads a list of socket addresses; host names are resolved now.
fn parse_addresses(path: &Path, texts: &[String]) -> Result<Vec<SocketAddr>, HomeError> {
    let mut found = Vec::new();
    for text in texts {
        let resolved = std::net::ToSocketAddrs::to_socket_addrs(text.as_str());
        match resolved {
            Ok(addresses) => found.extend(addresses),
            // A name that cannot be resolved now must not keep an offline school from starting.
            Err(error) if text.parse::<SocketAddr>().is_err() && text.contains(':') => {
                tracing::warn!(uplink = %text, %error, "cannot be resolved now");
            }
            Err(error) => {
                return Err(HomeError::Damaged {
                    path: path.to_owned(),
                    what: format!("uplink {text:?}: {error}"),
                });
            }
        }
    }
    Ok(found)
}

fn lock(dir: &Path) -> Result<File, HomeError> {
    let path = dir.join("LOCK");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HomeError::InUse {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(HomeError::Io { path, source }),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> HomeError + '_ {
    |source| HomeError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(unix)]
fn restrict(dir: &Path) -> Result<(), HomeError> {
    use std::os::unix::fs::PermissionsExt;
    for dir in [dir.to_owned(), dir.join("keys")] {
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).map_err(at(&dir))?;
    }
    Ok(())
}

#[cfg(unix)]
fn exposed(path: &Path) -> Result<(), HomeError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path)
        .map_err(at(path))?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(HomeError::Exposed {
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrol::root_chain;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn identity() -> (Identity, Settings) {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let (unit_secret, secret) = (Secret::generate(&mut rng), Secret::generate(&mut rng));
        let (unit, tier) = ("city-1".parse().unwrap(), "city".parse().unwrap());
        let chain = root_chain(&unit, &tier, "City", &unit_secret, &secret, 1, &mut rng);
        let identity = Identity {
            root: unit_secret.unit_key(),
            secret,
            unit_secret: Some(unit_secret),
            chain,
            epoch: StoreEpoch::generate(&mut rng),
            unit,
            tier,
            name: "City".to_owned(),
            uplinks: Vec::new(),
        };
        let settings = Settings {
            unit: "city-1".into(),
            tier: "city".into(),
            name: "City".into(),
            ..Settings::default()
        };
        (identity, settings)
    }

    #[test]
    fn a_home_is_opened_by_one_process_and_gives_back_its_identity() {
        let dir = tempfile::tempdir().unwrap();
        let (identity, settings) = identity();
        let home = Home::create(dir.path(), &identity, &settings).unwrap();
        assert!(!Home::exists(dir.path()), "not a home before it is sealed");
        home.seal(&identity).unwrap();
        assert!(matches!(
            Home::open(dir.path()),
            Err(HomeError::InUse { .. })
        ));
        drop(home);
        let (_home, opened, _) = Home::open(dir.path()).unwrap();
        assert_eq!(opened.node(), identity.node());
        assert_eq!(opened.epoch, identity.epoch);
        assert!(matches!(
            Home::create(dir.path(), &identity, &settings),
            Err(HomeError::Exists { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (identity, settings) = identity();
        let home = Home::create(dir.path(), &identity, &settings).unwrap();
        home.seal(&identity).unwrap();
        drop(home);
        let path = dir.path().join("keys/node");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            Home::open(dir.path()),
            Err(HomeError::Exposed { .. })
        ));
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("node.toml"),
            "unit=\"a\"\ntier=\"b\"\nname=\"c\"\nuplink=1",
        )
        .unwrap();
        let error = Home::settings(dir.path()).unwrap_err().to_string();
        assert!(error.contains("uplink"), "{error}");
    }
}
