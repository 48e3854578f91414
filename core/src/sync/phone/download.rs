//! What a phone fetches apart from exchanges: one segment, from whoever has its bytes, applied as it arrives.

use super::apply::{Applied, Applier, Stop};
use super::exchange::Exchange;
use super::state::{SyncState, transact};
use super::{PhoneEvent, PhoneLog, Stats, SyncError};
use crate::access::FeedId;
use crate::protocol::limits::SEGMENTS_OFFERED_MAX;
use crate::protocol::{ChangesDown, Down, Segment};
use crate::sync::LogError;
use crate::sync::frames::FrameReader;
use crate::sync::segment::{Block, Opener, is_signed_by};

/// A segment that the server has offered, its signature verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The feed.
    pub feed: FeedId,
    /// The segment.
    pub segment: Segment,
}

/// One segment on its way: [`Download::begin`], fetch its bytes from [`Download::next_byte`] on, give them to
/// [`Download::receive`] as they arrive, then [`Download::pause`], whether all came or not. What is durable is never
/// fetched again, nor applied twice.
pub struct Download {
    /// What an exchange knows when it applies frames; nothing is exchanged.
    context: Exchange,
    /// Index of the feed.
    feed: u32,
    segment: Segment,
    opener: Opener,
    reader: FrameReader<Down>,
    /// Bytes that the store keeps, and kept at the beginning.
    kept: u64,
    begun: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Under,
    /// Nothing more is read: an exchange comes first.
    Stopped,
}

impl Download {
    /// Takes up what the store keeps of the segment.
    ///
    /// # Errors
    /// [`SyncError::Log`]; [`SyncError::Protocol`] where the feed is not followed.
    pub fn begin(log: &mut dyn PhoneLog, offered: Offered) -> Result<Self, SyncError> {
        let context = Exchange::apart(log)?;
        let at = context.feeds.binary_search_by(|followed| followed.feed.cmp(&offered.feed));
        let feed = at.map_err(|_| SyncError::Protocol("a segment of a feed that is not followed"))? as u32;
        let segment = offered.segment;
        let (opener, reader) = (Opener::new(&segment), FrameReader::new());
        let bytes = log.segment_bytes(&segment.name)?;
        let kept = bytes.len() as u64;
        let mut download = Self { context, feed, segment, opener, reader, kept, begun: kept, state: State::Under };
        // Blocks that were kept whole were applied with it: they are read for what is behind them.
        download.opener.push(&bytes);
        loop {
            match download.opener.next_block() {
                Ok(Some(block)) => download.reader.push(&block.plain),
                Ok(None) => break,
                Err(_) => {
                    log.forget_segments(&[])?;
                    return Err(SyncError::Protocol("a kept segment does not read back"));
                }
            }
            while download.reader.next_frame()?.is_some() {}
        }
        Ok(download)
    }

    /// Where fetching goes on: the first byte that is not here.
    #[must_use]
    pub fn next_byte(&self) -> u64 {
        self.kept
    }

    /// Nothing more is to be fetched: all of it is here, or an exchange must come first.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_whole() || self.state == State::Stopped
    }

    /// All of it is applied.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.opener.is_whole() && self.state == State::Under
    }

    /// What was moved so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.context.stats
    }

    /// Takes the next bytes. Every whole block in them is verified; its entries are applied and durable when this returns.
    ///
    /// # Errors
    /// [`SyncError`]: nothing of the block in question was applied, what was kept of the segment is given up, and the
    /// download is over. [`SyncError::Broken`] if the bytes are not the segment's: damaged on their way, or another's.
    pub fn receive(&mut self, log: &mut dyn PhoneLog, bytes: &[u8]) -> Result<Vec<PhoneEvent>, SyncError> {
        let mut events = Vec::new();
        self.context.stats.bytes_down += bytes.len() as u64;
        if self.is_over() {
            return Ok(events);
        }
        self.opener.push(bytes);
        loop {
            let block = match self.opener.next_block() {
                Ok(Some(block)) => block,
                Ok(None) => return Ok(events),
                Err(_) => {
                    self.give_up(log)?;
                    return Err(SyncError::Broken);
                }
            };
            log.begin()?;
            match self.block(log, &block) {
                Ok(told) => {
                    log.commit()?;
                    self.kept = self.opener.opened();
                    events.extend(told);
                }
                Err(stop) => {
                    log.rollback();
                    self.stop(log, stop)?;
                }
            }
            if self.state == State::Stopped {
                return Ok(events);
            }
        }
    }

    /// Keeps a block's bytes and applies the frames that end in it.
    fn block(&mut self, log: &mut dyn PhoneLog, block: &Block) -> Result<Vec<PhoneEvent>, Stop> {
        let Block { came, plain } = block;
        let already = (self.kept + came.len() as u64).saturating_sub(self.opener.opened()) as usize;
        log.add_segment_bytes(&self.segment.name, self.kept, &came[already.min(came.len())..])?;
        let mut events = Vec::new();
        self.reader.push(plain);
        while let Some(messages) = self.reader.next_frame().map_err(SyncError::from)? {
            let messages = messages.into_iter().map(|message| self.message(message)).collect::<Result<_, _>>()?;
            let Applied { events: told, held_back, .. } = Applier::new(&mut *log, &mut self.context).frame(messages)?;
            self.context.stats.frames_down += 1;
            events.extend(told);
            if held_back {
                self.state = State::Stopped;
                // Kept bytes count as applied, and what stands behind in this block is not.
                log.forget_segments(&[])?;
                return Ok(events);
            }
        }
        if self.opener.is_whole() {
            self.fits()?;
        }
        Ok(events)
    }

    /// A message of the segment as one of an answer: of the phone's feed, and nothing but entries and their forms.
    fn message(&self, mut message: Down) -> Result<Down, SyncError> {
        const OTHER: SyncError = SyncError::Protocol("a segment holds the entries of one feed");
        match &mut message {
            Down::Form(_) => {}
            Down::Entry { feed: feed @ 0, .. } => *feed = self.feed,
            Down::Changes(changes) => {
                for (feed, ..) in &mut changes.runs {
                    if std::mem::replace(feed, self.feed) != 0 {
                        return Err(OTHER);
                    }
                }
            }
            _ => return Err(OTHER),
        }
        Ok(message)
    }

    /// Behind the last entry the chain is what the server signed.
    fn fits(&self) -> Result<(), SyncError> {
        let Segment { through, chain, .. } = self.segment;
        match self.context.feeds.get(self.feed as usize) {
            Some(feed) if feed.position > through || (feed.position == through && feed.chain == chain) => Ok(()),
            Some(feed) => {
                let (feed, position) = (feed.feed.clone(), feed.position);
                Err(SyncError::LogDoesNotFit { feed, position, reason: "a segment does not end as the server signed" })
            }
            None => Err(SyncError::Protocol("a segment of a feed that is not followed")),
        }
    }

    fn stop(&mut self, log: &mut dyn PhoneLog, stop: Stop) -> Result<(), SyncError> {
        self.state = State::Stopped;
        match stop {
            Stop::Error(failure @ SyncError::Log(_)) => Err(failure),
            Stop::Error(failure) => {
                self.give_up(log)?;
                Err(failure)
            }
            Stop::InFullWanted => {
                let mut state = SyncState::load(log)?;
                state.in_full = true;
                Ok(transact(log, |log| state.store(log))?)
            }
            Stop::HashWanted => Ok(()),
        }
    }

    fn give_up(&mut self, log: &mut dyn PhoneLog) -> Result<(), SyncError> {
        self.state = State::Stopped;
        Ok(log.forget_segments(&[])?)
    }

    /// Keeps what has arrived of a block that is not whole, and forgets the segment if all of it is applied. True if more
    /// of it is here than at the beginning.
    ///
    /// # Errors
    /// [`SyncError::Log`].
    pub fn pause(self, log: &mut dyn PhoneLog) -> Result<bool, SyncError> {
        let mut kept = self.kept;
        if self.is_whole() {
            log.forget_segments(&[])?;
        } else if self.state == State::Under {
            let already = (self.kept - self.opener.opened()) as usize;
            let rest = self.opener.waiting().get(already..).unwrap_or_default();
            if !rest.is_empty() {
                log.add_segment_bytes(&self.segment.name, self.kept, rest)?;
                kept += rest.len() as u64;
            }
        }
        Ok(kept > self.begun)
    }
}

impl Applier<'_> {
    /// Forgets what was fetched of segments that the server offers no more.
    pub(super) fn forget_segments(&mut self, more: bool) -> Result<(), LogError> {
        let names: Vec<[u8; 32]> = self.exchange.offered.iter().map(|offered| offered.segment.name).collect();
        // An answer that only asks for cursors offers nothing, and takes nothing back.
        if more && names.is_empty() { Ok(()) } else { self.log.forget_segments(&names) }
    }

    /// What can be fetched apart; only the server's word counts for it, and only what goes on where this phone is.
    pub(super) fn segments(&mut self, feed: u32, segments: Vec<Segment>) -> Result<(), Stop> {
        let Some(own) = self.exchange.feeds.get(feed as usize) else {
            return Err(SyncError::Protocol("a segment of a feed that is not followed").into());
        };
        let identity = &self.exchange.identity;
        let mut reached = own.position;
        if segments.len() > SEGMENTS_OFFERED_MAX {
            return Err(SyncError::Protocol("too many segments").into());
        }
        for segment in segments {
            if !is_signed_by(&identity.server_key, identity.log, &own.feed, &segment) {
                return Err(SyncError::Protocol("a segment that this phone's server did not sign").into());
            }
            if segment.first > reached + 1 || segment.through <= reached {
                return Err(SyncError::Protocol("segments do not follow each other").into());
            }
            reached = segment.through;
            self.exchange.offered.push(Offered { feed: own.feed.clone(), segment });
        }
        Ok(())
    }

    /// All of it was seen before: a segment may begin with what is here.
    pub(super) fn is_known(&self, message: &ChangesDown) -> bool {
        let position = |feed: u32| self.exchange.feeds.get(feed as usize).map_or(0, |feed| feed.position);
        message.runs.iter().all(|(feed, first, count)| first.saturating_add((*count).into()) <= position(*feed) + 1)
    }
}
