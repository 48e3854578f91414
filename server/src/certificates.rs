//! What the server shows in a TLS handshake, kept up to date while it runs.
//!
//! Phones ask for the name [`TLS_NAME`] and get the leaf that the pinned root certifies. Browsers ask for the server's address;
//! none of them knows Ed25519 certificates, so they get another one: from files that the operator names, or one of the
//! server's own for office PCs, whose root the operator installs there (`certificate DIR`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use minicbor::{Decode, Encode};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::identity::{self, TLS_NAME, day, pem};
use crate::sql::Connection;
use crate::store::{Problem, Store, StoreError, meta, set_meta};
use crate::text::{Language, failure};

/// How often keys and certificates are looked at: another process may have changed them.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often files of a certificate, and the office's certificate, are looked at.
const FILES_EVERY: Duration = Duration::from_secs(60);
/// How long a certificate for office PCs is good for: browsers take no longer ones.
const OFFICE_DAYS: i64 = 397;
/// How long its root is.
const OFFICE_ROOT_DAYS: i64 = 3_650;
const DAY_MS: i64 = 86_400_000;
/// Key of `meta`: CBOR of [`Authority`].
const OFFICE_ROOT: &str = "office_root";
/// Key of `meta`: CBOR of [`Leaf`].
const OFFICE_LEAF: &str = "office_leaf";

/// The certificate authority of office PCs (P-256).
#[derive(Debug, Encode, Decode)]
struct Authority {
    #[cbor(n(0), with = "minicbor::bytes")]
    key: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    certificate: Vec<u8>,
    /// Milliseconds since 1970 UTC.
    #[n(2)]
    until_ms: i64,
}

/// What browsers are shown.
#[derive(Debug, Encode, Decode)]
struct Leaf {
    #[cbor(n(0), with = "minicbor::bytes")]
    key: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    certificate: Vec<u8>,
    /// Host name or address that it is for.
    #[n(2)]
    host: String,
    /// Milliseconds since 1970 UTC.
    #[n(3)]
    until_ms: i64,
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::corrupt("office certificate", error)
}

fn authority_params(now_ms: i64) -> Result<CertificateParams, StoreError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(damaged)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Fieldbook office");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let date = |(year, month, date)| date_time_ymd(year, month, date);
    params.not_before = date(day(now_ms - 2 * DAY_MS));
    params.not_after = date(day(now_ms + OFFICE_ROOT_DAYS * DAY_MS));
    Ok(params)
}

fn authority(tx: &Connection, now_ms: i64) -> Result<Authority, StoreError> {
    let known: Option<Authority> =
        meta(tx, OFFICE_ROOT)?.map(|bytes| minicbor::decode(&bytes)).transpose().map_err(damaged)?;
    let key = match known {
        Some(known) if !identity::is_due(known.until_ms, OFFICE_ROOT_DAYS, now_ms) => return Ok(known),
        // Under the same key: what it certified is still good.
        Some(known) => {
            let key = PrivatePkcs8KeyDer::from(known.key);
            KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).map_err(damaged)?
        }
        None => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(damaged)?,
    };
    let certificate = authority_params(now_ms)?.self_signed(&key).map_err(damaged)?.der().to_vec();
    let until_ms = now_ms + OFFICE_ROOT_DAYS * DAY_MS;
    let made = Authority { key: key.serialize_der(), certificate, until_ms };
    set_meta(tx, OFFICE_ROOT, &minicbor::to_vec(&made).map_err(damaged)?)?;
    Ok(made)
}

fn leaf_for(tx: &Connection, host: &str, now_ms: i64) -> Result<Leaf, StoreError> {
    let known: Option<Leaf> = meta(tx, OFFICE_LEAF)?.and_then(|bytes| minicbor::decode(&bytes).ok());
    if let Some(known) =
        known.filter(|known| known.host == host && !identity::is_due(known.until_ms, OFFICE_DAYS, now_ms))
    {
        return Ok(known);
    }
    let root = authority(tx, now_ms)?;
    let root_key = PrivatePkcs8KeyDer::from(root.key);
    let root_key = KeyPair::from_pkcs8_der_and_sign_algo(&root_key, &PKCS_ECDSA_P256_SHA256).map_err(damaged)?;
    // Only its name and key go into what it signs.
    let issuer = Issuer::new(authority_params(now_ms)?, root_key);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(damaged)?;
    let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(damaged)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let (date, until_ms) = (|(year, month, date)| date_time_ymd(year, month, date), now_ms + OFFICE_DAYS * DAY_MS);
    (params.not_before, params.not_after) = (date(day(now_ms - 2 * DAY_MS)), date(day(until_ms)));
    let certificate = params.signed_by(&key, &issuer).map_err(damaged)?.der().to_vec();
    let made = Leaf { key: key.serialize_der(), certificate, host: host.to_owned(), until_ms };
    set_meta(tx, OFFICE_LEAF, &minicbor::to_vec(&made).map_err(damaged)?)?;
    Ok(made)
}

impl Store {
    /// The root of what browsers are shown, as PEM, to be installed on office PCs.
    ///
    /// # Errors
    /// What the database said.
    pub fn office_root_pem(&self) -> Result<String, StoreError> {
        let now_ms = self.now_ms();
        Ok(pem("CERTIFICATE", &self.write(|tx| authority(tx, now_ms))?.certificate))
    }
}

/// Two certificates: who asks for the phones' name gets theirs, everybody else the browsers'.
#[derive(Debug)]
struct ByName {
    phones: Arc<CertifiedKey>,
    browsers: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = if hello.server_name() == Some(TLS_NAME) { &self.phones } else { &self.browsers };
        Some(Arc::clone(asked))
    }
}

/// Certificate chain and private key of the operator's own, as PEM files.
pub(crate) type Files = (PathBuf, PathBuf);

/// The TLS configuration in use; cheap to copy.
#[derive(Clone)]
pub struct Tls {
    current: Arc<RwLock<Arc<ServerConfig>>>,
    files: Option<Files>,
    /// What browsers were shown last.
    browsers: Arc<RwLock<Option<Arc<CertifiedKey>>>>,
}

impl Tls {
    /// What a server shows.
    ///
    /// # Errors
    /// `certificate_unusable` names the operator's file that cannot be used; else what the database said.
    pub(crate) fn of_server(store: &Store, files: Option<Files>) -> Result<Self, StoreError> {
        let browsers = browsers(store, files.as_ref())?;
        let config = config(store, &browsers)?;
        Ok(Self {
            current: Arc::new(RwLock::new(Arc::new(config))),
            files,
            browsers: Arc::new(RwLock::new(Some(browsers))),
        })
    }

    /// Shows what is to be shown now. Where nothing can be made for browsers they see what they saw before: phones' certificate and
    /// root are not to wait for that.
    ///
    /// # Errors
    /// What was wrong with the browsers' certificate, after all else was done; what the database said.
    fn again(&self, store: &Store) -> Result<(), StoreError> {
        let found = browsers(store, self.files.as_ref());
        let mut last = self.browsers.write().unwrap_or_else(PoisonError::into_inner);
        let (shown, wrong) = match (found, last.as_ref()) {
            (Ok(found), _) => (found, Ok(())),
            (Err(error), Some(last)) => (Arc::clone(last), Err(error)),
            (Err(error), None) => return Err(error),
        };
        self.put(config(store, &shown)?);
        *last = Some(shown);
        wrong
    }

    /// One configuration for all.
    pub(crate) fn always(config: ServerConfig) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(config))), files: None, browsers: Arc::default() }
    }

    /// The configuration for the next handshake.
    pub(crate) fn now(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn put(&self, config: ServerConfig) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// When the operator's files were last written.
    fn written(&self) -> Option<SystemTime> {
        let (certificate, key) = self.files.as_ref()?;
        let written = |path: &PathBuf| std::fs::metadata(path).and_then(|file| file.modified()).ok();
        written(certificate).max(written(key))
    }
}

/// A certificate that browsers are shown, ready to use.
struct Browsers {
    shown: Arc<CertifiedKey>,
    /// From when to when it is good, milliseconds since 1970 UTC.
    dates: (i64, i64),
}

/// Reads the operator's files.
fn of_files((certificate, key): &Files) -> Result<Browsers, Problem> {
    let named = |word, path: &Path| Problem::new(word).with("path", path.display());
    let unusable =
        |path: &Path, error: &dyn std::fmt::Display| named("certificate_unusable", path).with("detail", error);
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| unusable(certificate, &error))?;
    let first = chain.first().ok_or_else(|| named("certificate_none", certificate))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(first).map_err(|error| unusable(certificate, &error))?;
    let ms = |time: x509_parser::time::ASN1Time| time.timestamp().saturating_mul(1000);
    let dates = (ms(parsed.validity().not_before), ms(parsed.validity().not_after));
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let secret = rustls::crypto::ring::sign::any_supported_type(&secret).map_err(|error| unusable(key, &error))?;
    if secret.algorithm() == rustls::SignatureAlgorithm::ED25519 {
        return Err(named("certificate_ed25519", certificate));
    }
    let shown = CertifiedKey::new(chain, secret);
    match shown.keys_match() {
        // Not every kind of key can tell.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => return Err(named("certificate_other_key", certificate).with("key", key.display())),
    }
    Ok(Browsers { shown: Arc::new(shown), dates })
}

/// What is to be known of the certificate that browsers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// From when it is good, milliseconds since 1970 UTC.
    pub(crate) from_ms: i64,
    /// Until when.
    pub(crate) until_ms: i64,
    /// It is for the host that browsers use.
    pub(crate) is_for_host: bool,
}

/// Looks at what browsers are shown: the operator's files where there are any, else the server's own, which `None` stands for
/// where none was made yet.
///
/// # Errors
/// `certificate_unusable`, `certificate_none`, `certificate_other_key` name the file; what the database said.
pub(crate) fn look_at(store: &Store, files: Option<&Files>) -> Result<Option<Shown>, StoreError> {
    let host = host_of(store)?;
    let Some(files) = files else {
        let leaf: Option<Leaf> =
            store.read(|tx| meta(tx, OFFICE_LEAF))?.and_then(|bytes| minicbor::decode(&bytes).ok());
        return Ok(leaf.map(|leaf| {
            let from_ms = leaf.until_ms - (OFFICE_DAYS + 2) * DAY_MS;
            Shown { from_ms, until_ms: leaf.until_ms, is_for_host: leaf.host == host }
        }));
    };
    let read = of_files(files)?;
    let name = rustls::pki_types::ServerName::try_from(host.as_str()).map_err(damaged)?;
    let end = read.shown.end_entity_cert().and_then(rustls::server::ParsedCertificate::try_from);
    let fits = end.and_then(|end| rustls::client::verify_server_name(&end, &name)).is_ok();
    Ok(Some(Shown { from_ms: read.dates.0, until_ms: read.dates.1, is_for_host: fits }))
}

fn host_of(store: &Store) -> Result<String, StoreError> {
    let address = store.setting("address")?.unwrap_or_default();
    let host = fieldbook_core::net::host_and_port(&address).map(|(host, _)| host);
    Ok(host.unwrap_or_else(|| "localhost".to_owned()))
}

fn certified(
    (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
) -> Result<Arc<CertifiedKey>, StoreError> {
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(damaged)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// What browsers are to be shown.
fn browsers(store: &Store, files: Option<&Files>) -> Result<Arc<CertifiedKey>, StoreError> {
    let now_ms = store.now_ms();
    let Some(files) = files else {
        let host = host_of(store)?;
        let leaf = store.write(|tx| leaf_for(tx, &host, now_ms))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key));
        return certified((vec![CertificateDer::from(leaf.certificate)], key));
    };
    let read = of_files(files)?;
    if !(read.dates.0..read.dates.1).contains(&now_ms) {
        tracing::warn!(file = %files.0.display(), "browsers refuse this certificate: it has ended, or begins later");
    }
    Ok(read.shown)
}

fn config(store: &Store, browsers: &Arc<CertifiedKey>) -> Result<ServerConfig, StoreError> {
    let (chain, key) = store.identity().leaf();
    let by_name = ByName { phones: certified((vec![chain], key))?, browsers: Arc::clone(browsers) };
    identity::tls_by(Arc::new(by_name)).map_err(damaged)
}

/// Keeps keys and certificates as they should be until the server stops. What fails is told, and tried again: what was
/// shown before is still shown.
pub(crate) async fn kept(store: Arc<Store>, tls: Option<Tls>, mut stop: watch::Receiver<bool>) {
    let (mut looked, mut written) = (Instant::now(), tls.as_ref().and_then(Tls::written));
    let mut told = String::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let due = looked.elapsed() >= FILES_EVERY;
        if due {
            looked = Instant::now();
        }
        let now = tls.as_ref().and_then(Tls::written);
        let (store, tls) = (Arc::clone(&store), tls.clone());
        let again = due || now != written;
        let done = tokio::task::spawn_blocking(move || {
            let changed = store.keep_identity()?;
            match &tls {
                Some(tls) if changed || again => tls.again(&store)?,
                _ => {}
            }
            Ok::<_, StoreError>(changed)
        });
        let wrong = match done.await {
            Ok(Ok(changed)) => {
                written = now;
                if changed {
                    tracing::info!("keys or certificates were renewed");
                }
                String::new()
            }
            Ok(Err(error)) => failure(Language::English, &error),
            Err(error) => error.to_string(),
        };
        // It is tried again and again, and told once.
        if !wrong.is_empty() && (wrong != told || due) {
            tracing::error!(error = wrong, "keys and certificates cannot be kept");
        }
        told = wrong;
    }
}

#[cfg(test)]
mod tests;
