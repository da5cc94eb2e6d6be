//! Who said it: identities, secrets, signatures and certificates.
//!
//! This room holds everything that decides whether bytes were really said by the key they claim, and
//! whether that key was entitled to speak for its unit. It never reads a clock, opens a file or a
//! socket, or takes randomness that was not handed to it.
//!
//! The types to know: [`Signed`] hides its payload until [`Signed::verify`] turns it into
//! [`Verified`]; [`Chain`] links a node or person to the pinned root and becomes [`VerifiedChain`];
//! [`Secret`] is the only thing that can sign.
//!
//! ```text
//! Secret --sign--> Signed<T> --bytes--> (store, wire) --from_bytes--> Signed<T> --verify--> Verified<T>
//! Chain::from_bytes --verify(root)--> VerifiedChain      "the signer may speak for this unit"
//! ```
//!
//! Everything signed is deterministic CBOR ([`cbor`]) in a COSE_Sign1 envelope of one fixed layout
//! ([`signed`]), bound to one [`Domain`]; the stored and forwarded bytes are the signed bytes.

mod ed25519;
mod newtype;

pub mod cbor;
pub mod certificate;
pub mod commitment;
pub mod domain;
pub mod hash;
pub mod identity;
pub mod mac;
pub mod secret;
pub mod signed;

pub use cbor::{CborError, DecodeError};
pub use certificate::{
    Certificate, Chain, ChainDecodeError, ChainError, Role, Scope, Subject, Validity, VerifiedChain,
};
pub use commitment::{DossierSecret, commit};
pub use domain::Domain;
pub use hash::{Hash, Hasher};
pub use identity::{
    KeyError, NameError, NodeKey, PersonKey, StoreEpoch, TierName, UnitId, UnitKey,
};
pub use mac::{mac, mac_matches};
pub use newtype::HexError;
pub use secret::Secret;
pub use signed::{EnvelopeError, Payload, Signed, SignerKey, Verified, VerifyError};

// What the exported macros expand to; not part of the API.
#[doc(hidden)]
pub mod macro_parts {
    pub use crate::newtype::{debug_short, decode_array, display_hex, parse_hex, short};
    pub use minicbor;
}
