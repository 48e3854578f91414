//! Answers as JSON, as an import, a patch and a supervisor give them: what passes can be saved, and what is saved
//! passes intake on every other device.
//!
//! Input: the record's state, then JSON: an object with `set`, `add` and `remove` is a patch, any other new values.

use fieldbook_core::access::Role;
use fieldbook_core::document::DocumentError;
use fieldbook_core::forms::{Edit, Values};
use fieldbook_core::intake::{Rights, admit};
use serde_json::{Map, Value as Json, json};

use crate::bytes::mutate_behind_flags;
use crate::cbor::{WORDS, number, words};
use crate::hostile::{Dice, scramble};
use crate::{Limits, Meter, Target, fixture};

/// The target.
pub const TARGET: Target = Target {
    name: "answers",
    limits: Limits { input_bytes: 32 * 1024, time_ms: 250, memory_bytes: 32 << 20, output_bytes: 256 * 1024 },
    run,
    mutate: |input, dice| mutate_behind_flags(input, dice, mutate_json),
    seeds,
};

fn run(input: &[u8], meter: &mut Meter) {
    let Some((state, text)) = input.split_first() else { return };
    let Ok(json) = meter.measure(|| serde_json::from_slice::<Json>(text)) else { return };
    let form = fixture::form();
    let records = fixture::records();
    let base = &records[usize::from(*state) % records.len()];
    let values = base.read(form.definition());
    let edits = meter.measure(|| edits(&json, &values));
    let Some(edits) = edits else { return };
    let mut document = base.clone();
    let heads = document.heads();
    let saved = meter.measure(|| document.edit(form.definition(), &heads, fixture::A, fixture::NOW_S, &edits));
    let change = match saved {
        Ok(Some(change)) => change,
        Ok(None) => return,
        Err(DocumentError::Internal { detail }) => panic!("answers that passed break the save: {detail}"),
        Err(_) => return,
    };
    meter.output(change.bytes.len());
    let mut other = base.clone();
    let rights = Rights { roles: &[Role::Field, Role::County], last_review: None, reopened: None };
    let taken = admit(&mut other, form.definition(), &change.bytes, Some(&rights));
    assert!(taken.is_ok(), "an honest save is not taken: {taken:?}");
    let shown = other.read(form.definition());
    assert_eq!(shown, document.read(form.definition()));
    meter.measure(|| form.evaluate(&shown, fixture::time()));
    let told = form.values_to_json(&shown);
    let random = fixture::Counting::default();
    assert!(form.edits_from_json(&told, &random).is_ok(), "what a record says is not taken back: {told}");
}

fn edits(json: &Json, values: &Values) -> Option<Vec<Edit>> {
    let form = fixture::form();
    let random = fixture::Counting::default();
    let part = |key: &str| json.get(key).and_then(Json::as_object).cloned();
    let (set, add, remove) = (part("set"), part("add"), part("remove"));
    if set.is_none() && add.is_none() && remove.is_none() {
        return form.edits_from_json(json, &random).ok();
    }
    let (set, add, remove) = (set.unwrap_or_default(), add.unwrap_or_default(), remove.unwrap_or_default());
    form.edits_from_patch(values, &set, &add, &remove, &random).ok()
}

fn mutate_json(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = text.to_vec();
    match serde_json::from_slice::<Json>(text) {
        Ok(mut json) if dice.below(10) != 0 => {
            for _ in 0..=dice.below(3) {
                change(&mut json, dice, 0);
            }
            out = json.to_string().into_bytes();
        }
        _ => scramble(&mut out, dice),
    }
    out
}

/// Changes a value, or one of those inside it.
fn change(json: &mut Json, dice: &mut Dice, depth: usize) {
    if dice.below(12) == 0 {
        *json = any(dice);
        return;
    }
    match json {
        Json::Object(map) if !map.is_empty() => change_map(map, dice, depth),
        Json::Array(items) if !items.is_empty() => {
            let at = dice.below(items.len());
            match dice.below(6) {
                0 => drop(items.remove(at)),
                1 => {
                    let copy = items[at].clone();
                    let most = if dice.below(20) == 0 { 2_500 } else { 4 };
                    let times = dice.below(most);
                    items.extend(std::iter::repeat_n(copy, times));
                }
                _ => change(&mut items[at], dice, depth + 1),
            }
        }
        Json::String(text) => {
            let mut bytes = std::mem::take(text).into_bytes();
            words(&mut bytes, dice);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        Json::Number(held) => *json = Json::from(number(held.as_u64().unwrap_or(0), dice) as i64),
        other => *other = any(dice),
    }
}

fn change_map(map: &mut Map<String, Json>, dice: &mut Dice, depth: usize) {
    let at = dice.below(map.len());
    let Some(key) = map.keys().nth(at).cloned() else { return };
    match dice.below(8) {
        0 => drop(map.remove(&key)),
        1 => {
            let value = map.remove(&key).unwrap_or_default();
            map.insert(NAMES[dice.below(NAMES.len())].to_owned(), value);
        }
        2 => drop(map.insert(NAMES[dice.below(NAMES.len())].to_owned(), any(dice))),
        3 if depth < 40 => {
            let value = map.remove(&key).unwrap_or_default();
            map.insert(key, json!({ "members": [value] }));
        }
        _ => {
            if let Some(value) = map.get_mut(&key) {
                change(value, dice, depth + 1);
            }
        }
    }
}

fn any(dice: &mut Dice) -> Json {
    match dice.below(9) {
        0 => Json::Null,
        1 => json!(dice.below(2) == 0),
        2 => json!(dice.roll() as i64 >> dice.below(64)),
        3 => json!(f64::from_bits(dice.roll())),
        4 => json!([]),
        5 => json!({}),
        6 => json!(["food", "fuel"]),
        _ => json!(WORDS[dice.below(WORDS.len())]),
    }
}

const NAMES: &[&str] = &[
    "name",
    "number",
    "phone",
    "age",
    "income",
    "born",
    "hour",
    "seen",
    "poor",
    "needs",
    "order",
    "place",
    "field",
    "picture",
    "stage",
    "members",
    "member",
    "years",
    "ills",
    "jobs",
    "title",
    "pay",
    "rounds",
    "remark",
    "total",
    "set",
    "add",
    "remove",
    "_row",
    "_parent",
    "members/jobs",
    "members[0101010101010101]/member",
    "members[0101010101010101]/ills",
    "members[0202020202020202]",
    "members/jobs[6565656565656565]/title",
    "members[0101010101010101]/_removed",
];

fn seeds() -> Vec<Vec<u8>> {
    let whole = json!({
        "name": "才让", "number": "110101199003071233", "phone": "13800000000", "age": 36, "income": 12.5,
        "born": "1990-03-07", "hour": "08:30", "seen": "2026-09-21T08:00:00+08:00", "poor": "yes",
        "needs": ["food", "heart"], "order": "fuel food heart", "place": "35.1 102.5 3000 5",
        "field": "35 102;35.1 102;35.1 102.1;35 102", "picture": "a.jpg", "stage": "a",
        "members": [{ "member": "扎西", "years": 4, "ills": ["heart"], "jobs": [{ "title": "t", "pay": 5 }] }],
        "rounds": [{ "remark": "r" }],
    });
    let row = "0101010101010101";
    let patch = json!({
        "set": { "name": "b", format!("members[{row}]/member"): "c", format!("members[{row}]/ills"): [] },
        "add": { "members": [{ "member": "d" }], "members/jobs": [{ "_parent": row, "title": "e" }] },
        "remove": { "members": ["0202020202020202"] },
    });
    let mut seeds = Vec::new();
    for state in 0..fixture::records().len() as u8 {
        seeds.push([vec![state], whole.to_string().into_bytes()].concat());
        seeds.push([vec![state], patch.to_string().into_bytes()].concat());
    }
    seeds.push([vec![0], "[".repeat(5_000).into_bytes()].concat());
    seeds
}
