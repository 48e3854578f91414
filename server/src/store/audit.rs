//! The audit log: who did what to which id, and when; never values. Rows are only ever added, which triggers of the database
//! hold, and each is chained to the one before it, which [`Store::verify`] checks.
//!
//! A row that is changed or taken out from between is noticed. Rows cut from the end, or a whole log made anew by somebody
//! with the database's key, are noticed where an earlier [head](AuditHead) is known: it lies beside the backups, where `backup`
//! and `doctor` compare it, and `backup`, `backup-check` and `verify` print it.

use std::collections::BTreeMap;

use crate::sql;
use crate::sql::{Connection, OptionalExtension};
use fieldbook_core::ids::UserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Problem, Store, StoreError, units};

/// The words of what is logged. Nothing else is, so that every page and every reader can know them all.
pub(crate) const ACTIONS: &[&str] = &[
    "login",
    "login_refused",
    "code_refused",
    "recovery_code",
    "logout",
    "sessions_ended",
    "password_changed",
    "password_reset",
    "second_factor",
    "second_factor_reset",
    "unit_added",
    "user_added",
    "user_transferred",
    "user_disabled",
    "roles_given",
    "roles_taken",
    "enrolment",
    "revoke",
    "setting",
    "approve",
    "return",
    "void",
    "archive",
    "reinstate",
    "choose",
    "edit",
    "reveal",
    "admit",
    "put_away",
    "take_up",
    "move",
    "purge",
    "double",
    "no_double",
    "double_undone",
    "publish_form",
    "export",
    "restored_confirm",
    "root_announced",
    "root_took_over",
    "certificate_written",
];
/// Rows on a page of the log.
pub(crate) const PAGE_MAX: usize = 200;
/// Rows of one export.
pub(crate) const EXPORT_MAX: usize = 100_000;

/// A row of the log.
#[derive(Debug, Clone)]
pub(crate) struct AuditRow {
    pub(crate) number: i64,
    pub(crate) time_ms: i64,
    pub(crate) user: Option<UserId>,
    pub(crate) user_name: Option<String>,
    pub(crate) action: String,
    pub(crate) subject: String,
    /// Name of the user or device that the subject is.
    pub(crate) subject_name: Option<String>,
    pub(crate) detail: String,
}

/// Which rows.
#[derive(Debug, Default)]
pub(crate) struct AuditQuery {
    /// Login or id of who did it.
    pub(crate) user: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) since_ms: Option<i64>,
    pub(crate) until_ms: Option<i64>,
    /// Rows below this number.
    pub(crate) before: Option<i64>,
    pub(crate) limit: usize,
}

/// SHA-256 over the link before and the row, each part with its length.
fn link(before: &[u8], (number, time_ms): (i64, i64), user: Option<UserId>, texts: [&str; 3]) -> [u8; 32] {
    let user = user.map(|user| user.0.to_vec()).unwrap_or_default();
    let (number, time) = (number.to_be_bytes(), time_ms.to_be_bytes());
    let mut hash = Sha256::new();
    for part in [before, &number, &time, &user].into_iter().chain(texts.map(str::as_bytes)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Adds a row: who (nobody where the command line did) did what, one of [`ACTIONS`], to which id; and fields' names, units, numbers
/// or an address besides, never values. The transaction must be one that writes alone.
pub(crate) fn audit(
    tx: &Connection,
    now_ms: i64,
    user: Option<UserId>,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<(), StoreError> {
    if !ACTIONS.contains(&action) {
        return Err(StoreError::corrupt("audit", format!("{action} is no word of the log")));
    }
    let last = "SELECT id, chain FROM audit ORDER BY id DESC LIMIT 1";
    let last: Option<(i64, Vec<u8>)> =
        tx.prepare(last)?.query_row((), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (number, before) = last.map_or((1, Vec::new()), |(number, chain)| (number + 1, chain));
    let chain = link(&before, (number, now_ms), user, [action, subject, detail]);
    let text =
        "INSERT INTO audit(id, time_ms, user, action, subject, detail, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let user = user.as_ref().map(UserId::as_bytes);
    tx.prepare(text)?.execute((number, now_ms, user, action, subject, detail, chain))?;
    Ok(())
}

/// How far the log goes: what every later state of it begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// Rows.
    pub rows: u64,
    /// The last row's link of the chain, in hex; empty where there is no row.
    pub chain: String,
}

/// How far the log goes now.
pub(super) fn head(tx: &Connection) -> Result<AuditHead, StoreError> {
    let last = "SELECT id, chain FROM audit ORDER BY id DESC LIMIT 1";
    let last: Option<(u64, [u8; 32])> =
        tx.prepare(last)?.query_row((), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(last.map_or_else(AuditHead::default, |(rows, chain)| AuditHead { rows, chain: hex::encode(chain) }))
}

/// The later of a state and the one that this row of a backup is the end of.
pub(super) fn later(head: AuditHead, columns: &[String], row: &sql::Values) -> AuditHead {
    let of = |name: &str| row.get(columns.iter().position(|column| column == name)?)?.as_ref();
    match (of("id"), of("chain")) {
        (Some(sql::Stored::Integer(id)), Some(sql::Stored::Blob(chain))) => match u64::try_from(*id) {
            Ok(rows) if rows > head.rows => AuditHead { rows, chain: hex::encode(chain) },
            _ => head,
        },
        _ => head,
    }
}

/// Whether the log went through this state.
pub(super) fn begins_with(tx: &Connection, head: &AuditHead) -> Result<bool, StoreError> {
    if head.rows == 0 {
        return Ok(true);
    }
    let at = "SELECT chain FROM audit WHERE id = ?1";
    let chain: Option<[u8; 32]> = tx.prepare(at)?.query_row([head.rows], |row| row.get(0)).optional()?;
    Ok(chain.is_some_and(|chain| hex::encode(chain) == head.chain))
}

/// What a walk through the whole log came to.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Up to the last that chains, or the first that does not.
    pub(super) rows: u64,
    /// The last link that holds.
    head: Option<[u8; 32]>,
    /// The first row that does not chain.
    pub(super) broken_at: Option<i64>,
}

/// Walks the whole log.
pub(super) fn walk(tx: &Connection) -> Result<Walk, StoreError> {
    let text = "SELECT id, time_ms, user, action, subject, detail, chain FROM audit ORDER BY id";
    let mut statement = tx.prepare(text)?;
    let mut rows = statement.query(())?;
    let mut walk = Walk::default();
    while let Some(row) = rows.next_row()? {
        let (number, time_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
        let texts: [String; 3] = [row.get(3)?, row.get(4)?, row.get(5)?];
        let user = row.get::<Option<[u8; 16]>>(2)?.map(UserId);
        walk.rows += 1;
        let before = walk.head.as_ref().map_or(&[][..], <[u8; 32]>::as_slice);
        let chain = link(before, (number, time_ms), user, texts.each_ref().map(String::as_str));
        if i64::try_from(walk.rows).ok() != Some(number) || row.get::<[u8; 32]>(6)? != chain {
            walk.broken_at = Some(number);
            break;
        }
        walk.head = Some(chain);
    }
    Ok(walk)
}

/// Whether a user may read the log: it is one for the whole server, so supervisors and auditors of its topmost units.
fn may_read(tx: &Connection, user: UserId) -> Result<bool, StoreError> {
    for (role, unit) in units::roles(tx, user)? {
        let readers = role.supervises() || role == fieldbook_core::access::Role::Auditor;
        if readers && units::unit(tx, &unit)?.is_some_and(|unit| unit.parent.is_none()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Name of the user or the device that has this id.
fn name_of(tx: &Connection, id: &str) -> Result<Option<String>, StoreError> {
    let Ok(user) = id.parse::<UserId>() else { return Ok(None) };
    let text = "SELECT name FROM users WHERE id = ?1 UNION ALL SELECT name FROM devices WHERE id = ?1 LIMIT 1";
    Ok(tx.prepare(text)?.query_row([user.as_bytes()], |row| row.get(0)).optional()?)
}

impl Store {
    /// Whether a user may read the log.
    ///
    /// # Errors
    /// What the database said.
    pub(crate) fn may_read_audit(&self, reader: UserId) -> Result<bool, StoreError> {
        self.read(|tx| may_read(tx, reader))
    }

    /// Notes that the key of phones' TLS was written out, for a proxy.
    ///
    /// # Errors
    /// What the database said.
    pub fn wrote_certificate(&self) -> Result<(), StoreError> {
        self.write(|tx| audit(tx, self.now_ms(), None, "certificate_written", "", ""))
    }

    /// How far the log goes.
    ///
    /// # Errors
    /// What the database said.
    pub fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.read(head)
    }

    /// Rows of the log, newest first.
    ///
    /// # Errors
    /// `not_auditor`; else what the database said.
    pub(crate) fn audit_rows(&self, reader: UserId, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        self.read(|tx| {
            if !may_read(tx, reader)? {
                return Err(Problem::new("not_auditor").into());
            }
            let mut text = "SELECT audit.id, time_ms, audit.user, users.name, action, subject, detail FROM audit \
                            LEFT JOIN users ON users.id = audit.user WHERE audit.id < ?1"
                .to_owned();
            let before = query.before.unwrap_or(i64::MAX);
            let user =
                query.user.clone().map(|user| (user.clone(), user.parse::<UserId>().ok().map(|id| id.0.to_vec())));
            let mut values: Vec<Box<dyn sql::ToSql>> = vec![Box::new(before)];
            let mut add = |condition: &str, value: Box<dyn sql::ToSql>| {
                values.push(value);
                text.push_str(&format!(" AND {condition} ?{}", values.len()));
            };
            match user {
                Some((_, Some(id))) => add("audit.user =", Box::new(id)),
                Some((login, None)) => add("users.login =", Box::new(login)),
                None => {}
            }
            for (condition, value) in [("action =", &query.action), ("subject =", &query.subject)] {
                if let Some(value) = value {
                    add(condition, Box::new(value.clone()));
                }
            }
            for (condition, value) in [("time_ms >=", query.since_ms), ("time_ms <", query.until_ms)] {
                if let Some(value) = value {
                    add(condition, Box::new(value));
                }
            }
            values.push(Box::new(query.limit));
            text.push_str(&format!(" ORDER BY audit.id DESC LIMIT ?{}", values.len()));
            let values: Vec<&dyn sql::ToSql> = values.iter().map(AsRef::as_ref).collect();
            let mut statement = tx.prepare(&text)?;
            let rows = statement.query_map(&values[..], |row| {
                Ok(AuditRow {
                    number: row.get(0)?,
                    time_ms: row.get(1)?,
                    user: row.get::<Option<[u8; 16]>>(2)?.map(UserId),
                    user_name: row.get(3)?,
                    action: row.get(4)?,
                    subject: row.get(5)?,
                    subject_name: None,
                    detail: row.get(6)?,
                })
            })?;
            let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
            let mut names = BTreeMap::new();
            for row in &mut rows {
                if !names.contains_key(&row.subject) {
                    names.insert(row.subject.clone(), name_of(tx, &row.subject)?);
                }
                row.subject_name = names.get(&row.subject).cloned().flatten();
            }
            Ok(rows)
        })
    }

    /// The same for an export, which is a row itself.
    ///
    /// # Errors
    /// As [`Store::audit_rows`].
    pub(crate) fn audit_export(&self, reader: UserId, query: AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self.audit_rows(reader, &AuditQuery { limit: EXPORT_MAX, ..query })?;
        let detail = format!("{} rows", rows.len());
        self.write(|tx| audit(tx, self.now_ms(), Some(reader), "export", "audit", &detail))?;
        Ok(rows)
    }
}
