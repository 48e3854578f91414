//! A hub's side of one exchange with a phone.

use super::HubLog;
use super::answer::Answer;
use super::upstream::HubState;
use crate::ids::DeviceId;
use crate::protocol::limits::REQUEST_BYTES_MAX;
use crate::protocol::{Cursors, ErrorAnswer, ErrorKind, Township};
use crate::sync::server::{Caller, Traffic, Upload, error, split_header, verify};
use crate::sync::{LogError, signing};

enum Phase {
    Header(Vec<u8>),
    Frames(Box<Upload>),
    Answer(Box<Answer>),
    Ended,
}

/// Feed it the request body in pieces of any size, then take the answer's frames, as with
/// [`crate::sync::server::Session`].
pub struct HubSession {
    phase: Phase,
    device: Option<DeviceId>,
    error: Option<ErrorAnswer>,
    traffic: Traffic,
}

impl Default for HubSession {
    fn default() -> Self {
        Self { phase: Phase::Header(Vec::new()), device: None, error: None, traffic: Traffic::default() }
    }
}

impl HubSession {
    /// The device, once the request is verified.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.device
    }

    /// What was moved so far; `accepted` are the bodies that were kept.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Takes the next piece of the request body. Every whole frame in it is durable when this returns.
    ///
    /// # Errors
    /// An [`ErrorAnswer`] while the request is not verified: it is the whole answer.
    pub fn receive(&mut self, log: &mut dyn HubLog, now_ms: i64, bytes: &[u8]) -> Result<(), ErrorAnswer> {
        self.traffic.bytes_up += bytes.len() as u64;
        if self.error.is_some() {
            return Ok(());
        }
        if self.traffic.bytes_up > REQUEST_BYTES_MAX as u64 {
            let too_large = error(ErrorKind::TooLarge, format!("a request has at most {REQUEST_BYTES_MAX} bytes"));
            return self.fail(too_large);
        }
        let rest = match &mut self.phase {
            Phase::Header(buffer) => {
                buffer.extend_from_slice(bytes);
                match split_header(buffer)? {
                    None => return Ok(()),
                    Some((header, signature, rest)) => {
                        let upload = begin(log, now_ms, &header, &signature)?;
                        self.device = Some(upload.device());
                        self.phase = Phase::Frames(Box::new(upload));
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

    /// What is wrong before the request is verified is the whole answer; what is wrong later is told in it.
    fn fail(&mut self, answer: ErrorAnswer) -> Result<(), ErrorAnswer> {
        if self.device.is_none() {
            return Err(answer);
        }
        self.error = Some(answer);
        Ok(())
    }

    /// The request body has ended: after this, take the answer's frames.
    ///
    /// # Errors
    /// An [`ErrorAnswer`] where the body ended before the request could be verified.
    pub fn end_of_request(&mut self, log: &mut dyn HubLog) -> Result<(), ErrorAnswer> {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Header(_) => Err(error(ErrorKind::Malformed, "the request ends within its header")),
            Phase::Frames(upload) => {
                let answer = Answer::new(log, upload.into_caller(), self.error.take())?;
                self.phase = Phase::Answer(Box::new(answer));
                Ok(())
            }
            other => {
                self.phase = other;
                Ok(())
            }
        }
    }

    /// The next piece of the answer body; `None` at its end.
    ///
    /// # Errors
    /// [`LogError`] where the store failed: the answer must then break off.
    pub fn next_frame(&mut self, log: &mut dyn HubLog, now_ms: i64) -> Result<Option<Vec<u8>>, LogError> {
        let Phase::Answer(answer) = &mut self.phase else { return Ok(None) };
        let frame = answer.next_frame(log, now_ms)?;
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

/// Verifies the request, which is one to a hub, and goes on where the device says that it goes on.
fn begin(log: &mut dyn HubLog, now_ms: i64, header: &[u8], signature: &[u8; 64]) -> Result<Upload, ErrorAnswer> {
    if HubState::load(log)?.revoked {
        return Err(error(ErrorKind::Unavailable, "this hub is revoked: go to the server"));
    }
    let server_key = log.identity()?.server_key;
    let mut caller = verify(log, signing::hub_key_id(&server_key), now_ms, header, signature)?;
    let Some(Township::ToHub { base }) = caller.header.township.clone() else {
        return Err(error(ErrorKind::Malformed, "a request to a hub says so"));
    };
    if matches!(caller.header.cursors, Cursors::Digest(_)) {
        return Err(error(ErrorKind::Malformed, "a hub is told all cursors"));
    }
    // Of what is behind the base the phone still has something to send: without its statements nothing of it could be taken.
    if let Some((number, hash)) = base
        && (number > caller.row.statement || !log.holds_statements(&caller.device, number, caller.row.statement)?)
    {
        log.begin()?;
        if let Err(failure) = log.put_base(&caller.device, number, &hash) {
            log.rollback();
            return Err(failure.into());
        }
        log.commit()?;
        (caller.row.statement, caller.row.statement_hash) = (number, hash.into());
    }
    let scope = log.scope(&caller.device)?;
    Ok(Upload::of_device((caller, scope), true, server_key).without_verdicts())
}

impl Upload {
    fn device(&self) -> DeviceId {
        let Caller { device, .. } = self.caller();
        *device
    }
}
