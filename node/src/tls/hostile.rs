//! Peers that break the TLS rules one at a time, for the refusal matrix in the transport's tests, and
//! the part of that matrix that QUIC cannot express (a client without TLS 1.3).

use super::*;
use crate::clock::SystemClock;

/// One rule broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Names another protocol.
    OtherAlpn,
    /// Names no protocol.
    NoAlpn,
    /// Cannot present a raw key.
    NoKey,
    /// Says it has a raw key and presents none.
    EmptyHand,
    /// Presents an X.509 certificate instead of a raw key.
    X509,
    /// Presents a raw key that is not the one it signs with.
    StolenKey,
    /// Presents bytes that are no key.
    NotAKey,
    /// Presents a key and a second one behind it.
    TwoKeys,
}

pub(crate) const FLAWS: [Flaw; 8] = [
    Flaw::OtherAlpn,
    Flaw::NoAlpn,
    Flaw::NoKey,
    Flaw::EmptyHand,
    Flaw::X509,
    Flaw::StolenKey,
    Flaw::NotAKey,
    Flaw::TwoKeys,
];

/// Promises a raw key and has none.
#[derive(Debug)]
struct EmptyHand;

impl rustls::client::ResolvesClientCert for EmptyHand {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }
    fn only_raw_public_keys(&self) -> bool {
        true
    }
    fn has_certs(&self) -> bool {
        true
    }
}

/// Presents certificates rather than raw keys.
#[derive(Debug)]
struct Certificates(Arc<CertifiedKey>);

impl rustls::client::ResolvesClientCert for Certificates {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
    fn has_certs(&self) -> bool {
        true
    }
}

impl rustls::server::ResolvesServerCert for Certificates {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn presented(secret: &Secret, flaw: Flaw) -> Arc<CertifiedKey> {
    let honest = certified_key(secret).unwrap();
    let own = CertificateDer::from(secret.node_key().to_spki_der());
    let other = CertificateDer::from(Secret::from_seed([99; 32]).node_key().to_spki_der());
    let chain = match flaw {
        Flaw::StolenKey => vec![other],
        Flaw::NotAKey => vec![CertificateDer::from(vec![0x30, 0x00])],
        Flaw::TwoKeys => vec![own, other],
        _ => return honest,
    };
    Arc::new(CertifiedKey::new(chain, honest.key.clone()))
}

/// Configurations of a node that breaks one rule on both sides of a link.
pub(crate) fn configs(secret: &Secret, flaw: Flaw) -> TlsConfigs {
    let mut configs = TlsConfigs::new(secret, Arc::new(SystemClock::new())).unwrap();
    let key = presented(secret, flaw);
    match flaw {
        Flaw::OtherAlpn => {
            configs.client.alpn_protocols = vec![b"sanji/2".to_vec()];
            configs.server.alpn_protocols = vec![b"sanji/2".to_vec()];
        }
        Flaw::NoAlpn => {
            configs.client.alpn_protocols.clear();
            configs.server.alpn_protocols.clear();
        }
        Flaw::NoKey => {
            configs.client = ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyNode {
                    provider: provider(),
                }))
                .with_no_client_auth();
            configs.client.alpn_protocols = vec![ALPN.to_vec()];
        }
        Flaw::EmptyHand => configs.client.client_auth_cert_resolver = Arc::new(EmptyHand),
        Flaw::X509 => {
            configs.client.client_auth_cert_resolver = Arc::new(Certificates(key.clone()));
            configs.server.cert_resolver = Arc::new(Certificates(key));
        }
        Flaw::StolenKey | Flaw::NotAKey | Flaw::TwoKeys => {
            configs.client.client_auth_cert_resolver =
                Arc::new(AlwaysResolvesClientRawPublicKeys::new(key.clone()));
            configs.server.cert_resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(key));
        }
    }
    configs
}

/// A TLS client hello that offers TLS 1.2 and nothing later.
fn tls12_client_hello() -> Vec<u8> {
    let mut extensions = Vec::new();
    // supported_groups: x25519; signature_algorithms: ed25519.
    extensions.extend_from_slice(&[0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x1d]);
    extensions.extend_from_slice(&[0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x08, 0x07]);
    let mut hello = vec![0x03, 0x03];
    hello.extend_from_slice(&[7; 32]);
    // No session id; one suite, ECDHE-ECDSA with AES-128-GCM; no compression.
    hello.extend_from_slice(&[0x00, 0x00, 0x02, 0xc0, 0x2b, 0x01, 0x00]);
    hello.extend_from_slice(&u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend_from_slice(&extensions);
    let mut handshake = vec![0x01, 0x00];
    handshake.extend_from_slice(&u16::try_from(hello.len()).unwrap().to_be_bytes());
    handshake.extend_from_slice(&hello);
    let mut record = vec![0x16, 0x03, 0x01];
    record.extend_from_slice(&u16::try_from(handshake.len()).unwrap().to_be_bytes());
    record.extend_from_slice(&handshake);
    record
}

#[test]
fn a_client_that_offers_only_tls_12_is_refused() {
    let secret = Secret::from_seed([1; 32]);
    let configs = TlsConfigs::new(&secret, Arc::new(SystemClock::new())).unwrap();
    let mut server = rustls::ServerConnection::new(Arc::new(configs.server)).unwrap();
    let hello = tls12_client_hello();
    server.read_tls(&mut hello.as_slice()).unwrap();
    let refusal = server.process_new_packets().unwrap_err();
    assert!(matches!(refusal, Error::PeerIncompatible(_)), "{refusal:?}");
}

#[test]
fn our_own_client_offers_tls_13_and_no_tickets_nor_early_data() {
    let configs =
        TlsConfigs::new(&Secret::from_seed([1; 32]), Arc::new(SystemClock::new())).unwrap();
    assert!(!configs.client.enable_early_data);
    assert_eq!(configs.server.send_tls13_tickets, 0);
    assert_eq!(configs.server.max_early_data_size, 0);
    assert!(!configs.server.ticketer.enabled());
    assert!(!configs.server.session_storage.can_cache());
}

#[test]
fn an_identity_of_another_shape_names_no_peer() {
    let key = Secret::from_seed([3; 32]).node_key();
    let one = CertificateDer::from(key.to_spki_der());
    let boxed = |chain: Vec<CertificateDer<'static>>| Some(Box::new(chain) as Box<dyn Any>);
    assert_eq!(peer_key(boxed(vec![one.clone()])), Some(key));
    assert_eq!(peer_key(boxed(vec![one.clone(), one])), None);
    assert_eq!(peer_key(boxed(Vec::new())), None);
    assert_eq!(peer_key(Some(Box::new(key.to_spki_der()))), None);
    assert_eq!(peer_key(None), None);
}
