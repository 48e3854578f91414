//! What a batch has named so far: it must come out the same on both sides.

use std::collections::HashMap;
use std::hash::Hash;

use crate::ids::{ActorId, ChangeHash, RecordId};

/// The key of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyForm {
    /// A row's id.
    Row,
    /// The text of this number.
    Text(usize),
    /// A row's id, `/`, and the text of this number.
    RowAnd(usize),
}

impl KeyForm {
    /// Under what values and counters of such keys are gathered: 0 for rows, else the text's number and one.
    pub(super) fn group(self) -> usize {
        match self {
            Self::Row => 0,
            Self::Text(text) | Self::RowAnd(text) => text + 1,
        }
    }

    pub(super) fn code(self) -> u64 {
        match self {
            Self::Row => 0,
            Self::Text(text) => 1 + 2 * text as u64,
            Self::RowAnd(text) => 2 + 2 * text as u64,
        }
    }
}

/// What operations have in common beside their value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) key: KeyForm,
    /// What it writes, and 16 times how many operations it supersedes.
    pub(super) code: u64,
}

/// Things by number, in the order in which they first came.
pub(super) struct Numbered<T> {
    items: Vec<T>,
    numbers: HashMap<T, usize>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { items: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&T> {
        self.items.get(number)
    }

    pub(super) fn number<Q: ?Sized + Eq + Hash>(&self, item: &Q) -> Option<usize>
    where
        T: std::borrow::Borrow<Q>,
    {
        self.numbers.get(item).copied()
    }

    pub(super) fn push(&mut self, item: T) -> usize {
        self.numbers.insert(item.clone(), self.items.len());
        self.items.push(item);
        self.items.len() - 1
    }
}

/// A record's changes so far.
#[derive(Default)]
struct Seen {
    hashes: Vec<ChangeHash>,
    /// Counter behind the last operation; 0 = none that was transcoded.
    end: u64,
}

#[derive(Default)]
pub(super) struct Tables {
    pub(super) actors: Numbered<ActorId>,
    pub(super) texts: Numbered<String>,
    pub(super) shapes: Numbered<Shape>,
    pub(super) records: Numbered<RecordId>,
    seen: Vec<Seen>,
    /// Last sequence number of an actor in a record, both by number.
    seqs: HashMap<(usize, usize), u64>,
    /// Last superseded counter by [`KeyForm::group`].
    preds: Vec<u64>,
    /// Number of the last change's record.
    pub(super) record: usize,
    /// Number of the last change's author.
    pub(super) author: usize,
    /// Number of the last superseded operation's actor.
    pub(super) pred_actor: usize,
    pub(super) time_s: i64,
    start: u64,
}

impl Tables {
    pub(super) fn add_record(&mut self, record: RecordId) -> usize {
        self.seen.push(Seen::default());
        self.records.push(record)
    }

    pub(super) fn expected_seq(&self, record: usize, author: usize) -> u64 {
        self.seqs.get(&(record, author)).copied().unwrap_or(0).saturating_add(1)
    }

    /// Behind the record's last operation; of a record that is new here, where the change before began.
    pub(super) fn expected_start(&self, record: usize) -> u64 {
        self.seen.get(record).map(|seen| seen.end).filter(|end| *end > 0).unwrap_or(self.start)
    }

    pub(super) fn last_pred(&mut self, group: usize) -> &mut u64 {
        if self.preds.len() <= group {
            self.preds.resize(group + 1, 0);
        }
        &mut self.preds[group]
    }

    /// Notes the head of a transcoded change.
    pub(super) fn note_head(&mut self, record: usize, author: usize, seq: u64, start: u64, ops: usize, time_s: i64) {
        self.seqs.insert((record, author), seq);
        self.author = author;
        self.start = start;
        self.time_s = time_s;
        if let Some(seen) = self.seen.get_mut(record) {
            seen.end = start.saturating_add(ops as u64);
        }
    }

    /// Notes a change that is complete.
    pub(super) fn note_change(&mut self, record: usize, hash: Option<ChangeHash>) {
        if let (Some(seen), Some(hash)) = (self.seen.get_mut(record), hash) {
            seen.hashes.push(hash);
        }
    }

    /// How far back a change of the record is: 0 = its last one.
    pub(super) fn back_to(&self, record: usize, hash: &ChangeHash) -> Option<usize> {
        self.seen.get(record)?.hashes.iter().rev().position(|own| own == hash)
    }

    pub(super) fn hash_back(&self, record: usize, back: usize) -> Option<ChangeHash> {
        let hashes = &self.seen.get(record)?.hashes;
        hashes.get(hashes.len().checked_sub(back.checked_add(1)?)?).copied()
    }
}
