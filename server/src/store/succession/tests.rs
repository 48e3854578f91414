use std::sync::atomic::Ordering;

use fieldbook_core::access::Role;
use fieldbook_core::protocol::EntryBody;
use fieldbook_core::sync::signing;

use super::*;
use crate::store::{BackupKey, Database};
use crate::testing::TestServer;

fn word<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> &'static str {
    match answer {
        Err(StoreError::Problem(problem)) => problem.word,
        other => panic!("no problem but {other:?}"),
    }
}

/// What the topmost unit's general feed says of roots.
fn announced(store: &Store) -> Vec<([u8; 32], [u8; 64])> {
    let bodies = store.read(|tx| {
        let mut listed = tx.prepare("SELECT body FROM entries ORDER BY feed, position")?;
        Ok(listed.query_map((), |row| row.get::<Vec<u8>>(0))?.collect::<Result<Vec<_>, _>>()?)
    });
    let root = |body: Vec<u8>| match from_cbor::<EntryBody>(&body) {
        Some(EntryBody::Notice(Notice::Root { root, signature })) => Some((root, signature)),
        _ => None,
    };
    bodies.unwrap().into_iter().filter_map(root).collect()
}

#[test]
fn a_successor_waits_for_its_day_and_for_a_backup_and_another_process_takes_it_up() {
    let server = TestServer::new();
    let (store, folder) = (&server.store, tempfile::tempdir().unwrap());
    let pass = |ms: i64| server.clock.0.fetch_add(ms, Ordering::SeqCst);
    let (before, log) = (store.identity(), store.log());
    assert_eq!(word(store.take_over(true)), "no_succession");
    let next = store.announce_root(30).unwrap();
    assert_eq!(word(store.announce_root(1)), "succession_waits");
    let (root, signature) = announced(store)[0];
    assert_eq!(root, next.root);
    assert!(signing::root_is_announced(&before.root_public(), log, &root, &signature));
    assert!(!signing::root_is_announced(&root, log, &root, &signature), "by the present root alone");

    pass(29 * DAY_MS);
    assert!(!store.keep_identity().unwrap());
    pass(2 * DAY_MS);
    assert!(!store.keep_identity().unwrap(), "no backup holds it");
    assert_eq!(word(store.take_over(true)), "backup_first");
    assert_eq!(store.identity().root_public(), before.root_public());
    // A clock that stands in the past says nothing about what a backup holds.
    pass(-40 * DAY_MS);
    store.backup(&folder.path().join("a.age"), &BackupKey::generate().recipient()).unwrap();
    pass(40 * DAY_MS);
    assert!(store.keep_identity().unwrap());
    assert_eq!(store.identity().root_public(), root);
    assert_eq!(store.identity().signing().as_bytes(), before.signing().as_bytes(), "what signs heads stays");
    assert!(store.succession().unwrap().is_none());
    assert!(!store.keep_identity().unwrap(), "nothing is left to do");
}

#[test]
fn devices_that_were_not_sent_it_are_named_and_only_left_behind_where_that_is_said() {
    let server = TestServer::new();
    let (store, folder) = (&server.store, tempfile::tempdir().unwrap());
    store.add_user("a", "a", &[Role::Field], Some("u1")).unwrap();
    let code = store.new_enrolment("u1", 1).unwrap().code;
    let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
    let device = crate::exchange::enrol(store, &crate::testing::enrolment(&code, &key)).unwrap().device;
    let next = store.announce_root(0).unwrap();
    assert_eq!(next.unaware.iter().map(|device| device.id).collect::<Vec<_>>(), [device]);
    server.clock.0.fetch_add(1, Ordering::SeqCst);
    store.backup(&folder.path().join("a.age"), &BackupKey::generate().recipient()).unwrap();
    assert_eq!(word(store.take_over(false)), "devices_unaware");
    server.clock.0.fetch_add(400 * DAY_MS, Ordering::SeqCst);
    let before = store.identity().root_public();
    store.keep_identity().unwrap();
    assert_eq!(store.identity().root_public(), before, "a clock that ran ahead leaves nobody behind");
    store.revoke_device(device).unwrap();
    store.take_over(false).unwrap();
    assert_eq!(store.identity().root_public(), next.root);
}

#[test]
fn the_certificate_is_renewed_before_its_end_under_the_same_keys() {
    let server = TestServer::on(Database::Embedded(None));
    let store = &server.store;
    let before = store.identity();
    server.clock.0.fetch_add(330 * DAY_MS, Ordering::SeqCst);
    assert!(!store.keep_identity().unwrap());
    server.clock.0.fetch_add(10 * DAY_MS, Ordering::SeqCst);
    assert!(store.keep_identity().unwrap());
    let after = store.identity();
    assert_ne!(after.leaf_pem().0, before.leaf_pem().0);
    assert_eq!((after.leaf_pem().1, after.root_public()), (before.leaf_pem().1, before.root_public()));
    assert!(after.leaf_until_ms() > store.now_ms() + 390 * DAY_MS);
}
