//! The phone's store: one encrypted SQLite file, `fieldbook.db`, in the phone's folder.
//!
//! * **One writer.** [`Store::begin`] opens a transaction, [`Write`] holds it, [`Write::commit`] makes it durable: the
//!   write-ahead log is synced once (`synchronous=FULL`), so what was reported as saved is there after a power cut.
//!   A [`Write`] that is dropped leaves nothing behind. Load a document inside the transaction that stores it again:
//!   then nothing can come in between.
//! * **Reading never waits for writing.** [`Store::read`] has a connection of its own and sees the last committed state.
//! * **One save is one fsync.** The log is folded into the file by [`Store::tidy`] – when idle, after a sync, on
//!   [`Store::close`] – and by a save itself only once it has grown beyond [`LOG_BYTES_MAX`].
//! * **Everything enters through [`Write::put_record`]**: body, read row, search and person index, whether a screen or
//!   the network brought it.
//! * Documents are loaded one by one and dropped; the store keeps nothing in memory but SQLite's page caches
//!   ([`PAGE_CACHE_KIB`] each).

mod codec;
mod disk;
mod draft;
mod erase;
mod error;
mod feed;
mod held;
mod open;
mod outbox;
mod pending;
mod person;
mod read;
mod record;
mod reference;
mod salvage;
mod schema;
mod search;
mod segment;

pub use disk::SystemDisk;
pub use draft::{Draft, DraftKey};
pub use erase::{erase_files, forget_erased, is_marked_erased, mark_erased};
pub use error::StoreError;
pub use feed::{FeedCursor, FeedEntryRow, SaltedLeafOf};
pub use open::{Store, View, Write};
pub use outbox::{NotTakenRow, OutboxRow, StatementRow, VerdictRow};
pub use person::{PersonEntry, PersonHit, PersonKey};
pub use read::{KindCount, ListFilter, ListRow, RecordRow, Status};
pub use record::{LeafOf, ReadRow, SyncState};
pub use reference::{ActorRow, ReviewRow};
pub use salvage::{SalvageReport, SalvagedTable};

/// Size of the write-ahead log, in bytes, at which [`Store::tidy`] folds it into the file.
pub const LOG_BYTES_TIDY: u64 = 1024 * 1024;
/// Size of the write-ahead log, in bytes, at which a save folds it into the file first, because nobody was idle.
pub const LOG_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Page cache of each connection (one writes, at most two idle ones read), in KiB.
pub const PAGE_CACHE_KIB: i64 = 4096;
/// Free space, in bytes, below which [`Status::space_low`] warns. Nothing is refused before there is none.
pub const SPACE_WARN_BYTES: u64 = 64 * 1024 * 1024;
/// Rows that one list or search answers at most.
pub const LIST_ROWS_MAX: usize = 1_000;
/// Bytes of a draft.
pub const DRAFT_BYTES_MAX: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;
