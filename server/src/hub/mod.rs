//! The township hub: `fieldbook-server serve --upstream LINK`. Phones exchange with it as with the server; it brings what
//! they brought to the server, mirrors what the server has ordered, and shows phones nothing else (docs/PROTOCOL.md §14).

mod enrol;
mod exchange;
mod http;
mod log;
mod mirror;
mod segments;
mod store;
#[cfg(test)]
mod tests;
mod upstream;

pub use exchange::Exchange;
pub use http::router;
pub use segments::{Missing, Segments};
pub use store::{HubStore, Waiting};
pub use upstream::{Pace, Upstream};
