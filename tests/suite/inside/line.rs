//! The line between phones and the server's store: nothing but bytes, and what is done to them.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use fieldbook_core::client::link::ServerAddress;
use fieldbook_core::client::net::{ByteCount, CancelFlag, NetError, Network, Transport};
use fieldbook_core::protocol::{Down, ErrorAnswer, Up};
use fieldbook_core::sync::frames::{FrameReader, FrameWriter, Message};
use fieldbook_core::sync::to_cbor;
use fieldbook_server::exchange::{self, Exchange};
use fieldbook_server::store::Store;

/// Bytes that arrive at once.
const PIECE_BYTES: usize = 613;
/// Window of rewritten frames.
const WINDOW_LOG: u32 = 20;

/// What happens to one exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The line breaks after so many bytes of the request.
    CutUp(usize),
    /// The line breaks after so many bytes of the answer, all of which the server has made.
    CutDown(usize),
    /// The request arrives twice; the phone reads the answer to the first.
    RequestTwice,
    /// The request arrives twice; the phone reads the answer to the second.
    SecondAnswer,
    /// Every message of every frame comes twice, both ways, but for the last.
    MessagesTwice,
    /// The bytes of one frame of the request come twice.
    FrameUpTwice(usize),
    /// The bytes of one frame of the answer come twice.
    FrameDownTwice(usize),
    /// One bit of the request's signature is another.
    Forged,
    /// The answer's last message says, without the server's signature, that the device is revoked.
    FalselyRevoked,
}

/// Bytes of what one exchange would have carried.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carried {
    /// Length, header and signature.
    pub(crate) header: usize,
    /// Each frame of the request.
    pub(crate) up: Vec<usize>,
    /// Each frame of the answer.
    pub(crate) down: Vec<usize>,
}

#[derive(Default)]
struct State {
    /// Exchanges to come before the fault, and the fault.
    fault: Option<(usize, Fault)>,
    carried: Vec<Carried>,
    recorded: Vec<Vec<u8>>,
}

/// A line to one server.
#[derive(Clone)]
pub(crate) struct Line {
    store: Arc<Store>,
    state: Arc<Mutex<State>>,
}

impl Line {
    pub(crate) fn to(store: &Arc<Store>) -> Self {
        Self { store: Arc::clone(store), state: Arc::default() }
    }

    /// After `exchanges` more, this happens to one, once.
    pub(crate) fn break_after(&self, exchanges: usize, fault: Fault) {
        self.locked().fault = Some((exchanges, fault));
    }

    /// What was carried since this was asked last.
    pub(crate) fn carried(&self) -> Vec<Carried> {
        std::mem::take(&mut self.locked().carried)
    }

    /// The requests that were sent since this was asked last, as somebody on the way saw them.
    pub(crate) fn recorded(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.locked().recorded)
    }

    /// A request comes once more; what the server answers.
    pub(crate) fn send_again(&self, request: &[u8]) -> Result<Vec<Vec<u8>>, ErrorAnswer> {
        self.ask(request)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self) -> Fault {
        let mut state = self.locked();
        match state.fault.take() {
            Some((0, fault)) => fault,
            Some((exchanges, fault)) => {
                state.fault = Some((exchanges - 1, fault));
                Fault::None
            }
            None => Fault::None,
        }
    }

    /// The whole answer, frame by frame.
    fn ask(&self, body: &[u8]) -> Result<Vec<Vec<u8>>, ErrorAnswer> {
        let mut server = self.hand_in(body)?;
        let (first, second) = server.begin_answer(&self.store)?;
        let rest = std::iter::from_fn(|| server.next_frame(&self.store).unwrap());
        Ok(std::iter::once(first).chain(second).chain(rest).collect())
    }

    /// What the server does with the bytes of a request that have arrived.
    fn hand_in(&self, body: &[u8]) -> Result<Exchange, ErrorAnswer> {
        let mut server = Exchange::new(&self.store);
        body.chunks(PIECE_BYTES).try_for_each(|piece| server.receive(&self.store, piece))?;
        Ok(server)
    }
}

impl Network for Line {
    fn transport(&self, _: ServerAddress) -> Result<Box<dyn Transport>, String> {
        Ok(Box::new(Wire(self.clone())))
    }
}

struct Wire(Line);

impl Transport for Wire {
    fn bytes(&self) -> ByteCount {
        ByteCount::default()
    }

    fn post(
        &mut self,
        path: &'static str,
        body: Vec<u8>,
        cancel: &CancelFlag,
        _: &dyn Fn(ByteCount),
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), NetError> {
        let line = &self.0;
        if path.ends_with("/enrol") {
            let answer = exchange::enrol(&line.store, &body).map_err(NetError::Refused)?;
            let _ = on_bytes(&to_cbor(&answer));
            return Ok(());
        }
        let fault = line.next_fault();
        let (header, frames) = split(&body);
        let carried = Carried { header: header.len(), up: lengths(&frames), down: Vec::new() };
        line.locked().carried.push(carried);
        line.locked().recorded.push(body.clone());
        let broken = || {
            // Whoever looks at the phone now sees it as the break left it.
            cancel.cancel();
            NetError::Broken { address: "test".to_owned(), detail: "cut".to_owned() }
        };
        let sent = match fault {
            Fault::CutUp(bytes) => {
                line.hand_in(&body[..bytes]).map_err(NetError::Refused)?;
                return Err(broken());
            }
            Fault::MessagesTwice => [header, twice::<Up>(&frames.concat()).concat()].concat(),
            Fault::FrameUpTwice(at) => [header, repeated(&frames, at).concat()].concat(),
            Fault::Forged => {
                let mut forged = body.clone();
                forged[header.len() - 1] ^= 1;
                forged
            }
            _ => body,
        };
        let mut answer = line.ask(&sent);
        if matches!(fault, Fault::RequestTwice | Fault::SecondAnswer) {
            let second = line.ask(&sent);
            answer = if fault == Fault::SecondAnswer { second } else { answer };
        }
        let answer = answer.map_err(NetError::Refused)?;
        line.locked().carried.last_mut().unwrap().down = lengths(&answer);
        let bytes = match fault {
            Fault::MessagesTwice => twice::<Down>(&answer.concat()).concat(),
            Fault::FrameDownTwice(at) => repeated(&answer, at).concat(),
            Fault::FalselyRevoked => falsely_revoked(&answer.concat()).concat(),
            _ => answer.concat(),
        };
        let end = if let Fault::CutDown(end) = fault { end } else { bytes.len() };
        for piece in bytes[..end].chunks(PIECE_BYTES) {
            if on_bytes(piece).is_break() {
                return Ok(());
            }
        }
        if matches!(fault, Fault::CutDown(_)) { Err(broken()) } else { Ok(()) }
    }

    fn get(
        &mut self,
        path: &str,
        from: u64,
        _: &CancelFlag,
        _: &dyn Fn(ByteCount),
        on_bytes: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<bool, NetError> {
        let mut name = [0; 32];
        hex::decode_to_slice(path.rsplit('/').next().unwrap(), &mut name).unwrap();
        let Some(file) = self.0.store.segment_file(&name).unwrap() else { return Ok(false) };
        let _ = on_bytes(&std::fs::read(file).unwrap()[from as usize..]);
        Ok(true)
    }
}

fn lengths(frames: &[Vec<u8>]) -> Vec<usize> {
    frames.iter().map(Vec::len).collect()
}

/// Value and bytes of a LEB128 number.
fn varint(bytes: &[u8]) -> (usize, usize) {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    (bytes[..length].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f)), length)
}

/// Header with signature, and the frames.
fn split(body: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (length, prefix) = varint(body);
    let (header, mut rest) = body.split_at(prefix + length + 64);
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (length, prefix) = varint(rest);
        let (frame, behind) = rest.split_at(prefix + length);
        frames.push(frame.to_vec());
        rest = behind;
    }
    (header.to_vec(), frames)
}

fn repeated(frames: &[Vec<u8>], at: usize) -> Vec<Vec<u8>> {
    let mut frames = frames.to_vec();
    frames.insert(at, frames[at].clone());
    frames
}

fn messages<M: Message>(bytes: &[u8]) -> Vec<Vec<M>> {
    let mut reader = FrameReader::<M>::new();
    reader.push(bytes);
    std::iter::from_fn(|| reader.next_frame().unwrap()).collect()
}

fn written<M: Message>(frames: &[Vec<&M>]) -> Vec<Vec<u8>> {
    let mut writer = FrameWriter::new(WINDOW_LOG);
    for frame in frames {
        frame.iter().for_each(|message| writer.push(*message).unwrap());
        writer.flush().unwrap();
    }
    std::iter::from_fn(|| writer.take()).collect()
}

/// Each frame's messages in two frames; the very last message of an answer once, because nothing may follow it.
fn twice<M: Message>(bytes: &[u8]) -> Vec<Vec<u8>> {
    let frames = messages::<M>(bytes);
    let last = frames.iter().map(Vec::len).sum::<usize>().saturating_sub(1);
    let ends_with_last = std::any::type_name::<M>() == std::any::type_name::<Down>();
    let mut doubled: Vec<Vec<&M>> = Vec::new();
    let mut number = 0;
    for frame in &frames {
        let first = frame.iter().enumerate().filter(|(at, _)| !(ends_with_last && number + at == last));
        doubled.push(first.map(|(_, message)| message).collect());
        doubled.push(frame.iter().collect());
        number += frame.len();
    }
    written(&doubled)
}

fn falsely_revoked(bytes: &[u8]) -> Vec<Vec<u8>> {
    let rewritten: Vec<Vec<Down>> = messages::<Down>(bytes)
        .into_iter()
        .map(|frame| {
            let false_word = |message| match message {
                Down::Done { more, digest, .. } => Down::Done { more, digest, revoked: Some([7; 64].into()) },
                other => other,
            };
            frame.into_iter().map(false_word).collect()
        })
        .collect();
    written(&rewritten.iter().map(|frame| frame.iter().collect()).collect::<Vec<_>>())
}
