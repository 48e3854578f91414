//! The network between phones, hubs and server: pieces, waits, cuts in both directions, requests that arrive twice.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fieldbook_core::client::link::ServerAddress;
use fieldbook_core::client::net::{ByteCount, CancelFlag, HUB_NAME, NetError, Network, Transport};
use fieldbook_core::protocol::{Down, ErrorAnswer, ErrorKind, Hosted};
use fieldbook_core::sync::frames::FrameReader;
use fieldbook_core::sync::to_cbor;
use fieldbook_server::exchange;

use super::ether::{Ether, Late};
use super::far_end::{Answering, FarEnd};
use super::forger;
use super::{liar, tasks};

/// Path under which a phone enrols; everything else is an exchange.
const ENROL_PATH: &str = "/sync/1/enrol";
/// Pieces into which a body falls at most.
const PIECES_MAX: usize = 5;
/// How hubs are called, before their number.
const HUB_HOST: &str = "hub-";

/// Looks at each message on its way down to one device, from the server or from a hub.
pub type Watch = Arc<dyn Fn(Option<usize>, &Down) + Send + Sync>;

/// How the hub of this number is addressed.
#[must_use]
pub fn hub_address(number: usize) -> String {
    format!("{HUB_HOST}{number}:1")
}

/// One process's network.
#[derive(Clone)]
pub struct Air {
    /// The world.
    pub ether: Arc<Ether>,
    /// The phone or hub in the trace.
    pub name: String,
    /// The process is gone: nothing of it goes on.
    pub dead: Arc<AtomicBool>,
    /// A hub lied to it, or it is a hub and lied.
    pub lied: Arc<AtomicBool>,
    /// The number of the hub, if it is one.
    pub hub: Option<usize>,
    /// It waits for the network. What holds a lock meanwhile does not: there is one thread.
    pub waits: bool,
    /// What reads along.
    pub watch: Watch,
}

impl Network for Air {
    fn transport(&self, server: ServerAddress) -> Result<Box<dyn Transport>, String> {
        let to = if server.name == HUB_NAME { server.host.strip_prefix(HUB_HOST) } else { None };
        let to = to.map(|number| number.parse().map_err(|_| format!("no hub is called {server}"))).transpose()?;
        Ok(Box::new(Line { air: self.clone(), to, address: server.to_string(), bytes: ByteCount::default() }))
    }
}

struct Line {
    air: Air,
    /// The hub at its far end; none: the server.
    to: Option<usize>,
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
    fn wait(&self, far: &FarEnd, cancel: &CancelFlag) -> Result<(), NetError> {
        let wait_ms = self.air.ether.weather().wait_ms_max;
        if self.air.waits && !self.is_dead() && wait_ms > 0 {
            let ms = self.air.ether.chance(|chance| chance.between(0, wait_ms));
            tasks::wait_until(self.air.ether.now_ms() + ms as i64);
        }
        if self.is_dead() || cancel.is_cancelled() {
            return Err(NetError::Cancelled);
        }
        if far.runs(&self.air.ether) { Ok(()) } else { Err(self.broken("the other end is gone")) }
    }

    fn is_dead(&self) -> bool {
        self.air.dead.load(Ordering::SeqCst)
    }

    fn cut(&self, body: usize) -> Option<Cut> {
        let one_in = self.air.ether.weather().cut_one_in;
        self.air.ether.chance(|chance| {
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

    fn answered(&self, far: &FarEnd, answer: ErrorAnswer) -> NetError {
        if !far.runs(&self.air.ether) {
            return self.broken("the other end died");
        }
        self.air.ether.note(format_args!("{} is answered {:?}: {}", self.air.name, answer.kind, answer.detail));
        NetError::Refused(answer)
    }

    fn send(
        &mut self,
        far: &FarEnd,
        exchange: &mut Answering,
        body: &[u8],
        cut: Option<Cut>,
        cancel: &CancelFlag,
    ) -> Result<(), NetError> {
        let end = cut.map_or(body.len(), |cut| cut.up.min(body.len()));
        let mut sent = 0;
        while sent < end {
            let piece = self.piece(end - sent);
            exchange.receive(&body[sent..sent + piece]).map_err(|answer| self.answered(far, answer))?;
            sent += piece;
            self.bytes.up += piece as u64;
            self.wait(far, cancel)?;
        }
        if end < body.len() || cut.is_some_and(|cut| cut.up == body.len()) {
            self.air.ether.note(format_args!("{}: cut after {end} of {} bytes up", self.air.name, body.len()));
            return Err(self.broken("cut on the way up"));
        }
        Ok(())
    }

    fn piece(&self, left: usize) -> usize {
        self.air.ether.chance(|chance| match chance.below(PIECES_MAX) {
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
        let far = &FarEnd::of(&self.air.ether, self.to).ok_or_else(|| unreachable("nobody there"))?;
        self.wait(far, cancel)?;
        let cut = self.cut(body.len());
        if let (ENROL_PATH, FarEnd::Server(serving)) = (path, far) {
            let answer = exchange::enrol(&serving.store, &body).map_err(|answer| self.answered(far, answer))?;
            if cut.is_some() {
                return Err(self.broken("the answer is lost"));
            }
            let _ = on_bytes(&to_cbor(&answer));
            return Ok(());
        }
        let again = self.air.ether.weather().repeat_one_in;
        if again > 0 && self.air.ether.chance(|chance| chance.one_in(again)) {
            self.air.ether.delay(Late { hub: self.to, body: body.clone() });
        }
        let forge = self.air.ether.weather().forge_one_in;
        if forge > 0 && self.air.ether.chance(|chance| chance.one_in(forge)) {
            return self.forged(far, &body, cancel, on_bytes);
        }
        if self.somebody_lies(far) {
            return self.lied(far, &body, cancel, on_bytes);
        }
        let mut exchange = far.exchange();
        self.send(far, &mut exchange, &body, cut, cancel)?;
        let begun = exchange.begin_answer().map_err(|answer| self.answered(far, answer))?;
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
                self.wait(far, cancel)?;
                self.bytes.down += piece as u64;
                if on_bytes(&frame[at..at + piece]).is_break() {
                    return Ok(());
                }
                at += piece;
            }
            received += length;
            if length < frame.len() {
                self.air.ether.note(format_args!("{}: cut after {received} bytes down", self.air.name));
                return Err(self.broken("cut on the way down"));
            }
            self.wait(far, cancel)?;
            next = match second.take() {
                Some(second) => Some(second),
                None => exchange.next_frame().map_err(|error| self.broken(&error.detail))?,
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
        let far = &FarEnd::of(&self.air.ether, self.to).ok_or_else(|| unreachable("nobody there"))?;
        self.wait(far, cancel)?;
        let mut name = [0; 32];
        let named = path.rsplit('/').next().is_some_and(|text| hex::decode_to_slice(text, &mut name).is_ok());
        if !named {
            self.air.ether.wrong(format!("{} asks for {path}", self.air.name));
        }
        let file = far.segment_file(&name).map_err(|answer| self.answered(far, answer))?;
        let Some(bytes) = file.and_then(|file| std::fs::read(file).ok()) else { return Ok(false) };
        self.air.ether.note(format_args!("{} fetches {path} from byte {from}", self.air.name));
        self.fetched(far, (&bytes, from), cancel, on_bytes).map(|()| true)
    }
}

impl Line {
    /// The bytes of a segment from `from` on, in pieces, perhaps cut, perhaps damaged on their way.
    fn fetched(
        &mut self,
        far: &FarEnd,
        (bytes, from): (&[u8], u64),
        cancel: &CancelFlag,
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), NetError> {
        let mut rest = bytes.get(from as usize..).unwrap_or_default().to_vec();
        let forge = self.air.ether.weather().forge_one_in;
        if forge > 0 && !rest.is_empty() && self.air.ether.chance(|chance| chance.one_in(forge)) {
            let at = self.air.ether.chance(|chance| chance.below(rest.len()));
            rest[at] ^= 1;
            self.air.ether.note(format_args!("{}: byte {at} of a segment is flipped on its way", self.air.name));
        }
        let end = self.cut(rest.len()).map_or(rest.len(), |cut| cut.up.min(cut.down).min(rest.len()));
        let mut at = 0;
        while at < end {
            let piece = self.piece(end - at);
            self.wait(far, cancel)?;
            self.bytes.down += piece as u64;
            if on_bytes(&rest[at..at + piece]).is_break() {
                return Ok(());
            }
            at += piece;
        }
        if end < rest.len() {
            self.air.ether.note(format_args!("{}: cut after {end} bytes of a segment", self.air.name));
            return Err(self.broken("cut on the way down"));
        }
        Ok(())
    }

    /// An exchange that somebody rewrites on its way, up or down.
    fn forged(
        &mut self,
        far: &FarEnd,
        body: &[u8],
        cancel: &CancelFlag,
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), NetError> {
        let up = self.air.ether.chance(|chance| if chance.one_in(2) { forger::request(body, chance) } else { None });
        let sent = up.as_ref().map_or(body, |(sent, _)| sent);
        let answer = self.whole_answer(far, sent, cancel)?;
        let forged = up.as_ref().map_or(u64::MAX, |(_, number)| *number);
        let (mut refused, mut reached) = (false, false);
        self.watch(&mut FrameReader::new(), &answer, &mut |message| {
            refused |= matches!(message, Down::Error(_) | Down::Hosted(Hosted { failure: Some(_), .. }));
            // Where statements before it were lost, it is left for a later exchange.
            reached |= match message {
                Down::Hello { statement, .. } | Down::Hosted(Hosted { statement, .. }) => *statement >= forged,
                _ => false,
            };
        });
        if up.is_some() {
            self.air.ether.note(format_args!("{}: a statement is rewritten on its way", self.air.name));
            if reached && !refused && far.runs(&self.air.ether) {
                self.air.ether.wrong(format!("a statement is taken as {} did not sign it", self.air.name));
            }
        }
        let down = self.air.ether.chance(|chance| forger::answer(&answer, chance)).filter(|_| up.is_none());
        if let Some((_, what)) = &down {
            self.air.ether.note(format_args!("{}: the answer is rewritten on its way: {what:?}", self.air.name));
        }
        let told = down.as_ref().map_or(answer.as_slice(), |(forged, _)| forged);
        self.wait(far, cancel)?;
        self.bytes.down += told.len() as u64;
        // What it keeps of a head that the server did not sign is looked at behind the sync.
        let _ = on_bytes(told);
        Ok(())
    }

    /// Everything that the far end answers to a request that comes whole.
    fn whole_answer(&mut self, far: &FarEnd, body: &[u8], cancel: &CancelFlag) -> Result<Vec<u8>, NetError> {
        let mut exchange = far.exchange();
        self.send(far, &mut exchange, body, None, cancel)?;
        let begun = exchange.begin_answer().map_err(|answer| self.answered(far, answer))?;
        let mut answer = [begun.0, begun.1.unwrap_or_default()].concat();
        while let Some(frame) = exchange.next_frame().map_err(|error| self.broken(&error.detail))? {
            answer.extend(frame);
        }
        Ok(answer)
    }

    /// One end is a hub that lies, and this is one of the times.
    fn somebody_lies(&self, far: &FarEnd) -> bool {
        let own = self.air.hub.and_then(|number| self.air.ether.hub(number)).is_some_and(|hub| hub.lies);
        (own || far.lies()) && self.air.ether.chance(|chance| chance.one_in(2))
    }

    /// An exchange in which a hub says what is not so, or brings something else than it was given.
    fn lied(
        &mut self,
        far: &FarEnd,
        body: &[u8],
        cancel: &CancelFlag,
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), NetError> {
        let spoilt = self.air.ether.chance(|chance| if far.lies() { None } else { liar::request(body, chance) });
        if let Some((_, what)) = &spoilt {
            self.air.ether.note(format_args!("{} brings something else: {what}", self.air.name));
        }
        let answer = self.whole_answer(far, spoilt.as_ref().map_or(body, |(spoilt, _)| spoilt), cancel)?;
        self.watch(&mut FrameReader::new(), &answer, &mut |_| ());
        let lie = self.air.ether.chance(|chance| if far.lies() { liar::answer(&answer, chance) } else { None });
        if let Some((_, what)) = &lie {
            self.air.ether.note(format_args!("{} is told what is not so: {what:?}", self.air.name));
            self.air.lied.store(true, Ordering::SeqCst);
        }
        let told = lie.as_ref().map_or(answer.as_slice(), |(told, _)| told);
        self.wait(far, cancel)?;
        self.bytes.down += told.len() as u64;
        let believed = on_bytes(told).is_continue();
        if believed && !self.is_dead() && lie.is_some_and(|(_, what)| what.must_be_noticed()) {
            self.air.ether.wrong(format!("{} believes a hub that lies", self.air.name));
        }
        Ok(())
    }

    fn watch(&self, reader: &mut FrameReader<Down>, bytes: &[u8], also: &mut dyn FnMut(&Down)) {
        reader.push(bytes);
        loop {
            match reader.next_frame() {
                Ok(Some(messages)) => messages.iter().for_each(|message| {
                    (self.air.watch)(self.to, message);
                    let said = matches!(
                        message,
                        Down::Hello { .. } | Down::Hosted(_) | Down::Restored { .. } | Down::Done { .. }
                    );
                    if self.to.is_none() && self.air.ether.is_closed() && !said && !matches!(message, Down::Error(_)) {
                        self.air
                            .ether
                            .wrong(format!("{} is served before the restore is confirmed: {message:?}", self.air.name));
                    }
                    also(message);
                }),
                Ok(None) => return,
                Err(error) => return self.air.ether.wrong(format!("{}: the server sent {error}", self.air.name)),
            }
        }
    }
}

/// A request that was long on the way arrives, now and then where it was not sent; its answer reaches nobody.
pub fn deliver_late(ether: &Ether) {
    let Some(Late { hub, body }) = ether.serving().and_then(|_| ether.arrived_late()) else { return };
    let elsewhere = hub.is_some() && ether.chance(|chance| chance.one_in(3));
    let Some(far) = FarEnd::of(ether, hub.filter(|_| !elsewhere)) else { return };
    let mut exchange = far.exchange();
    let end = if ether.chance(|chance| chance.one_in(4)) {
        ether.chance(|chance| chance.below(body.len()))
    } else {
        body.len()
    };
    let said = match exchange.receive(&body[..end]) {
        Ok(()) if end == body.len() => exchange.begin_answer().map(|_| ()),
        other => other,
    };
    if said.is_ok() && exchange.device().is_some() && far.runs(ether) {
        if elsewhere {
            ether.wrong("the server takes a request that was made to a hub".to_owned());
        }
        let again = far.exchange().receive(&body);
        if again.as_ref().map_or_else(|answer| answer.kind, |()| ErrorKind::Malformed) != ErrorKind::Replayed {
            ether.wrong(format!("a request is taken twice: {again:?}"));
        }
    }
    let said = said.map_or_else(|answer| format!("{:?}", answer.kind), |()| "taken".to_owned());
    ether.note(format_args!("an old request of {end} bytes arrives: {said}"));
}
