//! Segments: how a piece of a feed becomes bytes that anybody may hold and only a device that was given the key can
//! read, and how these come back block by block.
//!
//! The bytes are ChaCha20 (RFC 8439, block counter from 0, nonce 0: a key is for one segment only) over the frames. Their
//! integrity is the server's signature over the hashes of their blocks, checked before anything is decrypted.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use minicbor::Encode;
use minicbor::bytes::ByteVec;
use sha2::{Digest, Sha256};

use super::signing::{self, Signer};
use super::wire::to_cbor;
use crate::access::FeedId;
use crate::ids::LogId;
use crate::protocol::Segment;
use crate::protocol::limits::{SEGMENT_BLOCK_BYTES, SEGMENT_BLOCK_HASH_BYTES, SEGMENT_BYTES_MAX};

/// Signs a segment, by the server.
const DOMAIN: &[u8] = b"fieldbook segment v1\0";

/// A piece of a feed, ready to be stored and fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// What devices are told of it.
    pub segment: Segment,
    /// The bytes under its name.
    pub bytes: Vec<u8>,
}

/// Which entries of which feed a segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The log.
    pub log: LogId,
    /// The feed.
    pub feed: FeedId,
    /// Position of the first entry.
    pub first: u64,
    /// Position of the last entry.
    pub through: u64,
    /// Chain hash behind it.
    pub chain: [u8; 32],
}

/// A block is not what the server signed: damaged on its way, or somebody's invention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {block} of a segment is not what its server signed")]
pub struct WrongBlock {
    /// 0, 1, 2 …
    pub block: usize,
}

#[derive(Encode)]
struct Signed<'a> {
    #[n(0)]
    log: LogId,
    #[n(1)]
    feed: &'a FeedId,
    #[n(2)]
    first: u64,
    #[n(3)]
    through: u64,
    #[cbor(n(4), with = "minicbor::bytes")]
    chain: [u8; 32],
    #[cbor(n(5), with = "minicbor::bytes")]
    name: [u8; 32],
    #[n(6)]
    bytes: u64,
    #[n(7)]
    blocks: &'a ByteVec,
}

fn signed_bytes(log: LogId, feed: &FeedId, segment: &Segment) -> Vec<u8> {
    let Segment { first, through, chain, name, bytes, blocks, .. } = segment;
    let (first, through, chain, name, bytes) = (*first, *through, *chain, *name, *bytes);
    to_cbor(&Signed { log, feed, first, through, chain, name, bytes, blocks })
}

fn block_hash(block: &[u8]) -> [u8; SEGMENT_BLOCK_HASH_BYTES] {
    let mut hash = [0; SEGMENT_BLOCK_HASH_BYTES];
    hash.copy_from_slice(&Sha256::digest(block)[..SEGMENT_BLOCK_HASH_BYTES]);
    hash
}

fn cipher(key: &[u8; 32]) -> ChaCha20 {
    ChaCha20::new(key.into(), &[0; 12].into())
}

/// Encrypts and signs `frames`; `key` must be new.
#[must_use]
pub fn seal(signer: &dyn Signer, range: &Range, key: [u8; 32], frames: Vec<u8>) -> Sealed {
    let mut bytes = frames;
    cipher(&key).apply_keystream(&mut bytes);
    let blocks: Vec<u8> = bytes.chunks(SEGMENT_BLOCK_BYTES).flat_map(block_hash).collect();
    let mut segment = Segment {
        first: range.first,
        through: range.through,
        chain: range.chain,
        name: Sha256::digest(&bytes).into(),
        bytes: bytes.len() as u64,
        blocks: blocks.into(),
        signature: [0; 64],
        key,
    };
    segment.signature = signing::sign(signer, DOMAIN, &signed_bytes(range.log, &range.feed, &segment));
    Sealed { segment, bytes }
}

/// Is it this server's word, and within the limits? Then all else that is known of it is true.
#[must_use]
pub fn is_signed_by(server_key: &[u8; 32], log: LogId, feed: &FeedId, segment: &Segment) -> bool {
    let blocks = segment.bytes.div_ceil(SEGMENT_BLOCK_BYTES as u64) as usize;
    (1..=SEGMENT_BYTES_MAX).contains(&segment.bytes)
        && (1..=segment.through).contains(&segment.first)
        && segment.blocks.len() == blocks * SEGMENT_BLOCK_HASH_BYTES
        && signing::verify(server_key, DOMAIN, &signed_bytes(log, feed, segment), &segment.signature)
}

/// One block of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// As it came.
    pub came: Vec<u8>,
    /// Decrypted: the next bytes of the frames.
    pub plain: Vec<u8>,
}

/// Decrypts a segment whose signature was verified, block by block, from its beginning on.
pub struct Opener {
    cipher: ChaCha20,
    blocks: ByteVec,
    bytes: u64,
    opened: u64,
    waiting: Vec<u8>,
}

impl Opener {
    /// At the segment's beginning.
    #[must_use]
    pub fn new(segment: &Segment) -> Self {
        let (cipher, blocks) = (cipher(&segment.key), segment.blocks.clone());
        Self { cipher, blocks, bytes: segment.bytes, opened: 0, waiting: Vec::new() }
    }

    /// Bytes of whole blocks that were opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Everything was opened.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.opened == self.bytes
    }

    /// Bytes that arrived of a block that is not whole yet.
    #[must_use]
    pub fn waiting(&self) -> &[u8] {
        &self.waiting
    }

    /// The next bytes; what is beyond the segment's end is ignored. [`Opener::next_block`] must have nothing more before.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = (self.bytes - self.opened) as usize - self.waiting.len();
        self.waiting.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The next block as it came, and decrypted, if all of it has arrived.
    ///
    /// # Errors
    /// [`WrongBlock`]; nothing of it was taken.
    pub fn next_block(&mut self) -> Result<Option<Block>, WrongBlock> {
        let length = (self.bytes - self.opened).min(SEGMENT_BLOCK_BYTES as u64) as usize;
        if length == 0 || self.waiting.len() < length {
            return Ok(None);
        }
        let block = (self.opened / SEGMENT_BLOCK_BYTES as u64) as usize;
        let expected = self.blocks.get(block * SEGMENT_BLOCK_HASH_BYTES..(block + 1) * SEGMENT_BLOCK_HASH_BYTES);
        let rest = self.waiting.split_off(length);
        let came = std::mem::replace(&mut self.waiting, rest);
        if expected != Some(&block_hash(&came)[..]) {
            self.waiting.clear();
            return Err(WrongBlock { block });
        }
        let mut plain = came.clone();
        self.cipher.apply_keystream(&mut plain);
        self.opened += length as u64;
        Ok(Some(Block { came, plain }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Area;
    use ed25519_dalek::SigningKey;

    fn sealed(length: usize) -> (Sealed, Vec<u8>, Range, SigningKey) {
        let plain: Vec<u8> = (0..length).map(|at| (at * 7 + at / 251) as u8).collect();
        let signer = SigningKey::from_bytes(&[3; 32]);
        let feed = FeedId { unit: "632323".to_owned(), area: Area::Aid };
        let range = Range { log: LogId([5; 16]), feed, first: 1, through: 9, chain: [8; 32] };
        (seal(&signer, &range, [9; 32], plain.clone()), plain, range, signer)
    }

    fn opened(opener: &mut Opener, pieces: impl Iterator<Item = Vec<u8>>) -> Result<Vec<u8>, WrongBlock> {
        let mut plain = Vec::new();
        for piece in pieces {
            opener.push(&piece);
            while let Some(block) = opener.next_block()? {
                plain.extend(block.plain);
            }
        }
        Ok(plain)
    }

    #[test]
    fn comes_back_whatever_the_pieces() {
        for length in [1, SEGMENT_BLOCK_BYTES - 1, SEGMENT_BLOCK_BYTES, 3 * SEGMENT_BLOCK_BYTES + 77] {
            let (sealed, plain, ..) = sealed(length);
            for size in [1, 997, SEGMENT_BLOCK_BYTES, length] {
                let mut opener = Opener::new(&sealed.segment);
                let pieces = sealed.bytes.chunks(size).map(<[u8]>::to_vec);
                assert_eq!(opened(&mut opener, pieces).as_ref(), Ok(&plain), "{length} in pieces of {size}");
                assert!(opener.is_whole());
                opener.push(b"beyond the end");
                assert_eq!((opener.waiting().len(), opener.next_block()), (0, Ok(None)));
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed_before_anything_is_decrypted() {
        let (sealed, plain, ..) = sealed(2 * SEGMENT_BLOCK_BYTES + 5);
        for at in (0..sealed.bytes.len()).step_by(1_031).chain([sealed.bytes.len() - 1]) {
            let mut bytes = sealed.bytes.clone();
            bytes[at] ^= 1;
            let (mut opener, mut come) = (Opener::new(&sealed.segment), Vec::new());
            opener.push(&bytes);
            let failed = loop {
                match opener.next_block() {
                    Ok(Some(block)) => come.extend(block.plain),
                    other => break other,
                }
            };
            let block = at / SEGMENT_BLOCK_BYTES;
            assert_eq!(failed, Err(WrongBlock { block }));
            assert_eq!(come, plain[..block * SEGMENT_BLOCK_BYTES]);
        }
    }

    #[test]
    fn the_bytes_say_nothing_and_the_name_is_their_hash() {
        let (sealed, plain, ..) = sealed(40_000);
        assert_eq!(sealed.segment.name, <[u8; 32]>::from(Sha256::digest(&sealed.bytes)));
        assert!(!sealed.bytes.windows(16).any(|window| window == &plain[..16]));
    }

    #[test]
    fn only_the_servers_word_counts() {
        let (sealed, _, range, signer) = sealed(40_000);
        let key = signer.public_key();
        let good = |log, feed: &FeedId, segment: &Segment| is_signed_by(&key, log, feed, segment);
        assert!(good(range.log, &range.feed, &sealed.segment));
        assert!(!good(LogId([6; 16]), &range.feed, &sealed.segment));
        assert!(!good(range.log, &FeedId { area: Area::Health, ..range.feed.clone() }, &sealed.segment));
        let changed: [fn(&mut Segment); 7] = [
            |segment| segment.first = 2,
            |segment| segment.through += 1,
            |segment| segment.chain[0] ^= 1,
            |segment| segment.name[0] ^= 1,
            |segment| segment.bytes += 1,
            |segment| segment.blocks[0] ^= 1,
            |segment| segment.blocks = ByteVec::from(segment.blocks[16..].to_vec()),
        ];
        for change in changed {
            let mut segment = sealed.segment.clone();
            change(&mut segment);
            assert!(!good(range.log, &range.feed, &segment), "{segment:?}");
        }
        let other = SigningKey::from_bytes(&[4; 32]).public_key();
        assert!(!is_signed_by(&other, range.log, &range.feed, &sealed.segment));
    }
}
