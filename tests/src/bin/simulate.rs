//! Runs many simulated worlds; a failure prints the one number that replays it.

use std::io::Write as _;
use std::time::Instant;

use clap::Parser;
use fieldbook_tests::simulation::{Outcome, run};

/// Runs simulated worlds.
#[derive(Parser)]
struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Only this one, with all that happened.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs every seed twice and compares.
    #[arg(long)]
    twice: bool,
    /// Goes on behind a failure.
    #[arg(long)]
    keep_going: bool,
    /// Worlds at once.
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

fn world(seed: u64, twice: bool) -> Outcome {
    let outcome = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|_| Outcome::panicked(seed));
    if twice && outcome.wrong.is_none() {
        let again = run(seed);
        if again.digest != outcome.digest {
            let first = outcome.trace.iter().zip(&again.trace).find(|(one, other)| one != other);
            return Outcome { wrong: Some(format!("two runs of one seed differ: {first:?}")), ..outcome };
        }
    }
    outcome
}

fn main() -> std::process::ExitCode {
    let options = Options::parse();
    if let Some(seed) = options.seed {
        let outcome = world(seed, options.twice);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("{outcome}");
        return code(outcome.wrong.is_none());
    }
    let started = Instant::now();
    let (mut failed, mut saves, mut syncs, mut crashes, mut phones, mut most) = (0_u64, 0, 0, 0, 0, 0);
    let (sender, receiver) = std::sync::mpsc::channel();
    let next = std::sync::atomic::AtomicU64::new(options.first);
    let end = options.first + options.seeds;
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if seed >= end || sender.send(world(seed, options.twice)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for outcome in receiver {
            saves += outcome.saves;
            syncs += outcome.syncs;
            crashes += outcome.crashes;
            phones += outcome.phones;
            most = outcome.phones.max(most);
            if outcome.wrong.is_some() {
                failed += 1;
                println!("{outcome}");
                let _ = std::io::stdout().flush();
                if !options.keep_going {
                    next.store(end, std::sync::atomic::Ordering::SeqCst);
                }
            }
        }
    });
    println!(
        "{} seeds, {phones} phones (at most {most} in a world), {saves} saves, {syncs} syncs, {crashes} crashes, \
         {failed} failed, {:.0} s",
        options.seeds,
        started.elapsed().as_secs_f64()
    );
    code(failed == 0)
}

fn code(good: bool) -> std::process::ExitCode {
    if good { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
