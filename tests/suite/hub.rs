//! A township hub as a process, between phones and a real server process.

mod cache;
mod kept;
mod lies;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::{ClientError, ErrorKind, SyncReport};
use fieldbook_core::ids::RecordId;
use fieldbook_core::store::SyncState;
use fieldbook_tests::demo::stage::Server;
use fieldbook_tests::proxy::{Line, Proxy};
use serde_json::json;
use tokio::runtime::Runtime;

use super::office::{NOTE, Office, Phone, id, open};
use super::phone::at_address;

/// How long a hub may take for what it does by itself.
const SOON: Duration = Duration::from_secs(40);
/// A line that carries nothing.
const CUT: Line = Line { bits_per_s: 0, delay_ms: 0, cut_after_bytes: 1, cut_each_after_bytes: 1 };

/// An office with a hub in its township, behind a line of its own.
pub(crate) struct Town {
    pub(crate) office: Office,
    pub(crate) line: Proxy,
    pub(crate) hub: Option<Server>,
    _runtime: Runtime,
}

impl Town {
    pub(crate) fn open() -> Self {
        let office = Office::open();
        let runtime = Runtime::new().unwrap();
        let line = runtime.block_on(Proxy::start(office.world.server.address, Line::default())).unwrap();
        let mut town = Self { office, line, hub: None, _runtime: runtime };
        town.add_hub_user("632323100", "zequ");
        let link = town.hub_link("zequ");
        town.hub = Some(Server::start_hub(&town.data(), Some(&link)).unwrap());
        town
    }

    pub(crate) fn add_hub_user(&self, unit: &str, login: &str) {
        let arguments = ["user", "add", "乡镇站", "--unit", unit, "--role", "hub", "--login", login];
        self.office.world.server.administer(&arguments).unwrap();
    }

    /// An enrolment link over the hub's line.
    pub(crate) fn hub_link(&self, login: &str) -> String {
        at_address(&self.office.world.link(login), &self.line.address().to_string())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.office.world.home("hub")
    }

    pub(crate) fn hub(&self) -> &Server {
        self.hub.as_ref().unwrap()
    }

    pub(crate) fn end_hub(&mut self) {
        self.hub.take().unwrap().end().unwrap();
    }

    pub(crate) fn start_hub(&mut self) {
        self.hub = Some(Server::start_hub(&self.data(), None).unwrap());
    }

    /// The hub's line to its server.
    pub(crate) fn online(&self, online: bool) {
        let cuts = self.line.counted().cuts;
        self.line.set_line(if online { Line::default() } else { CUT });
        if !online && self.hub.is_some() {
            // Not before has the connection broken that the hub keeps.
            until("the hub's line is cut", || self.line.counted().cuts > cuts);
        }
    }

    /// The number that `status` shows in the line that begins so.
    pub(crate) fn status(&self, line: &str) -> u64 {
        let printed = Server::command(&self.data(), &["status"]).unwrap();
        let found = printed.lines().find_map(|text| text.strip_prefix(line)).unwrap_or_else(|| panic!("{printed}"));
        let digits: String =
            found.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    }

    /// Waits until the server has all that the hub holds.
    pub(crate) fn wait_upstream(&self) {
        until("the hub brings all to the server", || self.status("changes not on the server yet") == 0);
    }

    pub(crate) fn device_of(&self, user: &str) -> String {
        let listed = self.office.world.server.administer(&["device", "list"]).unwrap();
        let line =
            listed.lines().find(|line| line.split('\t').nth(1) == Some(user)).unwrap_or_else(|| panic!("{listed}"));
        line.split('\t').next().unwrap().to_owned()
    }
}

/// Waits until it holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < SOON, "not in {} s: {what}", SOON.as_secs());
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub(crate) fn try_at(phone: &Phone, hub: &Server) -> Result<SyncReport, ClientError> {
    phone.book.sync_at_hub(&hub.address.to_string(), &(), &CancelFlag::default())
}

pub(crate) fn at(phone: &Phone, hub: &Server) -> SyncReport {
    try_at(phone, hub).unwrap()
}

fn note(phone: &Phone, number: u8, title: &str) -> RecordId {
    phone.create(NOTE, Some(id(number)), json!({ "title": title }))
}

fn shown(phone: &Phone, record: RecordId) -> SyncState {
    phone.record(record).sync
}

fn knows(phone: &Phone, record: RecordId) -> bool {
    phone.book.record(record).is_ok()
}

#[test]
fn work_reaches_a_neighbour_through_the_hub_and_is_not_sent_twice() {
    let town = Town::open();
    let (a, b) = town.office.two();
    until("the hub knows both phones", || town.status("devices served") == 2);

    // The hub takes what it cannot bring on yet, and shows nobody what the server has not ordered.
    town.online(false);
    let record = note(&a, 1, "屋顶漏雨");
    assert_eq!(shown(&a, record), SyncState::SavedHere);
    let report = at(&a, town.hub());
    assert_eq!(report.changes_sent, 1, "{report:?}");
    assert_eq!(shown(&a, record), SyncState::AtTownship);
    assert_eq!(a.book.status().unwrap().store.at_township, 1);
    assert_eq!(a.book.status().unwrap().store.outbox_changes, 1, "the hub's word takes nothing from the outbox");
    at(&b, town.hub());
    assert!(!knows(&b, record), "nothing is shown that the server has not ordered");
    assert_eq!(town.status("changes not on the server yet"), 1);

    town.online(true);
    town.wait_upstream();
    at(&b, town.hub());
    assert_eq!(b.value(record, "/title"), json!("屋顶漏雨"));

    // The author hears by the hub too what the server has signed.
    at(&a, town.hub());
    assert_eq!(shown(&a, record), SyncState::OnServer);
    assert_eq!(a.book.status().unwrap().store.outbox_changes, 0);
    let report = a.sync();
    assert_eq!((report.changes_sent, report.changes_received, report.not_taken), (0, 0, 0), "{report:?}");
}

#[test]
fn a_phone_that_goes_on_with_the_server_sends_nothing_that_the_hub_has_brought() {
    let town = Town::open();
    let (a, _) = town.office.two();
    until("the hub knows the phones", || town.status("devices served") == 2);
    let records: Vec<RecordId> = (1..=20).map(|number| note(&a, number, "第一天")).collect();
    at(&a, town.hub());
    assert!(records.iter().all(|record| shown(&a, *record) == SyncState::AtTownship));
    town.wait_upstream();

    // The next day, at the server itself: it has all, and the phone asks before it sends.
    let report = a.sync();
    assert!(report.bytes_up < 2_500, "the changes did not go up again: {report:?}");
    assert!(records.iter().all(|record| shown(&a, *record) == SyncState::OnServer));
    assert_eq!(a.book.status().unwrap().store.outbox_changes, 0);

    // And on at the hub, with what it has not seen of the phone's statements.
    let direct = note(&a, 30, "直接");
    a.sync();
    let next = note(&a, 31, "第二天");
    assert_eq!(at(&a, town.hub()).changes_sent, 1);
    town.wait_upstream();
    a.sync();
    assert_eq!((shown(&a, direct), shown(&a, next)), (SyncState::OnServer, SyncState::OnServer));
    assert_eq!(town.status("changes set aside"), 0);
}

#[test]
fn the_supervisors_reports_name_who_wrote_what_a_hub_has_brought() {
    let town = Town::open();
    let county = town.office.county();
    let (a, b) = town.office.two();
    until("the hub knows both phones", || town.status("devices served") == 2);
    town.online(false);
    note(&a, 1, "屋顶漏雨");
    note(&a, 2, "子女上学");
    note(&b, 3, "大病住院");
    at(&a, town.hub());
    at(&b, town.hub());
    town.online(true);
    town.wait_upstream();
    let listed = county.get("exchanges");
    let reports: BTreeSet<_> = listed["exchanges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|report| {
            let name = report["user_name"].as_str().unwrap().to_owned();
            (name, report["relayed"].as_bool().unwrap(), report["created"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(reports, BTreeSet::from([("多杰".to_owned(), true, 2), ("马秀英".to_owned(), true, 1)]), "{listed}");
}

#[test]
fn a_hub_whose_disk_is_wiped_after_its_word_loses_nothing() {
    let mut town = Town::open();
    let (a, b) = town.office.two();
    until("the hub knows the phones", || town.status("devices served") == 2);
    town.online(false);
    let record = note(&a, 1, "还在手机上");
    at(&a, town.hub());
    assert_eq!(shown(&a, record), SyncState::AtTownship);
    town.end_hub();
    std::fs::remove_dir_all(town.data()).unwrap();

    // Another hub begins with nothing: the phone brings it again, and it is at the township again.
    town.online(true);
    town.hub = Some(Server::start_hub(&town.data(), Some(&town.hub_link("zequ"))).unwrap());
    until("the new hub knows the phones", || town.status("devices served") >= 2);
    town.online(false);
    at(&a, town.hub());
    assert_eq!(shown(&a, record), SyncState::AtTownship);
    assert_eq!(town.status("changes not on the server yet"), 1);
    town.end_hub();
    std::fs::remove_dir_all(town.data()).unwrap();

    // And without any hub the server gets it from the phone.
    assert_eq!(a.sync().changes_sent, 1);
    assert_eq!(shown(&a, record), SyncState::OnServer);
    b.sync();
    assert_eq!(b.value(record, "/title"), json!("还在手机上"));
}

#[test]
fn a_hub_serves_its_own_township_only() {
    let town = Town::open();
    let add = |arguments: &[&str]| town.office.world.server.administer(arguments).unwrap();
    add(&["unit", "add", "632323101", "麦秀镇工会", "--parent", "632323"]);
    add(&["user", "add", "旦增", "--unit", "632323101", "--role", "field", "--login", "danzeng"]);
    let (own, stranger) = (town.office.phone("duojie"), town.office.phone("danzeng"));
    until("the hub knows its phone", || town.status("devices served") == 1);
    note(&stranger, 1, "别的镇");
    let error = try_at(&stranger, town.hub()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error:?}");
    assert_eq!(shown(&stranger, id(1)), SyncState::SavedHere);
    stranger.sync();
    note(&own, 2, "本镇");
    at(&own, town.hub());
    town.wait_upstream();
    at(&own, town.hub());
    assert_eq!(shown(&own, id(2)), SyncState::OnServer);
    assert!(!knows(&own, id(1)));

    // A hub is no server, and a server no hub: their certificates say so.
    let error = try_at(&own, &town.office.world.server).unwrap_err();
    assert_eq!(error.kind, ErrorKind::ServerIdentity, "{error:?}");
    let home = town.office.world.home("lost");
    let link = at_address(&town.office.world.link("duojie"), &town.hub().address.to_string());
    let error = open(&home).unwrap().enrol(&link, "test").unwrap_err();
    assert_eq!(error.kind, ErrorKind::ServerIdentity, "{error:?}");
}

#[test]
fn a_revoked_phone_is_shown_nothing_and_what_it_brings_is_held_apart() {
    let town = Town::open();
    let (a, b) = town.office.two();
    until("the hub knows the phones", || town.status("devices served") == 2);
    town.office.world.server.administer(&["device", "revoke", &town.device_of("多杰")]).unwrap();
    note(&b, 1, "邻居");
    at(&b, town.hub());
    town.wait_upstream();
    note(&a, 2, "已停用");
    at(&a, town.hub());
    assert!(!knows(&a, id(1)), "a revoked phone is shown nothing");
    town.wait_upstream();
    at(&b, town.hub());
    assert!(!knows(&b, id(2)), "held apart: nobody else sees it");
    let error = a.try_sync().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Revoked, "only the server erases a phone: {error:?}");
}

#[test]
fn a_revoked_hub_serves_nobody_and_its_phones_lose_nothing() {
    let town = Town::open();
    let (a, b) = town.office.two();
    until("the hub knows the phones", || town.status("devices served") == 2);
    town.online(false);
    let record = note(&a, 1, "还没送到");
    at(&a, town.hub());
    town.office.world.server.administer(&["device", "revoke", &town.device_of("乡镇站")]).unwrap();
    // The phone is at the server before the hub can be.
    assert_eq!(a.sync().changes_sent, 1);
    assert_eq!(shown(&a, record), SyncState::OnServer);
    town.online(true);
    until("the hub hears that it is revoked", || {
        try_at(&b, town.hub()).is_err_and(|error| error.kind == ErrorKind::Refused)
    });
    let after = note(&a, 2, "照常");
    assert!(try_at(&a, town.hub()).is_err());
    assert_eq!(shown(&a, after), SyncState::SavedHere);
    a.sync();
    b.sync();
    assert_eq!((shown(&a, after), shown(&b, record)), (SyncState::OnServer, SyncState::OnServer));
}

/// The database of a hub that does not run.
pub(crate) fn database(data: &Path) -> rusqlite::Connection {
    let key = std::fs::read_to_string(data.join("key")).unwrap();
    let mut bytes = [0; 32];
    hex::decode_to_slice(key.trim(), &mut bytes).unwrap();
    fieldbook_sqlite::open(&data.join("hub.db"), &bytes, None).unwrap()
}
