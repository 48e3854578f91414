//! Two processes on one PostgreSQL. An embedded database has nothing of this to show: there the tests end at once.

use fieldbook_core::access::{Area, Role};
use fieldbook_core::document::{Document, RawChange};
use fieldbook_core::ids::UserId;
use fieldbook_core::sync::server::{Fate, ServerLog, TakenChange};

use super::*;
use crate::store::{Database, Store, StoreLog};
use crate::testing::{Phone, START_MS, TestServer, form, set};

/// What a phone saved as its first statement.
struct Saved {
    phone: Phone,
    user: UserId,
    feed: FeedId,
    record: RecordId,
    change: RawChange,
}

impl Saved {
    async fn of(server: &TestServer, name: &str, unit: &str, record: RecordId) -> Self {
        let phone = server.phone(name, unit, Role::Field).await;
        let mut document = Document::create(record, form().definition()).unwrap();
        let change = phone.save(&mut document, START_MS, &[set("name", name)]);
        let mut log = StoreLog::new(&server.store).unwrap();
        let user = log.device(&phone.device).unwrap().unwrap().user;
        assert!(log.claim_actor(&phone.actor, &phone.device, &user).unwrap());
        drop(log);
        Self { phone, user, feed: FeedId { unit: unit.to_owned(), area: Area::Aid }, record, change }
    }

    fn taken(&self) -> TakenChange<'_> {
        TakenChange {
            device: self.phone.device,
            user: self.user,
            actor: self.phone.actor,
            statement: 1,
            index: 0,
            feed: &self.feed,
            record: self.record,
            kind: "note",
            created_version: "1",
            form_version: "1",
            hash: self.change.hash,
            bytes: &self.change.bytes,
            received_ms: START_MS,
            quarantine: None,
            relayed: false,
        }
    }

    /// Takes the change in a transaction that stays open.
    fn take<'s>(&self, store: &'s Store) -> (StoreLog<'s>, Fate) {
        let mut log = StoreLog::new(store).unwrap();
        log.foresee(&[self.taken()]).unwrap();
        log.begin_for(&self.phone.device).unwrap();
        let fate = log.take_change(&self.taken()).unwrap();
        (log, fate)
    }
}

/// A server on PostgreSQL, and a second process on its database.
fn two() -> Option<(TestServer, Store)> {
    let server = TestServer::new();
    let Database::Postgres(_) = &server.store.database else { return None };
    let (store, ports) = (&server.store, (server.clock.clone(), server.random.clone()));
    let second = Store::open_on(store.folder(), None, ports.0, ports.1, store.database.clone()).unwrap();
    Some((server, second))
}

fn waiting(store: &Store) -> i64 {
    let text = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
                WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
    store.read(|tx| Ok(tx.query_row(text, (), |row| row.get(0))?)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_of_two_processes_write_beside_each_other() {
    let Some((server, second)) = two() else { return };
    let here = Saved::of(&server, "多杰", "a", RecordId([1; 16])).await;
    let there = Saved::of(&server, "马秀英", "b", RecordId([2; 16])).await;
    let (mut log, fate) = here.take(&server.store);
    assert_eq!(fate, Fate::Accepted(1));
    let (mut other, fate) = there.take(&second);
    assert_eq!(fate, Fate::Accepted(1));
    other.commit().unwrap();
    log.commit().unwrap();
    let text = "SELECT count(*), count(DISTINCT serial) FROM listed";
    let counts: (i64, i64) =
        second.read(|tx| Ok(tx.query_row(text, (), |row| Ok((row.get(0)?, row.get(1)?)))?)).unwrap();
    assert_eq!(counts, (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_the_same_record_or_feed_or_anything_else_waits() {
    for (record, unit) in [(RecordId([1; 16]), "b"), (RecordId([2; 16]), "a")] {
        let Some((server, second)) = two() else { return };
        let here = Saved::of(&server, "多杰", "a", RecordId([1; 16])).await;
        let there = Saved::of(&server, "马秀英", unit, record).await;
        let (mut log, fate) = here.take(&server.store);
        assert_eq!(fate, Fate::Accepted(1));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let (mut other, fate) = there.take(&second);
                other.commit().unwrap();
                fate
            });
            while waiting(&server.store) == 0 {
                std::thread::yield_now();
            }
            log.commit().unwrap();
            let fate = other.join().unwrap();
            // The same record is in the unit where it was first; another one goes behind it.
            assert!(matches!(fate, Fate::NotTaken(_)) == (unit == "b"), "{fate:?}");
        });
        let (mut log, _) = here.take(&server.store);
        std::thread::scope(|scope| {
            let alone = scope.spawn(|| second.set_setting("some", "value"));
            while waiting(&server.store) == 0 {
                std::thread::yield_now();
            }
            log.commit().unwrap();
            alone.join().unwrap().unwrap();
        });
    }
}

#[tokio::test]
async fn whoever_stops_in_the_middle_of_a_write_holds_up_nobody_for_ever() {
    let Database::Postgres(url) = crate::testing::database() else { return };
    let server = TestServer::on(Database::Postgres(url.clone()));
    let (stuck, other) = (Connection::postgres(&url).unwrap(), Connection::postgres(&url).unwrap());
    for (name, set) in [("lock_timeout", "1min"), ("idle_in_transaction_session_timeout", "2min")] {
        let shown: String = other.query_row(&format!("SHOW {name}"), (), |row| row.get(0)).unwrap();
        assert_eq!(shown, set);
    }
    let held = stuck.writing().unwrap();
    other.execute_batch("SET lock_timeout = '100ms'").unwrap();
    let waited = other.begin_writing().unwrap_err();
    assert!(waited.is_passing(), "{waited}");
    assert!(other.is_idle() && !other.is_closed());
    drop(held);
    other.execute_batch("SET lock_timeout = '1min'").unwrap();
    other.begin_writing().unwrap();
    other.rollback();
    // The database ends who is idle in the middle: the others go on, and that one hears of it.
    stuck.execute_batch("SET idle_in_transaction_session_timeout = '100ms'").unwrap();
    stuck.begin_writing().unwrap();
    other.begin_writing().unwrap();
    other.rollback();
    let ended = stuck.query_row("SELECT 1", (), |row| row.get::<i64>(0)).unwrap_err();
    assert!(ended.is_passing(), "{ended}");
    server.store.set_setting("after", "all").unwrap();
}
