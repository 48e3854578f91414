//! A PostgreSQL server for tests, on a socket in a folder of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running PostgreSQL server; ends when it is dropped.
pub struct Postgres {
    child: Child,
    /// Its address without a database, as libpq writes it.
    pub address: String,
}

impl Postgres {
    /// Starts one, as `tests/scripts/postgres.sh` does.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start() -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres.sh");
        let mut child = Command::new(script)
            .args(["sh", "-c", "echo \"$FIELDBOOK_TEST_POSTGRES\"; cat >/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("PostgreSQL does not start: {error}"))?;
        let mut address = String::new();
        let printed = child.stdout.take().ok_or("the script has no output")?;
        BufReader::new(printed).read_line(&mut address).map_err(|error| error.to_string())?;
        let address = address.trim().to_owned();
        if address.is_empty() {
            return Err("PostgreSQL did not come up: make setup installs it".to_owned());
        }
        Ok(Self { child, address })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The script waits for the end of its input, and then stops the server.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Makes a database on the server at `address`; returns its own address.
///
/// # Errors
/// What the server said.
pub fn database(address: &str) -> Result<String, String> {
    let name = format!("fieldbook_{}", uuid::Uuid::new_v4().simple());
    let made = fieldbook_server::sql::Connection::postgres(&format!("{address} dbname=postgres"));
    let made = made.and_then(|connection| connection.execute_batch(&format!("CREATE DATABASE {name}")));
    made.map_err(|error| error.to_string())?;
    Ok(format!("{address} dbname={name}"))
}

/// Ends every connection to the server at `address` but its own, as a restart or a standby that takes over does.
///
/// # Errors
/// What the server said.
pub fn cut(address: &str) -> Result<(), String> {
    let text =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL";
    let connection = fieldbook_server::sql::Connection::postgres(&format!("{address} dbname=postgres"));
    connection.and_then(|connection| connection.execute_batch(text)).map_err(|error| error.to_string())
}
