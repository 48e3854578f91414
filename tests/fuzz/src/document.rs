//! A stored body that is loaded: `Document::load`.
//!
//! Input: flags, then bytes. A body carries its own checksum: an accident never gets past it. With `SEALED` it fits.

use fieldbook_core::document::Document;

use crate::bytes::mutate_behind_flags;
use crate::hostile::{self, Dice, body, seal};
use crate::{Limits, Meter, Target, fixture};

/// The target. A body is our own: what is held against limits is what an accident can make of it.
pub const TARGET: Target = Target {
    name: "document",
    limits: Limits { input_bytes: 8 * 1024, time_ms: 50, memory_bytes: 50 << 20, output_bytes: 64 * 1024 },
    run,
    mutate: |input, dice| mutate_behind_flags(input, dice, scrambled),
    seeds,
};

fn scrambled(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = bytes.to_vec();
    hostile::scramble(&mut out, dice);
    out
}

fn run(input: &[u8], meter: &mut Meter) {
    let Some((_, bytes)) = input.split_first() else { return };
    let form = fixture::form();
    let Ok(document) = meter.measure(|| Document::load(bytes)) else { return };
    meter.output(document.save().len());
    meter.measure(|| {
        let shown = document.read_with_conflicts(form.definition());
        (shown, document.history(form.definition()), document.changes())
    });
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = fixture::records().iter().map(|record| [vec![0], record.save()].concat()).collect();
    seeds.push([vec![0], seal(0, body(&fixture::record().save()))].concat());
    seeds
}
