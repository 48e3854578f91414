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
    tls.again(store).unwrap();
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

/// A pair of files as an authority gives them, good between these days of 2026.
fn files_of(folder: &Path, host: &str, months: (u8, u8)) -> Files {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2026, months.0, 1), date_time_ymd(2026, months.1, 1));
    let (certificate, secret) = (folder.join("a.crt"), folder.join("a.key"));
    std::fs::write(&certificate, pem("CERTIFICATE", params.self_signed(&key).unwrap().der())).unwrap();
    std::fs::write(&secret, pem("PRIVATE KEY", &key.serialize_der())).unwrap();
    (certificate, secret)
}

#[test]
fn the_operators_files_are_looked_at_before_browsers_do() {
    let (server, folder) = (TestServer::new(), tempfile::tempdir().unwrap());
    let store = &server.store;
    store.set_setting("address", "sync.example.cn:8443").unwrap();
    let word = |files: &Files| match (look_at(store, Some(files)), Tls::of_server(store, Some(files.clone()))) {
        (Err(StoreError::Problem(problem)), Err(StoreError::Problem(again))) => {
            assert_eq!(problem.word, again.word, "the server does not start on it either");
            problem.word
        }
        (looked, _) => panic!("{looked:?}"),
    };
    let files = files_of(folder.path(), "sync.example.cn", (2, 5));
    let shown = look_at(store, Some(&files)).unwrap().unwrap();
    assert!(shown.is_for_host);
    assert_eq!((shown.from_ms, shown.until_ms), (1_769_904_000_000, 1_777_593_600_000));
    Tls::of_server(store, Some(files.clone())).unwrap();
    store.set_setting("address", "other.example.cn:8443").unwrap();
    assert!(!look_at(store, Some(&files)).unwrap().unwrap().is_for_host);

    let other = tempfile::tempdir().unwrap();
    let mixed = (files.0.clone(), files_of(other.path(), "sync.example.cn", (2, 5)).1);
    assert_eq!(word(&mixed), "certificate_other_key");
    std::fs::write(&mixed.1, "no key").unwrap();
    assert_eq!(word(&mixed), "certificate_unusable");
    std::fs::write(&files.0, "").unwrap();
    assert_eq!(word(&files), "certificate_none");
    std::fs::write(&files.0, pem("CERTIFICATE", b"junk")).unwrap();
    assert_eq!(word(&files), "certificate_unusable");
    std::fs::remove_file(&files.0).unwrap();
    assert_eq!(word(&files), "certificate_unusable");
}

#[test]
fn phones_do_not_wait_for_a_certificate_of_browsers() {
    let (server, folder) = (TestServer::new(), tempfile::tempdir().unwrap());
    let store = &server.store;
    store.set_setting("address", "sync.example.cn:8443").unwrap();
    let files = files_of(folder.path(), "sync.example.cn", (2, 5));
    let tls = Tls::of_server(store, Some(files.clone())).unwrap();
    std::fs::write(&files.0, "half of it").unwrap();
    let before = store.identity().leaf_pem().0;
    server.clock.0.fetch_add(340 * DAY_MS, std::sync::atomic::Ordering::SeqCst);
    assert!(store.keep_identity().unwrap());
    assert_ne!(store.identity().leaf_pem().0, before);
    tls.again(store).unwrap_err();
    let pinned = fieldbook_core::net::tls_config(&store.identity().root_public()).unwrap();
    let phone = shown(&tls, Arc::unwrap_or_clone(pinned), TLS_NAME).unwrap();
    assert_eq!(pem("CERTIFICATE", &phone), store.identity().leaf_pem().0, "renewed all the same");
}

#[test]
fn what_a_clock_that_ran_ahead_made_is_made_anew() {
    let server = TestServer::new();
    let (store, clock) = (&server.store, &server.clock.0);
    let order = std::sync::atomic::Ordering::SeqCst;
    let now_ms = clock.load(order);
    clock.store(now_ms + 4_000 * DAY_MS, order);
    assert!(store.keep_identity().unwrap());
    Tls::of_server(store, None).unwrap();
    store.office_root_pem().unwrap();
    clock.store(now_ms, order);
    assert!(store.keep_identity().unwrap(), "phones'");
    assert!(store.identity().leaf_until_ms() < now_ms + 400 * DAY_MS);
    Tls::of_server(store, None).unwrap();
    let shown = look_at(store, None).unwrap().unwrap();
    assert!((shown.from_ms..shown.until_ms).contains(&now_ms), "browsers'");
    let root = store.office_root_pem().unwrap();
    let root = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
    let (_, root) = x509_parser::parse_x509_certificate(&root).unwrap();
    assert!(root.validity().not_before.timestamp() * 1000 < now_ms, "and the authority that vouches for it");
    assert!(!store.keep_identity().unwrap());
}
