//! What `sanji doctor --repair` does: a store that cannot be used is moved aside, never deleted, and a
//! new one is begun under a new store epoch. The nodes above and beside give back what they hold.

use std::path::{Path, PathBuf};

use keys::{Domain, StoreEpoch, UnitKey};
use tiers::Registry;

use crate::doctor;
use crate::home::{Home, HomeError};
use crate::host::{self, HostError};
use crate::identity::Identity;
use crate::run::OpenNodeError;
use crate::schema::{OpenError, SchemaError};
use crate::store::{StoreError, move_aside};

/// A store was not replaced; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The node cannot be opened for a reason that a new store would not mend.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store could not be moved.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the node started with is damaged as well.
    #[error(
        "the file `statements` of the home, from which a store begins, is damaged; restore the newest \
         backup of this home"
    )]
    Statements,
    /// Nobody could give back the statements that only this node has: the roster, the federation.
    #[error(
        "unit {unit} has units below or none above, and what it says of them is in its store only; \
         restore the newest backup of this home"
    )]
    Irreplaceable {
        /// The unit.
        unit: String,
    },
}

/// Replaces the store of a home unless it is sound; returns where the old one is now, or none when
/// nothing was wrong.
///
/// # Errors
/// [`RepairError`].
pub async fn repair(dir: &Path) -> Result<Option<PathBuf>, RepairError> {
    if is_sound(dir).await? {
        return Ok(None);
    }
    let (home, identity, _) = Home::open(dir)?;
    let statements = Home::first_statements(dir)?;
    let registry = verify(&identity.root, &statements)?;
    if identity.unit_secret.is_some() && !is_replaceable(&identity, &registry) {
        let unit = identity.unit.to_string();
        return Err(RepairError::Irreplaceable { unit });
    }
    // The epoch first: whatever happens next, nothing is ever written again in the old logs.
    let mut rng = host::system_rng().map_err(HostError::from)?;
    let identity = Identity {
        epoch: StoreEpoch::generate(&mut rng),
        ..identity
    };
    home.seal(&identity)?;
    let aside = move_aside(&home.store_dir())?;
    host::begin_store(&home, &statements).await?;
    Ok(Some(aside))
}

/// Looks whether the home keeps what a repair needs, so that it is known before it is needed.
///
/// # Errors
/// [`RepairError::Home`] or [`RepairError::Statements`].
pub fn check_kept(dir: &Path) -> Result<(), RepairError> {
    verify(&Home::root(dir)?, &Home::first_statements(dir)?).map(drop)
}

fn verify(root: &UnitKey, statements: &[(String, Vec<u8>)]) -> Result<Registry, RepairError> {
    let mut registry = Registry::new(*root);
    for (tag, bytes) in statements {
        let domain = Domain::ALL.iter().find(|domain| domain.tag() == tag);
        let added = domain.is_some_and(|domain| registry.add(*domain, bytes).is_ok());
        if !added {
            return Err(RepairError::Statements);
        }
    }
    match registry.placement() {
        Some(_) => Ok(registry),
        None => Err(RepairError::Statements),
    }
}

/// A unit of the lowest tier below another has no roster: what its deciding node said is held above.
fn is_replaceable(identity: &Identity, registry: &Registry) -> bool {
    !identity.is_root() && registry.tiers().first() == Some(&identity.tier)
}

/// Opens the node as every command does, and reads everything back.
async fn is_sound(dir: &Path) -> Result<bool, RepairError> {
    let hosted = match host::open(dir, None).await {
        Ok(hosted) => hosted,
        Err(error) if is_damage(&error) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let examined = doctor::examine(&hosted.node).await;
    let ended = hosted.stop().await;
    let clean = examined.is_ok_and(|examined| !doctor::found_errors(&examined));
    Ok(clean && ended.is_ok())
}

fn is_damage(error: &HostError) -> bool {
    let of_store = |error: &StoreError| {
        matches!(
            error,
            StoreError::Corrupt { .. }
                | StoreError::Damaged { .. }
                | StoreError::NotAStore { .. }
                | StoreError::Engine { .. }
                | StoreError::Stopped
        )
    };
    let of_schema = |error: &SchemaError| match error {
        SchemaError::Store(error) => of_store(error),
        SchemaError::Newer { .. } => false,
        _ => true,
    };
    let of_layout = |error: &OpenError| match error {
        OpenError::Schema(error) => of_schema(error),
        _ => false,
    };
    match error {
        HostError::Store(error) => of_store(error),
        HostError::Layout(error) | HostError::Node(OpenNodeError::Open(error)) => of_layout(error),
        HostError::Node(OpenNodeError::Schema(error)) => of_schema(error),
        HostError::Node(OpenNodeError::NoFederation) => true,
        _ => false,
    }
}
