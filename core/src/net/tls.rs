//! TLS 1.3 to one server, proved by the root key that the enrolment link carried.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, Der, ServerName, TrustAnchor, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};

/// The name in every server's certificate; the address may be anything.
pub const SERVER_NAME: &str = "fieldbook";
/// The name in every hub's certificate, which the same root certifies: no hub can pose as the server.
pub const HUB_NAME: &str = "hub.fieldbook";

/// SubjectPublicKeyInfo of an Ed25519 key without its outer sequence (RFC 8410 §4); the key's 32 bytes follow.
const ED25519_SPKI_PREFIX: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Checks a server's certificate against one Ed25519 root key: signature, usage and name. Its dates are ignored,
/// because phones with wrong clocks must sync; certificates are replaced by replacing the root's statement.
#[derive(Debug)]
struct PinnedRoot {
    spki: Vec<u8>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedRoot {
    fn verify_at(&self, leaf: &EndEntityCert<'_>, time: UnixTime) -> Result<(), webpki::Error> {
        // The link carries the root's key, not its certificate: any issuer name will do, the key decides.
        let anchor = TrustAnchor {
            subject: Der::from(leaf.issuer()),
            subject_public_key_info: Der::from(self.spki.as_slice()),
            name_constraints: None,
        };
        leaf.verify_for_usage(self.algorithms.all, &[anchor], &[], time, KeyUsage::server_auth(), None, None)
            .map(|_| ())
    }
}

impl ServerCertVerifier for PinnedRoot {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = EndEntityCert::try_from(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let verified = match self.verify_at(&leaf, now) {
            Err(webpki::Error::CertNotValidYet { not_before, .. }) => self.verify_at(&leaf, not_before),
            Err(webpki::Error::CertExpired { not_after, .. }) => self.verify_at(&leaf, not_after),
            other => other,
        };
        verified.map_err(|_| Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        leaf.verify_is_valid_for_subject_name(server_name)
            .map_err(|_| Error::InvalidCertificate(CertificateError::NotValidForName))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SelectedUnofferedPsk.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// A client configuration that talks to nobody but the server whose root key is `root_key`.
///
/// # Errors
/// A text when the crypto provider lacks TLS 1.3, which would be a build error of this program.
pub fn config(root_key: &[u8; 32]) -> Result<Arc<ClientConfig>, String> {
    let base = ring::default_provider();
    let algorithms = base.signature_verification_algorithms;
    // One classical group: a hybrid one adds 2.2 KB to every handshake.
    let provider = CryptoProvider { kx_groups: vec![ring::kx_group::X25519], ..base };
    let mut spki = ED25519_SPKI_PREFIX.to_vec();
    spki.extend_from_slice(root_key);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedRoot { spki, algorithms }))
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(4);
    Ok(Arc::new(config))
}
