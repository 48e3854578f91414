//! The server's keys: a root that phones pin, a TLS leaf that it certifies, and the key that signs heads.

use std::sync::Arc;

use crate::sql::Connection;
use ed25519_dalek::SigningKey;
use fieldbook_core::ids::LogId;
use fieldbook_core::net::HUB_NAME;
use fieldbook_core::ports::Random;
use fieldbook_core::sync::signing;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData,
    SignatureAlgorithm, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring as provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::clock_text;
use crate::store::{StoreError, meta, set_meta};

/// Name in the leaf certificate; phones ask for it whatever the address is.
pub const TLS_NAME: &str = "fieldbook";
/// How long a leaf certificate is good for. Phones ignore dates; proxies and what watches certificates do not.
const LEAF_DAYS: i64 = 397;
/// A leaf that ends sooner than this is replaced.
const RENEWED_DAYS_BEFORE: i64 = 60;
/// A leaf is good from so long before it is made: clocks differ.
const LEAF_DAYS_BACK: i64 = 2;
const DAY_MS: i64 = 86_400_000;
/// Key of `meta`: when the leaf's certificate ends.
const LEAF_UNTIL: &str = "leaf_until_ms";
/// Key of `meta`: the root's private key.
const ROOT_KEY: &str = "root_key";
/// Key of `meta`: the leaf's private key.
const LEAF_KEY: &str = "leaf_key";
/// Key of `meta`: the private key that signs heads.
const SIGNING_KEY: &str = "signing_key";
/// TLS sessions that can be resumed.
const TLS_SESSIONS_KEPT: usize = 20_000;
/// Characters of a line of PEM (RFC 7468 §2).
const PEM_LINE_CHARS: usize = 64;
/// What an Ed25519 private key has in front of its 32 bytes in PKCS #8 (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Root, leaf and signing keys; all Ed25519, kept in the encrypted database.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    root: SigningKey,
    leaf: SigningKey,
    leaf_certificate: Vec<u8>,
    /// When the leaf ends, milliseconds since 1970 UTC.
    leaf_until_ms: i64,
    signing: SigningKey,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("pin", &hex::encode(self.root_public())).finish_non_exhaustive()
    }
}

/// A fresh key.
pub(crate) fn draw(random: &dyn Random) -> SigningKey {
    let mut seed = [0; 32];
    random.fill(&mut seed);
    SigningKey::from_bytes(&seed)
}

fn pkcs8(key: &SigningKey) -> PrivatePkcs8KeyDer<'static> {
    let mut der = PKCS8_PREFIX.to_vec();
    der.extend_from_slice(key.as_bytes());
    PrivatePkcs8KeyDer::from(der)
}

/// PEM of some DER.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
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

/// From when to when a certificate is good, milliseconds since 1970 UTC.
type Dates = (i64, i64);

/// Year, month and day of a time in Shanghai.
pub(crate) fn day(ms: i64) -> (i32, u8, u8) {
    let text = clock_text::shanghai(ms);
    let part = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u16>().ok()).unwrap_or(1);
    let narrow = |part: u16| u8::try_from(part).unwrap_or(1);
    (i32::from(part(0, 4)), narrow(part(5, 7)), narrow(part(8, 10)))
}

/// A certificate (DER) of the key `leaf` under `name`, signed by the root. Without dates it is good for ever.
fn certify(root: &SigningKey, leaf: [u8; 32], name: &str, dates: Option<Dates>) -> Result<Vec<u8>, rcgen::Error> {
    let mut issuer = CertificateParams::new(Vec::new())?;
    issuer.distinguished_name = rcgen::DistinguishedName::new();
    issuer.distinguished_name.push(DnType::CommonName, "fieldbook root");
    issuer.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = Issuer::new(issuer, key_pair(root)?);
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "fieldbook");
    if let Some((from_ms, until_ms)) = dates {
        let date = |(year, month, date)| date_time_ymd(year, month, date);
        (params.not_before, params.not_after) = (date(day(from_ms)), date(day(until_ms)));
    }
    Ok(params.signed_by(&Public(leaf), &issuer)?.der().to_vec())
}

/// Whether a certificate that was made for so many days ends soon, or begins only after now.
pub(crate) fn is_due(until_ms: i64, days: i64, now_ms: i64) -> bool {
    let left_ms = until_ms.saturating_sub(now_ms);
    left_ms < RENEWED_DAYS_BEFORE * DAY_MS || left_ms > (days + LEAF_DAYS_BACK) * DAY_MS
}

impl Identity {
    /// Reads the keys from `meta`, or draws and stores them.
    pub(crate) fn load_or_make(tx: &Connection, random: &dyn Random, now_ms: i64) -> Result<Self, StoreError> {
        for name in [ROOT_KEY, LEAF_KEY, SIGNING_KEY] {
            if meta(tx, name)?.is_none() {
                set_meta(tx, name, draw(random).as_bytes())?;
            }
        }
        let loaded = Self::load(tx)?.ok_or_else(|| StoreError::corrupt("key", ROOT_KEY))?;
        if loaded.leaf_certificate.is_empty() { loaded.renewed(tx, now_ms) } else { Ok(loaded) }
    }

    /// Reads the keys from `meta`; `None` before they were drawn.
    pub(crate) fn load(tx: &Connection) -> Result<Option<Self>, StoreError> {
        let key = |name: &'static str| -> Result<Option<SigningKey>, StoreError> {
            let bytes = meta(tx, name)?.map(|bytes| <[u8; 32]>::try_from(bytes.as_slice()));
            let seed = bytes.transpose().map_err(|_| StoreError::corrupt("key", name))?;
            Ok(seed.map(|seed| SigningKey::from_bytes(&seed)))
        };
        let keys = (key(ROOT_KEY)?, key(LEAF_KEY)?, key(SIGNING_KEY)?);
        let (Some(root), Some(leaf), Some(signing)) = keys else { return Ok(None) };
        let leaf_certificate = meta(tx, "leaf_certificate")?.unwrap_or_default();
        let until = meta(tx, LEAF_UNTIL)?.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
        Ok(Some(Self { root, leaf, leaf_certificate, leaf_until_ms: until.unwrap_or_default(), signing }))
    }

    /// The same with a new certificate of its leaf, stored.
    fn renewed(self, tx: &Connection, now_ms: i64) -> Result<Self, StoreError> {
        let public = self.leaf.verifying_key().to_bytes();
        let until_ms = now_ms.saturating_add(LEAF_DAYS * DAY_MS);
        let dates = (now_ms.saturating_sub(LEAF_DAYS_BACK * DAY_MS), until_ms);
        let der =
            certify(&self.root, public, TLS_NAME, Some(dates)).map_err(|error| StoreError::corrupt("key", error))?;
        set_meta(tx, "leaf_certificate", &der)?;
        set_meta(tx, LEAF_UNTIL, until_ms.to_string().as_bytes())?;
        Ok(Self { leaf_certificate: der, leaf_until_ms: until_ms, ..self })
    }

    /// Whether the leaf ends soon, or is not good yet: it was made by a clock that ran ahead.
    #[must_use]
    pub fn is_due(&self, now_ms: i64) -> bool {
        is_due(self.leaf_until_ms, LEAF_DAYS, now_ms)
    }

    /// When the leaf's certificate ends, milliseconds since 1970 UTC.
    #[must_use]
    pub fn leaf_until_ms(&self) -> i64 {
        self.leaf_until_ms
    }

    /// The same with another certificate, where the present one ends soon.
    pub(crate) fn renewed_when_due(self, tx: &Connection, now_ms: i64) -> Result<Self, StoreError> {
        if self.is_due(now_ms) { self.renewed(tx, now_ms) } else { Ok(self) }
    }

    /// The same under another root, stored.
    pub(crate) fn under(self, tx: &Connection, root: SigningKey, now_ms: i64) -> Result<Self, StoreError> {
        set_meta(tx, ROOT_KEY, root.as_bytes())?;
        Self { root, ..self }.renewed(tx, now_ms)
    }

    /// The root's word that `successor` takes over from it in this log.
    pub(crate) fn announce(&self, log: LogId, successor: &[u8; 32]) -> [u8; 64] {
        signing::announce_root(&self.root, log, successor)
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
        certify(&self.root, *tls_key, HUB_NAME, None).map_err(|error| StoreError::corrupt("key", error))
    }

    /// The leaf's certificate and key.
    pub(crate) fn leaf(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        (CertificateDer::from(self.leaf_certificate.clone()), PrivateKeyDer::Pkcs8(pkcs8(&self.leaf)))
    }
}

/// TLS 1.3 only, X25519 only, one certificate, sessions resumable, HTTP/1.1.
///
/// # Errors
/// What rustls said about the keys.
pub(crate) fn tls(key: &SigningKey, certificate: Vec<u8>) -> Result<ServerConfig, rustls::Error> {
    let key = provider::sign::any_eddsa_type(&pkcs8(key))?;
    let shown = CertifiedKey::new(vec![CertificateDer::from(certificate)], key);
    tls_by(Arc::new(SingleCertAndKey::from(shown)))
}

/// The same with the certificate that `resolver` says.
///
/// # Errors
/// What rustls said of its own build.
pub(crate) fn tls_by(resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let mut crypto = provider::default_provider();
    // The hybrid group would add more than 2 KB to each handshake.
    crypto.kx_groups = vec![provider::kx_group::X25519];
    let mut config = ServerConfig::builder_with_provider(Arc::new(crypto))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.session_storage = ServerSessionMemoryCache::new(TLS_SESSIONS_KEPT);
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
