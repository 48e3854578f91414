//! How changes travel, on the measured workload: nearly all transcoded, in hardly more than bare JSON patches take.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldbook_core::document::{Document, RawChange};
use fieldbook_core::forms::{Form, compile_path};
use fieldbook_core::ids::{ActorId, RecordId};
use fieldbook_core::ports::Random;
use fieldbook_core::protocol::transcode::{ToPack, pack};
use fieldbook_core::sync::frames::LEVEL_SMALL;
use fieldbook_tests::workload;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

const RECORDS: u32 = 2_000;
const START_S: i64 = 1_790_000_000;

/// Random-looking, the same in every run.
struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(32) {
            let hash = Sha256::digest(self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            piece.copy_from_slice(&hash[..piece.len()]);
        }
    }
}

/// A fleet's records as they were imported, as far as the day touches them.
struct Fleet {
    form: Form,
    random: Counting,
    documents: BTreeMap<RecordId, Document>,
    day: workload::Day,
}

/// What a phone sends, and the same as bare JSON.
#[derive(Default)]
struct Load {
    changes: Vec<(RecordId, bool, Document, RawChange)>,
    json: String,
}

fn id_of(line: &Json) -> RecordId {
    line["id"].as_str().unwrap().parse().unwrap()
}

fn parse(line: &str) -> Json {
    serde_json::from_str(line).unwrap()
}

impl Fleet {
    fn new(seed: u32) -> Self {
        let form = compile_path(&Path::new(env!("CARGO_MANIFEST_DIR")).join("workload/form")).unwrap();
        let day = workload::day(seed, RECORDS);
        let mut fleet = Self { form, random: Counting(AtomicU64::new(seed.into())), documents: BTreeMap::new(), day };
        let touched: BTreeSet<RecordId> =
            fleet.day.mine.iter().chain(&fleet.day.others).map(|line| id_of(&parse(line))).collect();
        let clerk = ActorId::random(&fleet.random);
        for line in workload::records(seed, RECORDS) {
            let line = parse(&line);
            if touched.contains(&id_of(&line)) {
                let (document, _) = fleet.create(&line, clerk);
                fleet.documents.insert(id_of(&line), document);
            }
        }
        fleet
    }

    fn create(&self, line: &Json, actor: ActorId) -> (Document, RawChange) {
        let definition = self.form.definition();
        let mut document = Document::create(id_of(line), definition).unwrap();
        let edits = self.form.edits_from_json(&line["values"], &self.random).unwrap();
        let heads = document.heads();
        let change = document.edit(definition, &heads, actor, START_S, &edits).unwrap().unwrap();
        (document, change)
    }

    fn edit(&self, line: &Json, actor: ActorId, time_s: i64) -> (Document, RawChange) {
        let definition = self.form.definition();
        let mut document = self.documents[&id_of(line)].clone();
        let (set, none) = (line["set"].as_object().unwrap(), Map::new());
        let add = line.get("add").and_then(Json::as_object).unwrap_or(&none);
        let current = document.read(definition);
        let edits = self.form.edits_from_patch(&current, set, add, &none, &self.random).unwrap();
        let heads = document.heads();
        let change = document.edit(definition, &heads, actor, time_s, &edits).unwrap().unwrap();
        (document, change)
    }

    /// What one phone makes of these lines, a save a minute.
    fn load<'l>(&self, lines: impl Iterator<Item = &'l String>) -> Load {
        let actor = ActorId::random(&self.random);
        let mut load = Load::default();
        for (minute, text) in lines.enumerate() {
            let line = parse(text);
            let known = line.get("values").is_none();
            let (document, change) =
                if known { self.edit(&line, actor, START_S + 60 * minute as i64) } else { self.create(&line, actor) };
            load.changes.push((id_of(&line), known, document, change));
            load.json.push_str(text);
            load.json.push('\n');
        }
        load
    }
}

impl Load {
    /// Bytes transcoded and compressed, changes transcoded.
    fn transcoded(&self) -> (usize, usize) {
        let item = |(record, known, document, change): &'_ (RecordId, bool, Document, RawChange)| {
            (*record, *known, document.creation(), change.bytes.clone())
        };
        let items: Vec<_> = self.changes.iter().map(item).collect();
        let items: Vec<ToPack<'_>> = items
            .iter()
            .map(|(record, known, creation, bytes)| ToPack {
                record: *record,
                known: *known,
                creation: Some(*creation),
                bytes,
            })
            .collect();
        let packed = pack(&items, false);
        (compressed(&packed.bytes), packed.transcoded)
    }

    fn raw(&self) -> usize {
        let all: Vec<u8> = self
            .changes
            .iter()
            .flat_map(|(record, _, _, change)| [record.as_bytes(), &change.bytes].concat())
            .collect();
        compressed(&all)
    }
}

fn compressed(bytes: &[u8]) -> usize {
    zstd::bulk::compress(bytes, LEVEL_SMALL).unwrap().len()
}

#[test]
fn a_day_travels_in_hardly_more_than_json_patches() {
    for seed in 1..=3 {
        let fleet = Fleet::new(seed);
        let singles: Vec<String> = fleet
            .documents
            .keys()
            .take(100)
            .enumerate()
            .map(|(n, id)| json!({"id": id.to_string(), "set": {"wage_income": 1_000 + n * 37}}).to_string())
            .collect();
        let up: Vec<String> = fleet.day.mine.iter().chain(&fleet.day.new).cloned().collect();
        let noisy = workload::day_with_random_notes(seed, RECORDS);
        let noisy_up: Vec<String> = noisy.mine.iter().chain(&noisy.new).cloned().collect();
        let loads = [
            ("up", up),
            ("down", fleet.day.others.clone()),
            ("up, random notes", noisy_up),
            ("down, random notes", noisy.others),
        ];
        for (name, lines) in loads.into_iter().chain([("single fields", singles)]) {
            let load = fleet.load(lines.iter());
            let (bytes, transcoded) = load.transcoded();
            let json = compressed(load.json.as_bytes());
            println!("seed {seed}, {name}: raw {} transcoded {bytes} JSON {json}", load.raw());
            assert_eq!(transcoded, load.changes.len());
            assert!(bytes * 10 <= json * 11, "seed {seed}, {name}: {bytes} bytes, JSON patches {json}");
        }
    }
}
