//! Requests on a TLS connection, counted from outside.

use std::sync::Mutex;

/// TLS record type of encrypted data (RFC 8446 §5.1).
const APPLICATION_DATA: u8 = 23;
/// Bytes of a TLS record header.
const HEADER_BYTES: usize = 5;
/// A phone's encrypted Finished is shorter than this; every request of ours is longer.
const REQUEST_BYTES_MIN: u64 = 100;

#[derive(Default)]
struct Side {
    header: Vec<u8>,
    body_left: usize,
    record_type: u8,
    /// Records of encrypted data that began.
    records: u64,
}

#[derive(Default)]
struct State {
    up: Side,
    down: Side,
    /// Encrypted bytes of the phone since the server last spoke.
    flight_bytes: u64,
}

/// What a piece that passed by began or ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Records of encrypted data that began.
    pub(super) records: u64,
    /// Flights of the phone that the server began to answer: 0 or 1.
    pub(super) answered: u64,
}

/// Watches both directions of one connection and counts flights of the phone that the server answered.
#[derive(Default)]
pub(super) struct Flights(Mutex<State>);

impl Side {
    /// Encrypted payload bytes among `bytes`, whatever way the records are cut into pieces.
    fn encrypted(&mut self, mut bytes: &[u8]) -> u64 {
        let mut sum = 0;
        while !bytes.is_empty() {
            if self.body_left == 0 {
                let take = (HEADER_BYTES - self.header.len()).min(bytes.len());
                self.header.extend_from_slice(&bytes[..take]);
                bytes = &bytes[take..];
                if self.header.len() == HEADER_BYTES {
                    self.record_type = self.header[0];
                    self.body_left = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                    self.header.clear();
                    self.records += u64::from(self.record_type == APPLICATION_DATA);
                }
                continue;
            }
            let take = self.body_left.min(bytes.len());
            self.body_left -= take;
            bytes = &bytes[take..];
            if self.record_type == APPLICATION_DATA {
                sum += take as u64;
            }
        }
        sum
    }
}

impl Flights {
    /// A piece passed by.
    pub(super) fn see(&self, up: bool, bytes: &[u8]) -> Seen {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = state.up.records + state.down.records;
        let mut answered = 0;
        if up {
            let encrypted = state.up.encrypted(bytes);
            state.flight_bytes += encrypted;
        } else if state.down.encrypted(bytes) > 0 {
            answered = u64::from(state.flight_bytes >= REQUEST_BYTES_MIN);
            state.flight_bytes = 0;
        }
        Seen { records: state.up.records + state.down.records - before, answered }
    }
}
