//! A township hub: it takes what phones bring and brings it to the server, and shows phones what the server has ordered
//! (docs/PROTOCOL.md §14). It judges nothing and orders nothing.
//!
//! [`HubSession`] is its side of an exchange with a phone, [`Upstream`] its side of one with the server; both work on a
//! [`HubLog`].

mod answer;
mod log;
mod mirror;
mod restored;
mod session;
mod upstream;

pub use log::{HubIdentity, HubLog, Mirrored, ServedDevice};
pub use session::HubSession;
pub use upstream::{Upstream, UpstreamOutcome};
