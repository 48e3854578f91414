//! What benchmarks share: a server, and a phone full of records.

use std::path::Path;
use std::sync::Arc;

use fieldbook_core::client::net::CancelFlag;
use fieldbook_core::client::system::{SystemClock, SystemRandom};
use fieldbook_core::client::{Fieldbook, Language, NewRecord};

use crate::demo::stage::{Failure, Server};
use crate::phone::FileVault;
use crate::workload;

/// Records imported in one transaction.
const BATCH: usize = 50;

/// Opens the phone in `folder`.
///
/// # Errors
/// What the facade said.
pub fn open(folder: &Path) -> Result<Arc<Fieldbook>, Failure> {
    let vault = Arc::new(FileVault::new(folder));
    Fieldbook::open(folder, vault, Arc::new(SystemClock::new()), Arc::new(SystemRandom::new()), Language::Chinese)
        .map_err(|error| error.to_string())
}

/// A server of one county whose supervisor's phone follows 20 feeds and more, with the workload's form.
///
/// # Errors
/// When a command fails.
pub fn server_with_twenty_feeds(data: &Path) -> Result<Server, Failure> {
    Server::command(data, &["unit", "add", "1", "泽库县总工会"])?;
    for township in 1..=4 {
        Server::command(data, &["unit", "add", &format!("1{township}"), "乡镇工会", "--parent", "1"])?;
    }
    Server::command(data, &["user", "add", "county", "--unit", "1", "--role", "county", "--login", "county"])?;
    let form = Path::new(env!("CARGO_MANIFEST_DIR")).join("workload/form");
    Server::command(data, &["form", "publish", &form.to_string_lossy()])?;
    Server::start(data)
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
    phone.sync(&(), &CancelFlag::default()).map_err(|error| error.to_string())?;
    Ok(phone)
}

/// Imports `n` records of the workload.
///
/// # Errors
/// What the facade said of the first that failed.
pub fn fill(phone: &Fieldbook, n: u32) -> Result<(), Failure> {
    let mut batch = Vec::new();
    let mut lines = workload::records(1, n).peekable();
    while let Some(line) = lines.next() {
        let line: serde_json::Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        let id = line["id"].as_str().and_then(|text| text.parse().ok());
        batch.push(NewRecord { id, values: line["values"].clone(), submit: false });
        if batch.len() == BATCH || lines.peek().is_none() {
            for saved in phone.import("bench_household", &batch).map_err(|error| error.to_string())? {
                saved.map_err(|error| error.to_string())?;
            }
            batch.clear();
        }
    }
    Ok(())
}
