//! Drives one target with libFuzzer; `tests/scripts/fuzz.sh` calls it for each in turn.
//!
//! The target is named by `FUZZ_TARGET`, and `FUZZ_STATE` is a folder of its own: `seeds/` is written at the start, and
//! `costs` holds the highest time, memory and output of one input so far. `FUZZ_TARGET=list` prints all names.

#![no_main]

use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use fieldbook_fuzz::{Cost, Dice, Heap, Meter, TARGETS, Target, target};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const HEAP: Heap = Heap {
    held: || ALLOCATOR.current_usage(),
    peak: || ALLOCATOR.peak_usage(),
    reset: || ALLOCATOR.reset_peak_usage(),
};

/// Runs of an input that takes too long, before that is believed.
const RUNS: usize = 3;

struct State {
    target: &'static Target,
    folder: PathBuf,
    /// Highest of each so far.
    costs: Mutex<Cost>,
}

#[allow(clippy::expect_used)]
static STATE: LazyLock<State> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    let folder = PathBuf::from(std::env::var("FUZZ_STATE").expect("FUZZ_STATE names a folder"));
    let costs = std::fs::read_to_string(folder.join("costs")).unwrap_or_default();
    let mut numbers = costs.split_whitespace().filter_map(|number| number.parse::<usize>().ok());
    let mut next = || numbers.next().unwrap_or(0);
    let costs = Cost { time: Duration::from_micros(next() as u64), memory_bytes: next(), output_bytes: next() };
    State { target: target(&name).expect("a known target"), folder, costs: Mutex::new(costs) }
});

#[allow(clippy::expect_used)]
fn begin() {
    if std::env::var("FUZZ_TARGET").is_ok_and(|name| name == "list") {
        TARGETS.iter().for_each(|target| {
            let limits = target.limits;
            let (time, memory, output) = (limits.time_ms, limits.memory_bytes >> 10, limits.output_bytes >> 10);
            println!("{} {} {time} {memory} {output}", target.name, limits.input_bytes);
        });
        std::process::exit(0);
    }
    // The product guards itself against panics of libraries: only what it lets through ends a run.
    std::panic::set_hook(Box::new(|panic| {
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
    let seeds = STATE.folder.join("seeds");
    std::fs::create_dir_all(&seeds).expect("a folder for seeds");
    for (number, seed) in (STATE.target.seeds)().iter().enumerate() {
        std::fs::write(seeds.join(format!("seed-{number}")), seed).expect("a seed is written");
    }
}

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Ends the process as a crash that libFuzzer keeps the input of.
fn found(what: &str) -> ! {
    eprintln!("FOUND {}: {what}", STATE.target.name);
    std::process::abort()
}

fn cost_of(input: &[u8]) -> Cost {
    let run = std::panic::AssertUnwindSafe(|| {
        let mut meter = Meter::new(Some(HEAP));
        (STATE.target.run)(input, &mut meter);
        meter.cost()
    });
    std::panic::catch_unwind(run)
        .unwrap_or_else(|_| found(&LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone()))
}

fn play(input: &[u8]) {
    let mut cost = cost_of(input);
    for _ in 1..RUNS {
        if cost.excess(&STATE.target.limits, true).is_none() {
            break;
        }
        let again = cost_of(input);
        cost.time = cost.time.min(again.time);
    }
    note(cost);
    if let Some(excess) = cost.excess(&STATE.target.limits, true) {
        found(&excess);
    }
}

fn note(cost: Cost) {
    let mut costs = STATE.costs.lock().unwrap_or_else(PoisonError::into_inner);
    let highest = Cost {
        time: cost.time.max(costs.time),
        memory_bytes: cost.memory_bytes.max(costs.memory_bytes),
        output_bytes: cost.output_bytes.max(costs.output_bytes),
    };
    if highest != *costs {
        *costs = highest;
        let text = format!("{} {} {}\n", highest.time.as_micros(), highest.memory_bytes, highest.output_bytes);
        // Only the table is poorer without it.
        let _ = std::fs::write(STATE.folder.join("costs"), text);
    }
}

fuzz_target!(init: begin(), |input: &[u8]| -> Corpus {
    play(input);
    Corpus::Keep
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut dice = Dice(u64::from(seed));
    if dice.below(5) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut input = data[..size].to_vec();
    (STATE.target.mutate)(&mut input, &mut dice);
    if input.is_empty() || input.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..input.len()].copy_from_slice(&input);
    input.len()
});
