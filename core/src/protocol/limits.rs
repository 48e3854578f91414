//! Limits of what travels (docs/PROTOCOL.md §8). Everything that arrives is held against them, and against
//! [`crate::limits`], before it is used.

/// Protocol version that this build speaks.
pub const PROTOCOL_VERSION: u16 = 1;
/// A change, uncompressed (automerge raw bytes).
pub const CHANGE_BYTES_MAX: usize = 256 * 1024;
/// Operations that one change may claim.
pub const CHANGE_OPS_MAX: u64 = 20_000;
/// Operation counter above a record's current one at which a change may start.
pub const CHANGE_OP_GAP_MAX: u64 = 10_000;
/// Operation counter at which a record ends.
pub const RECORD_OPS_MAX: u64 = 10_000_000;
/// Dependencies that one change may name.
pub const CHANGE_DEPS_MAX: usize = 1_000;
/// A frame's compressed bytes. Frames are cut near [`FRAME_TARGET_BYTES`] by what compression is expected to save; even
/// where it saves nothing, [`FRAME_RAW_TARGET_BYTES`] and one [`PART_BYTES`] more stay below this.
pub const FRAME_BYTES_MAX: usize = 192 * 1024;
/// Compressed size at which a sender cuts a frame.
pub const FRAME_TARGET_BYTES: usize = 16 * 1024;
/// Raw bytes at which a sender cuts a frame however well they compress.
pub const FRAME_RAW_TARGET_BYTES: usize = 96 * 1024;
/// A frame inflated.
pub const FRAME_INFLATED_BYTES_MAX: usize = 1024 * 1024;
/// Messages in a frame.
pub const FRAME_MESSAGES_MAX: usize = 4_096;
/// Log2 of the compression window.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 20;
/// Bytes of an exchange upwards, header and frames.
pub const EXCHANGE_UP_BYTES_MAX: usize = 128 * 1024;
/// Bytes of an exchange upwards that a server still reads (one change larger than the target included).
pub const REQUEST_BYTES_MAX: usize = 512 * 1024;
/// A request's header, cursors of all feeds in full.
pub const HEADER_BYTES_MAX: usize = 448 * 1024;
/// All frames of one exchange and direction, inflated.
pub const EXCHANGE_INFLATED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Frames of one exchange and direction.
pub const EXCHANGE_FRAMES_MAX: usize = 4_096;
/// Bytes of an exchange upwards below which repeated breaks no longer halve it.
pub const EXCHANGE_UP_BYTES_MIN: usize = 8 * 1024;
/// Bytes of an answer after which the server ends the exchange with `more`.
pub const EXCHANGE_DOWN_BYTES_TARGET: usize = 1024 * 1024;
/// Changes that one statement lists.
pub const STATEMENT_CHANGES_MAX: usize = 1_000;
/// Changes after which a device begins its next statement.
pub const STATEMENT_CHANGES_TARGET: usize = 250;
/// Characters of a kind or form version that a change names.
pub const NAME_CHARS_MAX: usize = 128;
/// Feeds that one device follows.
pub const DEVICE_FEEDS_MAX: usize = 5_000;
/// Forms that one request asks for: what is missing beyond is asked for by the next.
pub const FORMS_WANTED_MAX: usize = 64;
/// Unsent changes that a phone keeps for one record before it asks to sync.
pub const RECORD_OUTBOX_MAX: usize = 1_000;
/// Changes that one batch of transcoded changes holds.
pub const BATCH_CHANGES_MAX: usize = 1_000;
/// Operations, and what they supersede, in one batch.
pub const BATCH_OPS_MAX: usize = 65_536;
/// Bytes of changes (as they are rebuilt) after which a sender closes a batch.
pub const BATCH_BYTES_TARGET: usize = 48 * 1024;
/// Changes of one exchange and direction.
pub const EXCHANGE_CHANGES_MAX: usize = 16_384;
/// Bytes of one exchange's changes as they are rebuilt, in one direction.
pub const EXCHANGE_CHANGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Actors of one batch, and shapes of its operations.
pub const TRANSCODE_ENTRIES_MAX: usize = 16_384;
/// Bytes of a map's key in a transcoded change.
pub const TRANSCODE_KEY_BYTES_MAX: usize = 1_024;
/// Bytes that name a record which the receiver holds.
pub const RECORD_PREFIX_BYTES: usize = 6;
/// Bytes that name a change of a known record which the receiver holds.
pub const CHANGE_PREFIX_BYTES: usize = 4;
/// Bytes of its changes' hash that a message downwards carries: it finds what was made out wrongly, and the chain proves it.
pub const CHANGES_CHECK_BYTES: usize = 4;
/// A segment's block: what is verified at once, and can be read when it has arrived.
pub const SEGMENT_BLOCK_BYTES: usize = 16 * 1024;
/// Bytes of its hash that a segment's list names.
pub const SEGMENT_BLOCK_HASH_BYTES: usize = 16;
/// Bytes after which a segment is closed.
pub const SEGMENT_BYTES_TARGET: usize = 1024 * 1024;
/// Bytes of a segment: the target, the last message whatever its size, and what encryption adds.
pub const SEGMENT_BYTES_MAX: u64 = 3 * 1024 * 1024;
/// Segments of one feed that an answer offers; the next answer offers more.
pub const SEGMENTS_OFFERED_MAX: usize = 16;
/// A part of a message that does not fit a frame.
pub const PART_BYTES: usize = 64 * 1024;
/// Parts of one message.
pub const PARTS_MAX: u32 = 80;
/// Milliseconds by which a device's clock may differ before it is told.
pub const CLOCK_TOLERANCE_MS: i64 = 5 * 60 * 1000;
/// Number of the last verdict that a device may say it has: the next one must still be countable.
pub const VERDICT_NUMBER_MAX: u64 = 1 << 48;
/// Devices that one township hub serves.
pub const HOSTED_DEVICES_MAX: usize = 2_000;
