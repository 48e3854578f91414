//! The device's half of an exchange: builds a signed request from what the store holds, applies the answer frame by
//! frame, and issues again what a rejected change kept from the server.

mod apply;
mod download;
mod exchange;
mod hub;
mod log;
mod moves;
mod outcome;
mod reissue;
mod request;
mod restored;
mod state;
mod unpack;
mod upload;
mod waiting;

pub(in crate::sync) use apply::Stop;
pub use download::{Download, Offered};
pub use exchange::Exchange;
pub use log::{
    FeedEntry, FollowedFeed, Kept, Leaving, NotTaken, OutboxChange, PhoneIdentity, PhoneLog, StoredStatement, Unsent,
    Unstated,
};
pub use outcome::{Outcome, PhoneEvent, Stats, SyncError};
pub use request::Request;
pub(in crate::sync) use request::header as signed_header;
pub(in crate::sync) use unpack::{Arrived, Names, unpack};
pub(in crate::sync) use upload::{Behind, Stated, UP_WINDOW_LOG, Upload, write as write_upload};
