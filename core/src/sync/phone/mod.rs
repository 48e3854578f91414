//! The device's half of an exchange.

mod log;

pub use log::{
    FollowedFeed, NotTaken, OutboxChange, OutboxStatus, PendingEntry, PhoneIdentity, PhoneLog, RecordMeta,
    StoredStatement, Unstated,
};
