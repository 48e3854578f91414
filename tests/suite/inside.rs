//! Real phones and the real server's store in one process. What carries the bytes between them is in the test's hand:
//! cut, doubled, rewritten, counted.

mod line;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fieldbook_core::access::{Role, Unit};
use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::system::SystemRandom;
use fieldbook_core::client::{ClientError, Fieldbook, Language, Ports};
use fieldbook_core::ports::{Clock, KeyVault};
use fieldbook_core::store::SystemDisk;
use fieldbook_server::store::Store;
use fieldbook_tests::phone::FileVault;
use tempfile::TempDir;

pub(crate) use line::{Carried, Fault, Line};

use super::office::{Phone, note_form};

/// Township of the phones' users.
pub(crate) const TOWN: &str = "632323100";

/// Goes on by a millisecond whenever it is asked, and pauses without waiting.
#[derive(Default)]
struct Quick(AtomicU64);

impl Clock for Quick {
    fn now_ms(&self) -> i64 {
        1_790_000_000_000 + self.0.fetch_add(1, Relaxed) as i64
    }
    fn boot_ms(&self) -> u64 {
        self.0.load(Relaxed)
    }
    fn pause(&self, ms: u64) {
        self.0.fetch_add(ms, Relaxed);
    }
}

/// A folder with a server and phones.
pub(crate) struct Inside {
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<Store>,
    pub(crate) line: Line,
}

impl Inside {
    /// A server with one township, its users `duojie` and `maxiuying`, and the small form.
    pub(crate) fn new() -> Self {
        let world = Self::on(tempfile::tempdir().unwrap());
        for (code, parent) in [("632323", None), (TOWN, Some("632323"))] {
            let unit = Unit {
                code: code.to_owned(),
                name: code.to_owned(),
                parent: parent.map(str::to_owned),
                division: None,
            };
            world.store.add_unit(&unit).unwrap();
        }
        for (login, name) in [("duojie", "多杰"), ("maxiuying", "马秀英")] {
            world.store.add_user(name, TOWN, &[Role::Field], Some(login)).unwrap();
        }
        world.store.publish_form(&note_form(1), None).unwrap();
        world
    }

    fn on(folder: TempDir) -> Self {
        let random = Arc::new(fieldbook_server::system::SystemRandom);
        let store = Store::open(&folder.path().join("server"), None, Arc::new(Quick::default()), random).unwrap();
        let store = Arc::new(store);
        Self { line: Line::to(&store), store, folder }
    }

    /// The same world in a folder of its own, as far as its parts have been closed.
    pub(crate) fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(self.folder.path(), folder.path());
        Self::on(folder)
    }

    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn open(&self, name: &str) -> Result<Arc<Fieldbook>, ClientError> {
        self.open_with(name, Arc::new(FileVault::new(&self.home(name).join("vault"))))
    }

    pub(crate) fn open_with(&self, name: &str, vault: Arc<dyn KeyVault>) -> Result<Arc<Fieldbook>, ClientError> {
        let ports = Ports {
            vault,
            clock: Arc::new(Quick::default()),
            random: Arc::new(SystemRandom::new()),
            disk: Arc::new(SystemDisk),
            network: Arc::new(self.line.clone()),
        };
        Fieldbook::open_with(&self.home(name), ports, Language::English)
    }

    /// The phone in the folder `name`.
    pub(crate) fn at(&self, name: &str) -> Phone {
        Phone { home: self.home(name), book: self.open(name).unwrap() }
    }

    /// The process ends without saying goodbye, and a new one opens the same folder.
    pub(crate) fn again(&self, phone: Phone) -> Phone {
        let Phone { home, book } = phone;
        assert_eq!(Arc::strong_count(&book), 1, "a form is still held");
        drop(book);
        self.at(home.file_name().unwrap().to_str().unwrap())
    }

    pub(crate) fn link(&self, login: &str) -> String {
        let code = self.store.new_enrolment(login, 1).unwrap().code;
        fieldbook_server::link::enrolment("127.0.0.1:1", &self.store.identity().root_public(), &code)
    }

    /// A new phone in the folder `name`, enrolled, with the forms.
    pub(crate) fn phone(&self, name: &str, login: &str) -> Phone {
        let phone = self.at(name);
        phone.book.enrol(&self.link(login), name).unwrap();
        phone.sync();
        phone
    }

    /// One number that the server's database answers.
    pub(crate) fn count(&self, sql: &str) -> u64 {
        self.store.read(|tx| Ok(tx.query_row(sql, (), |row| row.get(0))?)).unwrap()
    }

    /// Hashes that a column of the server's database holds, hexadecimal.
    pub(crate) fn hashes(&self, sql: &str) -> std::collections::BTreeSet<String> {
        let read = self.store.read(|tx| {
            let mut statement = tx.prepare(sql)?;
            Ok(statement.query_map((), |row| row.get::<[u8; 32]>(0))?.collect::<Result<Vec<_>, _>>()?)
        });
        read.unwrap().iter().map(hex::encode).collect()
    }

    /// Every chain, body, signature and quarantined change on the server fits.
    pub(crate) fn verify(&self) {
        for check in self.store.verify().unwrap() {
            assert!(check.faults.is_empty(), "{}: {:?}", check.name, check.faults);
        }
    }
}

/// Says goodbye.
pub(crate) fn close(phone: Phone) {
    phone.book.close().unwrap();
}

/// A sync that a broken line ends at once.
pub(crate) fn sync_once(phone: &Phone) -> Result<(), ClientError> {
    phone.book.sync(&(), &CancelFlag::default()).map(|_| ())
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Text that does not compress, the same in every run: each call goes on from `seed`.
pub(crate) fn noise(seed: &mut u64, chars: usize) -> String {
    let mut next = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from_u32(0x4e00 + ((*seed >> 33) % 20_000) as u32).unwrap()
    };
    (0..chars).map(|_| next()).collect()
}
