//! What an administrator does: sets up, backs up, loses, restores, renews; and what the server says of it in logs and metrics.

mod drill;
mod guards;
mod installation;
mod logs;
mod succession;

use std::path::Path;

use fieldbook_tests::demo::stage::Phone;
use serde_json::{Value, json};

use crate::phone::visit;

/// Imports visits with these narratives and syncs.
async fn writes(phone: &Phone, narratives: &[&str]) {
    let lines: Vec<String> =
        narratives.iter().map(|narrative| json!({ "values": visit(narrative) }).to_string()).collect();
    phone.feed(&["import", "visit"], &lines).await.unwrap();
    phone.sync().await.unwrap();
}

/// The narratives of all visits on the phone, sorted.
async fn narratives(phone: &Phone) -> Vec<String> {
    let records: Vec<Value> = phone.export("visit").await.unwrap();
    let of = |record: &Value| record["values"]["situation"]["narrative"].as_str().unwrap().to_owned();
    let mut found: Vec<String> = records.iter().map(of).collect();
    found.sort();
    found
}

/// The enrolment link in what a command printed, at another address.
fn link_in(printed: &str, address: &str) -> String {
    let link = printed.split_whitespace().find(|word| word.starts_with("fieldbook://")).unwrap();
    crate::phone::at_address(link, address)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
