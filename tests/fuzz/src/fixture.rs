//! What inputs are held against: one form with everything in it, and a record that two people wrote.

use std::sync::{Arc, LazyLock};

use fieldbook_core::document::{Document, RawChange};
use fieldbook_core::forms::{Edit, EvalTime, FieldPath, Form, FormSession, Scalar, Values, compile_sheets};
use fieldbook_core::ids::{ActorId, RecordId, RowId};
use fieldbook_core::ports::Random;
use sha2::{Digest, Sha256};

/// Authors of the record.
pub const A: ActorId = ActorId([0xaa; 16]);
/// The second of them.
pub const B: ActorId = ActorId([0xbb; 16]);
/// The record.
pub const RECORD: RecordId = RecordId([7; 16]);
/// 2026-09-21, seconds since 1970.
pub const NOW_S: i64 = 1_790_000_000;

/// The survey sheet.
pub const SURVEY: &str = "\
type,name,label,required,relevant,constraint,calculation,repeat_count,appearance,parameters,bind::fb:merge,bind::fb:check,bind::fb:writers
text,name,Name,yes,,,,,,,must-agree,,
text,number,Number,,,,,,,,,id-number,
text,phone,Phone,,,,,,,,,phone,
integer,age,Age,,,. >= 0 and . < 150,,,,,,,
decimal,income,Income,,${age} > 15,,,,,,,,
date,born,Born,,,. <= today(),,,,,,,
time,hour,Hour,,,,,,,,,,
dateTime,seen,Seen,,,,,,,,,,
select_one yes_no,poor,Poor,,,,,,,,,,
select_multiple needs,needs,Needs,,${poor} = 'yes',,,,,,,,
rank needs,order,Order,,,,,,,,,,
geopoint,place,Place,,,,,,,,,,
geoshape,field,Field,,,,,,,,,,
image,picture,Picture,,,,,,,,,,
text,stage,Stage,,,,,,,,,,county
begin_repeat,members,Members,,,,,,,,,,
text,member,Member,,,,,,,,,,
integer,years,Years,,,,,,,,,,
select_multiple needs,ills,Ills,,${years} > 3,,,,,,,,
begin_repeat,jobs,Jobs,,,,,,,,,,
text,title,Title,,,,,,,,,,
integer,pay,Pay,,,,,,,,,,
end_repeat,,,,,,,,,,,,
end_repeat,,,,,,,,,,,,
begin_repeat,rounds,Rounds,,,,,${age},,,,,
text,remark,Remark,,,,,,,,,,
end_repeat,,,,,,,,,,,,
calculate,total,,,,,\"sum(${pay}) + count(${members})\",,,,,,
calculate,line,,,,,\"join(' ', ${member})\",,,,,,
";
/// The choices sheet.
pub const CHOICES: &str = "\
list_name,name,label
yes_no,yes,Yes
yes_no,no,No
needs,food,Food
needs,fuel,Fuel
needs,heart,Heart
";
/// The settings sheet.
pub const SETTINGS: &str = "\
form_title,form_id,version,namespaces,fb:area
Household,household,1,\"fb=\"\"urn:fieldbook:form\"\"\",aid
";

#[allow(clippy::expect_used)]
static FORM: LazyLock<Arc<Form>> = LazyLock::new(|| {
    let sheets = [("survey.csv", SURVEY), ("choices.csv", CHOICES), ("settings.csv", SETTINGS)];
    Arc::new(compile_sheets("household", &sheets).expect("the fixture compiles"))
});

#[allow(clippy::expect_used)]
static RECORDS: LazyLock<Vec<Document>> = LazyLock::new(|| states().expect("the fixture saves"));

/// The form.
pub fn form() -> Arc<Form> {
    Arc::clone(&FORM)
}

/// The record after each of its saves, oldest first; the first holds its creation alone.
pub fn records() -> &'static [Document] {
    &RECORDS
}

/// The record after all of its saves.
pub fn record() -> &'static Document {
    &RECORDS[RECORDS.len() - 1]
}

/// The record's changes, oldest first.
pub fn changes() -> Vec<RawChange> {
    record().changes()
}

/// The time of an evaluation.
pub fn time() -> EvalTime {
    EvalTime::new(NOW_S, &RECORD)
}

/// A form being filled in.
pub fn session(values: Values) -> FormSession {
    FormSession::new(form(), values, time(), "zh-Hans")
}

fn text(field: &str, value: &str) -> Edit {
    Edit::Set { path: FieldPath::root(field), value: Some(Scalar::Text(value.to_owned())) }
}

fn member(row: u8, name: &str) -> Vec<Edit> {
    let id = RowId([row; 8]);
    let path = |field: &str| FieldPath::in_row(format!("members/{field}"), "members", id);
    let job = RowId([row + 100; 8]);
    let title = FieldPath::in_row("members/jobs/title", "members/jobs", job);
    vec![
        Edit::AddRow { repeat: "members".to_owned(), row: id, parent: None },
        Edit::Set { path: path("member"), value: Some(Scalar::Text(name.to_owned())) },
        Edit::Set { path: path("years"), value: Some(Scalar::Integer(i64::from(row))) },
        Edit::Choose { path: path("ills"), choice: "heart".to_owned(), chosen: true },
        Edit::AddRow { repeat: "members/jobs".to_owned(), row: job, parent: Some(id) },
        Edit::Set { path: title, value: Some(Scalar::Text("牧民".to_owned())) },
    ]
}

fn states() -> Result<Vec<Document>, fieldbook_core::document::DocumentError> {
    let form = FORM.definition();
    let mut doc = Document::create(RECORD, form)?;
    let mut states = vec![doc.clone()];
    let mut first = vec![text("name", "才让"), text("stage", "a")];
    first.extend(member(1, "扎西"));
    first.extend(member(2, "卓玛"));
    first.push(Edit::Choose { path: FieldPath::root("needs"), choice: "food".to_owned(), chosen: true });
    let creation = doc.heads();
    doc.edit(form, &creation, A, NOW_S, &first)?;
    states.push(doc.clone());
    let opened = doc.heads();
    doc.edit(form, &opened, A, NOW_S + 1, &[text("name", "a"), text("phone", "13800000000")])?;
    states.push(doc.clone());
    let removal = Edit::RemoveRow { repeat: "members".to_owned(), row: RowId([2; 8]) };
    doc.edit(form, &opened, B, NOW_S + 2, &[text("name", "b"), removal])?;
    states.push(doc.clone());
    let unfed = Edit::Choose { path: FieldPath::root("needs"), choice: "food".to_owned(), chosen: false };
    let heads = doc.heads();
    doc.edit(form, &heads, B, NOW_S + 3, &[text("name", "a"), unfed, Edit::Submit { at: "t".to_owned() }])?;
    states.push(doc);
    Ok(states)
}

/// Different bytes at every call, the same in every run.
#[derive(Default)]
pub struct Counting(std::sync::atomic::AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(32) {
            let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            piece.copy_from_slice(&Sha256::digest(number.to_be_bytes())[..piece.len()]);
        }
    }
}
