use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, ServerConnection, SignatureScheme};

use super::{config, host};
use crate::testing::TestServer;

/// A client that takes every certificate and remembers it.
#[derive(Debug)]
struct Anything(Vec<SignatureScheme>, Mutex<Vec<u8>>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.1.lock().unwrap() = leaf.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// The certificate that a client with these signatures is shown, its signature checked.
fn shown(server: &TestServer, addresses: &[&str], schemes: Vec<SignatureScheme>) -> Vec<u8> {
    let verifier = Arc::new(Anything(schemes, Mutex::default()));
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::new(config(&server.store, addresses).unwrap())).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    verifier.1.lock().unwrap().clone()
}

#[test]
fn phones_get_what_they_pin_and_browsers_what_they_can_check() {
    let server = TestServer::new();
    let browser = vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256];
    let phone = [vec![SignatureScheme::ED25519], browser.clone()].concat();
    let for_phones = shown(&server, &[], phone);
    let for_browsers = shown(&server, &[], browser.clone());
    assert_ne!(for_phones, for_browsers);
    let pem = server.store.identity().leaf_pem().0;
    assert!(pem.contains(&base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &for_phones)[..40]));
    // The same one after a restart: an office adds it to its PCs once. Another address needs another one.
    assert_eq!(for_browsers, shown(&server, &[], browser.clone()));
    assert_ne!(for_browsers, shown(&server, &["fieldbook.example:8443"], browser));
}

#[test]
fn hosts_are_taken_from_addresses() {
    let cases = [
        ("10.0.0.5:8443", Some("10.0.0.5")),
        ("fieldbook.example:443", Some("fieldbook.example")),
        ("[2001:db8::1]:8443", Some("2001:db8::1")),
        ("0.0.0.0:8443", None),
        ("[::]:8443", None),
        ("nothing", None),
    ];
    for (address, wanted) in cases {
        assert_eq!(host(address).as_deref(), wanted, "{address}");
    }
}
