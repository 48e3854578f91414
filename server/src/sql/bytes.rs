//! Bytes that servers on several machines share through their PostgreSQL database. Beside SQLite they lie in files alone:
//! there is one machine.

use super::{Connection, Engine, OptionalExtension, Result};

/// No reference to the rows that name them: backups, moves and restores leave the table out.
const POSTGRES_TABLE: &str = "CREATE TABLE shared_bytes (name BYTEA PRIMARY KEY, bytes BYTEA NOT NULL);
ALTER TABLE shared_bytes ALTER COLUMN bytes SET STORAGE EXTERNAL;";

impl Connection {
    /// Makes the table, in the open transaction.
    ///
    /// # Errors
    /// What the database said.
    pub(super) fn make_shared_bytes(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(session) => session.run(POSTGRES_TABLE),
        }
    }

    /// Whether the database holds bytes under this name. SQLite holds none.
    ///
    /// # Errors
    /// What the database said.
    pub fn has_shared_bytes(&self, name: &[u8; 32]) -> Result<bool> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(false),
            Engine::Postgres(_) => self.prepare("SELECT 1 FROM shared_bytes WHERE name = ?1")?.exists([name]),
        }
    }

    /// The bytes of this name. SQLite holds none.
    ///
    /// # Errors
    /// What the database said.
    pub fn shared_bytes(&self, name: &[u8; 32]) -> Result<Option<Vec<u8>>> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(None),
            Engine::Postgres(_) => {
                let sql = "SELECT bytes FROM shared_bytes WHERE name = ?1";
                self.query_row(sql, [name], |row| row.get(0)).optional()
            }
        }
    }

    /// Keeps bytes under a name that is new. SQLite keeps none.
    ///
    /// # Errors
    /// What the database said.
    pub fn put_shared_bytes(&self, name: &[u8; 32], bytes: &[u8]) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(_) => {
                self.execute("INSERT INTO shared_bytes(name, bytes) VALUES (?1, ?2)", (name, bytes)).map(|_| ())
            }
        }
    }

    /// Removes the bytes of a name, where there are any.
    ///
    /// # Errors
    /// What the database said.
    pub fn drop_shared_bytes(&self, name: &[u8; 32]) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(_) => self.execute("DELETE FROM shared_bytes WHERE name = ?1", [name]).map(|_| ()),
        }
    }
}
