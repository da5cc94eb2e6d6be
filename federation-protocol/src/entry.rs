//! The signed unit of replication: a COSE envelope around the header, followed by the parts.
//!
//! Stored and forwarded bytes are the signed bytes. A local entry is signed and then checked by the
//! same [`Entry::verify`] as a stranger's, and so are the bytes this node reads back from its store.

use crate::error::EntryError;
use crate::limits::{ENTRY_PARTS_MAX, ENTRY_SIZE_MAX};
use crate::{Head, Hlc, LogId, LogKey, Part, PartSlot, Period, Reach, Salt, merkle_root};
use keys::{DecodeError, Domain, Hash, Payload, Secret, Signed, StoreEpoch, UnitId};
use minicbor::{Decode, Decoder, Encode, Encoder};
use rand_core::CryptoRng;

/// The version of header and parts written today.
pub const ENTRY_VERSION: u64 = 1;

/// The signed part of an entry. The author is the envelope's key id.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Header {
    /// The author's store epoch.
    #[n(1)]
    pub epoch: StoreEpoch,
    /// The unit of the log.
    #[n(2)]
    pub unit: UnitId,
    /// The reach of the log.
    #[n(3)]
    pub reach: Reach,
    /// The semester of the log.
    #[n(4)]
    pub period: Option<Period>,
    /// Position in the log, from 0.
    #[n(5)]
    pub seq_num: u64,
    /// Hash of the envelope before this one; none at position 0.
    #[n(6)]
    pub backlink: Option<Hash>,
    /// The author's hybrid-logical time.
    #[n(7)]
    pub hlc: Hlc,
    /// RFC 6962 root over the salted hashes of the parts.
    #[n(8)]
    pub payload: Hash,
    /// Number of parts.
    #[n(9)]
    pub part_count: u32,
    /// Bytes of all parts together, before any erasure.
    #[n(10)]
    pub part_bytes: u32,
}

impl Payload for Header {
    const DOMAIN: Domain = Domain::Entry;

    fn to_bytes(&self) -> Vec<u8> {
        keys::cbor::to_vec_versioned(self, ENTRY_VERSION)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        keys::cbor::from_slice_versioned(bytes, ENTRY_VERSION)
    }
}

/// What an author wants to append.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The log.
    pub key: LogKey,
    /// The position.
    pub seq_num: u64,
    /// The hash of the entry before it.
    pub backlink: Option<Hash>,
    /// The author's time.
    pub hlc: Hlc,
    /// What it carries.
    pub parts: Vec<Part>,
}

impl Draft {
    /// Signs the draft and returns the bytes of the entry. The salts are drawn from `rng`.
    pub fn sign(&self, secret: &Secret, rng: &mut impl CryptoRng) -> Vec<u8> {
        let slots: Vec<PartSlot> = self
            .parts
            .iter()
            .map(|part| {
                let mut salt: Salt = [0; 16];
                rng.fill_bytes(&mut salt);
                PartSlot::Whole(salt, part.clone())
            })
            .collect();
        let hashes: Vec<_> = slots.iter().map(|slot| *slot.hash().as_bytes()).collect();
        let bytes: usize = self.parts.iter().map(|part| part.to_bytes().len()).sum();
        let header = Header {
            epoch: self.key.epoch,
            unit: self.key.unit.clone(),
            reach: self.key.reach.clone(),
            period: self.key.period,
            seq_num: self.seq_num,
            backlink: self.backlink,
            hlc: self.hlc,
            payload: merkle_root(&hashes),
            part_count: u32::try_from(slots.len()).unwrap_or(u32::MAX),
            part_bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        };
        let envelope = Signed::sign(&header, secret);
        assemble(envelope.bytes(), &slots)
    }
}

fn assemble(envelope: &[u8], slots: &[PartSlot]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(1024));
    e.array(2)
        .and_then(|e| e.bytes(envelope))
        .and_then(|e| e.array(slots.len() as u64))
        .map(|_| ())
        .expect("writing to a vector cannot fail");
    for slot in slots {
        slot.encode(&mut e);
    }
    e.into_writer()
}

/// An entry whose bounds, encoding, signature and payload were checked. Whether it continues its log
/// and whether its author may write are the replica's questions.
#[derive(Clone, Debug)]
pub struct Entry {
    bytes: Vec<u8>,
    key: LogKey,
    log: LogId,
    header: Header,
    hash: Hash,
    slots: Vec<PartSlot>,
}

impl Entry {
    /// Checks everything that depends on the bytes alone.
    ///
    /// # Errors
    /// [`EntryError`] names what is wrong; the bytes must not be stored.
    pub fn verify(bytes: Vec<u8>) -> Result<Self, EntryError> {
        let (envelope, slots, leaves, part_bytes) = split(&bytes)?;
        let verified = Signed::<Header>::from_bytes(envelope)?.verify()?;
        let hash = verified.id();
        let author = verified.signer().as_node();
        let header = verified.into_value();
        check(&header, &leaves, &slots, part_bytes)?;
        Ok(Self::assembled(bytes, author, header, hash, slots))
    }

    fn assembled(
        bytes: Vec<u8>,
        author: keys::NodeKey,
        header: Header,
        hash: Hash,
        slots: Vec<PartSlot>,
    ) -> Self {
        let key = LogKey {
            author,
            epoch: header.epoch,
            unit: header.unit.clone(),
            reach: header.reach.clone(),
            period: header.period,
        };
        let log = key.id();
        Self {
            bytes,
            key,
            log,
            header,
            hash,
            slots,
        }
    }

    /// Returns the signed bytes with the parts: what is stored and forwarded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the key of the log.
    pub fn key(&self) -> &LogKey {
        &self.key
    }

    /// Returns the id of the log.
    pub fn log(&self) -> LogId {
        self.log
    }

    /// Returns the header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the hash of the envelope: the entry's identity.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Returns the position in the log.
    pub fn seq_num(&self) -> u64 {
        self.header.seq_num
    }

    /// Returns the log's head once this entry is appended.
    pub fn head(&self) -> Head {
        Head {
            seq_num: self.header.seq_num,
            hash: self.hash,
            hlc: self.header.hlc,
        }
    }

    /// Returns the parts, erased ones included.
    pub fn slots(&self) -> &[PartSlot] {
        &self.slots
    }

    /// Returns the parts that are whole.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.slots.iter().filter_map(PartSlot::part)
    }
}

type Split<'a> = (&'a [u8], Vec<PartSlot>, Vec<[u8; 32]>, usize);

fn split(bytes: &[u8]) -> Result<Split<'_>, EntryError> {
    if bytes.len() > ENTRY_SIZE_MAX {
        return Err(EntryError::TooLarge { size: bytes.len() });
    }
    let mut d = Decoder::new(bytes);
    let shape = |_| EntryError::Shape;
    if d.array().map_err(shape)? != Some(2) {
        return Err(EntryError::Shape);
    }
    let envelope = d.bytes().map_err(shape)?;
    let count = d.array().map_err(shape)?.ok_or(EntryError::Shape)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count == 0 || count > ENTRY_PARTS_MAX {
        return Err(EntryError::PartCount { count });
    }
    let mut slots = Vec::with_capacity(count);
    let mut leaves = Vec::with_capacity(count);
    let mut part_bytes = 0;
    for _ in 0..count {
        let (slot, hash, size) = PartSlot::decode(&mut d)?;
        leaves.push(*hash.as_bytes());
        slots.push(slot);
        part_bytes += size;
    }
    // Shortest lengths everywhere: assembling again must give the same bytes.
    if d.position() != bytes.len() || assemble(envelope, &slots) != bytes {
        return Err(EntryError::Shape);
    }
    Ok((envelope, slots, leaves, part_bytes))
}

fn check(
    header: &Header,
    leaves: &[[u8; 32]],
    slots: &[PartSlot],
    part_bytes: usize,
) -> Result<(), EntryError> {
    let wrong = |what| Err(EntryError::Header { what });
    if header.part_count as usize != slots.len() {
        return wrong("part count");
    }
    let erased = slots.iter().any(|slot| slot.part().is_none());
    if !erased && header.part_bytes as usize != part_bytes {
        return wrong("part bytes");
    }
    if merkle_root(leaves) != header.payload {
        return wrong("payload hash");
    }
    if header.backlink.is_some() != (header.seq_num > 0) {
        return wrong("backlink");
    }
    let dossiers = slots.iter().filter_map(PartSlot::part);
    for part in dossiers {
        match part {
            Part::Statement { .. } => {}
            Part::Dossier(_) | Part::Ledger(_) if header.reach == Reach::Below => {
                return wrong("records below");
            }
            Part::Dossier(_) | Part::Ledger(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    fn draft(rng: &mut ChaCha20Rng, secret: &Secret, parts: Vec<Part>) -> Draft {
        Draft {
            key: LogKey {
                author: secret.node_key(),
                epoch: StoreEpoch::generate(rng),
                unit: "school-1".parse().unwrap(),
                reach: Reach::Up("city".parse().unwrap()),
                period: Some("2026-1".parse().unwrap()),
            },
            seq_num: 0,
            backlink: None,
            hlc: Hlc::from_ms(1),
            parts,
        }
    }

    fn dossier(n: u8) -> Part {
        Part::Dossier(crate::DossierPart {
            subject: format!("S{n}"),
            secret: Some([n; 32]),
            change: vec![n; 300],
        })
    }

    // protocol.md R4
    #[test]
    fn every_flipped_bit_of_an_entry_is_refused() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secret = Secret::generate(&mut rng);
        let bytes = draft(&mut rng, &secret, vec![dossier(1)]).sign(&secret, &mut rng);
        assert!(Entry::verify(bytes.clone()).is_ok());
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Entry::verify(bad).is_err(), "bit {bit}");
        }
    }

    // protocol.md R5
    #[test]
    fn an_erased_part_leaves_its_hash_and_the_rest_still_verifies() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let secret = Secret::generate(&mut rng);
        let bytes = draft(&mut rng, &secret, vec![dossier(1), dossier(2)]).sign(&secret, &mut rng);
        let entry = Entry::verify(bytes).unwrap();
        let (envelope, mut slots, _, _) = split(entry.bytes()).unwrap();
        slots[0] = PartSlot::Erased(slots[0].hash());
        let erased = Entry::verify(assemble(envelope, &slots)).unwrap();
        assert_eq!(erased.hash(), entry.hash());
        assert_eq!(erased.parts().count(), 1);
        let mut other = slots.clone();
        other[0] = PartSlot::Erased(Hash::of(b"other"));
        assert!(Entry::verify(assemble(envelope, &other)).is_err());
    }

    // protocol.md R6
    #[test]
    fn an_entry_over_the_limits_is_refused_before_its_signature_is_read() {
        let big = vec![0; ENTRY_SIZE_MAX + 1];
        assert!(matches!(
            Entry::verify(big),
            Err(EntryError::TooLarge { .. })
        ));
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(0u8.., 0..300)) {
            let _ = Entry::verify(bytes);
        }
    }
}
