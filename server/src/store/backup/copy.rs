//! Every row of one database into another, in one transaction.

use crate::sql::{Connection, Stored, Table, Values};
use crate::store::{ARRIVING, LEAVING, SCHEMA_VERSION, StoreError, listed, meta, migrate, set_meta};

use super::archive::Header;

/// The statements that make the tables of this version.
pub(super) const SCHEMA: &str = include_str!("../schema.sql");
/// PostgreSQL keeps the tables' version among the rows; a copy does not carry it.
const VERSION_ROW: &str = "schema_version";

/// Describes the database behind `tx`.
pub(super) fn header(tx: &Connection, now_ms: i64) -> Result<Header, StoreError> {
    let tables = tx.tables()?.into_iter().map(|table| (table.name, table.columns)).collect();
    Ok(Header {
        schema_version: SCHEMA_VERSION,
        schema: SCHEMA.to_owned(),
        log: meta(tx, "log")?.unwrap_or_default(),
        made_ms: now_ms,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        tables,
    })
}

/// Hands over every row with its table's number.
pub(super) fn each_row(
    tx: &Connection,
    tables: &[Table],
    mut each: impl FnMut(usize, Values) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for (number, table) in tables.iter().enumerate() {
        tx.each_row(table, |row| if is_version(table, &row) { Ok(()) } else { each(number, row) })?;
    }
    Ok(())
}

fn is_version(table: &Table, row: &Values) -> bool {
    table.name == "meta" && matches!(row.first(), Some(Some(Stored::Text(key))) if key == VERSION_ROW)
}

/// Makes the tables that the header describes, in an empty database, and lets rows come in any order.
pub(super) fn make(tx: &Connection, header: &Header) -> Result<(), StoreError> {
    // What this program knows it makes by its own words.
    let own = header.schema_version == SCHEMA_VERSION;
    tx.make_tables(if own { SCHEMA } else { &header.schema })?;
    tx.set_schema_version(header.schema_version)?;
    Ok(tx.defer_references()?)
}

/// After the last row: numbers go on above those that came, the words that records are found by are to be made when the store
/// is opened, and the tables become those of this version.
pub(super) fn finish(tx: &Connection, tables: &[Table]) -> Result<(), StoreError> {
    tx.count_on(tables)?;
    if tables.iter().any(|table| table.name == "listed") {
        tx.execute("UPDATE listed SET indexed = ?1", [[0_u8; 0]])?;
        set_meta(tx, listed::TO_INDEX, b"1")?;
    }
    migrate::steps(tx)
}

/// How many rows each table has.
pub(super) fn counts(tx: &Connection, tables: &[Table]) -> Result<Vec<u64>, StoreError> {
    let mut counts = Vec::new();
    for table in tables {
        let mut count: u64 = tx.query_row(&format!("SELECT count(*) FROM {}", table.name), (), |row| row.get(0))?;
        if table.name == "meta" {
            // Rows of this copy alone.
            for key in [VERSION_ROW, listed::TO_INDEX, ARRIVING, LEAVING] {
                count -= u64::from(meta(tx, key)?.is_some());
            }
        }
        counts.push(count);
    }
    Ok(counts)
}
