//! What is said after a server lost data: it names places in its log, a device gives back what stood behind them.

use minicbor::{Decode, Encode};

use super::messages::EntryBody;
use crate::access::FeedId;

/// A place in a feed that chains name for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Point {
    /// Entries up to there.
    #[n(0)]
    pub position: u64,
    /// Chain hash there.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub chain: [u8; 32],
}

/// A feed in which the device has seen what the server's log does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LostFeed {
    /// The feed.
    #[n(0)]
    pub feed: FeedId,
    /// Places in the server's log, the last first, in steps that double: the device goes back to the latest that it
    /// knows. (Place 0 is always known.)
    #[n(1)]
    pub log: Vec<Point>,
    /// Places beyond its log up to which devices have given everything back already.
    #[n(2)]
    pub held: Vec<Point>,
    /// Entries that are proved and still missing: to be given from there downwards.
    #[n(3)]
    pub wanted: Vec<Point>,
}

/// An entry that a device gives back. They come from a signed head downwards, so that each is proved by the one before:
/// the chain computed from `previous` and the rest is the one that is wanted.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Returned {
    /// The feed.
    #[n(0)]
    pub feed: FeedId,
    /// Its position.
    #[n(1)]
    pub position: u64,
    /// When the server received it, milliseconds since 1970 UTC.
    #[n(2)]
    pub received_ms: i64,
    /// Chain hash before it.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub previous: [u8; 32],
    /// What it said: a change always with its record's start; `Erased` where the device has the leaf only.
    #[n(4)]
    pub body: EntryBody,
}
