//! A server in a temporary folder, phones that speak the protocol by hand, and a supervisor at the real router.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use ed25519_dalek::{Signer, SigningKey};
use fieldbook_core::access::{FeedId, Role, Unit};
use fieldbook_core::document::{Document, RawChange};
use fieldbook_core::forms::{Edit, FieldPath, Form, Scalar, compile_sheets};
use fieldbook_core::ids::{ActorId, ChangeHash, DeviceId, RecordId, UserId};
use fieldbook_core::ports::{Clock, Random};
use fieldbook_core::protocol::{
    ChangesUp, CreatedUnder, Cursors, Down, EnrolAnswer, EnrolRequest, FormRun, RequestHeader, Statement, StatementUp,
    Up,
    limits::PROTOCOL_VERSION,
    transcode::{ToPack, pack},
};
use fieldbook_core::sync::frames::{FrameReader, FrameWriter};
use fieldbook_core::sync::{from_cbor, signing, to_cbor};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use crate::sql::Connection;
use crate::store::{Database, Store};

/// A clock that stands until it is moved.
pub(crate) struct TestClock(pub(crate) AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
    fn boot_ms(&self) -> u64 {
        0
    }
}

/// Bytes that repeat in every run: a counter, hashed.
#[derive(Default)]
pub(crate) struct TestRandom(AtomicU64);

impl Random for TestRandom {
    fn fill(&self, bytes: &mut [u8]) {
        use sha2::Digest;
        for chunk in bytes.chunks_mut(32) {
            let block = sha2::Sha256::digest(self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// 2026-06-01 in Shanghai.
pub(crate) const START_MS: i64 = 1_780_243_200_000;

const SURVEY: &str = "\
type,name,label::English (en),required,bind::fb:merge,bind::fb:sensitivity,bind::fb:writers,bind::fb:list,\
bind::fb:search,bind::fb:check,bind::fb:identity,bind::fb:occasion
text,name,Name,yes,,,,yes,yes,,yes,
text,phone,Phone,,must-agree,,,,,,,
text,card,Card,,,sensitive,,,,,,
text,stage,Stage,,,,county,,,,,
text,id_no,ID number,,,sensitive,,,,id-number,yes,
date,born,Born,,,,,,,,yes,
text,year,Year,,,,,,,,,yes
begin repeat,people,People,,,,,,,,,
text,person,Person,,,,,,,,yes,
text,person_id,ID number,,,sensitive,,,,id-number,yes,
end repeat,,,,,,,,,,,
";

pub(crate) fn form() -> Form {
    let settings =
        "form_title,form_id,version,namespaces,fb:area\nVisit,note,1,\"fb=\"\"urn:fieldbook:form\"\"\",aid\n";
    compile_sheets("note", &[("survey.csv", SURVEY), ("settings.csv", settings)]).unwrap()
}

/// A server with the units 63 > 6301 > {a, b}, and users at them.
pub(crate) struct TestServer {
    pub(crate) store: Arc<Store>,
    pub(crate) router: Router,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) random: Arc<TestRandom>,
    /// Removed with the server.
    _folder: tempfile::TempDir,
}

pub(crate) struct Supervisor<'a> {
    server: &'a TestServer,
    token: String,
}

/// Where the tests' servers keep their rows: in a database of its own each, where `FIELDBOOK_TEST_POSTGRES` names a
/// PostgreSQL server, else in the data folder.
pub(crate) fn database() -> Database {
    let Ok(server) = std::env::var("FIELDBOOK_TEST_POSTGRES") else { return Database::Embedded(None) };
    let name = format!("fieldbook_{}", uuid::Uuid::new_v4().simple());
    let made = Connection::postgres(&format!("{server} dbname=postgres")).unwrap();
    made.execute_batch(&format!("CREATE DATABASE {name}")).unwrap();
    Database::Postgres(format!("{server} dbname={name}"))
}

/// A connection to a database of its own, of the same kind; `embedded` makes it otherwise.
pub(crate) fn connection(embedded: impl FnOnce() -> Connection) -> Connection {
    match database() {
        Database::Embedded(_) => embedded(),
        Database::Postgres(url) => Connection::postgres(&url).unwrap(),
    }
}

impl TestServer {
    pub(crate) fn new() -> Self {
        Self::on(database())
    }

    /// On what only the embedded database shows.
    pub(crate) fn embedded() -> Self {
        Self::on(Database::Embedded(None))
    }

    pub(crate) fn on(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(START_MS)));
        let random = Arc::new(TestRandom::default());
        let ports = (Arc::clone(&clock) as _, Arc::clone(&random) as _);
        let store = Store::open_on(folder.path(), None, ports.0, ports.1, database).unwrap();
        // The built-in kinds take a second to compile; the test's own kind is enough.
        store.set_setting("builtin", env!("CARGO_PKG_VERSION")).unwrap();
        store.require_second_factor(false).unwrap();
        let store = Arc::new(store);
        for (code, parent) in [("63", None), ("6301", Some("63")), ("a", Some("6301")), ("b", Some("6301"))] {
            let (name, parent) = (format!("unit {code}"), parent.map(str::to_owned));
            store.add_unit(&Unit { code: code.to_owned(), name, parent, division: None }).unwrap();
        }
        store.publish_form(&form(), None).unwrap();
        let router = crate::router(Arc::clone(&store));
        Self { store, router, clock, random, _folder: folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, Vec<u8>) {
        let mut request = request;
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        (status, to_bytes(response.into_body(), 10_000_000).await.unwrap().to_vec())
    }

    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
        self.send(Request::post(path).body(Body::from(body)).unwrap()).await
    }

    pub(crate) async fn phone(&self, name: &str, unit: &str, role: Role) -> Phone {
        let (user, _) = self.store.add_user(name, unit, &[role], None).unwrap();
        let code = self.store.new_enrolment(&user.login, 1).unwrap().code;
        let mut seed = [0; 32];
        self.random.fill(&mut seed);
        let key = SigningKey::from_bytes(&seed);
        let (status, body) = self.post("/sync/1/enrol", enrolment(&code, &key)).await;
        assert_eq!(status, StatusCode::OK);
        let answer: EnrolAnswer = from_cbor(&body).unwrap();
        Phone::new(key, &answer, ActorId::random(self.random.as_ref()))
    }

    pub(crate) async fn supervisor(&self, name: &str, unit: &str, role: Role) -> Supervisor<'_> {
        let (user, password) = self.store.add_user(name, unit, &[role], None).unwrap();
        let body = json!({ "login": user.login, "password": password }).to_string();
        let request = Request::post("/api/v1/login").header("content-type", "application/json");
        let (status, body) = self.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(status, StatusCode::OK);
        let answer: Json = serde_json::from_slice(&body).unwrap();
        Supervisor { server: self, token: answer["token"].as_str().unwrap().to_owned() }
    }
}

impl Supervisor<'_> {
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Json) {
        self.ask(Request::get(format!("/api/v1/{path}")), Body::empty()).await
    }

    /// As a page asks by itself.
    pub(crate) async fn poll(&self, path: &str) -> StatusCode {
        let request = Request::get(format!("/api/v1/{path}")).header("x-fieldbook-background", "1");
        self.ask(request, Body::empty()).await.0
    }

    pub(crate) async fn post(&self, path: &str, body: Json) -> (StatusCode, Json) {
        let request = Request::post(format!("/api/v1/{path}")).header("content-type", "application/json");
        self.ask(request, Body::from(body.to_string())).await
    }

    pub(crate) async fn upload(&self, path: &str, body: Vec<u8>) -> (StatusCode, Json) {
        let request = Request::post(format!("/api/v1/{path}")).header("content-type", "application/octet-stream");
        self.ask(request, Body::from(body)).await
    }

    async fn ask(&self, request: axum::http::request::Builder, body: Body) -> (StatusCode, Json) {
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let (status, body) = self.server.send(request.body(body).unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
    }
}

pub(crate) fn enrolment(code: &str, key: &SigningKey) -> Vec<u8> {
    let signed = [b"fieldbook enrol v1\0", code.as_bytes()].concat();
    to_cbor(&EnrolRequest {
        version: PROTOCOL_VERSION,
        code: code.to_owned(),
        device_key: key.verifying_key().to_bytes(),
        signature: key.sign(&signed).to_bytes(),
        device_name: "test".to_owned(),
    })
}

/// Sets a field of the test's kind.
pub(crate) fn set(path: &str, value: &str) -> Edit {
    Edit::Set { path: FieldPath::root(path), value: Some(Scalar::Text(value.to_owned())) }
}

/// A phone that keeps only what a request needs.
pub(crate) struct Phone {
    key: SigningKey,
    pub(crate) device: DeviceId,
    user: UserId,
    server_key: [u8; 32],
    pub(crate) unit: String,
    pub(crate) actor: ActorId,
    counter: u64,
    statement: u64,
    previous: [u8; 32],
}

impl Phone {
    fn new(key: SigningKey, answer: &EnrolAnswer, actor: ActorId) -> Self {
        let (device, user, server_key) = (answer.device, answer.user, answer.server_key);
        let unit = answer.unit.code.clone();
        Self { key, device, user, server_key, unit, actor, counter: 0, statement: 0, previous: [0; 32] }
    }

    /// One save at the document's heads.
    pub(crate) fn save(&self, document: &mut Document, time_ms: i64, edits: &[Edit]) -> RawChange {
        let heads = document.heads();
        document.edit(form().definition(), &heads, self.actor, time_ms / 1000, edits).unwrap().unwrap()
    }

    /// The request that uploads these changes of one record under one statement.
    pub(crate) fn request(&mut self, record: RecordId, changes: &[RawChange]) -> Vec<u8> {
        self.counter += 1;
        let header = to_cbor(&RequestHeader {
            version: PROTOCOL_VERSION,
            device: self.device,
            server_key: signing::key_id(&self.server_key),
            counter: self.counter,
            cursors: Cursors::Full { log: None, registry: 0, cursors: Vec::new() },
            device_time_ms: START_MS,
            probe: false,
            in_full: true,
            verdicts: 0,
            forms: None,
            segments: None,
            township: None,
        });
        let mut body = varint(header.len());
        let signature = signing::sign(&self.key, signing::REQUEST, &header);
        body.extend(header);
        body.extend(signature);
        if !changes.is_empty() {
            body.extend(self.frame(record, changes));
        }
        body
    }

    fn frame(&mut self, record: RecordId, changes: &[RawChange]) -> Vec<u8> {
        self.statement += 1;
        let feed = FeedId { unit: self.unit.clone(), area: fieldbook_core::access::Area::Aid };
        let statement = Statement {
            version: PROTOCOL_VERSION,
            device: self.device,
            number: self.statement,
            previous: self.previous,
            feed,
            actor: self.actor,
            user: self.user,
            changes: changes.iter().map(|change| change.hash).collect(),
        };
        let bytes = to_cbor(&statement);
        let previous = std::mem::replace(&mut self.previous, signing::statement_hash(&bytes));
        let signature = signing::sign(&self.key, signing::STATEMENT, &bytes);
        let mut writer = FrameWriter::new(18);
        let [a, b, c, d, ..] = previous;
        let length = u32::try_from(changes.len()).unwrap();
        let signed = StatementUp {
            previous: [a, b, c, d],
            by: Some((statement.feed, self.actor)),
            length,
            hashes: Vec::new(),
            signature,
        };
        let form = FormRun {
            count: length,
            created: Some(CreatedUnder { kind: "note".to_owned(), version: "1".to_owned() }),
            saved_version: None,
        };
        let items: Vec<ToPack<'_>> = changes
            .iter()
            .map(|change| ToPack { record, known: false, creation: None, bytes: &change.bytes })
            .collect();
        let message = ChangesUp {
            statement: self.statement,
            signed: Some(signed),
            items: vec![(0, length)],
            forms: vec![form],
            packed: pack(&items, true).bytes.into(),
        };
        writer.push(&Up::Changes(message)).unwrap();
        writer.flush().unwrap();
        std::iter::from_fn(|| writer.take()).flatten().collect()
    }

    /// Uploads and returns what came down.
    pub(crate) async fn sync(&mut self, server: &TestServer, record: RecordId, changes: &[RawChange]) -> Vec<Down> {
        let body = self.request(record, changes);
        let (status, answer) = server.post("/sync/1", body).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer));
        down(&answer)
    }
}

pub(crate) fn down(answer: &[u8]) -> Vec<Down> {
    let mut reader = FrameReader::<Down>::new();
    reader.push(answer);
    std::iter::from_fn(|| reader.next_frame().unwrap()).flatten().collect()
}

/// Reasons of the verdicts in an answer, with their changes.
pub(crate) fn verdicts(answer: &[Down]) -> Vec<(ChangeHash, String)> {
    let verdict = |message: &Down| match message {
        Down::Verdict { verdict, .. } => Some((verdict.change, verdict.reason.clone())),
        _ => None,
    };
    answer.iter().filter_map(verdict).collect()
}

pub(crate) fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}
