//! What processes use, read from `/proc` (`proc(5)`): CPU time, and the most memory that they had.

use std::collections::BTreeMap;

use crate::demo::stage::Failure;

/// Clock ticks a second in `/proc/PID/stat`.
const TICKS_PER_S: f64 = 100.0;
/// What a difference of two readings in ticks may be too large by.
const TICK_MS: f64 = 1_000.0 / TICKS_PER_S;

/// This process, as `/proc` calls it.
pub const OWN: &str = "self";

fn read(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// User and system time of a process with all threads that it ever had, in clock ticks of 10 ms.
fn cpu_ticks(process: &str) -> Result<u64, Failure> {
    let stat = read(&format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses, and may hold anything.
    let after = stat.rsplit_once(')').map(|(_, rest)| rest).ok_or("odd /proc/PID/stat")?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let tick = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Ok(tick(11) + tick(12))
}

/// Nanoseconds that each living thread of a process has run.
fn thread_times_ns(process: &str) -> Result<BTreeMap<String, u64>, Failure> {
    let folder = format!("/proc/{process}/task");
    let threads = std::fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
    let mut times = BTreeMap::new();
    for thread in threads.flatten() {
        let name = thread.file_name().to_string_lossy().into_owned();
        // A thread may end between the two looks.
        let Ok(text) = std::fs::read_to_string(thread.path().join("schedstat")) else { continue };
        let ran = text.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0);
        times.insert(name, ran);
    }
    Ok(times)
}

/// CPU time of this process so far, user and system, in milliseconds.
#[must_use]
pub fn own_cpu_ms() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Largest resident size of a process so far, or since [`forget_peak`], in kB.
///
/// # Errors
/// When there is no such process, or off Linux.
pub fn peak_resident_kb(process: &str) -> Result<u64, Failure> {
    let status = read(&format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).ok_or_else(|| "odd VmHWM".to_owned())
}

/// Lets [`peak_resident_kb`] count from now.
///
/// # Errors
/// When there is no such process, or the kernel does not offer it.
pub fn forget_peak(process: &str) -> Result<(), Failure> {
    let path = format!("/proc/{process}/clear_refs");
    std::fs::write(&path, "5").map_err(|error| format!("{path}: {error}"))
}

/// Watches another process from its making to [`Meter::end`].
pub struct Meter {
    process: String,
    ticks: u64,
    threads: BTreeMap<String, u64>,
}

/// What a process used while it was watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// User and system time, milliseconds.
    pub cpu_ms: f64,
    /// Largest resident size, kB.
    pub peak_kb: u64,
}

impl Meter {
    /// Begins.
    ///
    /// # Errors
    /// As of [`peak_resident_kb`] and [`forget_peak`].
    pub fn start(process: u32) -> Result<Self, Failure> {
        let process = process.to_string();
        forget_peak(&process)?;
        Ok(Self { ticks: cpu_ticks(&process)?, threads: thread_times_ns(&process)?, process })
    }

    /// What was used since the start. Counted by living thread it is exact but for threads that ended; counted in ticks
    /// it misses nothing but up to a tick. The larger is nearer.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn end(&self) -> Result<Used, Failure> {
        let by_tick_ms = (cpu_ticks(&self.process)? - self.ticks) as f64 * TICK_MS;
        let threads = thread_times_ns(&self.process)?;
        let ran = |(name, ns): (&String, &u64)| ns.saturating_sub(self.threads.get(name).copied().unwrap_or(0));
        let by_thread_ms = threads.iter().map(ran).sum::<u64>() as f64 / 1e6;
        Ok(Used { cpu_ms: by_thread_ms.max(by_tick_ms - TICK_MS), peak_kb: peak_resident_kb(&self.process)? })
    }
}
