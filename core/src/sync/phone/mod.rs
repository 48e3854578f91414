//! The device's half of an exchange: builds a signed request from what the store holds, applies the answer frame by
//! frame, and issues again what a rejected change kept from the server.

mod apply;
mod download;
mod exchange;
mod log;
mod moves;
mod outcome;
mod reissue;
mod request;
mod restored;
mod state;
mod unpack;
mod upload;

pub use download::{Download, Offered};
pub use exchange::Exchange;
pub use log::{
    FeedEntry, FollowedFeed, Kept, NotTaken, OutboxChange, PhoneIdentity, PhoneLog, StoredStatement, Unsent, Unstated,
};
pub use outcome::{Outcome, PhoneEvent, Stats, SyncError};
pub use request::Request;
