//! What one input costs.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Most that one input may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of an input: larger ones are not tried.
    pub input_bytes: usize,
    /// CPU milliseconds.
    pub time_ms: u64,
    /// Heap bytes at once, beyond what was held before.
    pub memory_bytes: usize,
    /// Bytes of what the input was turned into: an answer, a compiled form, a save.
    pub output_bytes: usize,
}

/// What one input cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// CPU time of this thread.
    pub time: Duration,
    /// Highest heap beyond what was held before; 0 if nothing counts it.
    pub memory_bytes: usize,
    /// Bytes that came out.
    pub output_bytes: usize,
}

/// A counting allocator, where the process has one.
#[derive(Clone, Copy)]
pub struct Heap {
    /// Bytes held now.
    pub held: fn() -> usize,
    /// Most bytes held at once since the last `reset`.
    pub peak: fn() -> usize,
    /// Begins anew at what is held now.
    pub reset: fn(),
}

/// Measures the product's part of a run: what a target does to build its input is not counted.
pub struct Meter {
    heap: Option<Heap>,
    cost: Cost,
}

impl Meter {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(heap: Option<Heap>) -> Self {
        Self { heap, cost: Cost::default() }
    }

    /// Runs `work` and adds its time; memory is the highest of all that was measured.
    pub fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let held = self.heap.map_or(0, |heap| {
            (heap.reset)();
            (heap.held)()
        });
        let begun = cpu();
        let done = work();
        self.cost.time += cpu().saturating_sub(begun);
        let peak = self.heap.map_or(0, |heap| (heap.peak)());
        self.cost.memory_bytes = self.cost.memory_bytes.max(peak.saturating_sub(held));
        done
    }

    /// Adds to what came out.
    pub fn output(&mut self, bytes: usize) {
        self.cost.output_bytes += bytes;
    }

    /// What the input cost.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }
}

impl Cost {
    /// The limit that was exceeded, in words; `with_time` holds the time against its limit too.
    #[must_use]
    pub fn excess(&self, limits: &Limits, with_time: bool) -> Option<String> {
        if with_time && self.time > Duration::from_millis(limits.time_ms) {
            return Some(format!("time: {:?} of {} ms", self.time, limits.time_ms));
        }
        if self.memory_bytes > limits.memory_bytes {
            return Some(format!("memory: {} of {} bytes", self.memory_bytes, limits.memory_bytes));
        }
        let output = self.output_bytes > limits.output_bytes;
        output.then(|| format!("output: {} of {} bytes", self.output_bytes, limits.output_bytes))
    }
}

/// CPU time of this thread: other work on the machine does not count.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
