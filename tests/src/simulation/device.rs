//! A phone of a world: its disk, vault and clock, and the process that runs on them, if one does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fieldbook_core::access::{Area, Role};
use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::{ClientError, Fieldbook, FormHandle, Language, Ports, SyncReport};
use fieldbook_core::ids::RecordId;
use fieldbook_core::ports::{Clock, KeyVault, VaultError};
use fieldbook_core::protocol::Down;
use fieldbook_core::store::SystemDisk;
use fieldbook_core::sync::to_cbor;

use super::chance::{Chance, SeededRandom};
use super::disk::{Disk, Image, Unsynced};
use super::ether::Ether;
use super::hubs::With;
use super::model::Seen;
use super::net::{Air, Watch};
use super::tasks::{self, Task};
use super::township::hub_name;
use super::{Wrong, model};

/// Pauses of a process are waited for once they add up to this.
const PAUSE_STEP_MS: u64 = 500;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Secrets by name.
pub type Secrets = BTreeMap<String, Vec<u8>>;
/// Feeds that a device may read.
pub type Reach = Arc<Mutex<BTreeSet<(String, Area)>>>;

/// The vault as one process reaches it.
struct Vault {
    secrets: Arc<Mutex<Secrets>>,
    dead: Arc<AtomicBool>,
}

impl Vault {
    fn alive(&self) -> Result<(), VaultError> {
        if self.dead.load(Ordering::SeqCst) {
            Err(VaultError { reason: "the process died".to_owned() })
        } else {
            Ok(())
        }
    }
}

impl KeyVault for Vault {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        self.alive()?;
        Ok(locked(&self.secrets).get(name).cloned())
    }

    fn store(&self, name: &str, secret: &[u8]) -> Result<(), VaultError> {
        self.alive()?;
        locked(&self.secrets).insert(name.to_owned(), secret.to_vec());
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), VaultError> {
        self.alive()?;
        locked(&self.secrets).remove(name);
        Ok(())
    }
}

/// A phone's clock: the true time, shifted.
pub struct DeviceClock {
    ether: Arc<Ether>,
    /// Ahead of the true time, milliseconds.
    pub ahead_ms: AtomicI64,
    /// True time of the last boot.
    pub booted_ms: AtomicI64,
    owed_ms: AtomicU64,
    dead: Arc<AtomicBool>,
}

impl Clock for DeviceClock {
    fn now_ms(&self) -> i64 {
        self.ether.now_ms() + self.ahead_ms.load(Ordering::SeqCst)
    }

    fn boot_ms(&self) -> u64 {
        (self.ether.now_ms() - self.booted_ms.load(Ordering::SeqCst)).max(0) as u64
    }

    fn pause(&self, ms: u64) {
        let owed = self.owed_ms.fetch_add(ms, Ordering::SeqCst) + ms;
        if owed >= PAUSE_STEP_MS {
            self.owed_ms.store(0, Ordering::SeqCst);
            if !self.dead.load(Ordering::SeqCst) {
                tasks::wait_until(self.ether.now_ms() + owed as i64);
            }
        }
    }
}

/// A form that is open on a screen, and what it showed.
pub struct OpenForm {
    /// The form.
    pub handle: Arc<FormHandle>,
    /// What stood at each place.
    pub shown: Seen,
    /// What stood there when the same person saved something else of the record since.
    pub later: Seen,
}

/// An answer that was given in a form and is not saved yet.
#[derive(Clone)]
pub struct Draft {
    /// The field.
    pub field: &'static str,
    /// The text.
    pub text: String,
    /// What stood in the record when its form was opened.
    pub shown: Seen,
}

/// A running app.
pub struct Process {
    /// The product.
    pub book: Arc<Fieldbook>,
    /// Set when it dies.
    pub dead: Arc<AtomicBool>,
    /// Set when a hub tells it what is not so.
    pub lied: Arc<AtomicBool>,
    /// Cancels its sync.
    pub cancel: Arc<CancelFlag>,
    /// Its clock.
    pub clock: Arc<DeviceClock>,
    /// Open forms.
    pub forms: Vec<OpenForm>,
    /// A sync under way.
    pub sync: Option<Task<Result<SyncReport, ClientError>>>,
    /// The hub that this sync is with; none: the server.
    pub at_hub: Option<usize>,
}

impl Process {
    /// A sync begins.
    pub fn begins(&mut self, with: With) {
        self.at_hub = with.hub();
        self.lied.store(false, Ordering::SeqCst);
    }
}

/// A moment to which a phone may fall back.
pub struct Snapshot {
    /// Its disk.
    pub image: Image,
    /// Its vault.
    pub secrets: Secrets,
    /// How much had been written in the world.
    pub writes: usize,
}

/// One phone.
pub struct Device {
    /// In the trace, and the device's name on the server.
    pub name: String,
    /// Index into the users.
    pub user: usize,
    folder: PathBuf,
    /// Its disk.
    pub disk: Arc<Disk>,
    secrets: Arc<Mutex<Secrets>>,
    /// Ahead of the true time, milliseconds.
    pub ahead_ms: i64,
    booted_ms: i64,
    /// The running app.
    pub process: Option<Process>,
    /// It has been enrolled.
    pub enrolled: bool,
    /// The server has cut it off.
    pub revoked: bool,
    /// It has erased itself: nobody uses it any more.
    pub erased: bool,
    /// It was cloned from another, or fell back: work on it may be in two places.
    pub doubtful: bool,
    /// Texts of its own that a damage took and the server has: its next sync brings them back.
    pub coming_back: BTreeSet<String>,
    /// A fault was put under it since its process started.
    pub troubled: bool,
    /// What it may read.
    pub reach: Reach,
    /// Messages that it was sent, but for those with which every answer begins and ends.
    pub told: Arc<AtomicU64>,
    /// It is out of reach of any network until then, true time.
    pub away_until_ms: i64,
    /// A moment to which it may fall back.
    pub snapshot: Option<Snapshot>,
    /// Answers given in forms that were not saved yet, with what stood in the record.
    pub drafts: BTreeMap<RecordId, Draft>,
    ether: Arc<Ether>,
    chance: Chance,
}

impl Device {
    /// A new phone.
    ///
    /// # Errors
    /// When its disk cannot be made.
    pub fn new(name: String, user: usize, folder: PathBuf, ether: &Arc<Ether>, chance: Chance) -> Result<Self, Wrong> {
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        Ok(Self {
            name,
            user,
            disk: Disk::mount(&folder, Image::new())?,
            folder,
            secrets: Arc::default(),
            ahead_ms: 0,
            booted_ms: ether.now_ms() - 3_600_000,
            process: None,
            enrolled: false,
            revoked: false,
            erased: false,
            doubtful: false,
            coming_back: BTreeSet::new(),
            troubled: false,
            reach: Reach::default(),
            told: Arc::default(),
            away_until_ms: i64::MIN,
            snapshot: None,
            drafts: BTreeMap::new(),
            ether: Arc::clone(ether),
            chance,
        })
    }

    /// What another phone has becomes what this one has.
    pub fn become_clone_of(&mut self, other: &Device) {
        self.disk.restore(other.disk.image());
        *locked(&self.secrets) = locked(&other.secrets).clone();
        (self.enrolled, self.revoked, self.doubtful) = (other.enrolled, other.revoked, true);
    }

    /// Starts the app.
    ///
    /// # Errors
    /// What opening said.
    pub fn start(&mut self) -> Result<(), ClientError> {
        let (dead, lied) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let clock = self.clock(&dead);
        let disk = Arc::clone(&self.disk) as _;
        let ports = self.ports(disk, &dead, &lied, Arc::clone(&clock) as _);
        let book = Fieldbook::open_with(&self.folder, ports, Language::English)?;
        let cancel = Arc::new(CancelFlag::default());
        self.process = Some(Process { book, dead, lied, cancel, clock, forms: Vec::new(), sync: None, at_hub: None });
        Ok(())
    }

    fn clock(&self, dead: &Arc<AtomicBool>) -> Arc<DeviceClock> {
        Arc::new(DeviceClock {
            ether: Arc::clone(&self.ether),
            ahead_ms: AtomicI64::new(self.ahead_ms),
            booted_ms: AtomicI64::new(self.booted_ms),
            owed_ms: AtomicU64::new(0),
            dead: Arc::clone(dead),
        })
    }

    fn ports(
        &mut self,
        disk: Arc<dyn fieldbook_core::ports::Disk>,
        dead: &Arc<AtomicBool>,
        lied: &Arc<AtomicBool>,
        clock: Arc<dyn Clock>,
    ) -> Ports {
        Ports {
            vault: Arc::new(Vault { secrets: Arc::clone(&self.secrets), dead: Arc::clone(dead) }),
            clock,
            random: Arc::new(SeededRandom::new(self.chance.fork())),
            disk,
            network: Arc::new(Air {
                ether: Arc::clone(&self.ether),
                name: self.name.clone(),
                dead: Arc::clone(dead),
                lied: Arc::clone(lied),
                hub: None,
                waits: true,
                watch: self.watch(),
            }),
        }
    }

    /// A folder of the system with what this phone keeps beside its store.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn workshop(&self) -> Result<PathBuf, Wrong> {
        let folder = self.folder.with_extension("workshop");
        let make = || {
            std::fs::create_dir_all(&folder)?;
            for entry in std::fs::read_dir(&self.folder)? {
                let entry = entry?;
                std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
            }
            Ok(())
        };
        make().map_err(|error: std::io::Error| error.to_string())?;
        Ok(folder)
    }

    /// Opens the app on the system's files in another folder.
    ///
    /// # Errors
    /// What opening said.
    pub fn open_at(&mut self, folder: &std::path::Path) -> Result<Arc<Fieldbook>, ClientError> {
        let (dead, lied) = (Arc::default(), Arc::default());
        let clock = self.clock(&dead);
        let ports = self.ports(Arc::new(SystemDisk), &dead, &lied, clock as _);
        Fieldbook::open_with(folder, ports, Language::English)
    }

    /// The key of its store.
    #[must_use]
    pub fn database_key(&self) -> Option<[u8; 32]> {
        locked(&self.secrets).get("database-key").and_then(|key| key.as_slice().try_into().ok())
    }

    /// Looks at everything on its way to this phone: what its user may not read must not be there.
    fn watch(&self) -> Watch {
        let (ether, reach, name) = (Arc::clone(&self.ether), Arc::clone(&self.reach), self.name.clone());
        let (told, user) = (Arc::clone(&self.told), self.user);
        Arc::new(move |hub, message: &Down| {
            if !matches!(message, Down::Hello { .. } | Down::Done { .. }) {
                told.fetch_add(1, Ordering::SeqCst);
            }
            let tags = model::markers(&to_cbor(message));
            if tags.is_empty() {
                return;
            }
            let mut may = locked(&reach).clone();
            let mut known = vec![name.clone()];
            if let Some(hub) = hub {
                // A hub knows of users, and of where records are, what the server told it last.
                may.extend(ether.outdated(|all| all.get(&(hub, user)).cloned()).unwrap_or_default());
                known.push(hub_name(hub));
            }
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let foreign =
                |tag: &&String| !ether.places(|places| places.may_read(tag, &known, |feed| may.contains(feed)));
            if let Some(tag) = tags.iter().find(foreign) {
                ether.wrong(format!("{name} is sent what it may not read: something of {tag}"));
            }
        })
    }

    /// The process ends without a word. What was not synced is as `unsynced` says; if the phone boots anew, its boot
    /// clock too.
    pub fn crash(&mut self, unsynced: Unsynced) {
        self.disk.kill();
        if let Some(process) = self.process.take() {
            process.dead.store(true, Ordering::SeqCst);
            process.cancel.cancel();
            if let Some(sync) = process.sync {
                let _ = sync.finish();
            }
        }
        self.disk.restart(unsynced, &mut self.chance);
        self.troubled = false;
        if unsynced != Unsynced::Kept {
            self.booted_ms = self.ether.now_ms();
        }
    }

    /// It was revoked and has erased itself.
    pub fn put_away(&mut self) {
        self.erased = true;
        self.process = None;
    }

    /// The app is closed properly. A sync that runs is cancelled.
    ///
    /// # Errors
    /// What closing said.
    pub fn close(&mut self) -> Result<(), ClientError> {
        let Some(process) = self.process.take() else { return Ok(()) };
        process.cancel.cancel();
        if let Some(sync) = process.sync {
            let _ = sync.finish();
        }
        drop(process.forms);
        process.book.close()
    }

    /// Remembers this moment.
    pub fn take_snapshot(&mut self, writes: usize) {
        self.snapshot = Some(Snapshot { image: self.disk.image(), secrets: locked(&self.secrets).clone(), writes });
    }

    /// Falls back to the remembered moment; with `vault`, its vault too. Returns how much had been written then.
    pub fn fall_back(&mut self, vault: bool) -> Option<usize> {
        let Snapshot { image, secrets, writes } = self.snapshot.take()?;
        self.drafts.clear();
        self.crash(Unsynced::Kept);
        self.disk.restore(image);
        if vault {
            *locked(&self.secrets) = secrets;
        }
        self.doubtful = true;
        Some(writes)
    }

    /// A record has left a unit: what a sync under way was begun with may still come.
    pub fn left_behind(&self, left: &(String, String)) {
        if self.process.as_ref().is_some_and(|process| process.sync.is_some()) {
            self.ether.places(|places| places.left(&self.name).insert(left.clone()));
        }
    }

    /// What its user may read now; with `more`, beside what it could until now (a sync is under way).
    pub fn set_reach(&self, roles: &[(Role, String)], more: bool) {
        let reached = super::office::reach(roles);
        let mut reach = locked(&self.reach);
        if !more {
            reach.clear();
            self.ether.places(|places| places.left(&self.name).clear());
        }
        reach.extend(reached);
    }
}
