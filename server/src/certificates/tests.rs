use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, ServerConnection, SignatureScheme};

use super::*;
use crate::testing::TestServer;

/// A handshake in memory; the chain that the client was shown, or why it was refused.
fn shown(server: &Tls, client: ClientConfig, name: &str) -> Result<Vec<u8>, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(server.now()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(client.peer_certificates().unwrap()[0].to_vec())
}

/// A browser that trusts this root only, and looks at dates, names and kinds of keys as browsers do.
fn browser(root_pem: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

#[test]
fn phones_get_the_pinned_certificate_and_browsers_one_that_they_know() {
    let server = TestServer::new();
    let store = &server.store;
    let now_ms = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    server.clock.0.store(i64::try_from(now_ms).unwrap(), std::sync::atomic::Ordering::SeqCst);
    store.set_setting("address", "sync.example.cn:8443").unwrap();
    let tls = Tls::of_server(store, None).unwrap();
    let pinned = fieldbook_core::net::tls_config(&store.identity().root_public()).unwrap();
    let phone = shown(&tls, Arc::unwrap_or_clone(pinned), TLS_NAME).unwrap();
    let office = store.office_root_pem().unwrap();
    let seen = shown(&tls, browser(&office), "sync.example.cn").unwrap();
    assert_ne!(phone, seen);
    shown(&tls, browser(&office), "other.example.cn").unwrap_err();
    assert_eq!(
        shown(&Tls::of_server(store, None).unwrap(), browser(&office), "sync.example.cn").unwrap(),
        seen,
        "kept"
    );

    // Another address needs another certificate, by the same root.
    store.set_setting("address", "192.0.2.7:8443").unwrap();
    tls.put(config(store, None).unwrap());
    shown(&tls, browser(&office), "192.0.2.7").unwrap();
}

#[test]
fn the_operators_own_certificate_is_shown_and_a_file_that_is_none_is_named() {
    let server = TestServer::new();
    let folder = tempfile::tempdir().unwrap();
    let files = (folder.path().join("a.crt"), folder.path().join("a.key"));
    let made = rcgen::generate_simple_self_signed(vec!["sync.example.cn".to_owned()]).unwrap();
    std::fs::write(&files.0, made.cert.pem()).unwrap();
    std::fs::write(&files.1, made.signing_key.serialize_pem()).unwrap();
    let tls = Tls::of_server(&server.store, Some(files.clone())).unwrap();
    let mut client = browser(&server.store.office_root_pem().unwrap());
    client.dangerous().set_certificate_verifier(Arc::new(Anybody));
    assert_eq!(shown(&tls, client, "sync.example.cn").unwrap(), made.cert.der().to_vec());
    std::fs::write(&files.1, "no key").unwrap();
    match Tls::of_server(&server.store, Some(files)) {
        Err(StoreError::Problem(problem)) => assert_eq!(problem.word, "certificate_unusable"),
        _ => panic!("taken"),
    }
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
