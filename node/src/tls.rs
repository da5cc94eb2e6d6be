//! The door to `rustls`: who a peer is, proven by TLS 1.3 with raw public keys (RFC 7250).
//!
//! Both sides present their node's Ed25519 key as it is, without a certificate, and sign the
//! handshake with it. Any well-formed key is accepted here: TLS proves *possession* of the key and
//! nothing else; whether that key may do anything is decided on the session's first frame, against
//! the pinned root. There is no earlier protocol version to fall back to, no early data and no
//! resumption, so every link is a fresh proof.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use keys::{NodeKey, Secret};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, ServerConfig, SignatureScheme,
};

use crate::clock::Clock;

/// The protocol both sides must name; a later, incompatible one gets another name.
pub const ALPN: &[u8] = b"sanji/1";

/// The server name every dialler gives. Nobody looks at it and it is not sent: peers are known by
/// their keys, never by names.
pub const SERVER_NAME: &str = "sanji.invalid";

/// Why this node's key cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
#[error("the node key cannot be used for TLS: {0}")]
pub struct TlsError(#[from] Error);

/// What one node needs for TLS on both sides of a link.
pub(crate) struct TlsConfigs {
    /// For links this node dials.
    pub(crate) client: ClientConfig,
    /// For links others dial.
    pub(crate) server: ServerConfig,
}

impl TlsConfigs {
    /// Builds both sides around the node's secret and clock.
    pub(crate) fn new(secret: &Secret, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let key = certified_key(secret)?;
        let verifier = Arc::new(AnyNode {
            provider: provider(),
        });
        let time: Arc<dyn TimeProvider> = Arc::new(ClockTime(clock));

        let mut client = ClientConfig::builder_with_details(provider(), time.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                key.clone(),
            )));
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_early_data = false;
        client.enable_sni = false;

        let mut server = ServerConfig::builder_with_details(provider(), time)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        Ok(Self { client, server })
    }
}

/// The peer's node key, out of the identity the QUIC stack reports for an established connection.
/// `None` cannot follow a handshake under our verifiers, and is treated as a refusal.
pub(crate) fn peer_key(identity: Option<Box<dyn Any>>) -> Option<NodeKey> {
    let chain = identity?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    match chain.as_slice() {
        [only] => NodeKey::from_spki_der(only).ok(),
        _ => None,
    }
}

/// ring, named here rather than taken from a process-wide default that any dependency may set.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certified_key(secret: &Secret) -> Result<Arc<CertifiedKey>, TlsError> {
    // Borrowed, so that no copy of the secret outlives the zeroised buffer but the signer's own.
    let pkcs8 = secret.to_pkcs8_der();
    let signer = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice()))?;
    let public = CertificateDer::from(secret.node_key().to_spki_der());
    Ok(Arc::new(CertifiedKey::new(vec![public], signer)))
}

/// Our clock, for the stack. Raw keys have no dates; this keeps the machine's clock out of it anyway.
#[derive(Debug)]
struct ClockTime(Arc<dyn Clock>);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(
            self.0.now_ms(),
        )))
    }
}

/// Accepts whoever proves possession of a well-formed Ed25519 key.
#[derive(Debug)]
struct AnyNode {
    provider: Arc<CryptoProvider>,
}

impl AnyNode {
    /// The presented key must be one exact Ed25519 key: no chain, no other algorithm, no weak point.
    fn check(presented: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), Error> {
        if !rest.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        match NodeKey::from_spki_der(presented) {
            Ok(_) => Ok(()),
            Err(_) => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn verify_possession(
        &self,
        message: &[u8],
        presented: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(presented.as_ref());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }
}

/// TLS 1.2 is never offered, so its signatures are never asked for; the trait wants an answer.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
}

impl ServerCertVerifier for AnyNode {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Self::check(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_possession(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for AnyNode {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Self::check(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_possession(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
pub(crate) mod hostile;
