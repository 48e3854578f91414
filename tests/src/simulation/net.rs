//! The network between phones and server: pieces, waits, cuts in both directions, requests that arrive twice.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fieldbook_core::client::link::ServerAddress;
use fieldbook_core::client::net::{ByteCount, CancelFlag, NetError, Network, Transport};
use fieldbook_core::protocol::{Down, ErrorAnswer, ErrorKind};
use fieldbook_core::sync::frames::FrameReader;
use fieldbook_core::sync::to_cbor;
use fieldbook_server::exchange::{self, Exchange};

use super::ether::{Ether, Serving};
use super::forger::{self, Forged};
use super::tasks;

/// Path under which a phone enrols; everything else is an exchange.
const ENROL_PATH: &str = "/sync/1/enrol";
/// Pieces into which a body falls at most.
const PIECES_MAX: usize = 5;

/// Looks at each message on its way down to one device.
pub type Watch = Arc<dyn Fn(&Down) + Send + Sync>;

/// One phone process's network.
pub struct Air {
    /// The world.
    pub ether: Arc<Ether>,
    /// The phone in the trace.
    pub name: String,
    /// The phone's process is gone: nothing of it goes on.
    pub dead: Arc<AtomicBool>,
    /// What reads along.
    pub watch: Watch,
}

impl Network for Air {
    fn transport(&self, server: ServerAddress) -> Result<Box<dyn Transport>, String> {
        Ok(Box::new(Line {
            ether: Arc::clone(&self.ether),
            name: self.name.clone(),
            dead: Arc::clone(&self.dead),
            watch: Arc::clone(&self.watch),
            address: server.to_string(),
            bytes: ByteCount::default(),
        }))
    }
}

struct Line {
    ether: Arc<Ether>,
    name: String,
    dead: Arc<AtomicBool>,
    watch: Watch,
    address: String,
    bytes: ByteCount,
}

/// Where an exchange is cut: after so many bytes of the request or the answer.
#[derive(Clone, Copy)]
struct Cut {
    up: usize,
    down: usize,
}

impl Line {
    fn broken(&self, detail: &str) -> NetError {
        NetError::Broken { address: self.address.clone(), detail: detail.to_owned() }
    }

    /// Waits a while, and sees whether both ends are still there.
    fn wait(&self, serving: &Serving, cancel: &CancelFlag) -> Result<(), NetError> {
        let wait_ms = self.ether.weather().wait_ms_max;
        if !self.is_dead() && wait_ms > 0 {
            let ms = self.ether.chance(|chance| chance.between(0, wait_ms));
            tasks::wait_until(self.ether.now_ms() + ms as i64);
        }
        if self.is_dead() || cancel.is_cancelled() {
            return Err(NetError::Cancelled);
        }
        if serving.runs(&self.ether) { Ok(()) } else { Err(self.broken("the server is gone")) }
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn cut(&self, body: usize) -> Option<Cut> {
        let one_in = self.ether.weather().cut_one_in;
        self.ether.chance(|chance| {
            if one_in == 0 || !chance.one_in(one_in) {
                return None;
            }
            Some(if chance.one_in(2) {
                Cut { up: chance.below(body + 1), down: usize::MAX }
            } else {
                // Most answers are short; some are long.
                let magnitude = chance.below(17);
                Cut { up: usize::MAX, down: chance.below((1 << magnitude) + 1) }
            })
        })
    }

    fn answered(&self, serving: &Serving, answer: ErrorAnswer) -> NetError {
        if !serving.runs(&self.ether) {
            return self.broken("the server died");
        }
        self.ether.note(format_args!("{} is answered {:?}: {}", self.name, answer.kind, answer.detail));
        NetError::Refused(answer)
    }

    fn send(
        &mut self,
        serving: &Serving,
        exchange: &mut Exchange,
        body: &[u8],
        cut: Option<Cut>,
        cancel: &CancelFlag,
    ) -> Result<(), NetError> {
        let end = cut.map_or(body.len(), |cut| cut.up.min(body.len()));
        let mut sent = 0;
        while sent < end {
            let piece = self.piece(end - sent);
            exchange
                .receive(&serving.store, &body[sent..sent + piece])
                .map_err(|answer| self.answered(serving, answer))?;
            sent += piece;
            self.bytes.up += piece as u64;
            self.wait(serving, cancel)?;
        }
        if end < body.len() || cut.is_some_and(|cut| cut.up == body.len()) {
            self.ether.note(format_args!("{}: cut after {end} of {} bytes up", self.name, body.len()));
            return Err(self.broken("cut on the way up"));
        }
        Ok(())
    }

    fn piece(&self, left: usize) -> usize {
        self.ether.chance(|chance| match chance.below(PIECES_MAX) {
            0 | 1 => left,
            _ => 1 + chance.below(left),
        })
    }
}

impl Transport for Line {
    fn bytes(&self) -> ByteCount {
        self.bytes
    }

    fn post(
        &mut self,
        path: &'static str,
        body: Vec<u8>,
        cancel: &CancelFlag,
        _on_move: &dyn Fn(ByteCount),
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), NetError> {
        let unreachable =
            |detail: &str| NetError::Unreachable { address: self.address.clone(), detail: detail.to_owned() };
        let serving = self.ether.serving().ok_or_else(|| unreachable("no server"))?;
        self.wait(&serving, cancel)?;
        let cut = self.cut(body.len());
        if path == ENROL_PATH {
            let answer = exchange::enrol(&serving.store, &body).map_err(|answer| self.answered(&serving, answer))?;
            if cut.is_some() {
                return Err(self.broken("the answer is lost"));
            }
            let _ = on_bytes(&to_cbor(&answer));
            return Ok(());
        }
        let again = self.ether.weather().repeat_one_in;
        if again > 0 && self.ether.chance(|chance| chance.one_in(again)) {
            self.ether.delay(body.clone());
        }
        let forge = self.ether.weather().forge_one_in;
        if forge > 0 && self.ether.chance(|chance| chance.one_in(forge)) {
            return self.forged(&serving, &body, cancel, on_bytes);
        }
        let mut exchange = Exchange::new(&serving.store);
        self.send(&serving, &mut exchange, &body, cut, cancel)?;
        let begun = exchange.begin_answer(&serving.store).map_err(|answer| self.answered(&serving, answer))?;
        let mut next = Some(begun.0);
        let mut second = begun.1;
        let mut reader = FrameReader::<Down>::new();
        let mut received = 0;
        while let Some(frame) = next.take() {
            let length = cut.map_or(frame.len(), |cut| frame.len().min(cut.down.saturating_sub(received)));
            self.watch(&mut reader, &frame[..length], &mut |_| ());
            let mut at = 0;
            while at < length {
                let piece = self.piece(length - at);
                self.wait(&serving, cancel)?;
                self.bytes.down += piece as u64;
                if on_bytes(&frame[at..at + piece]).is_break() {
                    return Ok(());
                }
                at += piece;
            }
            received += length;
            if length < frame.len() {
                self.ether.note(format_args!("{}: cut after {received} bytes down", self.name));
                return Err(self.broken("cut on the way down"));
            }
            self.wait(&serving, cancel)?;
            next = match second.take() {
                Some(second) => Some(second),
                None => exchange.next_frame(&serving.store).map_err(|error| self.broken(&error.detail))?,
            };
        }
        Ok(())
    }

    fn get(
        &mut self,
        path: &str,
        from: u64,
        cancel: &CancelFlag,
        _on_move: &dyn Fn(ByteCount),
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<bool, NetError> {
        let unreachable =
            |detail: &str| NetError::Unreachable { address: self.address.clone(), detail: detail.to_owned() };
        let serving = self.ether.serving().ok_or_else(|| unreachable("no server"))?;
        self.wait(&serving, cancel)?;
        let mut name = [0; 32];
        let named = path.rsplit('/').next().is_some_and(|text| hex::decode_to_slice(text, &mut name).is_ok());
        if !named {
            self.ether.wrong(format!("{} asks for {path}", self.name));
        }
        let file = serving.store.segment_file(&name).map_err(|error| self.answered(&serving, error.into()))?;
        let Some(bytes) = file.and_then(|file| std::fs::read(file).ok()) else { return Ok(false) };
        self.ether.note(format_args!("{} fetches {path} from byte {from}", self.name));
        self.fetched(&serving, (&bytes, from), cancel, on_bytes).map(|()| true)
    }
}

impl Line {
    /// The bytes of a segment from `from` on, in pieces, perhaps cut, perhaps damaged on their way.
    fn fetched(
        &mut self,
        serving: &Serving,
        (bytes, from): (&[u8], u64),
        cancel: &CancelFlag,
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), NetError> {
        let mut rest = bytes.get(from as usize..).unwrap_or_default().to_vec();
        let forge = self.ether.weather().forge_one_in;
        if forge > 0 && !rest.is_empty() && self.ether.chance(|chance| chance.one_in(forge)) {
            let at = self.ether.chance(|chance| chance.below(rest.len()));
            rest[at] ^= 1;
            self.ether.note(format_args!("{}: byte {at} of a segment is flipped on its way", self.name));
        }
        let end = self.cut(rest.len()).map_or(rest.len(), |cut| cut.up.min(cut.down).min(rest.len()));
        let mut at = 0;
        while at < end {
            let piece = self.piece(end - at);
            self.wait(serving, cancel)?;
            self.bytes.down += piece as u64;
            if on_bytes(&rest[at..at + piece]).is_break() {
                return Ok(());
            }
            at += piece;
        }
        if end < rest.len() {
            self.ether.note(format_args!("{}: cut after {end} bytes of a segment", self.name));
            return Err(self.broken("cut on the way down"));
        }
        Ok(())
    }

    /// An exchange that somebody rewrites on its way, up or down.
    fn forged(
        &mut self,
        serving: &Serving,
        body: &[u8],
        cancel: &CancelFlag,
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), NetError> {
        let up = self.ether.chance(|chance| if chance.one_in(2) { forger::request(body, chance) } else { None });
        let mut exchange = Exchange::new(&serving.store);
        let sent = up.as_deref().unwrap_or(body);
        self.send(serving, &mut exchange, sent, None, cancel)?;
        let begun = exchange.begin_answer(&serving.store).map_err(|answer| self.answered(serving, answer))?;
        let mut answer = [begun.0, begun.1.unwrap_or_default()].concat();
        while let Some(frame) = exchange.next_frame(&serving.store).map_err(|error| self.broken(&error.detail))? {
            answer.extend(frame);
        }
        let mut refused = false;
        self.watch(&mut FrameReader::new(), &answer, &mut |message| refused |= matches!(message, Down::Error(_)));
        if up.is_some() {
            self.ether.note(format_args!("{}: a statement is rewritten on its way", self.name));
            if !refused && serving.runs(&self.ether) {
                self.ether.wrong(format!("the server takes a statement that {} did not sign", self.name));
            }
        }
        let down = self.ether.chance(|chance| forger::answer(&answer, chance)).filter(|_| up.is_none());
        if let Some((_, what)) = &down {
            self.ether.note(format_args!("{}: the answer is rewritten on its way: {what:?}", self.name));
        }
        let told = down.as_ref().map_or(answer.as_slice(), |(forged, _)| forged);
        self.wait(serving, cancel)?;
        self.bytes.down += told.len() as u64;
        let believed = on_bytes(told).is_continue();
        if believed && !self.is_dead() && down.is_some_and(|(_, what)| what == Forged::Head) {
            self.ether.wrong(format!("{} believes a head that the server did not sign", self.name));
        }
        Ok(())
    }

    fn watch(&self, reader: &mut FrameReader<Down>, bytes: &[u8], also: &mut dyn FnMut(&Down)) {
        reader.push(bytes);
        loop {
            match reader.next_frame() {
                Ok(Some(messages)) => messages.iter().for_each(|message| {
                    (self.watch)(message);
                    let said = matches!(message, Down::Hello { .. } | Down::Restored { .. } | Down::Done { .. });
                    if self.ether.is_closed() && !said && !matches!(message, Down::Error(_)) {
                        self.ether.wrong(format!("{} is served before the restore is confirmed", self.name));
                    }
                    also(message);
                }),
                Ok(None) => return,
                Err(error) => return self.ether.wrong(format!("{}: the server sent {error}", self.name)),
            }
        }
    }
}

/// A request that was long on the way arrives; its answer reaches nobody.
pub fn deliver_late(ether: &Ether) {
    let (Some(serving), Some(body)) = (ether.serving(), ether.arrived_late()) else { return };
    let mut exchange = Exchange::new(&serving.store);
    let end = if ether.chance(|chance| chance.one_in(4)) {
        ether.chance(|chance| chance.below(body.len()))
    } else {
        body.len()
    };
    let said = match exchange.receive(&serving.store, &body[..end]) {
        Ok(()) if end == body.len() => exchange.begin_answer(&serving.store).map(|_| ()),
        other => other,
    };
    if said.is_ok() && exchange.device().is_some() && serving.runs(ether) {
        let again = Exchange::new(&serving.store).receive(&serving.store, &body);
        if again.as_ref().map_or_else(|answer| answer.kind, |()| ErrorKind::Malformed) != ErrorKind::Replayed {
            ether.wrong(format!("a request is taken twice: {again:?}"));
        }
    }
    let said = said.map_or_else(|answer| format!("{:?}", answer.kind), |()| "taken".to_owned());
    ether.note(format_args!("an old request of {end} bytes arrives: {said}"));
}
