//! One way to speak SQL to two databases: the embedded, encrypted SQLite, and PostgreSQL.
//!
//! Statements are written once, in what both understand: values are `?1`, `?2` …, numbers are 64-bit integers, truth is 0
//! and 1 (`docs/adr/0010`).

mod bytes;
mod cell;
mod dialect;
mod postgres;
mod rows;
mod search;
mod tables;
mod tls;
mod value;

pub use cell::{Cell, FromSql};
pub use rows::{Row, Rows, Statement};
pub use search::Words;
pub use tables::{Table, Values};
pub use value::{Params, Stored, ToSql, Value};

/// What the store gets when it speaks SQL.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a statement did nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite said so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL, or the connection to it, said so.
    #[error("{}", postgres::said(.0))]
    Postgres(#[from] ::postgres::Error),
    /// The database is on another machine, and nothing says whose certificate it has to show.
    #[error(
        "the database is on another machine: its address must name, as sslrootcert=FILE, the certificate of the authority \
         that vouches for it, since nothing may cross a network in the clear"
    )]
    InTheClear,
    /// The certificates that vouch for the database cannot be read.
    #[error("{path}: {detail}: it must hold, as PEM, the certificate of the authority that vouches for the database", path = path.display())]
    Roots {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A statement of the transaction had failed: nothing of it was stored.
    #[error("a statement of the transaction had failed: nothing was stored")]
    Failed,
    /// The connection was closed.
    #[error("the connection to the database is closed")]
    Closed,
    /// The database would sort text in a language's order: pages of lists would lose rows.
    #[error("the database sorts text by {0}: make it with LC_COLLATE 'C.UTF-8' (CREATE DATABASE … TEMPLATE template0)")]
    Collation(String),
    /// The one row that was asked for is not there.
    #[error("no such row")]
    NoRow,
    /// A column holds something else than what was asked for.
    #[error("column {column} holds no {wanted}")]
    Cell {
        /// From 0.
        column: usize,
        /// A Rust type.
        wanted: &'static str,
    },
    /// Text with the character U+0000, which PostgreSQL does not hold.
    #[error("a text holds the character U+0000")]
    Nul,
    /// An address names a socket of this machine and a host on a network: one of them would be spoken to in the clear.
    #[error("the database's address names a socket of this machine and another machine: name one of them")]
    Mixed,
    /// A number that no database holds.
    #[error("{0} is beyond 64 bits with a sign")]
    Number(u64),
}

impl Error {
    /// The database is not there for a while, or somebody else is in its way: the same may be done later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Postgres(error) => postgres::is_passing(error),
            _ => false,
        }
    }
}

/// A missing row is no failure.
pub trait OptionalExtension<T> {
    /// `None` where there is no such row.
    ///
    /// # Errors
    /// Any other failure.
    fn optional(self) -> Result<Option<T>>;
}

impl<T> OptionalExtension<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::NoRow) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A connection to either database. Outside of a transaction every
/// statement is a transaction of its own.
pub struct Connection {
    engine: Engine,
}

enum Engine {
    Sqlite(rusqlite::Connection),
    Postgres(Box<postgres::Session>),
}

impl From<rusqlite::Connection> for Connection {
    fn from(connection: rusqlite::Connection) -> Self {
        Self { engine: Engine::Sqlite(connection) }
    }
}

impl Connection {
    /// A connection to the PostgreSQL database that `url` names, as libpq writes it.
    ///
    /// # Errors
    /// What the connection or the server said.
    pub fn postgres(url: &str) -> Result<Self> {
        Ok(Self { engine: Engine::Postgres(Box::new(postgres::Session::new(postgres::connect(url)?))) })
    }

    /// The connection itself where it is SQLite's: for what only a file has.
    pub fn sqlite(&self) -> Option<&rusqlite::Connection> {
        match &self.engine {
            Engine::Sqlite(connection) => Some(connection),
            Engine::Postgres(_) => None,
        }
    }

    /// Makes the tables that `schema` describes in SQLite's words, in the open transaction.
    ///
    /// # Errors
    /// What the database said.
    pub fn make_tables(&self, schema: &str) -> Result<()> {
        // An older schema, whose steps to this one are to come, may have no audit log.
        let logged = schema.contains("CREATE TABLE audit ");
        match &self.engine {
            Engine::Sqlite(connection) => {
                connection.execute_batch(schema)?;
                if logged {
                    connection.execute_batch(dialect::APPEND_ONLY_SQLITE)?;
                }
            }
            Engine::Postgres(session) => {
                let text = "SELECT datcollate::text FROM pg_database WHERE datname = current_database()";
                let collation: String = self.query_row(text, (), |row| row.get(0))?;
                if !["C", "POSIX", "C.UTF-8", "C.utf8"].contains(&collation.as_str()) {
                    return Err(Error::Collation(collation));
                }
                session.run(&dialect::schema(schema))?;
                if logged {
                    session.run(dialect::APPEND_ONLY_POSTGRES)?;
                }
            }
        }
        self.make_shared_bytes()?;
        self.make_words()
    }

    /// Whether the triggers are there, and switched on, that refuse any change of this table but additions.
    ///
    /// # Errors
    /// What the database said.
    pub fn is_append_only(&self, table: &str) -> Result<bool> {
        let (text, wanted) = match &self.engine {
            Engine::Sqlite(_) => ("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1", 2),
            Engine::Postgres(_) => (
                "SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass(?1::text) AND NOT tgisinternal
                 AND tgenabled <> 'D'",
                1,
            ),
        };
        let found: i64 = self.query_row(text, [table], |row| row.get(0))?;
        Ok(found >= wanted)
    }

    /// Version of the tables; 0 where there are none.
    ///
    /// # Errors
    /// What the database said.
    pub fn schema_version(&self) -> Result<i64> {
        match &self.engine {
            Engine::Sqlite(_) => self.query_row("PRAGMA user_version", (), |row| row.get(0)),
            Engine::Postgres(_) => {
                let there = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'meta'";
                if self.query_row(there, (), |row| row.get::<i64>(0))? == 0 {
                    return Ok(0);
                }
                let text = "SELECT value FROM meta WHERE key = 'schema_version'";
                let found: Option<Vec<u8>> = self.query_row(text, (), |row| row.get(0)).optional()?;
                Ok(found.and_then(|found| String::from_utf8(found).ok()?.parse().ok()).unwrap_or(i64::MAX))
            }
        }
    }

    /// Notes the version of the tables.
    ///
    /// # Errors
    /// What the database said.
    pub fn set_schema_version(&self, version: i64) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(_) => self.execute_batch(&format!("PRAGMA user_version = {version}")),
            Engine::Postgres(_) => {
                let text = "INSERT INTO meta(key, value) VALUES ('schema_version', ?1)
                            ON CONFLICT(key) DO UPDATE SET value = excluded.value";
                self.execute(text, (version.to_string().into_bytes(),)).map(|_| ())
            }
        }
    }

    /// Whether this is a table of a SQLite file.
    ///
    /// # Errors
    /// What the database said.
    pub fn file_has_table(&self, name: &str) -> Result<bool> {
        let text = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        self.query_row(text, (name,), |row| row.get(0))
    }

    /// A statement, kept prepared for the next time.
    ///
    /// # Errors
    /// What the database said.
    pub fn prepare(&self, text: &str) -> Result<Statement<'_>> {
        match &self.engine {
            Engine::Sqlite(connection) => Ok(Statement::Sqlite(connection.prepare_cached(text)?)),
            Engine::Postgres(session) => Ok(Statement::Postgres(session, session.prepare(text)?)),
        }
    }

    /// Runs a statement; returns how many rows it changed.
    ///
    /// # Errors
    /// What the database said.
    pub fn execute(&self, text: &str, values: impl Params) -> Result<usize> {
        self.prepare(text)?.execute(values)
    }

    /// The first row that a query finds.
    ///
    /// # Errors
    /// What the database said.
    pub fn query_row<T>(&self, text: &str, values: impl Params, read: impl FnOnce(&Row<'_>) -> Result<T>) -> Result<T> {
        self.prepare(text)?.query_row(values, read)
    }

    /// Runs statements without values, in the words of the database.
    ///
    /// # Errors
    /// What the database said.
    pub fn execute_batch(&self, text: &str) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(connection) => Ok(connection.execute_batch(text)?),
            Engine::Postgres(session) => session.run(text),
        }
    }

    /// A transaction that sees one state of the database, until it is dropped.
    ///
    /// # Errors
    /// What the database said.
    pub fn reading(&self) -> Result<Transaction<'_>> {
        self.begin_reading()?;
        Ok(Transaction(self))
    }

    /// A transaction that may write. Dropped before [`Transaction::commit`], also by a panic, nothing of it stays.
    ///
    /// # Errors
    /// What the database said.
    pub fn writing(&self) -> Result<Transaction<'_>> {
        self.begin_writing()?;
        Ok(Transaction(self))
    }

    /// Begins a transaction that sees one state of the database.
    ///
    /// # Errors
    /// What the database said.
    pub fn begin_reading(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(connection) => Ok(connection.execute_batch("BEGIN")?),
            Engine::Postgres(session) => session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        }
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// What the database said.
    pub fn begin_writing(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(connection) => Ok(connection.execute_batch("BEGIN IMMEDIATE")?),
            Engine::Postgres(session) => session.begin_writing(),
        }
    }

    /// Begins a transaction that may write beside others that were begun so, also in other processes: whatever it changes
    /// it must [`Connection::hold`]. An embedded database has one writer at a time, however it began.
    ///
    /// # Errors
    /// What the database said.
    pub fn begin_sharing(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(_) => self.begin_writing(),
            Engine::Postgres(session) => session.begin_sharing(),
        }
    }

    /// Whether others may write beside the open transaction.
    pub fn is_sharing(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(_) => false,
            Engine::Postgres(session) => session.is_sharing(),
        }
    }

    /// Waits until no other transaction holds any of these keys, and holds them until this one ends. They are asked for in
    /// this order.
    ///
    /// # Errors
    /// What the database said; of two that wait for each other one fails.
    pub fn hold(&self, keys: &[i64]) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(session) => session.hold(keys),
        }
    }

    /// Makes the transaction durable.
    ///
    /// # Errors
    /// What the database said.
    pub fn commit(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(connection) => Ok(connection.execute_batch("COMMIT")?),
            Engine::Postgres(session) => session.commit(),
        }
    }

    /// Nothing of an open transaction stays.
    pub fn rollback(&self) {
        if self.is_idle() {
            return;
        }
        if let Err(error) = self.execute_batch("ROLLBACK") {
            tracing::error!(%error, "cannot roll back");
        }
    }

    /// The connection is lost, and with it what was open.
    pub fn is_closed(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(_) => false,
            Engine::Postgres(session) => session.is_closed(),
        }
    }

    /// No transaction is open.
    pub fn is_idle(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(connection) => connection.is_autocommit(),
            Engine::Postgres(session) => session.is_idle(),
        }
    }
}

/// An open transaction.
pub struct Transaction<'c>(&'c Connection);

impl Transaction<'_> {
    /// Makes it durable.
    ///
    /// # Errors
    /// What the database said.
    pub fn commit(self) -> Result<()> {
        self.0.commit()
    }
}

impl std::ops::Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.0.rollback();
    }
}

/// Values of several types, as [`Params`].
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::sql::ToSql),*][..]
    };
}
pub(crate) use params;
