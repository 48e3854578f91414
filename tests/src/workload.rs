//! The measured workload: "hardship household visit files" and one day's edits to them.
//!
//! Yields, byte for byte, what the reference script of the peers' measurements writes for the same seed, so that our
//! figures can be laid beside theirs. That script is JavaScript: numbers are formatted and arithmetic wraps as there,
//! and objects keep the order of their keys.

mod notes;
mod random;
mod record;
#[rustfmt::skip] // word tables read better in full lines
mod tables;
#[cfg(test)]
mod tests;

use random::Rng;
use record::{Fields, edit_value, record_fields, visit_fields};

/// Records that phone A edits on the reference day, at most.
const MINE_MAX: usize = 30;
/// Records that phone B edits and A does not, at most.
const OTHERS_MAX: usize = 100;
/// Records that both edit, at most.
const SHARED_MAX: usize = 5;
/// Records that phone A adds.
const NEW_RECORDS: u32 = 5;

/// What happens on the reference day, each a list of JSON lines.
pub struct Day {
    /// Edits made offline on phone A: `{id, set, add}`.
    pub mine: Vec<String>,
    /// Records made offline on phone A: `{id, values}`.
    pub new: Vec<String>,
    /// Edits made meanwhile on phone B: `{id, set, add}`. The first five touch records that A edited too, with
    /// `wage_income` in common.
    pub others: Vec<String>,
}

/// The `n` records of `seed`, as JSON lines `{id, values}` without line ends.
pub fn records(seed: u32, n: u32) -> impl Iterator<Item = String> {
    records_at(seed, 0..n)
}

/// The records of `seed` at `indices`, as [`records`] gives them.
pub fn records_at(seed: u32, indices: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    indices.map(move |index| record_line(seed, index))
}

/// One day's edits to the `n` records of `seed`. With fewer than 30 records there are fewer edits.
#[must_use]
pub fn day(seed: u32, n: u32) -> Day {
    let mut rng = Rng::new(seed ^ 0x5bd1_e995);
    let order = shuffled(&mut rng, n);
    let mine = &order[..order.len().min(MINE_MAX)];
    let others = &order[mine.len()..order.len().min(mine.len() + OTHERS_MAX)];
    let shared = &mine[..mine.len().min(SHARED_MAX)];

    let mut edit = |index: u32, keys: Option<[&'static str; 3]>| {
        let keys = keys.unwrap_or_else(|| three_keys(&mut rng));
        edit_line(&mut rng, seed, index, keys)
    };
    let mine_lines = mine
        .iter()
        .map(|index| edit(*index, shared.contains(index).then_some(["wage_income", "phone", "pigs"])))
        .collect();
    let mut other_lines: Vec<String> =
        shared.iter().map(|index| edit(*index, Some(["wage_income", "expense", "helper"]))).collect();
    other_lines.extend(others.iter().map(|index| edit(*index, None)));
    let new = (n..n.saturating_add(NEW_RECORDS)).map(|index| record_line(seed, index)).collect();
    Day { mine: mine_lines, new, others: other_lines }
}

/// The same day with random common characters as notes: nothing in them repeats, so they show what a format costs
/// beside its content.
#[must_use]
pub fn day_with_random_notes(seed: u32, n: u32) -> Day {
    let mut notes = notes::RandomNotes::new(seed);
    let day = day(seed, n);
    let mut all = |lines: Vec<String>| lines.iter().map(|line| notes.put_into(line)).collect();
    Day { mine: all(day.mine), new: all(day.new), others: all(day.others) }
}

/// Edits like those of a day (three fields and a visit each) to the records at `indices`: `{id, set, add}`. Another
/// `round` makes other edits.
pub fn edits(seed: u32, round: u32, indices: impl IntoIterator<Item = u32>) -> Vec<String> {
    let mut rng = Rng::from_product(f64::from(seed) * 374_761_393.0 + f64::from(round) * 668_265_263.0 + 43.0);
    let mut edit = |index| {
        let keys = three_keys(&mut rng);
        edit_line(&mut rng, seed, index, keys)
    };
    indices.into_iter().map(&mut edit).collect()
}

/// A random order of `0..n` (Fisher and Yates, from the end).
fn shuffled(rng: &mut Rng, n: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    for last in (1..order.len()).rev() {
        let other = rng.index(last + 1);
        order.swap(last, other);
    }
    order
}

/// Three different fields that a visit usually changes.
fn three_keys(rng: &mut Rng) -> [&'static str; 3] {
    let mut keys = [""; 3];
    let mut chosen = 0;
    while chosen < keys.len() {
        let key = rng.pick(record::EDITABLE);
        if !keys.contains(&key) {
            keys[chosen] = key;
            chosen += 1;
        }
    }
    keys
}

fn record_line(seed: u32, index: u32) -> String {
    let mut line = Fields::new();
    line.text("id", &uuid(seed, index));
    line.raw("values", &record_fields(seed, index).object());
    line.object()
}

fn edit_line(rng: &mut Rng, seed: u32, index: u32, keys: [&'static str; 3]) -> String {
    let mut set = Fields::new();
    for key in keys {
        edit_value(rng, key, &mut set);
    }
    let mut add = Fields::new();
    add.rows("visits", &[visit_fields(rng)]);
    let mut line = Fields::new();
    line.text("id", &uuid(seed, index));
    line.raw("set", &set.object());
    line.raw("add", &add.object());
    line.object()
}

/// The id of record `index`: a version 4 UUID drawn from the seed.
fn uuid(seed: u32, index: u32) -> String {
    let mut rng = Rng::from_product(f64::from(seed) * 2_246_822_519.0 + f64::from(index) * 3_266_489_917.0 + 29.0);
    let mut digits: Vec<char> = (0..32).map(|_| rng.pick_char("0123456789abcdef")).collect();
    digits[12] = '4';
    digits[16] = rng.pick_char("89ab");
    let mut text = String::with_capacity(36);
    for (at, digit) in digits.into_iter().enumerate() {
        if [8, 12, 16, 20].contains(&at) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}
