//! Tables as a whole, whatever they hold: what backups and moves between databases copy.

use std::sync::atomic::{AtomicU64, Ordering};

use super::rows::{Row, Rows};
use super::{Connection, Engine, OptionalExtension, Result, Stored, dialect};

/// Rows that PostgreSQL hands over at once.
const ROWS_AT_ONCE: usize = 200;

/// A table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<String>,
}

/// A row's values, in the order of the columns.
pub type Values = Vec<Option<Stored>>;

impl Connection {
    /// Every table of the schema, in the order in which they were made, but for those that are made from the rest in each
    /// database's own way: the words that records are found by, and bytes that machines share.
    ///
    /// # Errors
    /// What the database said.
    pub fn tables(&self) -> Result<Vec<Table>> {
        let (names, columns) = match &self.engine {
            Engine::Sqlite(_) => (
                "SELECT t.name FROM sqlite_schema t JOIN pragma_table_list l ON l.name = t.name
                 WHERE l.schema = 'main' AND l.type = 'table' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%'
                 ORDER BY t.rowid",
                "SELECT name FROM pragma_table_info(?1) ORDER BY cid",
            ),
            Engine::Postgres(_) => (
                "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname NOT IN ('lexicon', 'shared_bytes')
                 AND relnamespace = current_schema()::regnamespace ORDER BY pg_class.oid::bigint",
                "SELECT attname::text FROM pg_attribute WHERE attrelid = (?1::text)::regclass AND attnum > 0
                 AND NOT attisdropped ORDER BY attnum",
            ),
        };
        let names = self.prepare(names)?.query_map((), |row| row.get::<String>(0))?.collect::<Result<Vec<_>>>()?;
        let mut listed = self.prepare(columns)?;
        let with_columns = |name: String| {
            let columns = listed.query_map([&name], |row| row.get(0))?.collect::<Result<Vec<_>>>()?;
            Ok(Table { name, columns })
        };
        names.into_iter().map(with_columns).collect()
    }

    /// Hands over every row of a table, one after the other, without holding all of them. Inside a transaction.
    ///
    /// # Errors
    /// What the database said, or `each`.
    pub fn each_row<E: From<super::Error>>(
        &self,
        table: &Table,
        mut each: impl FnMut(Values) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let select = format!("SELECT {} FROM {}", table.columns.join(", "), table.name);
        let width = table.columns.len();
        let Engine::Postgres(session) = &self.engine else {
            let mut statement = self.prepare(&select)?;
            let mut rows = statement.query(())?;
            while let Some(row) = rows.next_row()? {
                each(values(&row, width)?)?;
            }
            return Ok(());
        };
        // A statement that was prepared for another cursor has its columns: each cursor has a name of its own.
        static CURSORS: AtomicU64 = AtomicU64::new(0);
        let cursor = format!("copied_{}", CURSORS.fetch_add(1, Ordering::Relaxed));
        session.run(&dialect::statement(&format!("DECLARE {cursor} NO SCROLL CURSOR FOR {select}")))?;
        let fetch = session.prepare(&format!("FETCH {ROWS_AT_ONCE} FROM {cursor}"))?;
        loop {
            let found = session.query(&fetch, &[])?;
            let last = found.len() < ROWS_AT_ONCE;
            let mut rows = Rows::Postgres(found.into_iter(), None);
            while let Some(row) = rows.next_row()? {
                each(values(&row, width)?)?;
            }
            if last {
                session.forget(&format!("FETCH {ROWS_AT_ONCE} FROM {cursor}"));
                return Ok(session.run(&format!("CLOSE {cursor}"))?);
            }
        }
    }

    /// Adds one row.
    ///
    /// # Errors
    /// What the database said.
    pub fn insert_row(&self, table: &Table, row: &Values) -> Result<()> {
        let places: Vec<String> = (1..=table.columns.len()).map(|at| format!("?{at}")).collect();
        let text = format!("INSERT INTO {}({}) VALUES ({})", table.name, table.columns.join(", "), places.join(", "));
        self.execute(&text, row.as_slice()).map(|_| ())
    }

    /// In the open transaction, rows may name others that come later.
    ///
    /// # Errors
    /// What the database said.
    pub fn defer_references(&self) -> Result<()> {
        self.execute_batch(match &self.engine {
            Engine::Sqlite(_) => "PRAGMA defer_foreign_keys = ON",
            Engine::Postgres(_) => "SET CONSTRAINTS ALL DEFERRED",
        })
    }

    /// After rows came with their numbers: the next number of each table is above them.
    ///
    /// # Errors
    /// What the database said.
    pub fn count_on(&self, tables: &[Table]) -> Result<()> {
        let Engine::Postgres(_) = &self.engine else { return Ok(()) };
        let mut counted = self.prepare(
            "SELECT attname::text FROM pg_attribute
             WHERE attrelid = (?1::text)::regclass AND attidentity <> '' AND NOT attisdropped",
        )?;
        for Table { name, .. } in tables {
            let counted: Option<String> = counted.query_row([name], |row| row.get(0)).optional()?;
            let Some(column) = counted else { continue };
            let text = format!(
                "SELECT setval(pg_get_serial_sequence(?1, ?2), GREATEST((SELECT MAX({column}) FROM {name}), 0) + 1, false)"
            );
            self.query_row(&text, [name, &column], |row| row.get::<i64>(0))?;
        }
        Ok(())
    }

    /// How many other connections the database of this one has. SQLite does not say: `None`.
    ///
    /// # Errors
    /// What the database said.
    pub fn others(&self) -> Result<Option<u64>> {
        let Engine::Postgres(_) = &self.engine else { return Ok(None) };
        let text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        self.query_row(text, (), |row| row.get(0)).map(Some)
    }

    /// Moves every table of a PostgreSQL database into the new schema `aside`.
    ///
    /// # Errors
    /// What the database said.
    pub fn put_aside(&self, tables: &[Table], aside: &str) -> Result<()> {
        self.execute_batch(&format!("CREATE SCHEMA {aside}; DROP TABLE lexicon, shared_bytes"))?;
        tables
            .iter()
            .try_for_each(|table| self.execute_batch(&format!("ALTER TABLE {} SET SCHEMA {aside}", table.name)))
    }

    /// Copies every table of a PostgreSQL database into the schema `kept`, in place of an earlier one of this name.
    ///
    /// # Errors
    /// What the database said.
    pub fn keep_tables(&self, kept: &str) -> Result<()> {
        self.execute_batch(&format!("DROP SCHEMA IF EXISTS {kept} CASCADE; CREATE SCHEMA {kept}"))?;
        self.tables()?
            .iter()
            .try_for_each(|table| self.execute_batch(&format!("CREATE TABLE {kept}.{0} AS TABLE {0}", table.name)))
    }

    /// Whether a PostgreSQL database has a schema of this name.
    ///
    /// # Errors
    /// What the database said.
    pub fn has_schema(&self, name: &str) -> Result<bool> {
        self.prepare("SELECT 1 FROM pg_namespace WHERE nspname = (?1::text)::name")?.exists([name])
    }
}

fn values(row: &Row<'_>, width: usize) -> Result<Values> {
    (0..width).map(|column| row.get::<Option<Stored>>(column)).collect()
}
