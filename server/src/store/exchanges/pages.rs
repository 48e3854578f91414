//! What the console shows of exchanges.

use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

/// Which exchanges to list.
#[derive(Debug, Clone, Default)]
pub struct ExchangesQuery {
    /// Only of this unit and all below.
    pub unit: Option<String>,
    /// Only of this device.
    pub device: Option<String>,
    /// Only with `conflicts`, `doubles`, `quarantined` or `refused`.
    pub with: Option<String>,
    /// Number of the last one of the page before.
    pub after: Option<i64>,
    /// Exchanges on the page, 1 to 100.
    pub limit: usize,
}

/// What one device brought in one exchange.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExchangeRow {
    /// Its number.
    pub id: i64,
    /// The device.
    pub device: String,
    /// The device's name.
    pub device_name: String,
    /// Its user.
    pub user: String,
    /// The user's name.
    pub user_name: String,
    /// Code of the unit that the user belonged to.
    pub unit: String,
    /// Name of that unit.
    pub unit_name: String,
    /// A township hub brought it.
    pub relayed: bool,
    /// When its first changes were durable, milliseconds since 1970 UTC.
    pub first_ms: i64,
    /// When its last changes were durable, milliseconds since 1970 UTC.
    pub last_ms: i64,
    /// Changes that were taken.
    pub changes: u64,
    /// Records in which a change was taken.
    pub records: u64,
    /// Records that were new.
    pub created: u64,
    /// Records in which answers began to disagree.
    pub conflicts: u64,
    /// Records that began to look like another one.
    pub doubles: u64,
    /// Changes that were set apart.
    pub quarantined: u64,
    /// Changes that were refused.
    pub refused: u64,
}

/// A page of exchanges.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExchangeList {
    /// The exchanges, newest first.
    pub exchanges: Vec<ExchangeRow>,
    /// Cursor of the next page; none on the last.
    pub next: Option<i64>,
}

/// What an exchange did to one record.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExchangeRecord {
    /// The record.
    pub record: String,
    /// It is here. Of what was set apart or refused there may be no record.
    pub here: bool,
    /// Its kind; empty where nothing is known of it.
    pub kind: String,
    /// Code of its unit now, or of the one that was meant.
    pub unit: String,
    /// Name of that unit.
    pub unit_name: String,
    /// Its state now.
    pub state: Option<String>,
    /// The form's list columns now, by field path; sensitive ones masked.
    #[schema(value_type = Object)]
    pub values: Json,
    /// Changes that were taken.
    pub changes: u64,
    /// The first of them made it.
    pub created: bool,
    /// Fields that began to disagree, by path with rows.
    pub conflicts: Vec<String>,
    /// It began to look like another record.
    pub doubled: bool,
    /// Changes that were set apart.
    pub quarantined: u64,
    /// Changes that were refused.
    pub refused: u64,
    /// Why, as stable words.
    pub reasons: Vec<String>,
}

/// One exchange with its records.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExchangePage {
    /// The exchange.
    #[serde(flatten)]
    pub exchange: ExchangeRow,
    /// What it did to the records that the user may read, in the order in which they came; at most 1,000.
    pub listed: Vec<ExchangeRecord>,
    /// Records that are not listed: the user may not read them, or there are more than are kept.
    pub unlisted: u64,
}
