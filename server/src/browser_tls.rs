//! TLS for browsers, beside that for phones: on one port, each gets the certificate that it can check.
//!
//! No browser takes the Ed25519 certificate that phones pin; they say so in their first message, and get one of P-256 that
//! certifies itself, kept in the encrypted database. An office adds it to its PCs once, or puts a proxy with a public
//! certificate in front.

use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureScheme};

use crate::sql::Connection;
use crate::store::{Store, StoreError, meta, set_meta};

/// Key of `meta`: the browsers' private key, PKCS #8.
const KEY: &str = "browser_key";
/// Key of `meta`: its certificate.
const CERTIFICATE: &str = "browser_certificate";
/// Key of `meta`: the names in it.
const NAMES: &str = "browser_names";
/// Who sits at the machine itself needs no address.
const ALWAYS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The host of `HOST:PORT`; none of an address that stands for all.
fn host(address: &str) -> Option<String> {
    let (host, _) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let all = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    (!host.is_empty() && !all).then(|| host.to_owned())
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::corrupt("browser certificate", error)
}

/// Key and certificate for these names: the stored ones, or new ones where the names are others.
fn load_or_make(tx: &Connection, names: &[String]) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let joined = names.join(",");
    let stored = (meta(tx, KEY)?, meta(tx, CERTIFICATE)?, meta(tx, NAMES)?);
    if let (Some(key), Some(certificate), Some(known)) = &stored
        && *known == joined.as_bytes()
    {
        return Ok((key.clone(), certificate.clone()));
    }
    let key = match stored.0 {
        Some(der) => KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ECDSA_P256_SHA256),
        None => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
    };
    let key = key.map_err(failed)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Fieldbook");
    let certificate = params.self_signed(&key).map_err(failed)?.der().to_vec();
    let der = key.serialize_der();
    set_meta(tx, KEY, &der)?;
    set_meta(tx, CERTIFICATE, &certificate)?;
    set_meta(tx, NAMES, joined.as_bytes())?;
    Ok((der, certificate))
}

/// Gives each client the certificate of the kind that it checks.
#[derive(Debug)]
struct ByClient {
    phones: Arc<dyn ResolvesServerCert>,
    browsers: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByClient {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.signature_schemes().contains(&SignatureScheme::ED25519) {
            self.phones.resolve(hello)
        } else {
            Some(Arc::clone(&self.browsers))
        }
    }
}

/// The server's TLS for phones and browsers, who reach it by the hosts of `addresses` (`HOST:PORT`).
///
/// # Errors
/// What the store, or rustls, said about the keys.
pub(crate) fn config(store: &Store, addresses: &[&str]) -> Result<ServerConfig, StoreError> {
    let mut names: Vec<String> = ALWAYS.iter().map(ToString::to_string).collect();
    names.extend(addresses.iter().filter_map(|address| host(address)));
    names.sort();
    names.dedup();
    let (key, certificate) = store.write(|tx| load_or_make(tx, &names))?;
    let mut config = store.identity().tls().map_err(failed)?;
    let key = any_ecdsa_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key))).map_err(failed)?;
    let browsers = Arc::new(CertifiedKey::new(vec![CertificateDer::from(certificate)], key));
    config.cert_resolver = Arc::new(ByClient { phones: Arc::clone(&config.cert_resolver), browsers });
    Ok(config)
}

#[cfg(test)]
mod tests;
