//! A township hub of a world: its disk, and the process that runs on it, if one does. The hub is the product's own code,
//! from the exchange down to SQLite with its encryption.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fieldbook_core::access::{Area, Role};
use fieldbook_core::ports::Clock;
use fieldbook_core::protocol::Down;
use fieldbook_core::sync::to_cbor;
use fieldbook_server::hub::{HubStore, Pace, Segments, Upstream};
use fieldbook_server::link;
use fieldbook_server::store::{Store, StoreError};

use super::chance::{Chance, SeededRandom};
use super::disk::{Disk, Image, Unsynced};
use super::ether::{Ether, HubServing};
use super::net::Air;
use super::office::OfficeClock;
use super::places::Left;
use super::tasks::Task;
use super::{Wrong, model, office, vfs};

/// What users may not read any more and a hub may still show, by user.
type Outdated = Vec<(usize, BTreeSet<(String, Area)>)>;

/// A moment to which a hub may fall back: its disk, and what it had not heard of.
struct Snapshot {
    image: Image,
    outdated: Outdated,
    left: Left,
}

/// A running hub.
pub struct HubProcess {
    /// Its store.
    pub store: Arc<HubStore>,
    air: Air,
    /// Its exchange with the server under way.
    pub sync: Option<Task<bool>>,
    /// What had happened when that began.
    pub begun: Begun,
}

/// What had happened in the world when a hub began to exchange with the server.
#[derive(Clone, Debug, Default)]
pub struct Begun {
    /// Changes of who may read what so far.
    pub reach: u64,
    /// Records erased so far.
    pub purged: BTreeSet<fieldbook_core::ids::RecordId>,
}

/// How the hub of this number is called.
#[must_use]
pub fn hub_name(number: usize) -> String {
    format!("hub{number}")
}

/// One township hub.
pub struct Hub {
    /// In the trace, its user's login, and the device's name on the server.
    pub name: String,
    /// Its place among the world's hubs.
    pub number: usize,
    /// The unit whose phones it serves.
    pub unit: &'static str,
    folder: PathBuf,
    /// Its disk.
    pub disk: Arc<Disk>,
    clock: Arc<OfficeClock>,
    /// The running hub.
    pub process: Option<HubProcess>,
    /// It is a device of the server.
    pub enrolled: bool,
    /// The server has cut it off.
    pub revoked: bool,
    /// It is gone for good.
    pub gone: bool,
    /// It lies.
    pub lies: bool,
    /// A fault was put under it since its process started.
    pub troubled: bool,
    /// Its line to the server is down until then, true time.
    pub cut_until_ms: i64,
    snapshot: Option<Snapshot>,
    ether: Arc<Ether>,
    chance: Chance,
    starts: u64,
}

impl Hub {
    /// A new hub for `unit`, as the server's administrator sets it up; not started.
    ///
    /// # Errors
    /// When its disk cannot be made or the server knows no such user.
    pub fn new(
        (number, unit): (usize, &'static str),
        folder: PathBuf,
        store: &Store,
        ether: &Arc<Ether>,
        chance: Chance,
    ) -> Result<Self, Wrong> {
        let name = hub_name(number);
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        store.add_user(&name, unit, &[Role::Hub], Some(&name)).map_err(|error| error.to_string())?;
        Ok(Self {
            name,
            number,
            unit,
            disk: Disk::mount(&folder, Image::new())?,
            folder,
            clock: Arc::new(OfficeClock::new(ether)),
            process: None,
            enrolled: false,
            revoked: false,
            gone: false,
            lies: false,
            troubled: false,
            cut_until_ms: i64::MIN,
            snapshot: None,
            ether: Arc::clone(ether),
            chance,
            starts: 0,
        })
    }

    /// The feeds that it may hold: those of its role.
    #[must_use]
    pub fn reach(&self) -> BTreeSet<(String, Area)> {
        office::reach(&[(Role::Hub, self.unit.to_owned())])
    }

    /// A process starts on the disk as it is; it serves phones once it is enrolled.
    ///
    /// # Errors
    /// What the store said.
    pub fn start(&mut self) -> Result<(), StoreError> {
        self.starts += 1;
        let random = Arc::new(SeededRandom::new(self.chance.fork()));
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let store = Arc::new(HubStore::open_on(&self.folder, None, clock, random, Some(vfs::NAME))?);
        let air = Air {
            ether: Arc::clone(&self.ether),
            name: self.name.clone(),
            dead: Arc::default(),
            lied: Arc::default(),
            hub: Some(self.number),
            waits: true,
            watch: self.watch(),
        };
        self.process = Some(HubProcess { store, air, sync: None, begun: Begun::default() });
        self.serve()
    }

    /// Phones find it, if it is enrolled.
    ///
    /// # Errors
    /// What the store said.
    pub fn serve(&mut self) -> Result<(), StoreError> {
        let Some(process) = &self.process else { return Ok(()) };
        if !self.enrolled {
            return Ok(());
        }
        // Its cache holds a lock while it fetches: it waits for nothing.
        let near = Air { waits: false, ..process.air.clone() };
        let serving = HubServing {
            segments: Arc::new(Segments::new(&process.store, Arc::new(near))?),
            store: Arc::clone(&process.store),
            disk: Arc::clone(&self.disk),
            number: self.number,
            start: self.starts,
            lies: self.lies,
        };
        self.ether.serve_hub(self.number, Some(serving));
        Ok(())
    }

    /// Makes it a device of the server.
    ///
    /// # Errors
    /// What it said.
    pub fn enrol(&mut self, server: &Store) -> Result<(), StoreError> {
        let Some(process) = &self.process else { return Ok(()) };
        let code = server.new_enrolment(&self.name, 1)?.code;
        let link = link::enrolment("office:1", &server.identity().root_public(), &code);
        process.store.enrol(&link, &self.name, &process.air)?;
        self.enrolled = true;
        self.serve()
    }

    /// One exchange with the server, to its end, as a task that waits for the network.
    ///
    /// # Errors
    /// When it cannot be begun.
    pub fn exchange(&mut self, begun: Begun) -> Result<(), Wrong> {
        let Some(process) = self.process.as_mut().filter(|process| process.sync.is_none()) else { return Ok(()) };
        let upstream = Upstream::new(&process.store, Pace::default(), Arc::new(process.air.clone()));
        let (mut upstream, _) = upstream.map_err(|error| format!("{} cannot exchange: {error}", self.name))?;
        let task = Task::new(move || upstream.attempt()).map_err(|error| error.to_string())?;
        (process.sync, process.begun) = (Some(task), begun);
        Ok(())
    }

    /// Looks at everything on its way to this hub: what its role may not read must not be there.
    fn watch(&self) -> super::net::Watch {
        let (ether, reach, name) = (Arc::clone(&self.ether), self.reach(), self.name.clone());
        Arc::new(move |_, message: &Down| {
            for tag in model::markers(&to_cbor(message)) {
                if !ether.places(|places| places.may_read(&tag, &[name.as_str()], |feed| reach.contains(feed))) {
                    ether.wrong(format!("{name} is sent what no hub may read: something of {tag}"));
                }
            }
        })
    }

    /// The process ends without a word. What was not synced is as `unsynced` says.
    pub fn crash(&mut self, unsynced: Unsynced) {
        self.disk.kill();
        self.ether.serve_hub(self.number, None);
        if let Some(process) = self.process.take() {
            process.air.dead.store(true, Ordering::SeqCst);
            if let Some(sync) = process.sync {
                let _ = sync.finish();
            }
        }
        self.disk.restart(unsynced, &mut self.chance);
        self.troubled = false;
    }

    /// All that it held is gone, its key and its name with the server too.
    ///
    /// # Errors
    /// When the files beside the database cannot be removed.
    pub fn wipe(&mut self) -> Result<(), Wrong> {
        self.crash(Unsynced::Kept);
        self.disk.restore(Image::new());
        self.snapshot = None;
        self.enrolled = false;
        self.is_up_to_date();
        let emptied = std::fs::remove_dir_all(&self.folder).and_then(|()| std::fs::create_dir_all(&self.folder));
        emptied.map_err(|error| error.to_string())
    }

    /// Remembers this moment.
    pub fn take_snapshot(&mut self) {
        let own = |all: &mut std::collections::BTreeMap<(usize, usize), BTreeSet<(String, Area)>>| {
            let own = all.iter().filter(|((hub, _), _)| *hub == self.number);
            own.map(|((_, user), reach)| (*user, reach.clone())).collect()
        };
        let left = self.ether.places(|places| places.left(&self.name).clone());
        self.snapshot = Some(Snapshot { image: self.disk.image(), outdated: self.ether.outdated(own), left });
    }

    /// A user may read less from now on; hubs have not heard.
    pub fn outdates(&mut self, user: usize, reach: &BTreeSet<(String, Area)>) {
        self.ether.outdated(|all| all.entry((self.number, user)).or_default().extend(reach.iter().cloned()));
        // An image of before knows as little.
        if let Some(Snapshot { outdated, .. }) = &mut self.snapshot {
            outdated.push((user, reach.clone()));
        }
    }

    /// A record has left a unit; hubs have not heard.
    pub fn left_behind(&mut self, left: &(String, String)) {
        self.ether.places(|places| places.left(&self.name).insert(left.clone()));
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.left.insert(left.clone());
        }
    }

    /// It has heard all that there was to hear.
    pub fn is_up_to_date(&self) {
        self.ether.outdated(|all| all.retain(|(hub, _), _| *hub != self.number));
        self.ether.places(|places| places.left(&self.name).clear());
    }

    /// Falls back to the remembered moment; false if none is.
    pub fn fall_back(&mut self) -> bool {
        let Some(Snapshot { image, outdated, left }) = self.snapshot.take() else { return false };
        self.crash(Unsynced::Kept);
        self.disk.restore(image);
        for (user, reach) in outdated {
            self.ether.outdated(|all| all.entry((self.number, user)).or_default().extend(reach));
        }
        self.ether.places(|places| places.left(&self.name).extend(left));
        true
    }

    /// A write has killed its process.
    pub fn has_died(&self) -> bool {
        self.process.is_some() && self.disk.is_dead()
    }
}
