//! How a connection to PostgreSQL is kept from others: by TLS, unless it does not leave the machine.
//!
//! The address says it with libpq's word: `sslrootcert=FILE` names PEM certificates from which the database's own must
//! descend; it must also be for the host of the address, as with libpq's `sslmode=verify-full`. To another machine there
//! is no way without, and no weaker one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::postgres::config::{Host, SslMode};
use ::postgres::{Client, Config, NoTls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Error, Result};

/// The word of the address.
const ROOTS: &str = "sslrootcert";

/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// After so long without a sign from the database it is asked for one.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A connection to the database at `address`.
pub(super) fn connect(address: &str) -> Result<Client> {
    let (address, roots) = without_roots(address);
    let mut config: Config = address.parse()?;
    // A machine that is gone is noticed.
    config.connect_timeout(CONNECT_WAIT).keepalives_idle(SILENCE_MAX).tcp_user_timeout(SILENCE_MAX);
    if !crosses_a_network(&config) && roots.is_none() {
        return Ok(config.connect(NoTls)?);
    }
    if config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
        if crosses_a_network(&config) {
            return Err(Error::Mixed);
        }
        // The protocol has no TLS on a socket.
        return Ok(config.ssl_mode(SslMode::Disable).connect(NoTls)?);
    }
    let tls = verified(roots.ok_or(Error::InTheClear)?)?;
    Ok(config.ssl_mode(SslMode::Require).connect(MakeRustlsConnect::new(tls))?)
}

fn crosses_a_network(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    let named = |host: &Host| match host {
        Host::Unix(_) => false,
        Host::Tcp(name) => {
            let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            name != "localhost" && !address.is_ok_and(|address| address.is_loopback())
        }
    };
    if addresses.is_empty() {
        config.get_hosts().iter().any(named)
    } else {
        addresses.iter().any(|address| !address.is_loopback())
    }
}

fn verified(file: PathBuf) -> Result<ClientConfig> {
    let unusable = |detail: String| Error::Roots { path: file.clone(), detail };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&file).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| unusable(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The address without the word that the driver does not know, and what it says.
fn without_roots(address: &str) -> (String, Option<PathBuf>) {
    let is_url = address.contains("://");
    let separates = |letter: char| if is_url { "?&".contains(letter) } else { letter.is_whitespace() };
    let begins = |at: &usize| {
        let before = address[..*at].chars().next_back();
        let after = address[at + ROOTS.len()..].trim_start();
        (before.is_some_and(separates) || (before.is_none() && !is_url)) && after.starts_with('=')
    };
    let Some(start) = address.match_indices(ROOTS).map(|(at, _)| at).find(begins) else {
        return (address.to_owned(), None);
    };
    let value = address[start + ROOTS.len()..].trim_start().trim_start_matches('=');
    let value = if is_url { value } else { value.trim_start() };
    let (file, rest) = match value.strip_prefix('\'').filter(|_| !is_url) {
        Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
        None => value.split_at(value.find(separates).unwrap_or(value.len())),
    };
    let (before, rest) = (&address[..start], rest.trim_start_matches(separates));
    let before = if rest.is_empty() { before.trim_end_matches(separates) } else { before };
    (format!("{before}{rest}"), Some(PathBuf::from(file)))
}

#[cfg(test)]
mod tests;
