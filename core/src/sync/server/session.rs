//! One exchange, from the first byte of the request to the last of the answer.

use std::sync::Arc;

use super::answer::Answer;
use super::upload::Upload;
use super::{DeviceRow, ServerLog, error};
use crate::ids::DeviceId;
use crate::protocol::limits::{HEADER_BYTES_MAX, PROTOCOL_VERSION, REQUEST_BYTES_MAX, VERDICT_NUMBER_MAX};
use crate::protocol::{ErrorAnswer, ErrorKind, RequestHeader};
use crate::sync::LogError;
use crate::sync::signing::{self, Signer};
use crate::sync::wire::{Varint, from_cbor, read_varint};

const SIGNATURE_BYTES: usize = 64;

/// What an exchange moved, for logs and measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of the request body.
    pub bytes_up: u64,
    /// Bytes of the answer body.
    pub bytes_down: u64,
    /// Frames read.
    pub frames_up: u64,
    /// Frames written.
    pub frames_down: u64,
    /// Changes accepted.
    pub accepted: u64,
    /// Changes that were here already.
    pub known: u64,
    /// Changes refused or quarantined.
    pub not_taken: u64,
}

/// The device behind a verified request.
pub(in crate::sync) struct Caller {
    pub(in crate::sync) device: DeviceId,
    pub(in crate::sync) row: DeviceRow,
    pub(in crate::sync) header: RequestHeader,
}

enum Phase {
    Header(Vec<u8>),
    Frames(Box<Upload>),
    Answer(Box<Answer>),
    Ended,
}

/// The server's half of one exchange. Feed it the request body in pieces of any size, then take the answer's frames.
/// The log is borrowed per call only: nothing is locked while the network is slow.
pub struct Session {
    signer: Arc<dyn Signer>,
    phase: Phase,
    device: Option<DeviceId>,
    device_time_ms: Option<i64>,
    error: Option<ErrorAnswer>,
    traffic: Traffic,
}

impl Session {
    /// A session of a server that signs heads with `signer`, whose public key enrolled devices hold.
    #[must_use]
    pub fn new(signer: Arc<dyn Signer>) -> Self {
        Self {
            signer,
            phase: Phase::Header(Vec::new()),
            device: None,
            device_time_ms: None,
            error: None,
            traffic: Traffic::default(),
        }
    }

    /// The device, once the request is verified.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// The device's wall clock as the verified request says, milliseconds since 1970 UTC; may be wrong.
    #[must_use]
    pub fn device_time_ms(&self) -> Option<i64> {
        self.device_time_ms
    }

    /// What was moved so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Takes the next piece of the request body. Every whole frame in it is durable when this returns. What goes wrong
    /// with a frame is told in the answer's frames; the rest of the request is then ignored.
    ///
    /// # Errors
    /// An [`ErrorAnswer`] while the request is not verified: answer it alone, under its
    /// [`ErrorAnswer::http_status`], and drop the session. Nothing was stored but, at most, the counter.
    pub fn receive(&mut self, log: &mut dyn ServerLog, now_ms: i64, bytes: &[u8]) -> Result<(), ErrorAnswer> {
        self.traffic.bytes_up += bytes.len() as u64;
        if self.error.is_some() {
            return Ok(());
        }
        if self.traffic.bytes_up > REQUEST_BYTES_MAX as u64 {
            let too_large = error(ErrorKind::TooLarge, format!("a request has at most {REQUEST_BYTES_MAX} bytes"));
            return if self.device.is_some() { self.fail(too_large) } else { Err(too_large) };
        }
        let rest = match &mut self.phase {
            Phase::Header(buffer) => {
                buffer.extend_from_slice(bytes);
                match split_header(buffer)? {
                    None => return Ok(()),
                    Some((header, signature, rest)) => {
                        let key_id = signing::key_id(&self.signer.public_key());
                        let caller = verify(log, key_id, now_ms, &header, &signature)?;
                        self.device = Some(caller.device);
                        self.device_time_ms = Some(caller.header.device_time_ms);
                        self.phase = Phase::Frames(Box::new(Upload::new(log, self.signer.public_key(), caller)?));
                        rest
                    }
                }
            }
            Phase::Frames(_) => bytes.to_vec(),
            Phase::Answer(_) | Phase::Ended => return Ok(()),
        };
        let Phase::Frames(upload) = &mut self.phase else { return Ok(()) };
        match upload.receive(log, now_ms, &rest, &mut self.traffic) {
            Ok(()) => Ok(()),
            Err(answer) => self.fail(answer),
        }
    }

    fn fail(&mut self, answer: ErrorAnswer) -> Result<(), ErrorAnswer> {
        self.error = Some(answer);
        Ok(())
    }

    /// The request body has ended: after this, take the answer's frames. A body that ends within a frame is as one that
    /// broke there: whole frames stay.
    ///
    /// # Errors
    /// An [`ErrorAnswer`] where the body ended before the request could be verified.
    pub fn end_of_request(&mut self, log: &mut dyn ServerLog) -> Result<(), ErrorAnswer> {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Header(_) => Err(error(ErrorKind::Malformed, "the request ends within its header")),
            Phase::Frames(mut upload) => {
                let relay = upload.take_relay();
                let mut answer = Answer::new(log, upload.into_caller(), self.error.take())?;
                answer.tell_hub(log, relay)?;
                self.phase = Phase::Answer(Box::new(answer));
                Ok(())
            }
            other => {
                self.phase = other;
                Ok(())
            }
        }
    }

    /// The next piece of the answer body, one frame or a few; `None` at its end.
    ///
    /// # Errors
    /// [`LogError`] where the store failed: the answer must then break off (the device sees that its end is missing).
    pub fn next_frame(&mut self, log: &mut dyn ServerLog, now_ms: i64) -> Result<Option<Vec<u8>>, LogError> {
        let Phase::Answer(answer) = &mut self.phase else { return Ok(None) };
        let frame = answer.next_frame(log, self.signer.as_ref(), now_ms)?;
        match &frame {
            Some(frame) => {
                self.traffic.bytes_down += frame.len() as u64;
                self.traffic.frames_down += 1;
            }
            None => self.phase = Phase::Ended,
        }
        Ok(frame)
    }
}

/// Header bytes, signature and what follows them, once all is there.
pub(in crate::sync) type SplitHeader = (Vec<u8>, [u8; SIGNATURE_BYTES], Vec<u8>);

pub(in crate::sync) fn split_header(buffer: &[u8]) -> Result<Option<SplitHeader>, ErrorAnswer> {
    let (length, start) = match read_varint(buffer) {
        Varint::Incomplete => return Ok(None),
        Varint::Bad => return Err(error(ErrorKind::Malformed, "the request begins with no length")),
        Varint::Value(length, start) => (length, start),
    };
    if length > HEADER_BYTES_MAX as u64 {
        return Err(error(ErrorKind::TooLarge, format!("a header has at most {HEADER_BYTES_MAX} bytes")));
    }
    let end = start + length as usize;
    let Some((signature, rest)) = buffer.get(end..).and_then(<[u8]>::split_first_chunk::<SIGNATURE_BYTES>) else {
        return Ok(None);
    };
    Ok(Some((buffer[start..end].to_vec(), *signature, rest.to_vec())))
}

/// Reads the version before anything else: a later version may mean anything behind it.
fn version_of(header: &[u8]) -> Option<u16> {
    let mut decoder = minicbor::Decoder::new(header);
    decoder.array().ok()?;
    decoder.u16().ok()
}

pub(in crate::sync) fn verify(
    log: &mut dyn ServerLog,
    key_id: [u8; 8],
    now_ms: i64,
    bytes: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<Caller, ErrorAnswer> {
    match version_of(bytes) {
        Some(PROTOCOL_VERSION) => {}
        Some(other) => {
            let detail = format!("version {other} is unknown here, this server speaks {PROTOCOL_VERSION}");
            return Err(error(ErrorKind::Version, detail));
        }
        None => return Err(error(ErrorKind::Malformed, "the header is no CBOR array with a version")),
    }
    let header: RequestHeader =
        from_cbor(bytes).ok_or_else(|| error(ErrorKind::Malformed, "the header is no message of this version"))?;
    if header.server_key != key_id {
        return Err(error(ErrorKind::WrongServer, "the request is signed for another server key"));
    }
    let row = log
        .device(&header.device)?
        .ok_or_else(|| error(ErrorKind::UnknownDevice, "this server knows no such device: enrol it"))?;
    if !signing::verify(&row.key, signing::REQUEST, bytes, signature) {
        return Err(error(ErrorKind::BadSignature, "the signature is not by the device's key"));
    }
    take_counter(log, &header, row.counter, now_ms)?;
    Ok(Caller { device: header.device, row, header })
}

fn take_counter(log: &mut dyn ServerLog, header: &RequestHeader, last: u64, now_ms: i64) -> Result<(), ErrorAnswer> {
    let replayed = |last: u64| ErrorAnswer {
        counter: Some(last),
        ..error(ErrorKind::Replayed, format!("request {} was answered before, the last is {last}", header.counter))
    };
    if header.counter <= last {
        return Err(replayed(last));
    }
    if header.verdicts > VERDICT_NUMBER_MAX {
        return Err(error(ErrorKind::Malformed, format!("a device is told at most {VERDICT_NUMBER_MAX} verdicts")));
    }
    log.begin_for(&header.device)?;
    let taken = log.take_counter(&header.device, header.counter, now_ms).and_then(|taken| {
        if header.verdicts > 0 {
            log.drop_verdicts(&header.device, header.verdicts)?;
        }
        Ok(taken)
    });
    match taken {
        Ok(true) => Ok(log.commit()?),
        Ok(false) => {
            log.rollback();
            Err(replayed(header.counter))
        }
        Err(failure) => {
            log.rollback();
            Err(failure.into())
        }
    }
}
