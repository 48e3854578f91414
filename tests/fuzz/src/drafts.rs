//! A stored draft that is taken up again: `FormSession::resume`.
//!
//! Input: the record's state, then the draft.

use fieldbook_core::document::Document;
use fieldbook_core::forms::{FieldPath, FormSession};
use fieldbook_core::ids::RowId;
use serde_json::json;

use crate::bytes::{mutate_behind_flags, mutate_cbor};
use crate::{Limits, Meter, Target, fixture};

/// The target.
pub const TARGET: Target = Target {
    name: "draft",
    limits: Limits { input_bytes: 32 * 1024, time_ms: 250, memory_bytes: 32 << 20, output_bytes: 1 << 20 },
    run,
    mutate: |input, dice| {
        mutate_behind_flags(input, dice, |rest, dice| {
            let mut out = rest.to_vec();
            mutate_cbor(&mut out, dice);
            out
        });
    },
    seeds,
};

fn base(state: u8) -> &'static Document {
    &fixture::records()[usize::from(state) % fixture::records().len()]
}

fn run(input: &[u8], meter: &mut Meter) {
    let Some((state, draft)) = input.split_first() else { return };
    let form = fixture::form();
    let base = base(*state);
    let values = base.read(form.definition());
    let resumed =
        meter.measure(|| FormSession::resume(form.clone(), values.clone(), fixture::time(), "zh-Hans", draft));
    let Ok(session) = resumed else { return };
    let edits = meter.measure(|| {
        drop((session.evaluation(), session.questions()));
        session.edits()
    });
    let again = session.draft();
    meter.output(again.len());
    let resume =
        |draft: &[u8]| FormSession::resume(form.clone(), values.clone(), fixture::time(), "zh-Hans", draft).ok();
    // What the form does not know is gone from now on, and makes room for a row more where the form counts them.
    let Some(first) = resume(&again) else { panic!("a draft cannot be taken up that was just kept") };
    let second = resume(&first.draft()).map(|second| second.edits());
    assert_eq!(second, Some(first.edits()), "a draft is not read as it was written");
    let mut document = base.clone();
    let heads = document.heads();
    // What a draft asks for may not fit the record; the record is then as it was.
    if meter.measure(|| document.edit(form.definition(), &heads, fixture::A, fixture::NOW_S, &edits)).is_err() {
        assert_eq!(document.heads(), heads);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let form = fixture::form();
    (0..fixture::records().len())
        .map(|state| {
            let values = base(state as u8).read(form.definition());
            let mut session = fixture::session(values);
            let row = RowId([50; 8]);
            let _ = session.set(&FieldPath::root("name"), &json!("次仁"));
            let _ = session.set(&FieldPath::root("number"), &json!("110101199003071233"));
            let _ = session.set(&FieldPath::root("age"), &json!(3));
            let _ = session.set(&FieldPath::root("needs"), &json!(["food", "fuel"]));
            let _ = session.add_row("members", None, row);
            let _ = session.add_row("members/jobs", Some(row), RowId([51; 8]));
            let _ = session.set(&FieldPath::in_row("members/member", "members", row), &json!("m"));
            let _ = session.remove_row("members", RowId([1; 8]));
            [vec![state as u8], session.draft()].concat()
        })
        .collect()
}
