//! A compiled form as a phone gets it through a feed: `Form::from_bytes`, and a record filled in with it.

use std::sync::Arc;

use fieldbook_core::forms::{
    Form, FormDefinition, FormSession, GroupItem, SurveyItem, Values, builtin, compile_sheets,
};
use fieldbook_core::ids::RowId;
use fieldbook_core::sync::to_cbor;

use crate::bytes::mutate_cbor;
use crate::{Limits, Meter, Target, fixture};

/// The target. Time is that of all steps; a form of this size is a large one.
pub const TARGET: Target = Target {
    name: "form",
    limits: Limits { input_bytes: 64 * 1024, time_ms: 500, memory_bytes: 64 << 20, output_bytes: 16 << 20 },
    run,
    mutate: mutate_cbor,
    seeds,
};

/// Rows that are added to the first repeat.
const ROWS: u8 = 3;

fn run(input: &[u8], meter: &mut Meter) {
    let Ok(form) = meter.measure(|| Form::from_bytes(input)) else { return };
    let bytes = form.to_bytes();
    assert!(Form::from_bytes(&bytes).is_ok(), "a form is not read as it was written");
    meter.output(bytes.len());
    let shown = meter.measure(|| {
        let form = Arc::new(form);
        let mut session = FormSession::new(Arc::clone(&form), Values::default(), fixture::time(), "zh-Hans");
        if let Some((repeat, _)) = form.definition().repeats.first() {
            for row in 0..ROWS {
                let _ = session.add_row(repeat, None, RowId([row; 8]));
            }
        }
        session.set_time(fixture::NOW_S + 1);
        let evaluation = session.evaluation();
        let questions = session.questions();
        session.draft().len() + format!("{:?}", (evaluation, questions)).len()
    });
    meter.output(shown);
}

fn seeds() -> Vec<Vec<u8>> {
    let fixture = fixture::form();
    let mut seeds = vec![fixture.to_bytes(), to_cbor(&nested(40)), to_cbor(&nested(100))];
    let doubling = doubling(40);
    let small = "type,name,label\ntext,name,Name\n";
    for survey in [&doubling, small] {
        seeds.extend(compile_sheets("form", &[("survey.csv", survey)]).ok().map(|form| form.to_bytes()));
    }
    let builtin = builtin().unwrap_or_default().into_iter();
    seeds.extend(builtin.map(|form| form.to_bytes()).filter(|bytes| bytes.len() <= TARGET.limits.input_bytes));
    seeds
}

/// Calculations that each double the one before.
pub fn doubling(steps: usize) -> String {
    let mut survey = "type,name,label,calculation\ntext,name,Name,\ncalculate,c0,,\"'0123456789'\"\n".to_owned();
    for step in 1..steps {
        let before = step - 1;
        survey.push_str(&format!("calculate,c{step},,\"concat(${{c{before}}}, ${{c{before}}})\"\n"));
    }
    survey
}

/// Groups in groups.
fn nested(depth: usize) -> FormDefinition {
    let mut definition = fixture::form().definition().clone();
    let mut items = Vec::new();
    for _ in 0..depth {
        let group = GroupItem { path: "g".to_owned(), label: Default::default(), appearance: None, items };
        items = vec![SurveyItem::Group(group)];
    }
    definition.items = items;
    definition
}
