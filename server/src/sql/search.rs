//! The words that records are found by: FTS5 on SQLite, `tsvector` on PostgreSQL. Both get the same words, made by
//! `fieldbook_core::search`, so that a search finds the same on either; PostgreSQL's own parser and extensions
//! (`pg_trgm`) are not used.

use fieldbook_core::search::{IndexText, Part, fts5_query, parts};

use super::{Connection, Engine, Result, ToSql};

/// What a row of the list is found by.
pub struct Words {
    /// The row's number.
    pub n: i64,
    /// The row is found by nothing yet.
    pub new: bool,
    /// Its words.
    pub text: IndexText,
}

/// Rows that one statement writes.
const ROWS_AT_ONCE: usize = 16;

/// The prefix indexes keep a search fast that everything begins with: one letter, or the digits that a county shares.
const SQLITE_TABLE: &str = "
CREATE VIRTUAL TABLE lexicon USING fts5(
  words, codes, content='', contentless_delete=1, prefix='1 2 4 6 8', detail=full,
  tokenize=\"unicode61 remove_diacritics 0 categories 'L* N* M* Co'\");";
const POSTGRES_TABLE: &str = "
CREATE TABLE lexicon (n BIGINT PRIMARY KEY, words tsvector NOT NULL);
CREATE INDEX lexicon_words ON lexicon USING gin(words) WITH (fastupdate = off);";
/// Positions that a `tsvector` can tell apart.
const POSITION_MAX: usize = 16_383;
/// Bytes of a word that a `tsvector` takes.
const WORD_BYTES_MAX: usize = 2_000;

impl Connection {
    /// Makes the table, in the open transaction.
    ///
    /// # Errors
    /// What the database said.
    pub(super) fn make_words(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(connection) => Ok(connection.execute_batch(SQLITE_TABLE)?),
            Engine::Postgres(session) => session.run(POSTGRES_TABLE),
        }
    }

    /// Each of these rows is found by its words, and by no others. Many at once: FTS5 writes out what it holds whenever
    /// another statement follows.
    ///
    /// # Errors
    /// What the database said.
    pub fn put_words(&self, rows: &[Words]) -> Result<()> {
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let old: Vec<i64> = rows.iter().filter(|row| !row.new).map(|row| row.n).collect();
            self.drop_words(&old)?;
            self.insert_words(rows)?;
        }
        Ok(())
    }

    fn insert_words(&self, rows: &[Words]) -> Result<()> {
        let (head, columns, place): (_, _, fn(usize) -> String) = match &self.engine {
            Engine::Sqlite(_) => {
                ("INSERT INTO lexicon(rowid, words, codes)", 3, |at| format!("(?{}, ?{}, ?{})", at + 1, at + 2, at + 3))
            }
            Engine::Postgres(_) => ("INSERT INTO lexicon(n, words)", 2, |at| {
                format!("(?{}, CAST(CAST(?{} AS TEXT) AS tsvector))", at + 1, at + 2)
            }),
        };
        let places: Vec<String> = (0..rows.len()).map(|row| place(row * columns)).collect();
        let vectors: Vec<String> = match &self.engine {
            Engine::Sqlite(_) => Vec::new(),
            Engine::Postgres(_) => rows.iter().map(|row| vector(&row.text)).collect(),
        };
        let mut values: Vec<&dyn ToSql> = Vec::with_capacity(rows.len() * columns);
        for (at, row) in rows.iter().enumerate() {
            values.push(&row.n);
            match vectors.get(at) {
                Some(vector) => values.push(vector),
                None => values.extend([&row.text.words as &dyn ToSql, &row.text.codes]),
            }
        }
        self.prepare(&format!("{head} VALUES {}", places.join(", ")))?.execute(&values[..])?;
        Ok(())
    }

    /// These rows are found no more.
    ///
    /// # Errors
    /// What the database said.
    pub fn drop_words(&self, rows: &[i64]) -> Result<()> {
        let column = match &self.engine {
            Engine::Sqlite(_) => "rowid",
            Engine::Postgres(_) => "n",
        };
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let places: Vec<String> = (1..=rows.len()).map(|at| format!("?{at}")).collect();
            let values: Vec<&dyn ToSql> = rows.iter().map(|n| n as &dyn ToSql).collect();
            let text = format!("DELETE FROM lexicon WHERE {column} IN ({})", places.join(", "));
            self.prepare(&text)?.execute(&values[..])?;
        }
        Ok(())
    }

    /// The rows that hold all that is typed; none for a text without letters or digits.
    ///
    /// # Errors
    /// What the database said.
    pub fn find(&self, typed: &str) -> Result<Vec<i64>> {
        let (sql, query) = match &self.engine {
            Engine::Sqlite(_) => ("SELECT rowid FROM lexicon WHERE lexicon MATCH ?1", fts5_query(typed)),
            Engine::Postgres(_) => {
                ("SELECT n FROM lexicon WHERE words @@ CAST(CAST(?1 AS TEXT) AS tsquery)", ts_query(typed))
            }
        };
        let Some(query) = query else { return Ok(Vec::new()) };
        self.prepare(sql)?.query_map([query], |row| row.get(0))?.collect()
    }

    /// Leaves nothing in the index of rows that were dropped. It rewrites the index.
    ///
    /// # Errors
    /// What the database said.
    pub fn scrub_words(&self) -> Result<()> {
        match &self.engine {
            // A row that was dropped leaves its words until the index is merged.
            Engine::Sqlite(_) => self.execute_batch("INSERT INTO lexicon(lexicon) VALUES ('optimize')"),
            Engine::Postgres(_) => Ok(()),
        }
    }
}

/// `'word':position …`; what cannot be told apart any more stands at the last position.
fn vector(text: &IndexText) -> String {
    let words = text.words.split(' ').chain(text.codes.split(' ')).enumerate();
    let kept = words.filter(|(_, word)| !word.is_empty() && word.len() < WORD_BYTES_MAX);
    let written = kept.map(|(at, word)| format!("{}:{}", quoted(word), (at + 1).min(POSITION_MAX)));
    written.collect::<Vec<_>>().join(" ")
}

/// `find` as PostgreSQL's `tsquery`.
fn ts_query(typed: &str) -> Option<String> {
    let written = |part: Part| match part {
        Part::Beginning(word) => format!("{}:*", quoted(&word)),
        Part::Phrase { words, open } => {
            let phrase: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            format!("({}{})", phrase.join(" <-> "), if open { ":*" } else { "" })
        }
    };
    let parts: Vec<String> = parts(typed).into_iter().map(written).collect();
    if parts.is_empty() { None } else { Some(parts.join(" & ")) }
}

/// A word between quotes; those within are doubled, and so are backslashes.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''"))
}
