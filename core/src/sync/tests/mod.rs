//! Exchanges between phones and a server in memory, with real documents and intake.

mod breaks;
mod forms;
mod frames;
mod golden;
mod hub;
#[cfg(feature = "xlsform")]
mod packed;
mod phone_log;
mod property;
mod reissue;
mod resend;
mod restored;
mod scenes;
mod segments;
mod server_log;
mod transcode;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};

use crate::access::{Area, FeedId, Role};
use crate::document::tests::form;
use crate::ids::{ActorId, DeviceId, LogId, RecordId, UserId};
use crate::ports::Random;
use crate::protocol::ErrorAnswer;
use crate::sync::phone::{Download, Exchange, Offered, Outcome, PhoneEvent, PhoneIdentity, Request, SyncError};
use crate::sync::server::Session;
use crate::sync::signing::Signer;
use phone_log::MemoryPhone;
use server_log::{MemoryServer, general};

pub const NOW_MS: i64 = 1_790_000_000_000;

/// Different bytes at every call, the same in every run.
#[derive(Default)]
pub struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(32) {
            let hash = Sha256::digest(self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            piece.copy_from_slice(&hash[..piece.len()]);
        }
    }
}

pub struct World {
    pub server: MemoryServer,
    pub server_key: Arc<SigningKey>,
    pub phones: Vec<MemoryPhone>,
    pub keys: Vec<SigningKey>,
    pub random: Counting,
    pub now_ms: i64,
}

/// What breaks in an exchange.
#[derive(Clone, Copy, Default)]
pub struct Fault {
    /// Only so many bytes of the request reach the server, which then never answers.
    pub cut_up: Option<usize>,
    /// Only so many bytes of the answer reach the phone.
    pub cut_down: Option<usize>,
}

pub struct Sent {
    pub request: Request,
    pub answer: Vec<u8>,
    pub answer_frames: Vec<usize>,
    pub result: Result<Outcome, SyncError>,
    pub events: Vec<PhoneEvent>,
}

impl World {
    /// Phones of field staff that follow the same unit, and a published form.
    pub fn new(phones: usize) -> Self {
        Self::with_feeds(phones, &["town"])
    }

    pub fn with_feeds(phones: usize, units: &[&str]) -> Self {
        let mut world = Self {
            server: MemoryServer::new(LogId([9; 16])),
            server_key: Arc::new(SigningKey::from_bytes(&[200; 32])),
            phones: Vec::new(),
            keys: Vec::new(),
            random: Counting::default(),
            now_ms: NOW_MS,
        };
        world.server.publish(form("2"), NOW_MS);
        for _ in 0..phones {
            world.add_phone(units[0], units, Role::Field);
        }
        world
    }

    pub fn add_phone(&mut self, unit: &str, units: &[&str], role: Role) -> usize {
        let number = self.phones.len() as u8;
        let key = SigningKey::from_bytes(&[number + 1; 32]);
        let (device, user) = (DeviceId([number + 1; 16]), UserId([number + 101; 16]));
        let mut feeds = vec![general()];
        feeds.extend(units.iter().map(|unit| FeedId { unit: (*unit).to_owned(), area: Area::Aid }));
        self.server.add_device(device, user, key.verifying_key().to_bytes(), role, &feeds);
        let identity = PhoneIdentity { device, user, log: self.server.log, server_key: self.server_key.public_key() };
        self.phones.push(MemoryPhone::new(identity, ActorId::random(&self.random), unit));
        self.keys.push(key);
        self.phones.len() - 1
    }

    pub fn record(&self) -> RecordId {
        RecordId::new(&self.random)
    }

    /// One exchange in odd pieces.
    pub fn exchange(&mut self, phone: usize, fault: Fault) -> Sent {
        let (log, key) = (&mut self.phones[phone], &self.keys[phone]);
        let (exchange, request) = Exchange::begin(log, key, &self.random, self.now_ms).unwrap();
        self.now_ms += 1;
        let mut body = request.body();
        if let Some(cut) = fault.cut_up {
            body.truncate(cut);
        }
        let answer = answer_to(&mut self.server, &self.server_key, self.now_ms, &body, fault.cut_up.is_some());
        self.deliver(phone, exchange, request, answer, fault.cut_down)
    }

    pub fn deliver(
        &mut self,
        phone: usize,
        mut exchange: Exchange,
        request: Request,
        answer: Result<Vec<Vec<u8>>, ErrorAnswer>,
        cut_down: Option<usize>,
    ) -> Sent {
        let log = &mut self.phones[phone];
        let mut sent = Sent {
            request,
            answer: Vec::new(),
            answer_frames: Vec::new(),
            result: Err(SyncError::Broken),
            events: Vec::new(),
        };
        match answer {
            Err(error) => {
                if let Err(failure) = exchange.refused(log, error) {
                    sent.result = Err(failure);
                    return sent;
                }
            }
            Ok(frames) => {
                sent.answer_frames = frames.iter().map(Vec::len).collect();
                sent.answer = frames.concat();
                if let Some(cut) = cut_down {
                    sent.answer.truncate(cut);
                }
                for piece in sent.answer.chunks(613) {
                    match exchange.receive(log, piece) {
                        Ok(events) => sent.events.extend(events),
                        Err(failure) => {
                            sent.result = Err(failure);
                            return sent;
                        }
                    }
                }
            }
        }
        sent.result = exchange.finish(log, &self.random);
        if let Ok(outcome) = &sent.result {
            sent.events.extend(outcome.events.clone());
        }
        sent
    }

    /// Exchanges until nothing is left, as a client does. Returns all events.
    pub fn sync(&mut self, phone: usize) -> Vec<PhoneEvent> {
        let mut events = Vec::new();
        for _ in 0..200 {
            let sent = self.exchange(phone, Fault::default());
            events.extend(sent.events);
            let outcome = sent.result.unwrap();
            for offered in outcome.offered {
                let (told, _) = self.fetch(phone, offered, usize::MAX).unwrap();
                events.extend(told);
            }
            if !outcome.again {
                return events;
            }
        }
        panic!("exchanges never end");
    }

    /// Fetches a segment in odd pieces, at most `cut` bytes of it. Returns how many came.
    pub fn fetch(&mut self, phone: usize, offered: Offered, cut: usize) -> Result<(Vec<PhoneEvent>, usize), SyncError> {
        let Some(bytes) = self.server.segment(&offered.segment.name) else { return Ok((Vec::new(), 0)) };
        self.fetch_from(phone, offered, &bytes, cut)
    }

    /// The same from whatever claims to be the segment.
    pub fn fetch_from(
        &mut self,
        phone: usize,
        offered: Offered,
        bytes: &[u8],
        cut: usize,
    ) -> Result<(Vec<PhoneEvent>, usize), SyncError> {
        let log = &mut self.phones[phone];
        let mut download = Download::begin(log, offered)?;
        let rest = &bytes[download.next_byte() as usize..];
        let rest = &rest[..rest.len().min(cut)];
        let mut events = Vec::new();
        for piece in rest.chunks(1_013) {
            events.extend(download.receive(log, piece)?);
        }
        download.pause(log)?;
        Ok((events, rest.len()))
    }

    /// Everybody until nobody has anything new.
    pub fn sync_all(&mut self) {
        for _ in 0..2 {
            for phone in 0..self.phones.len() {
                self.sync(phone);
            }
        }
    }

    pub fn town(&self) -> FeedId {
        FeedId { unit: "town".to_owned(), area: Area::Aid }
    }
}

/// What the server answers to these bytes; with `broken`, it takes what came and no answer is read.
pub fn answer_to(
    server: &mut MemoryServer,
    key: &Arc<SigningKey>,
    now_ms: i64,
    body: &[u8],
    broken: bool,
) -> Result<Vec<Vec<u8>>, ErrorAnswer> {
    let mut session = Session::new(key.clone());
    for piece in body.chunks(997) {
        session.receive(server, now_ms, piece)?;
    }
    if broken {
        return Ok(Vec::new());
    }
    session.end_of_request(server)?;
    let mut frames = Vec::new();
    while let Some(frame) = session.next_frame(server, now_ms).unwrap() {
        frames.push(frame);
    }
    Ok(frames)
}
