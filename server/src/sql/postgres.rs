//! A session with PostgreSQL.

use std::cell::{Cell as Flag, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ::postgres::types::{IsNull, ToSql as ToPostgres, Type, to_sql_checked};
use ::postgres::{Client, Row};
use bytes::BytesMut;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::cell::Cell;
use super::{Error, Result, Value, dialect, tls};

/// Held by whoever writes until the transaction ends: the key of an advisory lock, "fieldboo".
const WRITER_LOCK: i64 = 0x6669_656c_6462_6f6f;

/// Whoever stops in the middle of a transaction, with the writer's lock, holds up all others no longer than this; the database
/// asks after a client's machine that says nothing. On a socket the last three do nothing.
const SETTINGS: &str = "
SET idle_in_transaction_session_timeout = '120s';
SET lock_timeout = '60s';
SET tcp_keepalives_idle = 30;
SET tcp_keepalives_interval = 10;
SET tcp_keepalives_count = 3;";

/// One connection, with the statements that were prepared on it.
pub struct Session {
    /// `None` once it was dropped.
    client: RefCell<Option<Client>>,
    prepared: RefCell<HashMap<String, Arc<::postgres::Statement>>>,
    idle: Flag<bool>,
    /// A statement of the open transaction failed: PostgreSQL would roll it back at `COMMIT`, and call that success.
    failed: Flag<bool>,
    /// Keys of advisory locks that the open transaction holds; `None` while it is the only one that writes.
    held: RefCell<Option<HashSet<i64>>>,
}

impl Session {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client: RefCell::new(Some(client)),
            prepared: RefCell::default(),
            idle: Flag::new(true),
            failed: Flag::new(false),
            held: RefCell::default(),
        }
    }

    fn with<T: Send>(
        &self,
        work: impl FnOnce(&mut Client) -> std::result::Result<T, ::postgres::Error> + Send,
    ) -> Result<T> {
        let mut client = self.client.borrow_mut();
        let client = client.as_mut().ok_or(Error::Closed)?;
        let done = apart(client, work);
        if done.is_err() {
            self.failed.set(true);
        }
        Ok(done?)
    }

    /// Makes the transaction durable, or says that it was not.
    pub(super) fn commit(&self) -> Result<()> {
        if self.failed.get() {
            self.run("ROLLBACK")?;
            return Err(Error::Failed);
        }
        self.run("COMMIT")
    }

    pub(super) fn prepare(&self, text: &str) -> Result<Arc<::postgres::Statement>> {
        if let Some(known) = self.prepared.borrow().get(text) {
            return Ok(Arc::clone(known));
        }
        let statement = Arc::new(self.with(|client| client.prepare(&dialect::statement(text)))?);
        self.prepared.borrow_mut().insert(text.to_owned(), Arc::clone(&statement));
        Ok(statement)
    }

    /// Lets go of a prepared statement.
    pub(super) fn forget(&self, text: &str) {
        self.prepared.borrow_mut().remove(text);
    }

    pub(super) fn execute(&self, statement: &::postgres::Statement, values: &[Value<'_>]) -> Result<usize> {
        let values: Vec<&(dyn ToPostgres + Sync)> = values.iter().map(|value| value as _).collect();
        let changed = self.with(|client| client.execute(statement, &values))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(super) fn query(&self, statement: &::postgres::Statement, values: &[Value<'_>]) -> Result<Vec<Row>> {
        let values: Vec<&(dyn ToPostgres + Sync)> = values.iter().map(|value| value as _).collect();
        self.with(|client| client.query(statement, &values))
    }

    pub(super) fn run(&self, text: &str) -> Result<()> {
        self.with(|client| client.batch_execute(text))?;
        // `BEGIN …`, `COMMIT` and `ROLLBACK` come alone.
        self.idle.set(match text.split_whitespace().next() {
            Some("BEGIN") => {
                self.failed.set(false);
                false
            }
            Some("COMMIT" | "ROLLBACK") => true,
            _ => self.idle.get(),
        });
        Ok(())
    }

    /// Begins a transaction beside which nobody writes.
    pub(super) fn begin_writing(&self) -> Result<()> {
        self.begin(&format!("SELECT pg_advisory_xact_lock({WRITER_LOCK})"), None)
    }

    /// Begins a transaction beside which others write that begin so.
    pub(super) fn begin_sharing(&self) -> Result<()> {
        self.begin(&format!("SELECT pg_advisory_xact_lock_shared({WRITER_LOCK})"), Some(HashSet::new()))
    }

    fn begin(&self, lock: &str, held: Option<HashSet<i64>>) -> Result<()> {
        self.failed.set(false);
        self.held.replace(held);
        let begun = self.with(|client| client.batch_execute(&format!("BEGIN ISOLATION LEVEL READ COMMITTED; {lock}")));
        self.idle.set(false);
        if begun.is_err() && !self.is_closed() {
            self.run("ROLLBACK")?;
        }
        begun
    }

    /// Whether others may write beside the open transaction.
    pub(super) fn is_sharing(&self) -> bool {
        self.held.borrow().is_some()
    }

    /// Waits until the transaction holds these locks, which it asks for in this order.
    pub(super) fn hold(&self, keys: &[i64]) -> Result<()> {
        let mut held = self.held.borrow_mut();
        let Some(held) = held.as_mut() else { return Ok(()) };
        let new: Vec<i64> = keys.iter().copied().filter(|key| !held.contains(key)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let statement = self.prepare("SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key")?;
        self.with(|client| client.query(&*statement, &[&new]))?;
        held.extend(new);
        Ok(())
    }

    /// The connection is lost, and with it what was open.
    pub(super) fn is_closed(&self) -> bool {
        self.client.borrow().as_ref().is_none_or(Client::is_closed)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.idle.get()
    }
}

/// The client waits in a runtime of its own, which a task of another one may not. The server's tasks reach the store on
/// threads that may block; where one asks by itself, its thread is given up for so long.
fn apart<C: Send, T: Send>(client: &mut C, work: impl FnOnce(&mut C) -> T + Send) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Err(_) => work(client),
        Ok(RuntimeFlavor::CurrentThread) => std::thread::scope(|scope| {
            let asked = scope.spawn(|| work(client));
            asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }),
        Ok(_) => tokio::task::block_in_place(|| work(client)),
    }
}

/// What PostgreSQL said, with the code that its manual lists; without its detail, which quotes rows.
pub(super) fn said(error: &::postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("PostgreSQL {}: {}", said.code().code(), said.message()),
        None => error.to_string(),
    }
}

/// A connection to the database at `address`.
pub(super) fn connect(address: &str) -> Result<Client> {
    apart(&mut (), |()| {
        let mut client = tls::connect(address)?;
        client.batch_execute(SETTINGS)?;
        Ok(client)
    })
}

/// Whether the same may be tried later: the connection is lost, or the database said that it stops, is full, or waited for
/// somebody else for too long (PostgreSQL's appendix A).
pub(super) fn is_passing(error: &::postgres::Error) -> bool {
    let Some(code) = error.code().map(::postgres::error::SqlState::code) else { return !is_conversion(error) };
    code.starts_with("08") || code.starts_with("57P") || ["53300", "55P03", "25P03", "40P01"].contains(&code)
}

/// A value did not fit: no failure of the database.
fn is_conversion(error: &::postgres::Error) -> bool {
    let text = error.to_string();
    text.starts_with("error serializing") || text.starts_with("error deserializing")
}

impl Drop for Session {
    fn drop(&mut self) {
        // The client says goodbye, and waits for that too.
        apart(&mut self.client.take(), |client| drop(client.take()));
    }
}

impl ToPostgres for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, kind) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Integer(number), &Type::INT4) => i32::try_from(*number)?.to_sql(kind, out),
            (Self::Integer(number), &Type::INT8) => number.to_sql(kind, out),
            (Self::Text(text), &Type::TEXT | &Type::VARCHAR) => text.to_sql(kind, out),
            (Self::Blob(bytes), &Type::BYTEA) => bytes.to_sql(kind, out),
            (value, kind) => Err(format!("{value:?} is no {kind}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// What stands in a column; `None` where it is of a type that the store has no use for.
pub(super) fn cell(row: &Row, column: usize) -> Result<Option<Cell<'_>>> {
    let Some(kind) = row.columns().get(column).map(|column| column.type_()) else { return Ok(None) };
    let cell = match *kind {
        Type::INT8 => row.try_get::<_, Option<i64>>(column)?.map(Cell::Integer),
        Type::INT4 => row.try_get::<_, Option<i32>>(column)?.map(|number| Cell::Integer(i64::from(number))),
        Type::BOOL => row.try_get::<_, Option<bool>>(column)?.map(|truth| Cell::Integer(i64::from(truth))),
        Type::TEXT | Type::VARCHAR => row.try_get::<_, Option<&str>>(column)?.map(Cell::Text),
        Type::BYTEA => row.try_get::<_, Option<&[u8]>>(column)?.map(Cell::Blob),
        _ => return Ok(None),
    };
    Ok(Some(cell.unwrap_or(Cell::Null)))
}
