//! What was worked out ahead is used where nothing has changed, and never where something has.

use fieldbook_core::access::{Area, FeedId};
use fieldbook_core::document::RawChange;
use fieldbook_core::sync::server::{Fate, ServerLog};

use super::*;
use crate::store::StoreLog;
use crate::testing::{Phone, START_MS, TestServer, form, set};

/// A server with a record, and what two phones write into it without knowing of each other.
struct Scene {
    server: TestServer,
    first: Phone,
    second: Phone,
    feed: FeedId,
    record: RecordId,
    by_first: Vec<RawChange>,
    by_second: RawChange,
}

impl Scene {
    async fn new() -> Self {
        let server = TestServer::new();
        let (first, second) =
            (server.phone("多杰", "a", Role::Field).await, server.phone("马秀英", "a", Role::Field).await);
        let record = RecordId::new(server.random.as_ref());
        let mut document = Document::create(record, form().definition()).unwrap();
        let created = first.save(&mut document, START_MS, &[set("name", "才让·卓玛")]);
        let mut other = document.clone();
        let by_first = ["1", "2"].map(|phone| first.save(&mut document, START_MS, &[set("phone", phone)])).to_vec();
        let by_second = second.save(&mut other, START_MS + 9_000, &[set("phone", "3")]);
        let feed = FeedId { unit: "a".to_owned(), area: Area::Aid };
        let mut this = Self { server, first, second, feed, record, by_first, by_second };
        this.claim();
        let mut log = StoreLog::new(&this.server.store).unwrap();
        this.take(&mut log, &this.first, std::slice::from_ref(&created), 1);
        drop(log);
        this.by_first.truncate(2);
        this
    }

    fn claim(&self) {
        let mut log = StoreLog::new(&self.server.store).unwrap();
        for phone in [&self.first, &self.second] {
            let user = log.device(&phone.device).unwrap().unwrap().user;
            assert!(log.claim_actor(&phone.actor, &phone.device, &user).unwrap());
        }
    }

    fn changes<'a>(&'a self, phone: &Phone, changes: &'a [RawChange], statement: u64) -> Vec<TakenChange<'a>> {
        let mut log = StoreLog::new(&self.server.store).unwrap();
        let user = log.device(&phone.device).unwrap().unwrap().user;
        let taken = changes.iter().zip(0..).map(|(change, index)| TakenChange {
            device: phone.device,
            user,
            actor: phone.actor,
            statement,
            index,
            feed: &self.feed,
            record: self.record,
            kind: "note",
            created_version: "1",
            form_version: "1",
            hash: change.hash,
            bytes: &change.bytes,
            received_ms: START_MS,
            quarantine: None,
            relayed: false,
        });
        taken.collect()
    }

    fn take(&self, log: &mut StoreLog<'_>, phone: &Phone, changes: &[RawChange], statement: u64) -> Vec<Fate> {
        let changes = self.changes(phone, changes, statement);
        log.begin().unwrap();
        let fates = changes.iter().map(|change| log.take_change(change).unwrap()).collect();
        log.commit().unwrap();
        fates
    }

    /// All that the store shows of the record, and whether it holds together.
    fn shown(&self) -> Vec<String> {
        let text = "SELECT body, records.state || conflicts_json || conflict_count || problem_count || cells || records.changed_s \
                    FROM records JOIN listed ON listed.record = id JOIN bodies ON bodies.record = id";
        self.server
            .store
            .read(|tx| {
                let mut statement = tx.prepare(text)?;
                let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
                let rows = rows.collect::<Result<Vec<(Vec<u8>, String)>, _>>()?;
                Ok(rows.into_iter().map(|(body, shown)| hex::encode(body) + &shown).collect())
            })
            .unwrap()
    }
}

#[tokio::test]
async fn nothing_is_judged_twice_where_nothing_has_changed() {
    let (ahead, plain) = (Scene::new().await, Scene::new().await);
    let mut log = StoreLog::new(&ahead.server.store).unwrap();
    let changes = ahead.changes(&ahead.first, &ahead.by_first, 2);
    log.foresee(&changes).unwrap();
    assert_eq!(log.foreseen.judged.len(), 2);
    assert_eq!(log.foreseen.rows.len(), 1);
    let fates = ahead.take(&mut log, &ahead.first, &ahead.by_first, 2);
    let mut log = StoreLog::new(&plain.server.store).unwrap();
    assert_eq!(fates, plain.take(&mut log, &plain.first, &plain.by_first, 2));
    assert_eq!(ahead.shown(), plain.shown());
}

#[tokio::test]
async fn what_another_wrote_meanwhile_is_seen() {
    let (ahead, plain) = (Scene::new().await, Scene::new().await);
    for (scene, foresee) in [(&ahead, true), (&plain, false)] {
        let mut log = StoreLog::new(&scene.server.store).unwrap();
        if foresee {
            log.foresee(&scene.changes(&scene.first, &scene.by_first, 2)).unwrap();
        }
        let mut other = StoreLog::new(&scene.server.store).unwrap();
        let by_second = std::slice::from_ref(&scene.by_second);
        assert_eq!(scene.take(&mut other, &scene.second, by_second, 1), [Fate::Accepted(2)]);
        let fates = scene.take(&mut log, &scene.first, &scene.by_first, 2);
        assert_eq!(fates, [Fate::Accepted(3), Fate::Accepted(4)]);
    }
    assert_eq!(ahead.shown(), plain.shown());
    assert!(ahead.shown()[0].contains(r#""count":2"#), "both values stand there: {:?}", ahead.shown());
}

#[tokio::test]
async fn rights_that_were_taken_away_meanwhile_are_gone() {
    let scene = Scene::new().await;
    let mut log = StoreLog::new(&scene.server.store).unwrap();
    log.foresee(&scene.changes(&scene.first, &scene.by_first, 2)).unwrap();
    scene
        .server
        .store
        .write(|tx| {
            tx.execute("DELETE FROM user_roles", ())?;
            Ok(())
        })
        .unwrap();
    let fates = scene.take(&mut log, &scene.first, &scene.by_first, 2);
    assert!(matches!(&fates[0], Fate::NotTaken(verdict) if verdict.reason == "role"), "{fates:?}");
    assert!(matches!(&fates[1], Fate::NotTaken(verdict) if verdict.reason == "depends_on_quarantined"), "{fates:?}");
}
