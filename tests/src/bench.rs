//! What benchmarks share: a server, and a phone full of records.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::system::{SystemClock, SystemRandom};
use fieldbook_core::client::{Fieldbook, Language, NewRecord, SyncReport};

use crate::demo::people::{self, HEADS};
use crate::demo::stage::{Failure, Server};
use crate::phone::FileVault;
use crate::workload;

/// Records imported in one transaction.
const BATCH: usize = 50;
/// Townships of the county: each gives two feeds, and the county's own unit four.
const TOWNSHIPS: usize = 8;

/// Feeds that the county's phones follow.
pub const FEEDS: usize = 2 * TOWNSHIPS + 4;
/// Kind of the workload's records.
pub const KIND: &str = "bench_household";

/// Opens the phone in `folder`.
///
/// # Errors
/// What the facade said.
pub fn open(folder: &Path) -> Result<Arc<Fieldbook>, Failure> {
    let vault = Arc::new(FileVault::new(folder));
    Fieldbook::open(folder, vault, Arc::new(SystemClock::new()), Arc::new(SystemRandom::new()), Language::Chinese)
        .map_err(|error| error.to_string())
}

/// A server in `folder/server`: one county whose phones follow [`FEEDS`] feeds, every one of them written to but the
/// county's own, and the workload's form. Users: `county`, and `a`, `b`, `c`, all with the county's rights.
///
/// # Errors
/// When a command or a phone fails.
pub fn server_with_twenty_feeds(folder: &Path) -> Result<Server, Failure> {
    let data = folder.join("server");
    let add_user = |unit: &str, role: &str, login: &str| {
        Server::command(&data, &["user", "add", login, "--unit", unit, "--role", role, "--login", login])
    };
    Server::command(&data, &["unit", "add", "1", "泽库县总工会"])?;
    for login in ["county", "a", "b", "c"] {
        add_user("1", "county", login)?;
    }
    let townships: Vec<String> = (1..=TOWNSHIPS).map(|number| format!("1{number}")).collect();
    for code in &townships {
        Server::command(&data, &["unit", "add", code, "乡镇工会", "--parent", "1"])?;
        add_user(code, "field", &format!("field-{code}"))?;
    }
    let form = Path::new(env!("CARGO_MANIFEST_DIR")).join("workload/form");
    Server::command(&data, &["form", "publish", &form.to_string_lossy()])?;
    let server = Server::start(&data)?;
    for (code, head) in townships.iter().zip(HEADS) {
        let phone = enrolled(&server, &folder.join(format!("phone-{code}")), &format!("field-{code}"))?;
        // A feed begins with its first record: one of the area aid, one of the area legal.
        for (kind, values) in [("household", people::household(head, 1)), ("legal_checkup", people::legal_checkup())] {
            import(&phone, kind, &[NewRecord { id: None, values, submit: false }])?;
        }
        synced(&phone)?;
        phone.close().map_err(|error| error.to_string())?;
    }
    Ok(server)
}

/// Enrols a phone in `folder` and fetches the forms.
///
/// # Errors
/// What server or phone said.
pub fn enrolled(server: &Server, folder: &Path, login: &str) -> Result<Arc<Fieldbook>, Failure> {
    let printed = server.administer(&["device", "enrol", login])?;
    let link = printed.split_whitespace().find(|word| word.starts_with("fieldbook://")).ok_or("no link")?;
    let query = link.split_once("/enrol").map(|(_, query)| query).ok_or("no query")?;
    let phone = open(folder)?;
    phone.enrol(&format!("fieldbook://{}/enrol{query}", server.address), "bench").map_err(|error| error.to_string())?;
    synced(&phone)?;
    Ok(phone)
}

/// Syncs until nothing waits.
///
/// # Errors
/// What the facade said.
pub fn synced(phone: &Fieldbook) -> Result<SyncReport, Failure> {
    phone.sync(&(), &CancelFlag::default()).map_err(|error| error.to_string())
}

fn import(phone: &Fieldbook, kind: &str, records: &[NewRecord]) -> Result<(), Failure> {
    for saved in phone.import(kind, records).map_err(|error| error.to_string())? {
        saved.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Imports records of the workload of `seed`: those at `indices`.
///
/// # Errors
/// What the facade said of the first that failed.
pub fn fill(phone: &Fieldbook, seed: u32, indices: Range<u32>) -> Result<(), Failure> {
    let mut batch = Vec::new();
    let mut lines = workload::records_at(seed, indices).peekable();
    while let Some(line) = lines.next() {
        let line: serde_json::Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        let id = line["id"].as_str().and_then(|text| text.parse().ok());
        batch.push(NewRecord { id, values: line["values"].clone(), submit: false });
        if batch.len() == BATCH || lines.peek().is_none() {
            import(phone, KIND, &batch)?;
            batch.clear();
        }
    }
    Ok(())
}
