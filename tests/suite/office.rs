//! A real server process, phones inside this process, and a supervisor at the API; with a small form of its own.

use std::path::Path;
use std::sync::Arc;

use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::system::{SystemClock, SystemRandom};
use fieldbook_core::client::{
    ClientError, ConflictView, Fieldbook, Language, NewRecord, Patch, RecordView, Saved, SyncReport,
};
use fieldbook_core::forms::{Form, compile_sheets};
use fieldbook_core::ids::RecordId;
use fieldbook_tests::demo::report::password;
use fieldbook_tests::demo::supervisor::Supervisor;
use fieldbook_tests::phone::FileVault;
use serde_json::{Value, json};

use crate::phone::World;

/// The small form's kind.
pub(crate) const NOTE: &str = "note";

const HEADER: &str = "type,name,label::English (en),bind::fb:merge,bind::fb:writers,bind::fb:list\n";
const BODY: &str = "\
text,title,Title,,,yes
text,remark,Remark,,,
text,phone,Phone,,,
integer,size,Size,,,
select_multiple topic,topics,Topics,,,
begin repeat,people,People,,,
text,name,Name,,,
integer,age,Age,,,
end repeat,,,,,
text,stage,Stage,,county prefecture province,
";
const NEWER: &str = "\
begin repeat,helpers,Helpers,,,
text,helper,Helper,,,
end repeat,,,,,
";
const CHOICES: &str = "list_name,name,label::English (en)\ntopic,roof,Roof\ntopic,water,Water\ntopic,school,School\n";

/// The small form's sheets, by file name.
fn sheets(version: u32) -> [(&'static str, String); 3] {
    let newer = if version > 1 { NEWER } else { "" };
    let settings = format!(
        "form_title,form_id,version,namespaces,fb:area\nNote,{NOTE},{version},\"fb=\"\"urn:fieldbook:form\"\"\",aid\n"
    );
    [("survey.csv", format!("{HEADER}{BODY}{newer}")), ("choices.csv", CHOICES.to_owned()), ("settings.csv", settings)]
}

/// The small form, compiled.
pub(crate) fn note_form(version: u32) -> Form {
    let sheets = sheets(version);
    compile_sheets(NOTE, &sheets.each_ref().map(|(name, text)| (*name, text.as_str()))).unwrap()
}

/// The server and who works with it.
pub(crate) struct Office {
    pub(crate) world: World,
}

impl Office {
    /// The server, with the small form in version 1.
    pub(crate) fn open() -> Self {
        let office = Self { world: World::start() };
        office.publish(1);
        office
    }

    /// Publishes the small form; from version 2 on it has the repeat `helpers`.
    pub(crate) fn publish(&self, version: u32) {
        let folder = self.world.home(&format!("form-{version}"));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in sheets(version) {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let printed = self.world.server.administer(&["form", "publish", folder.to_str().unwrap()]).unwrap();
        assert!(printed.contains(NOTE), "{printed}");
    }

    /// Enrols a phone for `login` and fetches the forms.
    pub(crate) fn phone(&self, login: &str) -> Phone {
        let phone = Phone::at(&self.world.home(&format!("book-{login}")));
        phone.book.enrol(&self.world.link(login), "test").unwrap();
        phone.sync();
        phone
    }

    /// The two phones of one township.
    pub(crate) fn two(&self) -> (Phone, Phone) {
        (self.phone("duojie"), self.phone("maxiuying"))
    }

    /// A county supervisor, logged in.
    pub(crate) fn county(&self) -> County {
        let arguments = ["user", "add", "李措毛", "--unit", "632323", "--role", "county", "--login", "licuomao"];
        let printed = self.world.server.administer(&arguments).unwrap();
        let password = password(&printed).unwrap_or_else(|| panic!("no password in {printed}"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let session = runtime.block_on(Supervisor::log_in(&self.world.server, "licuomao", &password)).unwrap();
        County { runtime, session }
    }
}

/// A supervisor's session, for tests that wait.
pub(crate) struct County {
    runtime: tokio::runtime::Runtime,
    session: Supervisor,
}

impl County {
    pub(crate) fn get(&self, path: &str) -> Value {
        self.runtime.block_on(self.session.get(path)).unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.runtime.block_on(self.session.post(path, body))
    }

    /// One record's page.
    pub(crate) fn page(&self, id: RecordId) -> Value {
        self.get(&format!("records/{id}"))
    }

    /// What its page shows at `path`: author and value of every side, sorted; empty where nobody disagrees.
    pub(crate) fn sides(&self, id: RecordId, path: &str) -> Vec<(String, Value)> {
        let page = self.page(id);
        let conflicts = page["conflicts"].as_array().unwrap();
        let of_path = conflicts.iter().filter(|conflict| conflict["path"] == path);
        let values = of_path.flat_map(|conflict| conflict["values"].as_array().unwrap());
        sorted(values.map(|side| (side["author"].as_str().unwrap().to_owned(), side["value"].clone())).collect())
    }
}

/// A phone inside this process.
pub(crate) struct Phone {
    pub(crate) home: std::path::PathBuf,
    pub(crate) book: Arc<Fieldbook>,
}

/// Opens the phone in `home`.
pub(crate) fn open(home: &Path) -> Result<Arc<Fieldbook>, ClientError> {
    let vault = Arc::new(FileVault::new(&home.join("vault")));
    Fieldbook::open(home, vault, Arc::new(SystemClock::new()), Arc::new(SystemRandom::new()), Language::English)
}

impl Phone {
    pub(crate) fn at(home: &Path) -> Self {
        Self { home: home.to_owned(), book: open(home).unwrap() }
    }

    /// The process ends without saying goodbye, and a new one opens the same folder.
    pub(crate) fn again(self) -> Self {
        let Self { home, book } = self;
        assert_eq!(Arc::strong_count(&book), 1, "a form is still held");
        drop(book);
        Self::at(&home)
    }

    pub(crate) fn try_sync(&self) -> Result<SyncReport, ClientError> {
        self.book.sync(&(), &CancelFlag::default())
    }

    pub(crate) fn sync(&self) -> SyncReport {
        self.try_sync().unwrap()
    }

    /// A new record.
    pub(crate) fn create(&self, kind: &str, id: Option<RecordId>, values: Value) -> RecordId {
        let record = NewRecord { id, values, submit: false };
        self.book.import(kind, &[record]).unwrap().remove(0).unwrap()
    }

    pub(crate) fn try_edit(
        &self,
        id: RecordId,
        set: &Value,
        add: &Value,
        remove: &Value,
    ) -> Result<Saved, ClientError> {
        let map = |value: &Value| value.as_object().cloned().unwrap_or_default();
        let patch = Patch { id, set: map(set), add: map(add), remove: map(remove), submit: false };
        self.book.edit(&[patch]).unwrap().remove(0)
    }

    pub(crate) fn set(&self, id: RecordId, path: &str, value: impl Into<Value>) -> Saved {
        self.try_edit(id, &json!({ path: value.into() }), &Value::Null, &Value::Null).unwrap()
    }

    pub(crate) fn add(&self, id: RecordId, repeat: &str, row: Value) {
        self.try_edit(id, &Value::Null, &json!({ repeat: [row] }), &Value::Null).unwrap();
    }

    pub(crate) fn remove(&self, id: RecordId, repeat: &str, row: &str) {
        self.try_edit(id, &Value::Null, &Value::Null, &json!({ repeat: [row] })).unwrap();
    }

    pub(crate) fn record(&self, id: RecordId) -> RecordView {
        self.book.record(id).unwrap()
    }

    /// The value at a path of the exported JSON, such as `/people/0/name`.
    pub(crate) fn value(&self, id: RecordId, pointer: &str) -> Value {
        self.record(id).values.pointer(pointer).cloned().unwrap_or(Value::Null)
    }

    /// Ids and one field of all rows of a repeat, by that field.
    pub(crate) fn rows(&self, id: RecordId, repeat: &str, field: &str) -> Vec<(String, String)> {
        let values = self.record(id).values;
        let rows = values[repeat].as_array().cloned().unwrap_or_default();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let mut rows: Vec<_> = rows.iter().map(|row| (text(row, field), text(row, "_row"))).collect();
        rows.sort();
        rows
    }

    /// Author and value of every side of the conflict at `path`, sorted; empty where nobody disagrees.
    pub(crate) fn sides(&self, id: RecordId, path: &str) -> Vec<(String, Value)> {
        sides(&self.record(id).conflicts, path)
    }
}

/// Author and value of every side of the conflict at `path`, sorted.
pub(crate) fn sides(conflicts: &[ConflictView], path: &str) -> Vec<(String, Value)> {
    let of_path = conflicts.iter().filter(|conflict| conflict.path == path);
    sorted(
        of_path.flat_map(|conflict| &conflict.values).map(|side| (side.author.clone(), side.value.clone())).collect(),
    )
}

fn sorted(mut sides: Vec<(String, Value)>) -> Vec<(String, Value)> {
    sides.sort_by_key(|(author, value)| (author.clone(), value.to_string()));
    sides
}

/// What two users wrote, as [`Phone::sides`] lists it.
pub(crate) fn pair(first: (&str, &str), second: (&str, &str)) -> Vec<(String, Value)> {
    sorted([first, second].map(|(author, value)| (author.to_owned(), json!(value))).to_vec())
}

/// Syncs the phones in this order.
pub(crate) fn sync_all(phones: &[&Phone]) {
    for phone in phones {
        phone.sync();
    }
}

/// An id that is the same in every run. Ids differ in their first bytes, as drawn ones do: those name a record on its way.
pub(crate) fn id(number: u8) -> RecordId {
    format!("0f{number:02x}0d0c-0000-4000-8000-000000000000").parse().unwrap()
}
