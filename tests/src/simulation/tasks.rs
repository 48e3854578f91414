//! Work that stops in its middle: a sync that waits for the network lets other things happen meanwhile. Each task has a
//! thread of its own, and exactly one thread runs at any time, chosen by the world.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Stack of a task: merging documents recurses deeply in builds without optimisation.
const STACK_BYTES: usize = 8 * 1024 * 1024;

enum Told {
    WaitsUntil(i64),
    Done,
}

struct Inside {
    told: Sender<Told>,
    go_on: Receiver<()>,
}

thread_local! {
    static INSIDE: RefCell<Option<Inside>> = const { RefCell::new(None) };
}

/// Lets others run until the world's clock says `at_ms`. Outside of a task it returns at once.
pub fn wait_until(at_ms: i64) {
    INSIDE.with_borrow(|inside| {
        if let Some(inside) = inside {
            // A world that is gone lets its tasks run to their end.
            let _ = inside.told.send(Told::WaitsUntil(at_ms));
            let _ = inside.go_on.recv();
        }
    });
}

/// A task that has begun and not ended.
pub struct Task<T> {
    go_on: Sender<()>,
    told: Receiver<Told>,
    thread: JoinHandle<T>,
    /// When it may run again, milliseconds of the world's clock.
    pub wakes_ms: i64,
}

/// How a task stands after a turn.
pub enum Turn<T> {
    /// It waits.
    Waits(Task<T>),
    /// It ended; `None` if it panicked.
    Ended(Option<T>),
}

impl<T: Send + 'static> Task<T> {
    /// A task that has not begun.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<Self> {
        let (go_on, go_on_inside) = channel();
        let (told_inside, told) = channel();
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            let _ = go_on_inside.recv();
            INSIDE.set(Some(Inside { told: told_inside.clone(), go_on: go_on_inside }));
            let done = work();
            let _ = told_inside.send(Told::Done);
            done
        })?;
        Ok(Self { go_on, told, thread, wakes_ms: i64::MIN })
    }

    /// Lets it run until it waits or ends.
    pub fn turn(mut self) -> Turn<T> {
        let _ = self.go_on.send(());
        match self.told.recv() {
            Ok(Told::WaitsUntil(at_ms)) => {
                self.wakes_ms = at_ms;
                Turn::Waits(self)
            }
            Ok(Told::Done) | Err(_) => Turn::Ended(self.thread.join().ok()),
        }
    }

    /// Lets it run to its end, whatever it waits for.
    pub fn finish(self) -> Option<T> {
        let mut task = self;
        loop {
            match task.turn() {
                Turn::Waits(waiting) => task = waiting,
                Turn::Ended(done) => return done,
            }
        }
    }
}
