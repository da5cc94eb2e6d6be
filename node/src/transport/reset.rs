//! What lets a restarted node tell its peers at once that their links are gone.
//!
//! QUIC has the stateless reset for this: a token that only the node itself can compute from a
//! connection id, told to the peer while the link stands, and recognised by it afterwards. It works
//! across restarts only if the token's key survives them, so the key is derived from the node's
//! secret. Without it peers of a killed hub would wait out their idle timeout.

use std::time::Duration;

use keys::{Hash, Secret, mac};

use super::{ConnectionId, ConnectionIdGenerator, CryptoError, HmacKey};

/// Connection ids are 8 bytes, as the QUIC stack's own: few enough to repeat in every packet, many
/// enough that those of an earlier process do not come up again.
const CONNECTION_ID_SIZE: usize = 8;

/// The key of reset tokens; the same for every process of one node.
pub(super) struct ResetKey(Hash);

impl ResetKey {
    pub(super) fn new(secret: &Secret) -> Self {
        Self(mac(secret.seed().as_slice(), &[b"sanji/1/quic-reset"]))
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        let code = mac(self.0.as_bytes(), &[data]);
        signature_out.copy_from_slice(code.as_bytes());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let claimed = <[u8; 32]>::try_from(signature).map_err(|_| CryptoError)?;
        match keys::mac_matches(self.0.as_bytes(), &[data], &Hash::from_bytes(claimed)) {
            true => Ok(()),
            false => Err(CryptoError),
        }
    }
}

/// Makes connection ids that tell an observer nothing: a keyed counter. The stack's own generator
/// knows its ids only within one process and would keep silent about those of the one before.
pub(super) struct ConnectionIds {
    key: [u8; 32],
    made: u64,
}

impl ConnectionIds {
    /// `key` is this process's own and unpredictable.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, made: 0 }
    }
}

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.made += 1;
        let code = mac(&self.key, &[b"sanji/1/quic-id", &self.made.to_be_bytes()]);
        let (id, _) = code.as_bytes().split_at(CONNECTION_ID_SIZE);
        ConnectionId::new(id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_SIZE
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
