//! What was written in a world, and what its author had seen: against it the records are held in the end.

use std::collections::{BTreeMap, BTreeSet};

use fieldbook_core::client::RecordView;
use fieldbook_core::ids::RecordId;
use serde_json::Value as Json;

use super::chance::Chance;
use super::forms::{AROUND_CALLS, CALLS, FIELDS, NICK, REPEATS, STAGE};
use super::places;

/// Words of 16 characters behind a long text: 5 such texts fill a frame.
const FILLER_WORDS: usize = 500;

/// The values that stood at each place of a record, disagreements included.
pub type Seen = BTreeMap<String, Vec<String>>;

/// One text that somebody saved. No two are alike.
#[derive(Clone, Debug)]
pub struct Written {
    /// The record.
    pub record: RecordId,
    /// The field's path, with its row.
    pub place: String,
    /// The text.
    pub text: String,
    /// Index of the phone; `None` at the console.
    pub device: Option<usize>,
    /// What stood there when its author began.
    pub seen: Vec<String>,
    /// What may count as seen too: it stood there when the same person saved something else of the record meanwhile.
    pub perhaps: Vec<String>,
    /// The save returned well: it must not be lost.
    pub promised: bool,
    /// Its phone had been revoked.
    pub late: bool,
}

/// What does not compress.
fn filler(seed: u64) -> String {
    let mut chance = Chance::new(seed);
    (0..FILLER_WORDS).map(|_| format!("{:016x}", chance.draw())).collect()
}

/// Everything that was written.
#[derive(Default)]
pub struct Model {
    /// In order.
    pub written: Vec<Written>,
    /// Records on which the same work may have been issued twice, or under other dependencies: what stands is not
    /// foretold.
    pub blurred: BTreeSet<RecordId>,
    /// Phones that the server has cut off.
    pub cut_off: BTreeSet<usize>,
    /// Texts are so long that few of them fill a frame.
    pub long: bool,
    texts: u64,
}

impl Model {
    /// A text that was never written, marked with its record.
    pub fn text(&mut self, record: &RecordId) -> String {
        self.texts += 1;
        let filler = if self.long { filler(self.texts) } else { String::new() };
        format!("w{}@{};{filler}", self.texts, places::tag(record))
    }

    /// Somebody wrote `text`.
    pub fn write(
        &mut self,
        record: RecordId,
        place: &str,
        text: String,
        device: Option<usize>,
        seen: &Seen,
        promised: bool,
    ) {
        let seen = seen.get(place).cloned().unwrap_or_default();
        let late = device.is_some_and(|number| self.cut_off.contains(&number));
        let (place, perhaps) = (place.to_owned(), Vec::new());
        self.written.push(Written { record, place, text, device, seen, perhaps, promised, late });
    }

    /// Whoever wrote last may have seen these texts too.
    pub fn perhaps_saw(&mut self, texts: Vec<String>) {
        if let Some(last) = self.written.last_mut() {
            last.perhaps = texts;
        }
    }

    /// Whoever wrote what is not promised any more, from the `first` writing on.
    pub fn excuse(&mut self, device: usize, first: usize) {
        for written in self.written.iter_mut().skip(first).filter(|written| written.device == Some(device)) {
            written.promised = false;
        }
    }

    /// Every record on which a phone ever wrote is blurred.
    pub fn blur(&mut self, device: usize) {
        let records =
            self.written.iter().filter(|written| written.device == Some(device)).map(|written| written.record);
        self.blurred.extend(records);
    }

    /// The texts that stand at each place of a record, given those that took effect: those that must, and those that may.
    #[must_use]
    pub fn standing(&self, record: &RecordId, effective: &BTreeSet<&str>) -> BTreeMap<&str, Standing<'_>> {
        let counted: Vec<&Written> = self
            .written
            .iter()
            .filter(|written| written.record == *record && effective.contains(written.text.as_str()))
            .collect();
        let mut standing: BTreeMap<&str, Standing<'_>> = BTreeMap::new();
        for written in &counted {
            let later = || counted.iter().filter(|later| later.place == written.place);
            let place = standing.entry(&written.place).or_default();
            if later().any(|later| later.seen.contains(&written.text)) {
                continue;
            }
            place.may.insert(&written.text);
            if !later().any(|later| later.perhaps.contains(&written.text)) {
                place.must.insert(&written.text);
            }
        }
        standing
    }
}

/// Texts at one place.
#[derive(Default)]
pub struct Standing<'m> {
    /// Nobody has replaced them.
    pub must: BTreeSet<&'m str>,
    /// Nobody who is sure to have seen them has.
    pub may: BTreeSet<&'m str>,
}

/// What a record shows at every place with a text.
#[must_use]
pub fn shown(view: &RecordView) -> Seen {
    let mut seen = Seen::new();
    let mut add = |place: String, value: &Json| {
        if let Some(text) = value.as_str() {
            let there = seen.entry(place).or_default();
            if !there.iter().any(|one| one == text) {
                there.push(text.to_owned());
            }
        }
    };
    for field in FIELDS.iter().chain([&STAGE]) {
        add((*field).to_owned(), &view.values[*field]);
    }
    for (repeat, first, _) in REPEATS {
        for row in rows_of(view, repeat) {
            let Some(id) = row["_row"].as_str() else { continue };
            for field in [first, NICK] {
                add(format!("{repeat}[{id}]/{field}"), &row[field]);
            }
        }
    }
    for conflict in &view.conflicts {
        for side in &conflict.values {
            add(conflict.path.clone(), &side.value);
        }
    }
    seen
}

/// The rows of a repeat, as shown.
pub fn rows_of<'v>(view: &'v RecordView, repeat: &str) -> impl Iterator<Item = &'v Json> {
    let rows = |values: &'v Json, repeat: &str| values[repeat].as_array().into_iter().flatten();
    let nested = repeat == CALLS;
    let outer = rows(&view.values, if nested { AROUND_CALLS } else { repeat });
    outer.flat_map(move |row| if nested { rows(row, CALLS).collect() } else { vec![row] })
}

/// Ids of the rows of a repeat, as shown.
#[must_use]
pub fn rows(view: &RecordView, repeat: &str) -> Vec<String> {
    rows_of(view, repeat).filter_map(|row| row["_row"].as_str().map(str::to_owned)).collect()
}

/// The row that a place lies in, as `repeat[row]`.
#[must_use]
pub fn row_of(place: &str) -> Option<&str> {
    place.split_once(']').map(|(row, _)| &place[..=row.len()])
}

/// The records that texts of ours among bytes name, by tag.
#[must_use]
pub fn markers(bytes: &[u8]) -> BTreeSet<String> {
    let named = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'@').filter_map(|(at, _)| {
        let (tag, rest) = bytes[at + 1..].split_at_checked(places::TAG_CHARS)?;
        let is_tag = rest.first() == Some(&b';') && tag.iter().all(u8::is_ascii_hexdigit);
        is_tag.then(|| String::from_utf8_lossy(tag).into_owned())
    });
    named.collect()
}
