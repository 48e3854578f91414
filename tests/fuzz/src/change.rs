//! A change that arrives for a record: `intake::admit`.
//!
//! Input: the record's state, flags, then the body of a change chunk, whose length and checksum are made to fit. The
//! mutator knows deps, counters, actors and columns.

use fieldbook_core::access::Role;
use fieldbook_core::document::Document;
use fieldbook_core::forms::{Edit, FieldPath, Scalar};
use fieldbook_core::ids::ActorId;
use fieldbook_core::intake::{Rights, admit};

use crate::bytes::mutate_behind_flags;
use crate::cbor::number;
use crate::hostile::{self, Claim, Dice, PLAIN, leb, scramble, uleb};
use crate::{Limits, Meter, Target, fixture};

/// The target.
pub const TARGET: Target = Target {
    name: "change",
    limits: Limits { input_bytes: 8 * 1024, time_ms: 50, memory_bytes: 50 << 20, output_bytes: 1 << 20 },
    run,
    mutate: |input, dice| mutate_behind_flags(input, dice, behind_state),
    seeds,
};

/// Flags: a phone asks (no rights), and the bytes come as they are.
const ON_PHONE: u8 = 1;
const AS_IT_IS: u8 = 2;
const SUPERVISOR: u8 = 4;

fn behind_state(rest: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = rest.to_vec();
    mutate_behind_flags(&mut out, dice, mutate_body);
    out
}

fn run(input: &[u8], meter: &mut Meter) {
    let [state, flags, body @ ..] = input else { return };
    let base = &fixture::records()[usize::from(*state) % fixture::records().len()];
    let bytes = if flags & AS_IT_IS == 0 { hostile::seal(PLAIN, body) } else { body.to_vec() };
    let roles: &[Role] = if flags & SUPERVISOR == 0 { &[Role::Field] } else { &[Role::Field, Role::County] };
    let rights = Rights { roles, last_review: None, reopened: None };
    let rights = (flags & ON_PHONE == 0).then_some(&rights);
    let form = fixture::form();
    let mut document = base.clone();
    let taken = meter.measure(|| admit(&mut document, form.definition(), &bytes, rights));
    if taken.is_err() {
        assert_eq!(document.heads(), base.heads(), "a refused change left something behind");
        return;
    }
    meter.output(document.save().len().saturating_sub(base.save().len()));
    let again = meter.measure(|| Document::load(&document.save()));
    let Ok(mut again) = again else { panic!("a record with a taken change does not load") };
    assert_eq!(again.heads(), document.heads(), "a record changes by being stored");
    // Whatever was taken must not keep anybody from reading the record and writing on.
    let shown = again.read_with_conflicts(form.definition());
    assert_eq!(shown, document.read_with_conflicts(form.definition()));
    drop(again.history(form.definition()));
    let heads = again.heads();
    let path = FieldPath::root("name");
    let edit = [Edit::Set { path, value: Some(Scalar::Text("next".to_owned())) }];
    let next = again.edit(form.definition(), &heads, ActorId([1; 16]), fixture::NOW_S, &edit);
    assert!(next.is_ok(), "a record cannot be written after a taken change: {next:?}");
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (state, change) in fixture::changes().iter().enumerate() {
        for flags in [ON_PHONE, SUPERVISOR, 0] {
            let mut seed = vec![state as u8, flags];
            seed.extend_from_slice(hostile::body(&change.bytes));
            seeds.push(seed);
        }
        seeds.push([&[state as u8, AS_IT_IS][..], &change.bytes].concat());
    }
    let creation = fixture::record().creation().0;
    for (start_op, count) in [(100, 1), (100, 20_000), (100, 100_000_000), ((1 << 32) - 6, 1)] {
        let bomb = Claim::puts(vec![creation], fixture::B.0, start_op, "name", count).bytes();
        seeds.push([&[0, ON_PHONE][..], hostile::body(&bomb)].concat());
    }
    seeds
}

/// A change with another body, and a checksum that fits.
pub fn mutate_sealed(chunk: &[u8], dice: &mut Dice) -> Vec<u8> {
    hostile::seal(PLAIN, &mutate_body(hostile::body(chunk), dice))
}

/// The parts of a change's body.
struct Body {
    deps: Vec<[u8; 32]>,
    actors: Vec<Vec<u8>>,
    /// Sequence number and counter of the first operation.
    numbers: [u64; 2],
    time_s: i64,
    columns: Vec<(u64, Vec<u8>)>,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = tail;
        Some(head)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A signed number, as an unsigned one of the same bytes where it is small.
    fn signed(&mut self) -> Option<i64> {
        let length = self.0.iter().position(|byte| byte & 0x80 == 0)? + 1;
        let bytes = self.take(length as u64)?;
        let mut value = bytes.iter().rev().fold(0_i64, |sum, byte| sum.wrapping_shl(7) | i64::from(byte & 0x7f));
        if bytes.last()? & 0x40 != 0 && length < 9 {
            value -= 1 << (7 * length);
        }
        Some(value)
    }
}

impl Body {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader(bytes);
        let deps = (0..input.number()?).map(|_| input.take(32)?.try_into().ok()).collect::<Option<_>>()?;
        let length = input.number()?;
        let mut actors = vec![input.take(length)?.to_vec()];
        let numbers = [input.number()?, input.number()?];
        let time_s = input.signed()?;
        if input.number()? != 0 {
            return None;
        }
        for _ in 0..input.number()? {
            let length = input.number()?;
            actors.push(input.take(length)?.to_vec());
        }
        let count = input.number()?;
        let heads = (0..count).map(|_| Some((input.number()?, input.number()?))).collect::<Option<Vec<_>>>()?;
        let columns =
            heads.into_iter().map(|(id, length)| Some((id, input.take(length)?.to_vec()))).collect::<Option<_>>()?;
        input.0.is_empty().then_some(Self { deps, actors, numbers, time_s, columns })
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        uleb(self.deps.len() as u64, &mut out);
        self.deps.iter().for_each(|dep| out.extend_from_slice(dep));
        for (at, actor) in self.actors.iter().enumerate() {
            if at == 1 {
                self.middle(&mut out);
            }
            uleb(actor.len() as u64, &mut out);
            out.extend_from_slice(actor);
        }
        if self.actors.len() < 2 {
            self.middle(&mut out);
        }
        uleb(self.columns.len() as u64, &mut out);
        for (id, data) in &self.columns {
            uleb(*id, &mut out);
            uleb(data.len() as u64, &mut out);
        }
        self.columns.iter().for_each(|(_, data)| out.extend_from_slice(data));
        out
    }

    fn middle(&self, out: &mut Vec<u8>) {
        self.numbers.iter().for_each(|number| uleb(*number, out));
        leb(self.time_s, out);
        out.push(0);
        uleb(self.actors.len().saturating_sub(1) as u64, out);
    }

    fn change(&mut self, dice: &mut Dice) {
        match dice.below(14) {
            0 => {
                let at = dice.below(2);
                self.numbers[at] = number(self.numbers[at], dice);
            }
            1 => self.time_s = number(self.time_s as u64, dice) as i64,
            2 => self.change_deps(dice),
            3 => self.change_actors(dice),
            _ => self.change_columns(dice),
        }
    }

    fn change_deps(&mut self, dice: &mut Dice) {
        let known = &fixture::records()[dice.below(fixture::records().len())];
        let hash = known.heads().first().map_or([0; 32], |head| head.0);
        if self.deps.is_empty() || dice.below(2) == 0 {
            self.deps.push(hash);
        } else {
            let at = dice.below(self.deps.len());
            if dice.below(2) == 0 {
                self.deps[at] = hash;
            } else {
                self.deps.remove(at);
            }
        }
        self.deps.sort_unstable();
    }

    fn change_actors(&mut self, dice: &mut Dice) {
        let pool = [fixture::A.0, fixture::B.0, [0; 16], [1; 16], [0xff; 16]];
        let actor = pool[dice.below(pool.len())].to_vec();
        let at = dice.below(self.actors.len() + 1);
        if at == self.actors.len() {
            self.actors.push(actor);
        } else if self.actors.len() == 1 || dice.below(3) != 0 {
            self.actors[at] = actor;
        } else {
            self.actors.remove(at);
        }
        if let Some((_, others)) = self.actors.split_first_mut() {
            others.sort_unstable();
        }
    }

    fn change_columns(&mut self, dice: &mut Dice) {
        if self.columns.is_empty() {
            self.columns.push((0x42, vec![1, 1]));
        }
        let at = dice.below(self.columns.len());
        let donor = self.columns[dice.below(self.columns.len())].1.clone();
        match dice.below(10) {
            0 => drop(self.columns.remove(at)),
            1 => self.columns[at].1 = donor,
            2 => {
                let ids = [0x01, 0x02, 0x11, 0x13, 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73, 0x80];
                self.columns[at].0 = ids[dice.below(ids.len())];
                self.columns.sort_by_key(|(id, _)| *id);
            }
            3 => {
                let copy = self.columns[at].1.clone();
                self.columns[at].1.extend_from_slice(&copy);
            }
            4 => {
                // The head of a run: how often, or how many follow.
                let count = number(1, dice) as i64;
                let mut head = Vec::new();
                leb(if dice.below(2) == 0 { count } else { count.wrapping_neg() }, &mut head);
                let to = dice.below(self.columns[at].1.len() + 1);
                let end = (to + dice.below(2)).min(self.columns[at].1.len());
                self.columns[at].1.splice(to..end, head);
            }
            _ => scramble(&mut self.columns[at].1, dice),
        }
    }
}

/// One to three changes of the parts; of the bytes, where they are no body, and now and then.
fn mutate_body(body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = body.to_vec();
    match Body::read(body) {
        Some(mut parts) if dice.below(8) != 0 => {
            for _ in 0..=dice.below(3) {
                parts.change(dice);
            }
            out = parts.write();
        }
        _ => scramble(&mut out, dice),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_written_as_it_was_read() {
        for change in fixture::changes() {
            let body = hostile::body(&change.bytes);
            assert_eq!(Body::read(body).unwrap().write(), body);
        }
    }
}
