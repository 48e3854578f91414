use serde_json::json;

use super::*;
use crate::forms::compile_sheets;

fn form() -> Form {
    let survey = "type,name,label,bind::fb:search\ntext,name,N,yes\nbegin group,g,G,\ndecimal,d,D,\ninteger,i,I,\n\
        select_multiple l,many,M,\nbegin repeat,r,R,\ntext,t,T,\nbegin group,gg,GG,\ndate,day,D,\nend group,,,\n\
        begin repeat,s,S,\nselect_multiple l,m,M,\nend repeat,,,\nend repeat,,,\nend group,,,\ncalculate,c,,\nrank l,k,K,\n";
    let survey = survey.replace("calculate,c,,", "note,c,C,");
    let choices = "list_name,name,label\nl,b,B\nl,a,A\nl,c,C\n";
    compile_sheets("json", &[("survey.csv", &survey), ("choices.csv", choices)]).unwrap_or_else(|e| panic!("{}", e[0]))
}

struct Next(std::sync::atomic::AtomicU8);

impl Random for Next {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }
}

fn random() -> Next {
    Next(std::sync::atomic::AtomicU8::new(1))
}

fn applied(form: &Form, json: &Json) -> Result<Values, ValueError> {
    let mut values = Values::default();
    form.edits_from_json(json, &random())?.iter().for_each(|edit| values.apply(edit));
    Ok(values)
}

#[test]
fn what_goes_in_comes_out() {
    let json = json!({
        "name": "仁青·卓玛",
        "g": {"d": 1.25, "i": -3, "many": ["b", "c"], "r": [
            {"_row": "0101010101010101", "t": "x", "gg": {"day": "2024-05-01"}, "s": [{"_row": "0202020202020202", "m": ["a"]}, {"_row": "0303030303030303"}]},
            {"_row": "0404040404040404"},
        ]},
        "k": "c a b",
    });
    let form = form();
    assert_eq!(form.values_to_json(&applied(&form, &json).unwrap()), json);
}

#[test]
fn answers_are_made_canonical() {
    let json = json!({"name": "仁青・卓玛 ", "g": {"d": "１２．５０", "i": "７", "many": "c b", "r": [{"gg": {"day": "2024-5-1"}}]}});
    let form = form();
    let out = form.values_to_json(&applied(&form, &json).unwrap());
    assert_eq!(out["name"], "仁青·卓玛");
    assert_eq!(out["g"]["d"], json!(12.5));
    assert_eq!(out["g"]["i"], json!(7));
    assert_eq!(out["g"]["many"], json!(["b", "c"]));
    assert_eq!(out["g"]["r"][0]["gg"]["day"], "2024-05-01");
}

#[test]
fn decimals_that_no_float_holds_stay_text() {
    let form = form();
    let json = json!({"g": {"d": "0.1000000000000000055511151231"}});
    assert_eq!(form.values_to_json(&applied(&form, &json).unwrap()), json);
}

#[test]
fn wrong_values_are_named_and_nothing_is_taken() {
    let form = form();
    for (json, path, key) in [
        (json!([]), "values", MessageKey::NotAGroup),
        (json!({"nobody": 1}), "nobody", MessageKey::UnknownField),
        (json!({"g": 1}), "g", MessageKey::NotAGroup),
        (json!({"g": {"r": {}}}), "g/r", MessageKey::NotRows),
        (json!({"g": {"many": ["z"]}}), "g/many", MessageKey::NotAChoice),
        (json!({"c": "x"}), "c", MessageKey::Computed),
        (json!({"k": "a a"}), "k", MessageKey::Twice),
        (json!({"g": {"i": 9_300_000_000_000_000_000_u64}}), "g/i", MessageKey::NotInteger),
    ] {
        let error = applied(&form, &json).unwrap_err();
        assert_eq!((error.path.as_str(), error.message.key), (path, key), "{json}");
    }
    let error = applied(&form, &json!({"g": {"r": [{"gg": {"day": "gestern"}}]}})).unwrap_err();
    assert_eq!(error.path, "g/r[0101010101010101]/gg/day");
    assert_eq!(error.text("zh-Hans"), "应填写日期，例如 2024-05-01");
    let rows: Vec<Json> = (0..=RECORD_ROWS_MAX).map(|_| json!({})).collect();
    assert_eq!(applied(&form, &json!({"g": {"r": rows}})).unwrap_err().message.key, MessageKey::TooManyRows);
}

#[test]
fn patches_set_add_and_remove() {
    let form = form();
    let mut values = applied(&form, &json!({"g": {"many": ["a", "b"], "r": [{"t": "x"}, {"t": "y"}]}})).unwrap();
    let row = values.rows["g/r"][0].id;
    let map = |json: Json| json.as_object().cloned().unwrap();
    let edits = form
        .edits_from_patch(
            &values,
            &map(json!({"g/many": ["b", "c"], (format!("g/r[{row}]/t")): "z", "name": null})),
            &map(json!({"g/r/s": [{"_parent": row.to_string(), "m": ["a"]}], "g/r": [{"t": "new", "s": [{"m": ["b"]}]}]})),
            &map(json!({"g/r": [values.rows["g/r"][1].id.to_string()]})),
            &Next(std::sync::atomic::AtomicU8::new(50)),
        )
        .unwrap();
    edits.iter().for_each(|edit| values.apply(edit));
    let out = form.values_to_json(&values);
    assert_eq!(out["g"]["many"], json!(["b", "c"]));
    assert_eq!(out["g"]["r"][0]["t"], "z");
    assert_eq!(out["g"]["r"][0]["s"][0]["m"], json!(["a"]));
    assert_eq!(out["g"]["r"][1]["t"], "new");
    assert_eq!(out["g"]["r"][1]["s"][0]["m"], json!(["b"]));
    assert_eq!(out["g"]["r"].as_array().unwrap().len(), 2);
    let none = Map::new();
    for (set, add, remove) in [
        (json!({"g/r[ffffffffffffffff]/t": "z"}), json!({}), json!({})),
        (json!({"g/r/t": "z"}), json!({}), json!({})),
        (json!({}), json!({"g/r/s": [{}]}), json!({})),
        (json!({}), json!({"nobody": [{}]}), json!({})),
        (json!({}), json!({}), json!({"g/r": ["ffffffffffffffff"]})),
    ] {
        assert!(form.edits_from_patch(&values, &map(set), &map(add), &map(remove), &random()).is_err());
    }
    assert_eq!(form.edits_from_patch(&values, &none, &none, &none, &random()), Ok(Vec::new()));
}
