//! What a phone must not do, and how it says so.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use fieldbook_tests::phone::FileVault;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ED25519};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use serde_json::{Value, json};

use super::{World, at_address, phone, said, visit};

/// A TLS server under a root of its own, for the name that every Fieldbook server has. Yields how many bytes of
/// application data it was sent on its first connection.
fn impostor() -> (String, JoinHandle<usize>) {
    let root_key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::new(root, root_key);
    let leaf_key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut leaf = CertificateParams::new(vec!["fieldbook".to_owned()]).unwrap();
    leaf.distinguished_name.push(DnType::CommonName, "fieldbook");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        let mut received = 0;
        // Until the phone hangs up or sends its alert.
        while tls.complete_io(&mut stream).is_ok_and(|(read, _)| read > 0) {
            let mut bytes = [0; 4096];
            received += tls.reader().read(&mut bytes).unwrap_or(0);
        }
        received
    });
    (address, served)
}

/// Answers whatever comes with `answer`, once.
fn plain_server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes);
        let _ = stream.write_all(answer);
    });
    address
}

#[test]
fn with_another_certificate_on_the_same_address_nothing_is_sent() {
    let world = World::start();
    let (address, served) = impostor();
    let home = world.home("a");
    let output = phone(&home, &["enrol", &at_address(&world.link("duojie"), &address)]);
    assert!(!output.status.success());
    assert!(said(&output).contains("server_identity"), "{}", said(&output));
    assert_eq!(served.join().unwrap(), 0, "application data went to a server that the link did not name");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolled_phone_sends_nothing_to_an_impostor_and_keeps_its_work() {
    let world = World::start();
    let (address, served) = impostor();
    // A line of our own, which later leads somewhere else: the server's address was taken over.
    let phone_a = world.phone("duojie").await;
    phone_a.sync().await.unwrap();
    phone_a.feed(&["import", "visit"], &[json!({ "values": visit("一") }).to_string()]).await.unwrap();
    let taken = phone_a.line.address();
    let home = phone_a.home.clone();
    drop(phone_a);
    let listener = retake(taken);
    let forward = std::thread::spawn(move || {
        let (mut from_phone, _) = listener.accept().unwrap();
        let mut to_impostor = std::net::TcpStream::connect(address).unwrap();
        let (mut back, mut out) = (to_impostor.try_clone().unwrap(), from_phone.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back, &mut out));
        let _ = std::io::copy(&mut from_phone, &mut to_impostor);
        let _ = to_impostor.shutdown(std::net::Shutdown::Both);
    });
    let output = phone(&home, &["sync"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("server_identity"), "{}", said(&output));
    forward.join().unwrap();
    assert_eq!(served.join().unwrap(), 0);
    let status = phone(&home, &["status"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["outbox_changes"], 1);
}

/// Listens where a proxy listened that is being dropped.
fn retake(address: std::net::SocketAddr) -> TcpListener {
    for _ in 0..500 {
        if let Ok(listener) = TcpListener::bind(address) {
            return listener;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{address} stays taken");
}

#[test]
fn what_is_no_server_of_ours_is_named_as_such() {
    let world = World::start();
    let link = world.link("duojie");
    for (index, answer) in [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".as_slice(), b"\x00\xff\x13garbage", b""]
        .into_iter()
        .enumerate()
    {
        let address = plain_server(answer);
        let output = phone(&world.home(&format!("p{index}")), &["enrol", &at_address(&link, &address)]);
        assert!(!output.status.success());
        let said = said(&output);
        assert!(said.contains("server_identity") || said.contains("network"), "{said}");
        assert!(said.contains(&address), "{said}");
    }
    // Nobody there at all: the code is still good afterwards.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = phone(&world.home("a"), &["enrol", &at_address(&link, &gone)]);
    assert!(said(&output).contains("network"), "{}", said(&output));
    assert!(phone(&world.home("a"), &["enrol", &link]).status.success());
}

#[test]
fn a_code_works_once_and_a_text_that_is_no_link_is_refused() {
    let world = World::start();
    let link = world.link("duojie");
    assert!(phone(&world.home("a"), &["enrol", &link]).status.success());
    let again = phone(&world.home("b"), &["enrol", &link]);
    assert!(!again.status.success());
    assert!(said(&again).contains("refused") && said(&again).contains("expired"), "{}", said(&again));
    for bad in ["https://example.org", "fieldbook://host/enrol?pin=x&code=y", &link[..link.len() - 3]] {
        let output = phone(&world.home("b"), &["enrol", bad]);
        assert!(said(&output).contains("bad_input"), "{bad}: {}", said(&output));
    }
    let twice = phone(&world.home("a"), &["enrol", &world.link("maxiuying")]);
    assert!(said(&twice).contains("多杰"), "{}", said(&twice));
    let before = phone(&world.home("c"), &["sync"]);
    assert!(said(&before).contains("not_enrolled"), "{}", said(&before));
}

#[test]
fn with_its_clock_at_2010_it_syncs_and_says_that_the_clock_is_wrong() {
    let world = World::start();
    let home = world.home("a");
    assert!(phone(&home, &["enrol", &world.link("duojie")]).status.success());
    let output = std::process::Command::new(fieldbook_tests::demo::stage::program("fieldbook-phone").unwrap())
        .env("FIELDBOOK_CLOCK", "2010-01-01T00:00:00Z")
        .args(["--lang", "en", "--home"])
        .arg(&home)
        .args(["sync", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["clock_warning"].as_str().unwrap().contains("days"), "{report}");
    assert!(said(&output).contains("clock"), "{}", said(&output));
    let right: Value = serde_json::from_slice(&phone(&home, &["sync", "--json"]).stdout).unwrap();
    assert_eq!(right["clock_warning"], Value::Null);
}

#[test]
fn a_revoked_phone_is_told_and_is_empty_afterwards() {
    let world = World::start();
    let home = world.home("a");
    assert!(phone(&home, &["enrol", &world.link("duojie")]).status.success());
    assert!(phone(&home, &["sync"]).status.success());
    let listed = world.server.administer(&["device", "list"]).unwrap();
    let device = listed.split_whitespace().find(|word| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit()));
    world.server.administer(&["device", "revoke", device.unwrap_or_else(|| panic!("no device in {listed}"))]).unwrap();
    for _ in 0..2 {
        let output = phone(&home, &["sync"]);
        assert!(!output.status.success());
        assert!(said(&output).contains("revoked"), "{}", said(&output));
    }
    let status: Value = serde_json::from_slice(&phone(&home, &["status"]).stdout).unwrap();
    assert_eq!((&status["revoked"], &status["enrolment"]), (&json!(true), &Value::Null), "{status}");
    assert!(!home.join("vault/device-key").exists());
    assert!(phone(&home, &["enrol", &world.link("duojie")]).status.success());
    assert!(phone(&home, &["sync"]).status.success());
}

#[test]
fn a_wrong_key_opens_nothing() {
    let world = World::start();
    let home = world.home("a");
    assert!(phone(&home, &["enrol", &world.link("duojie")]).status.success());

    let vault = home.join("vault/database-key");
    let key = std::fs::read(&vault).unwrap();
    let mut wrong = key.clone();
    wrong[31] ^= 1;
    std::fs::write(&vault, &wrong).unwrap();
    let output = phone(&home, &["status"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("wrong_key"), "{}", said(&output));
    // Nor does a new key take the place of a lost one.
    std::fs::remove_file(&vault).unwrap();
    assert!(said(&phone(&home, &["status"])).contains("wrong_key"));
    assert!(!vault.exists());
    std::fs::write(&vault, &key).unwrap();
    assert!(phone(&home, &["status"]).status.success());
    // The file vault is what holds the key.
    let stored = fieldbook_core::ports::KeyVault::load(&FileVault::new(&home.join("vault")), "database-key");
    assert_eq!(stored.unwrap().unwrap(), key);
}
