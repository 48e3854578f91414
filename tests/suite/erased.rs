//! A revoked phone hands in its work and erases itself, on nothing but its own server's signed word.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::{ErrorKind, Fieldbook, NewRecord, Progress, SyncListener};
use fieldbook_core::ports::{KeyVault, VaultError};
use fieldbook_core::store::ListFilter;
use fieldbook_tests::demo::secrets::files_with;
use fieldbook_tests::phone::FileVault;
use serde_json::json;

use super::inside::{Fault, Inside, close, noise, sync_once};
use super::office::{NOTE, Phone, id};

const NAME: &str = "才让卓玛";
/// Bytes that no file would have by chance.
const PIECE: usize = 32;
/// There while an erasing is not finished.
const MARK: &str = "fieldbook.erased";

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { found.extend(files(&entry)) } else { found.push(entry) }
    }
    found
}

/// Every piece of every file in the phone's folder, its vault's secrets included.
fn pieces(home: &Path) -> HashSet<[u8; PIECE]> {
    // What lies beside the database to share it between processes holds page numbers and no content.
    let files = files(home).into_iter().filter(|file| !file.to_string_lossy().ends_with("-shm"));
    let bytes = files.flat_map(|file| std::fs::read(file).unwrap().as_chunks::<PIECE>().0.to_vec());
    let pieces: HashSet<[u8; PIECE]> = bytes.filter(|piece| piece.iter().any(|byte| *byte != 0)).collect();
    assert!(pieces.len() > 1_000, "only {} pieces: nothing would be proved", pieces.len());
    pieces
}

/// No byte of what was there is there.
fn holds_nothing_of(home: &Path, pieces: &HashSet<[u8; PIECE]>) {
    assert_eq!(files_with(home, &[NAME]).unwrap(), Vec::<String>::new());
    for file in files(home) {
        let bytes = std::fs::read(&file).unwrap();
        let found =
            bytes.windows(PIECE).any(|window| <[u8; PIECE]>::try_from(window).is_ok_and(|w| pieces.contains(&w)));
        assert!(!found, "{} holds bytes of before", file.display());
    }
}

fn revoke(world: &Inside) {
    let device = world.store.devices().unwrap().into_iter().find(|device| device.revoked_ms.is_none()).unwrap();
    assert!(world.store.revoke_device(device.id).unwrap());
}

/// A phone with work that is on the server, and one user.
fn worked() -> (Inside, Phone) {
    let world = Inside::new();
    let phone = world.phone("a", "duojie");
    for number in 0..40 {
        phone.create(NOTE, Some(id(number)), json!({ "title": NAME, "remark": format!("第{number}户") }));
    }
    phone.sync();
    (world, phone)
}

fn refuses_everything(phone: &Phone) {
    let book = &phone.book;
    let record = NewRecord { id: None, values: json!({ "title": NAME }), submit: false };
    let kinds = [
        book.status().map(|_| ()).unwrap_err().kind,
        book.kinds().map(|_| ()).unwrap_err().kind,
        book.list(NOTE, &ListFilter::default(), None, 10).map(|_| ()).unwrap_err().kind,
        book.search(NAME, 10).map(|_| ()).unwrap_err().kind,
        book.record(id(1)).map(|_| ()).unwrap_err().kind,
        book.not_taken(0, 10).map(|_| ()).unwrap_err().kind,
        book.drafts().map(|_| ()).unwrap_err().kind,
        book.import(NOTE, &[record]).map(|_| ()).unwrap_err().kind,
        book.open_form(NOTE, Some(id(2))).map(|_| ()).unwrap_err().kind,
        sync_once(phone).unwrap_err().kind,
    ];
    assert_eq!(kinds, [ErrorKind::Revoked; 10]);
}

/// The folder opens as an empty phone that says why, and may be enrolled.
fn begins_anew(world: &Inside) -> Phone {
    let phone = world.at("a");
    let status = phone.book.status().unwrap();
    assert!(status.revoked && status.enrolment.is_none());
    assert!(phone.book.kinds().unwrap().is_empty() && phone.book.drafts().unwrap().is_empty());
    assert_eq!(sync_once(&phone).unwrap_err().kind, ErrorKind::Revoked);
    assert!(!phone.home.join(MARK).exists());
    phone
}

#[test]
fn a_revoked_phone_hands_in_its_work_then_erases_itself() {
    let (world, phone) = worked();
    let mut seed = 3;
    for number in 0..40 {
        phone.set(id(number), "remark", noise(&mut seed, 1_500));
        phone.set(id(number), "phone", format!("13900{number:06}"));
    }
    // What an earlier salvage had set aside is of the same store.
    std::fs::copy(phone.home.join("fieldbook.db"), phone.home.join("fieldbook.damaged-1.db")).unwrap();
    let form = phone.book.open_form(NOTE, Some(id(1))).unwrap();
    form.set("title", &json!("没写完")).unwrap();
    let before = pieces(&phone.home);
    revoke(&world);

    // The line breaks with half of it sent: nothing is erased.
    let whole = {
        world.line.break_after(0, Fault::CutUp(60_000));
        world.line.carried();
        assert_eq!(sync_once(&phone).unwrap_err().kind, ErrorKind::Network);
        world.line.carried()[0].up.iter().sum::<usize>()
    };
    assert!(whole > 100_000, "{whole} bytes are one exchange's share");
    let apart = world.count("SELECT count(*) FROM quarantine");
    assert!(apart > 0 && apart < 80, "{apart}");
    assert_eq!(phone.record(id(39)).values["phone"], "13900000039");

    let error = sync_once(&phone).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Revoked, "{error:?}");
    assert!(!error.detail.contains("erasing"), "{error:?}");
    assert_eq!(world.count("SELECT count(*) FROM quarantine"), 80, "each save, once");
    // Also what builds on another save: admitting one of a lost phone must not bring in the other by itself.
    assert_eq!(world.count("SELECT count(*) FROM quarantine WHERE reason = 'revoked'"), 80);
    holds_nothing_of(&phone.home, &before);
    assert_eq!(files(&phone.home), [phone.home.join(MARK)]);
    refuses_everything(&phone);
    assert_eq!(form.set("title", &json!("还在写")).unwrap_err().kind, ErrorKind::Revoked);
    drop(form);
    close(phone);
    assert_eq!(files(&world.home("a")), [world.home("a").join(MARK)]);

    let phone = begins_anew(&world);
    holds_nothing_of(&phone.home, &before);
    phone.book.enrol(&world.link("duojie"), "found again").unwrap();
    phone.sync();
    assert!(!phone.book.status().unwrap().revoked);
    assert_eq!(phone.record(id(7)).values["remark"], "第7户");
    world.verify();
}

#[test]
fn a_revoked_phone_with_nothing_to_send_erases_itself_at_once() {
    let (world, phone) = worked();
    let before = pieces(&phone.home);
    revoke(&world);
    world.line.carried();
    assert_eq!(sync_once(&phone).unwrap_err().kind, ErrorKind::Revoked);
    assert_eq!(world.line.carried().len(), 1);
    holds_nothing_of(&phone.home, &before);
    refuses_everything(&phone);
    close(phone);
    begins_anew(&world);
}

/// Saves once, as soon as it hears anything.
struct SavesMeanwhile(Arc<Fieldbook>, AtomicBool);

impl SyncListener for SavesMeanwhile {
    fn progress(&self, _: Progress) {
        if !self.1.swap(true, Relaxed) {
            let record = NewRecord { id: None, values: json!({ "title": NAME }), submit: false };
            self.0.import(NOTE, &[record]).unwrap().remove(0).unwrap();
        }
    }
}

#[test]
fn what_is_saved_during_the_last_exchange_is_handed_in_too() {
    let (world, phone) = worked();
    revoke(&world);
    let listener = SavesMeanwhile(Arc::clone(&phone.book), AtomicBool::new(false));
    assert_eq!(phone.book.sync(&listener, &CancelFlag::default()).unwrap_err().kind, ErrorKind::Revoked);
    assert!(listener.1.load(Relaxed));
    assert_eq!(world.count("SELECT count(*) FROM quarantine"), 1);
    assert!(!phone.home.join("fieldbook.db").exists());
}

#[test]
fn a_word_that_the_server_did_not_sign_erases_nothing() {
    let (world, phone) = worked();
    phone.set(id(1), "remark", "未发送");
    for _ in 0..2 {
        world.line.break_after(0, Fault::FalselyRevoked);
        assert_eq!(sync_once(&phone).unwrap_err().kind, ErrorKind::ServerIdentity);
        assert_eq!(phone.record(id(1)).values["remark"], "未发送");
        assert!(!phone.book.status().unwrap().revoked && !phone.home.join(MARK).exists());
    }
    phone.sync();
    assert_eq!(phone.book.status().unwrap().store.outbox_changes, 0);
}

/// A vault that gives nothing up while it is locked.
struct Locked(FileVault, AtomicBool);

impl KeyVault for Locked {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        self.0.load(name)
    }
    fn store(&self, name: &str, secret: &[u8]) -> Result<(), VaultError> {
        self.0.store(name, secret)
    }
    fn remove(&self, name: &str) -> Result<(), VaultError> {
        if self.1.load(Relaxed) { Err(VaultError { reason: "locked".to_owned() }) } else { self.0.remove(name) }
    }
}

#[test]
fn what_could_not_be_erased_is_at_the_next_opening() {
    let (world, phone) = worked();
    let home = phone.home.clone();
    let before = pieces(&home);
    close(phone);
    let vault = Arc::new(Locked(FileVault::new(&home.join("vault")), AtomicBool::new(true)));
    let book = world.open_with("a", vault.clone()).unwrap();
    let phone = Phone { home: home.clone(), book };
    revoke(&world);
    let error = sync_once(&phone).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Revoked);
    assert!(error.detail.contains("locked"), "{error:?}");
    assert!(!home.join("fieldbook.db").exists(), "the files go whatever the vault says");
    refuses_everything(&phone);
    close(phone);
    assert!(world.open_with("a", vault.clone()).unwrap_err().detail.contains("locked"));
    vault.1.store(false, Relaxed);
    drop(world.open_with("a", vault).unwrap());
    holds_nothing_of(&home, &before);
    begins_anew_after_one_opening(&world);
}

/// As [`begins_anew`], where the mark is gone already.
fn begins_anew_after_one_opening(world: &Inside) {
    assert!(!world.home("a").join(MARK).exists());
    assert!(world.at("a").book.status().unwrap().revoked);
}

#[test]
fn an_erasing_that_a_crash_interrupted_is_finished() {
    let (world, phone) = worked();
    let home = phone.home.clone();
    let before = pieces(&home);
    close(phone);
    std::fs::write(home.join(MARK), []).unwrap();
    // Once before the keys went, once behind that.
    for gone in [None, Some("vault/database-key")] {
        let copy = world.copy();
        if let Some(gone) = gone {
            std::fs::remove_file(copy.home("a").join(gone)).unwrap();
        }
        let phone = begins_anew(&copy);
        holds_nothing_of(&phone.home, &before);
        assert_eq!(phone.book.status().unwrap().store.on_server, 0);
    }
}
