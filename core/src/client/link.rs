//! The enrolment link: where the server is, the root key that proves it, and a one-time code.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::text::{Language, Text};
use crate::net::{SERVER_NAME, host_and_port};

pub use crate::net::ServerAddress;

/// Characters of a link that are read; longer ones are refused.
const LINK_CHARS_MAX: usize = 1_000;
/// Characters of a one-time code (130 bits in Crockford's base32).
const CODE_CHARS: usize = 26;

/// `fieldbook://HOST:PORT/enrol?pin=<base64url, 32 bytes>&code=<26 characters of Crockford's base32>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolLink {
    /// Where to enrol.
    pub server: ServerAddress,
    /// The one-time code, upper case.
    pub code: String,
}

/// A text that is no enrolment link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no enrolment link: {}", .0.say(Language::English, ""))]
pub struct LinkError(pub(crate) Text);

impl FromStr for EnrolLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        if text.len() > LINK_CHARS_MAX {
            return Err(LinkError(Text::LinkTooLong));
        }
        let rest = text.strip_prefix("fieldbook://").ok_or(LinkError(Text::LinkStart))?;
        let (authority, query) = rest.split_once("/enrol?").ok_or(LinkError(Text::LinkPath))?;
        let (host, port) = host_and_port(authority).ok_or(LinkError(Text::LinkAddress))?;
        let value = |name: &str| {
            query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, v)| v))
        };
        let pin = value("pin").ok_or(LinkError(Text::LinkPin))?;
        let root_key = URL_SAFE_NO_PAD
            .decode(pin)
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .ok_or(LinkError(Text::LinkPin))?;
        let code = value("code").ok_or(LinkError(Text::LinkCode))?.to_ascii_uppercase();
        if code.len() != CODE_CHARS || !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(LinkError(Text::LinkCode));
        }
        Ok(Self { server: ServerAddress { host, port, root_key, name: SERVER_NAME }, code })
    }
}
