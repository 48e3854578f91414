//! The small forms of the simulated office: one kind for each of four areas, in versions that grow.

use fieldbook_core::access::Area;
use fieldbook_core::forms::{Form, compile_sheets};

use super::Wrong;

/// Kinds, each with its area.
pub const KINDS: [(&str, Area); 4] =
    [("note", Area::Aid), ("case", Area::Legal), ("money", Area::Finance), ("camp", Area::Screening)];
/// Newest version.
pub const VERSION_MAX: u32 = 3;
/// Text fields outside of rows that field staff write.
pub const FIELDS: [&str; 3] = ["title", "remark", "phone"];
/// The field that pages and lists of the console hide.
pub const HIDDEN: &str = "phone";
/// The field that only supervisors write.
pub const STAGE: &str = "stage";
/// The repeats, each with the version that brought it; the first field is written when a row is added.
pub const REPEATS: [(&str, &str, u32); 4] =
    [("people", "name", 1), (CALLS, "call", 1), ("helpers", "helper", 2), ("visits", "day", 3)];
/// The repeat that stands in rows of another, and that one.
pub const CALLS: &str = "calls";
pub const AROUND_CALLS: &str = "people";
/// The second field of rows of `people`.
pub const NICK: &str = "nick";
/// The several choices.
pub const TOPICS: &str = "topics";
/// Of what one may choose.
pub const CHOICES: [&str; 3] = ["roof", "water", "school"];

const SURVEY: &str = "\
type,name,label::English (en),required,bind::fb:merge,bind::fb:writers,bind::fb:list,bind::fb:search,bind::fb:sensitivity
text,title,Title,,,,yes,,
text,remark,Remark,yes,,,,yes,
text,phone,Phone,,must-agree,,yes,,sensitive
select_multiple topic,topics,Topics,,,,,,
begin repeat,people,People,,,,,,
text,name,Name,,,,,yes,
text,nick,Nick,,,,,,
begin repeat,calls,Calls,,,,,,
text,call,Call,,,,,,
end repeat,,,,,,,,
end repeat,,,,,,,,
text,stage,Stage,,,county prefecture province,,,
";
const CHOICE_SHEET: &str =
    "list_name,name,label::English (en)\ntopic,roof,Roof\ntopic,water,Water\ntopic,school,School\n";

/// The form of `kind` in `version`.
///
/// # Errors
/// What does not compile.
pub fn form(kind: &str, area: Area, version: u32) -> Result<Form, Wrong> {
    let mut survey = SURVEY.to_owned();
    for (repeat, field, since) in REPEATS.iter().skip(2) {
        if *since <= version {
            survey +=
                &format!("begin repeat,{repeat},{repeat},,,,,,\ntext,{field},{field},,,,,,\nend repeat,,,,,,,,\n");
        }
    }
    let settings = format!(
        "form_title,form_id,version,namespaces,fb:area\n{kind},{kind},{version},\"fb=\"\"urn:fieldbook:form\"\"\",{}\n",
        area.word()
    );
    compile_sheets(kind, &[("survey.csv", &survey), ("choices.csv", CHOICE_SHEET), ("settings.csv", &settings)])
        .map_err(|errors| format!("the form {kind} does not compile: {errors:?}"))
}
