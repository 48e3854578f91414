//! The server's keys: a root that phones pin, a TLS leaf that it certifies, and the key that signs heads.

use std::sync::Arc;

use crate::sql::Connection;
use ed25519_dalek::SigningKey;
use fieldbook_core::net::HUB_NAME;
use fieldbook_core::ports::Random;
use fieldbook_core::sync::signing;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData,
    SignatureAlgorithm,
};
use rustls::ServerConfig;
use rustls::crypto::ring as provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ServerSessionMemoryCache;

use crate::store::{StoreError, meta, set_meta};

/// Name in the leaf certificate; phones ask for it whatever the address is.
pub const TLS_NAME: &str = "fieldbook";
/// TLS sessions that can be resumed.
const TLS_SESSIONS_KEPT: usize = 20_000;
/// Characters of a line of PEM (RFC 7468 §2).
const PEM_LINE_CHARS: usize = 64;
/// What an Ed25519 private key has in front of its 32 bytes in PKCS #8 (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Root, leaf and signing keys; all Ed25519, kept in the encrypted database.
pub struct Identity {
    root: SigningKey,
    leaf: SigningKey,
    leaf_certificate: Vec<u8>,
    signing: SigningKey,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("pin", &hex::encode(self.root_public())).finish_non_exhaustive()
    }
}

fn draw(random: &dyn Random) -> SigningKey {
    let mut seed = [0; 32];
    random.fill(&mut seed);
    SigningKey::from_bytes(&seed)
}

fn pkcs8(key: &SigningKey) -> PrivatePkcs8KeyDer<'static> {
    let mut der = PKCS8_PREFIX.to_vec();
    der.extend_from_slice(key.as_bytes());
    PrivatePkcs8KeyDer::from(der)
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&[u8]> = text.as_bytes().chunks(PEM_LINE_CHARS).collect();
    let body = lines.iter().map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\n");
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn key_pair(key: &SigningKey) -> Result<KeyPair, rcgen::Error> {
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8(key), &PKCS_ED25519)
}

/// A public key of which the private half is elsewhere.
struct Public([u8; 32]);

impl PublicKeyData for Public {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// A leaf certificate (DER) under `name`, signed by the root. Its dates are wide: phones with wrong clocks ignore them.
fn certify(root: &SigningKey, leaf: [u8; 32], name: &str) -> Result<Vec<u8>, rcgen::Error> {
    let mut issuer = CertificateParams::new(Vec::new())?;
    issuer.distinguished_name = rcgen::DistinguishedName::new();
    issuer.distinguished_name.push(DnType::CommonName, "fieldbook root");
    issuer.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = Issuer::new(issuer, key_pair(root)?);
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "fieldbook");
    Ok(params.signed_by(&Public(leaf), &issuer)?.der().to_vec())
}

impl Identity {
    /// Reads the keys from `meta`, or draws and stores them.
    pub(crate) fn load_or_make(tx: &Connection, random: &dyn Random) -> Result<Self, StoreError> {
        let key = |name: &'static str| -> Result<SigningKey, StoreError> {
            match meta(tx, name)? {
                Some(bytes) => <[u8; 32]>::try_from(bytes.as_slice())
                    .map(|seed| SigningKey::from_bytes(&seed))
                    .map_err(|_| StoreError::corrupt("key", name)),
                None => {
                    let key = draw(random);
                    set_meta(tx, name, key.as_bytes())?;
                    Ok(key)
                }
            }
        };
        let (root, leaf, signing) = (key("root_key")?, key("leaf_key")?, key("signing_key")?);
        let leaf_certificate = match meta(tx, "leaf_certificate")? {
            Some(der) => der,
            None => {
                let leaf = leaf.verifying_key().to_bytes();
                let der = certify(&root, leaf, TLS_NAME).map_err(|error| StoreError::corrupt("key", error))?;
                set_meta(tx, "leaf_certificate", &der)?;
                der
            }
        };
        Ok(Self { root, leaf, leaf_certificate, signing })
    }

    /// The root's public key: what enrolment links pin.
    #[must_use]
    pub fn root_public(&self) -> [u8; 32] {
        self.root.verifying_key().to_bytes()
    }

    /// The key that signs heads.
    #[must_use]
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The root's signature over the signing key, for enrolment answers.
    #[must_use]
    pub fn signing_key_signature(&self) -> [u8; 64] {
        signing::sign(&self.root, signing::SERVER_KEY, self.signing.verifying_key().as_bytes())
    }

    /// The leaf's certificate and key as PEM, for a proxy that ends TLS before this server. Phones then trust the proxy as
    /// they trust the server, and the server's signatures as ever; the root's key stays here.
    #[must_use]
    pub fn leaf_pem(&self) -> (String, String) {
        let key = pkcs8(&self.leaf);
        (pem("CERTIFICATE", &self.leaf_certificate), pem("PRIVATE KEY", key.secret_pkcs8_der()))
    }

    /// A certificate (DER) of a township hub's TLS key, by the root key. Its name is not the server's: phones that want
    /// the server do not take a hub for it.
    ///
    /// # Errors
    /// `Corrupt`, where the key is none.
    pub(crate) fn certify_hub(&self, tls_key: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
        certify(&self.root, *tls_key, HUB_NAME).map_err(|error| StoreError::corrupt("key", error))
    }

    /// TLS 1.3 only, X25519 only, the leaf alone, sessions resumable, HTTP/1.1.
    ///
    /// # Errors
    /// What rustls said about the keys.
    pub fn tls(&self) -> Result<ServerConfig, rustls::Error> {
        tls(&self.leaf, self.leaf_certificate.clone())
    }
}

/// TLS 1.3 only, X25519 only, one certificate, sessions resumable, HTTP/1.1.
///
/// # Errors
/// What rustls said about the keys.
pub(crate) fn tls(key: &SigningKey, certificate: Vec<u8>) -> Result<ServerConfig, rustls::Error> {
    let mut crypto = provider::default_provider();
    // The hybrid group would add more than 2 KB to each handshake.
    crypto.kx_groups = vec![provider::kx_group::X25519];
    let chain = vec![CertificateDer::from(certificate)];
    let mut config = ServerConfig::builder_with_provider(Arc::new(crypto))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(pkcs8(key)))?;
    config.session_storage = ServerSessionMemoryCache::new(TLS_SESSIONS_KEPT);
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
