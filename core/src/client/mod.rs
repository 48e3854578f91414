//! The facade that bindings and the headless phone use: a phone's whole behaviour behind a blocking API.

mod error;
pub mod link;
pub mod net;
pub mod system;
mod text;

pub use error::{ClientError, ErrorKind};
pub use text::Language;
