//! `sync --watch`: syncs by itself until SIGINT or SIGTERM, and says a line whenever it did.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fieldbook_core::client::{ClientError, Fieldbook, Progress, SyncListener, SyncReport, WatchListener};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::{PhoneError, Said, Text, output, print, say, warn};

/// Bytes of events that are read at once. What they say does not matter: any of them may be a save.
const EVENTS_BYTES: usize = 4096;

/// Says what a watch did.
struct Lines<'a> {
    book: &'a Fieldbook,
    json: bool,
    /// Standard output is gone.
    unwritten: Mutex<Option<PhoneError>>,
}

impl Lines<'_> {
    fn written(&self, done: Result<(), PhoneError>) {
        if let Err(error) = done {
            *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            self.book.stop_watching();
        }
    }
}

impl SyncListener for Lines<'_> {
    fn progress(&self, _: Progress) {}
}

impl WatchListener for Lines<'_> {
    fn synced(&self, report: &SyncReport) {
        warn(report);
        self.written(if self.json {
            print(&output::report(report, None))
        } else {
            say(&output::report_text(report).say(self.book.language()))
        });
    }

    fn failed(&self, error: &ClientError, wait_ms: u64) {
        let wait_s = wait_ms as f64 / 1000.0;
        self.written(if self.json {
            print(&json!({ "error": output::error(error), "retry_in_s": wait_s }))
        } else {
            let said = Said::new(Text::Again).with(&error.message).with(format!("{wait_s:.0}"));
            say(&said.say(self.book.language()))
        });
    }
}

/// Syncs `book` by itself until a signal ends it.
pub(super) fn watch(book: &Arc<Fieldbook>, json: bool) -> Result<(), PhoneError> {
    let no_system = |error: io::Error| Said::new(Text::NoWatching).with(error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_system)?;
    let lines = Lines { book, json, unwritten: Mutex::new(None) };
    let done = std::thread::scope(|scope| {
        let (ended, mut end) = oneshot::channel::<()>();
        let lines = &lines;
        let watching = scope.spawn(move || {
            let done = book.watch(lines);
            drop(ended);
            done
        });
        let heard = runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut saves = saves(book.folder())?;
            loop {
                tokio::select! {
                    _ = &mut end => return Ok::<_, io::Error>(()),
                    _ = interrupt.recv() => book.stop_watching(),
                    _ = terminate.recv() => book.stop_watching(),
                    Some(()) = saves.recv() => book.saved_elsewhere(),
                }
            }
        });
        if heard.is_err() {
            book.stop_watching();
        }
        let done = watching.join().map_err(|_| Said::new(Text::NoWatching).with("panic"))?;
        heard.map_err(no_system)?;
        Ok::<_, PhoneError>(done?)
    });
    match lines.unwritten.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => done,
    }
}

/// Tells when a file in the phone's folder is written to, by this process or by another. It costs nothing meanwhile.
fn saves(folder: &Path) -> io::Result<mpsc::Receiver<()>> {
    let events = inotify::init(CreateFlags::CLOEXEC)?;
    inotify::add_watch(&events, folder, WatchFlags::MODIFY)?;
    let (sender, receiver) = mpsc::channel(1);
    // Nothing ends its waiting but the end of the process.
    std::thread::spawn(move || {
        let mut read = [0_u8; EVENTS_BYTES];
        loop {
            match rustix::io::read(&events, &mut read) {
                Err(Errno::INTR) => {}
                Err(_) => return,
                // Where one is told and not yet taken, the second one is the same.
                Ok(_) => {
                    if let Err(TrySendError::Closed(())) = sender.try_send(()) {
                        return;
                    }
                }
            }
        }
    });
    Ok(receiver)
}
