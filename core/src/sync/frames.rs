//! Frames: a varint length, a check, and a piece of one zstd stream, flushed so that each frame can be read when it is
//! there.
//!
//! A piece that comes twice, or in another's place, still inflates: to other bytes, in which a change is another change
//! than the one that was stated, and would be refused for good. The check, over all that was inflated so far, tells.

use std::collections::VecDeque;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};
use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, Operation};
use zstd::zstd_safe::Strategy;

use super::packed::{self, Opener};
use super::wire::{Varint, put_varint, read_varint, to_cbor};
use crate::limits::FORM_BYTES_MAX;
use crate::protocol::limits::{
    BATCH_BYTES_TARGET, CHANGE_BYTES_MAX, EXCHANGE_FRAMES_MAX, EXCHANGE_INFLATED_BYTES_MAX, FRAME_BYTES_MAX,
    FRAME_INFLATED_BYTES_MAX, FRAME_MESSAGES_MAX, FRAME_RAW_TARGET_BYTES, FRAME_TARGET_BYTES, PART_BYTES, PARTS_MAX,
    ZSTD_WINDOW_LOG_MAX,
};
use crate::protocol::{Down, Up};

/// Compression that is worth its time for what a phone sends over a slow network.
pub const LEVEL_SMALL: i32 = 19;

/// Smallest window that zstd knows.
const WINDOW_LOG_MIN: u32 = 10;
/// Log2 of the entries of the compressor's tables: 4 bytes each.
const HASH_LOG_MAX: u32 = 18;
/// The same of its tree of matches.
const CHAIN_LOG_MAX: u32 = 19;
/// Bytes that a message may have beyond its largest payload.
const MESSAGE_ENVELOPE_BYTES: usize = 64 * 1024;
/// Bytes that a frame may have beyond its content: length, check, and what zstd puts around what it cannot shorten.
const FRAME_ENVELOPE_BYTES: usize = 32;
/// Bytes of the check: of the SHA-256 over everything that the stream holds up to the frame's end, the first.
const CHECK_BYTES: usize = 4;
/// A frame that is nearly full still takes a message of so many bytes: many small ones cost more.
const ROOM_BYTES_MIN: usize = 8 * 1024;
/// Share of raw bytes that the first frame is guessed to take compressed, in percent.
const FIRST_RATIO_PERCENT: usize = 40;

/// Why frames could not be read or written. Not one message of the frame in question was handed out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes are no frames of this protocol.
    #[error("garbage instead of a frame: {0}")]
    Garbage(&'static str),
    /// A named limit was exceeded.
    #[error("a frame exceeds a limit: {0}")]
    TooLarge(&'static str),
    /// The compressor failed (out of memory).
    #[error("compression failed")]
    Compression,
}

/// What travels in frames.
pub trait Message: Encode<()> + for<'b> Decode<'b, ()> {
    /// The largest message, its pieces put together.
    const BYTES_MAX: usize;
    /// A piece of a message.
    fn part(index: u32, count: u32, bytes: Vec<u8>) -> Self;
    /// Index, count and bytes, if this is a piece.
    fn as_part(&self) -> Option<(u32, u32, &[u8])>;
    /// The form in it as it travels, if it is one that was packed apart.
    fn as_packed_form(&self) -> Option<&[u8]>;
    /// The form as it is read.
    fn of_form(form: Vec<u8>) -> Option<Self>;
}

macro_rules! message {
    ($name:ident, $max:expr, $packed:expr, $form:expr) => {
        impl Message for $name {
            const BYTES_MAX: usize = $max;

            fn part(index: u32, count: u32, bytes: Vec<u8>) -> Self {
                Self::Part { index, count, bytes: ByteVec::from(bytes) }
            }

            fn as_part(&self) -> Option<(u32, u32, &[u8])> {
                match self {
                    Self::Part { index, count, bytes } => Some((*index, *count, bytes.as_slice())),
                    _ => None,
                }
            }

            fn as_packed_form(&self) -> Option<&[u8]> {
                let packed: fn(&Self) -> Option<&[u8]> = $packed;
                packed(self)
            }

            fn of_form(form: Vec<u8>) -> Option<Self> {
                let made: fn(Vec<u8>) -> Option<Self> = $form;
                made(form)
            }
        }
    };
}

fn packed_form(message: &Down) -> Option<&[u8]> {
    match message {
        Down::PackedForm(packed) => Some(packed.as_slice()),
        _ => None,
    }
}

message!(Up, BATCH_BYTES_TARGET + CHANGE_BYTES_MAX + MESSAGE_ENVELOPE_BYTES, |_| None, |_| None);
message!(Down, FORM_BYTES_MAX + MESSAGE_ENVELOPE_BYTES, packed_form, |form| Some(Self::Form(form.into())));

/// Writes messages into frames. Memory: the window, the compressor's tables and at most two frames.
pub struct FrameWriter {
    encoder: Option<Encoder<'static>>,
    window_log: u32,
    /// Compressed once and read many times: it may take as long as it likes.
    to_keep: bool,
    raw: Vec<u8>,
    messages: usize,
    /// Bytes to which the packed forms of the current frame open.
    opened: usize,
    ratio_percent: usize,
    ready: VecDeque<Vec<u8>>,
    bytes_out: usize,
    raw_total: usize,
    sum: Sha256,
}

impl FrameWriter {
    /// A writer whose window is at most `2^window_log` bytes (10 to [`ZSTD_WINDOW_LOG_MAX`]).
    #[must_use]
    pub fn new(window_log: u32) -> Self {
        Self {
            encoder: None,
            window_log: window_log.clamp(WINDOW_LOG_MIN, ZSTD_WINDOW_LOG_MAX),
            to_keep: false,
            raw: Vec::new(),
            messages: 0,
            opened: 0,
            ratio_percent: FIRST_RATIO_PERCENT,
            ready: VecDeque::new(),
            bytes_out: 0,
            raw_total: 0,
            sum: Sha256::new(),
        }
    }

    /// A writer of what is kept and read many times.
    #[must_use]
    pub fn to_keep() -> Self {
        Self { to_keep: true, ..Self::new(ZSTD_WINDOW_LOG_MAX) }
    }

    /// Adds a message; a large one as numbered parts. Frames that are full wait in [`FrameWriter::take`].
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] for a message above its limit, [`FrameError::Compression`].
    pub fn push<M: Message>(&mut self, message: &M) -> Result<(), FrameError> {
        let opened = message.as_packed_form().map_or(0, packed::opened_bytes);
        if self.opened.saturating_add(opened) > FORM_BYTES_MAX {
            self.cut_here()?;
        }
        self.append_whole(message)?;
        // It counts in the frame that its last byte is in.
        if !self.raw.is_empty() {
            self.opened += opened;
        }
        Ok(())
    }

    fn append_whole<M: Message>(&mut self, message: &M) -> Result<(), FrameError> {
        let bytes = to_cbor(message);
        if bytes.len() <= PART_BYTES {
            return self.append(&bytes);
        }
        if bytes.len() > M::BYTES_MAX {
            return Err(FrameError::TooLarge("message"));
        }
        let count = bytes.len().div_ceil(PART_BYTES) as u32;
        for (index, piece) in bytes.chunks(PART_BYTES).enumerate() {
            self.append(&to_cbor(&M::part(index as u32, count, piece.to_vec())))?;
        }
        Ok(())
    }

    fn append(&mut self, cbor: &[u8]) -> Result<(), FrameError> {
        self.raw.extend_from_slice(cbor);
        self.messages += 1;
        let full = self.pending_estimate() >= FRAME_TARGET_BYTES
            || self.raw.len() >= FRAME_RAW_TARGET_BYTES
            || self.messages >= FRAME_MESSAGES_MAX;
        if full { self.cut(false) } else { Ok(()) }
    }

    /// Ends the current frame, if it holds anything.
    ///
    /// # Errors
    /// [`FrameError::Compression`].
    pub fn flush(&mut self) -> Result<(), FrameError> {
        if self.raw.is_empty() { Ok(()) } else { self.cut(true) }
    }

    /// Ends the current frame where more will follow.
    ///
    /// # Errors
    /// [`FrameError::Compression`].
    pub fn cut_here(&mut self) -> Result<(), FrameError> {
        if self.raw.is_empty() { Ok(()) } else { self.cut(false) }
    }

    /// The oldest finished frame.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// Bytes of all frames so far, and about what the unfinished one will take.
    #[must_use]
    pub fn bytes_estimate(&self) -> usize {
        self.bytes_out + self.pending_estimate()
    }

    /// Bytes that all frames take at most if the unfinished one does not get smaller by compression.
    #[must_use]
    pub fn bytes_at_most(&self) -> usize {
        self.bytes_out + if self.raw.is_empty() { 0 } else { self.raw.len() + FRAME_ENVELOPE_BYTES }
    }

    /// Bytes of changes that a message may bring so that the frame being written comes out near its size, as compression
    /// has gone so far.
    #[must_use]
    pub fn room(&self) -> usize {
        let left = FRAME_TARGET_BYTES.saturating_sub(self.pending_estimate());
        (left * 100 / self.ratio_percent).clamp(ROOM_BYTES_MIN, BATCH_BYTES_TARGET)
    }

    fn pending_estimate(&self) -> usize {
        self.raw.len() * self.ratio_percent / 100
    }

    fn cut(&mut self, last: bool) -> Result<(), FrameError> {
        if self.encoder.is_none() {
            self.encoder = Some(self.new_encoder(last)?);
        }
        let Some(encoder) = &mut self.encoder else { return Err(FrameError::Compression) };
        let block = compress(encoder, &self.raw)?;
        self.raw_total += self.raw.len();
        let mut frame = Vec::with_capacity(block.len() + CHECK_BYTES + 4);
        put_varint(&mut frame, (CHECK_BYTES + block.len()) as u64);
        frame.extend_from_slice(&check(&mut self.sum, &self.raw));
        frame.extend_from_slice(&block);
        self.bytes_out += frame.len();
        // Rounded up, and never nothing: a frame that turns out too large costs more than one too small.
        self.ratio_percent = (self.bytes_out * 100 / self.raw_total.max(1) + 1).min(110);
        self.raw.clear();
        (self.messages, self.opened) = (0, 0);
        self.ready.push_back(frame);
        Ok(())
    }

    /// A small answer gets a small window: its tables are then small too, and it can be compressed hard.
    fn new_encoder(&self, only_frame: bool) -> Result<Encoder<'static>, FrameError> {
        let needed = usize::BITS - self.raw.len().leading_zeros();
        let hard = only_frame || self.to_keep || self.window_log < ZSTD_WINDOW_LOG_MAX;
        let window_log = if only_frame { needed.clamp(WINDOW_LOG_MIN, self.window_log) } else { self.window_log };
        let mut encoder = Encoder::new(LEVEL_SMALL).map_err(|_| FrameError::Compression)?;
        // The tables too: left to itself, zstd makes them for a stream of unknown size, megabytes to be cleared first.
        // The tree of matches has two links for each position.
        let tables = [
            CParameter::WindowLog(window_log),
            CParameter::HashLog(window_log.min(HASH_LOG_MAX)),
            CParameter::ChainLog((window_log + 1).min(CHAIN_LOG_MAX)),
        ];
        let quicker =
            [CParameter::Strategy(Strategy::ZSTD_btopt), CParameter::SearchLog(6), CParameter::TargetLength(128)];
        for parameter in tables.into_iter().chain(quicker.into_iter().filter(|_| !hard)) {
            encoder.set_parameter(parameter).map_err(|_| FrameError::Compression)?;
        }
        Ok(encoder)
    }
}

/// The check behind `raw`, which `sum` has not seen yet.
fn check(sum: &mut Sha256, raw: &[u8]) -> [u8; CHECK_BYTES] {
    sum.update(raw);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&sum.clone().finalize()[..CHECK_BYTES]);
    check
}

fn compress(encoder: &mut Encoder<'static>, raw: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut block = Vec::new();
    let mut buffer = [0; 8 * 1024];
    let mut read = 0;
    while read < raw.len() {
        let status = encoder.run_on_buffers(&raw[read..], &mut buffer).map_err(|_| FrameError::Compression)?;
        read += status.bytes_read;
        block.extend_from_slice(&buffer[..status.bytes_written]);
    }
    loop {
        let mut out = zstd::stream::raw::OutBuffer::around(&mut buffer[..]);
        let left = encoder.flush(&mut out).map_err(|_| FrameError::Compression)?;
        block.extend_from_slice(out.as_slice());
        if left == 0 {
            return Ok(block);
        }
    }
}

/// Reads frames from a stream in pieces of any size. Holds at most one frame, inflated, one message in parts, and the
/// largest of the forms that were packed apart: what is read is [`Down::Form`] either way.
pub struct FrameReader<M> {
    decoder: Option<Decoder<'static>>,
    input: Vec<u8>,
    parts: Parts,
    forms: Opener,
    frames: usize,
    inflated_total: usize,
    sum: Sha256,
    broken: bool,
    message: std::marker::PhantomData<M>,
}

#[derive(Default)]
struct Parts {
    next: u32,
    count: u32,
    bytes: Vec<u8>,
}

impl<M: Message> Default for FrameReader<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Message> FrameReader<M> {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self {
            decoder: None,
            input: Vec::new(),
            parts: Parts::default(),
            forms: Opener::default(),
            frames: 0,
            inflated_total: 0,
            sum: Sha256::new(),
            broken: false,
            message: std::marker::PhantomData,
        }
    }

    /// Adds what arrived. At most [`FRAME_BYTES_MAX`] and the length of `bytes` are held; call
    /// [`FrameReader::next_frame`] until it has nothing more before adding again.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.input.extend_from_slice(bytes);
        }
    }

    /// Frames read so far.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// True where the stream may end: no part of a frame or message is waiting.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        !self.broken && self.input.is_empty() && self.parts.count == 0
    }

    /// The messages of the next whole frame, if it is there. After an error there are no more.
    ///
    /// # Errors
    /// [`FrameError`] for anything that no [`FrameWriter`] writes, and for limits.
    pub fn next_frame(&mut self) -> Result<Option<Vec<M>>, FrameError> {
        if self.broken {
            return Err(FrameError::Garbage("the stream already failed"));
        }
        let result = self.read_frame();
        if result.is_err() {
            self.broken = true;
            self.input = Vec::new();
            self.parts = Parts::default();
        }
        result
    }

    fn read_frame(&mut self) -> Result<Option<Vec<M>>, FrameError> {
        let (length, start) = match read_varint(&self.input) {
            Varint::Value(length, start) => (length, start),
            Varint::Incomplete => return Ok(None),
            Varint::Bad => return Err(FrameError::Garbage("length")),
        };
        if length <= CHECK_BYTES as u64 {
            return Err(FrameError::Garbage("empty frame"));
        }
        if length > FRAME_BYTES_MAX as u64 {
            return Err(FrameError::TooLarge("frame"));
        }
        let end = start + length as usize;
        if self.input.len() < end {
            return Ok(None);
        }
        self.frames += 1;
        if self.frames > EXCHANGE_FRAMES_MAX {
            return Err(FrameError::TooLarge("frames of the exchange"));
        }
        let raw = self.inflate(start + CHECK_BYTES, end)?;
        if self.input[start..start + CHECK_BYTES] != check(&mut self.sum, &raw) {
            return Err(FrameError::Garbage("check"));
        }
        self.input.drain(..end);
        self.messages(&raw).map(Some)
    }

    fn inflate(&mut self, start: usize, end: usize) -> Result<Vec<u8>, FrameError> {
        if self.decoder.is_none() {
            let mut decoder = Decoder::new().map_err(|_| FrameError::Compression)?;
            decoder
                .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
                .map_err(|_| FrameError::Compression)?;
            self.decoder = Some(decoder);
        }
        let Some(decoder) = &mut self.decoder else { return Err(FrameError::Compression) };
        let block = &self.input[start..end];
        let mut raw = Vec::new();
        let mut buffer = vec![0; 32 * 1024];
        let mut read = 0;
        loop {
            let status = decoder
                .run_on_buffers(&block[read..], &mut buffer)
                .map_err(|_| FrameError::Garbage("compressed bytes"))?;
            read += status.bytes_read;
            raw.extend_from_slice(&buffer[..status.bytes_written]);
            if raw.len() > FRAME_INFLATED_BYTES_MAX {
                return Err(FrameError::TooLarge("inflated frame"));
            }
            // A full buffer may hide more; a buffer that was not filled says that all is out.
            if status.bytes_written < buffer.len() && read == block.len() {
                break;
            }
            if status.bytes_read == 0 && status.bytes_written == 0 {
                return Err(FrameError::Garbage("compressed bytes"));
            }
        }
        self.inflated_total += raw.len();
        if self.inflated_total > EXCHANGE_INFLATED_BYTES_MAX {
            return Err(FrameError::TooLarge("inflated exchange"));
        }
        Ok(raw)
    }

    fn messages(&mut self, raw: &[u8]) -> Result<Vec<M>, FrameError> {
        let mut decoder = minicbor::Decoder::new(raw);
        let mut messages = Vec::new();
        let (mut seen, mut room) = (0, FORM_BYTES_MAX);
        while decoder.position() < raw.len() {
            seen += 1;
            if seen > FRAME_MESSAGES_MAX {
                return Err(FrameError::TooLarge("messages of a frame"));
            }
            let message: M = decoder.decode().map_err(|_| FrameError::Garbage("message"))?;
            match message.as_part() {
                None if self.parts.count > 0 => return Err(FrameError::Garbage("message between parts")),
                None => messages.push(self.opened(message, &mut room)?),
                Some((index, count, bytes)) => {
                    if let Some(whole) = self.parts.add::<M>(index, count, bytes)? {
                        messages.push(self.opened(whole, &mut room)?);
                    }
                }
            }
        }
        Ok(messages)
    }
}

impl<M: Message> FrameReader<M> {
    /// The message, its form opened if it holds one; `room`: bytes that the frame's forms may still have.
    fn opened(&mut self, message: M, room: &mut usize) -> Result<M, FrameError> {
        let Some(packed) = message.as_packed_form() else { return Ok(message) };
        let form = self.forms.open(packed, *room)?;
        *room -= form.len();
        self.inflated_total += form.len();
        if self.inflated_total > EXCHANGE_INFLATED_BYTES_MAX {
            return Err(FrameError::TooLarge("inflated exchange"));
        }
        M::of_form(form).ok_or(FrameError::Garbage("packed form"))
    }
}

impl Parts {
    fn add<M: Message>(&mut self, index: u32, count: u32, bytes: &[u8]) -> Result<Option<M>, FrameError> {
        if self.count == 0 {
            self.count = count;
        }
        if index != self.next || count != self.count || index >= count {
            return Err(FrameError::Garbage("part"));
        }
        if count > PARTS_MAX || bytes.len() > PART_BYTES || self.bytes.len() + bytes.len() > M::BYTES_MAX {
            return Err(FrameError::TooLarge("message in parts"));
        }
        self.bytes.extend_from_slice(bytes);
        self.next += 1;
        if self.next < self.count {
            return Ok(None);
        }
        let whole = std::mem::take(self);
        let message: M = super::wire::from_cbor(&whole.bytes).ok_or(FrameError::Garbage("message in parts"))?;
        if message.as_part().is_some() {
            return Err(FrameError::Garbage("part within parts"));
        }
        Ok(Some(message))
    }
}
