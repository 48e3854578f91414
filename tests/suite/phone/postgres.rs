//! The same server with its rows in PostgreSQL.

/// The address of a new database, where `FIELDBOOK_TEST_POSTGRES` names a PostgreSQL server.
pub(super) fn database() -> Option<String> {
    let server = std::env::var("FIELDBOOK_TEST_POSTGRES").ok()?;
    let name = format!("fieldbook_{}", uuid::Uuid::new_v4().simple());
    let made = fieldbook_server::sql::Connection::postgres(&format!("{server} dbname=postgres")).unwrap();
    made.execute_batch(&format!("CREATE DATABASE {name}")).unwrap();
    Some(format!("{server} dbname={name}"))
}
