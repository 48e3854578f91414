//! `fieldbook-workload --seed S --n N --out DIR` writes the measured workload as NDJSON.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use fieldbook_tests::workload;

/// Writes the measured workload as newline-delimited JSON: records, mine, new and others.
#[derive(Parser)]
struct Arguments {
    /// The same seed gives the same files.
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// How many records.
    #[arg(long, default_value_t = 2_000)]
    n: u32,
    /// Folder to write to; made if missing.
    #[arg(long, default_value = "out")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match write_all(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write the workload to {}: {error}", arguments.out.display());
            ExitCode::FAILURE
        }
    }
}

fn write_all(arguments: &Arguments) -> std::io::Result<()> {
    std::fs::create_dir_all(&arguments.out)?;
    let day = workload::day(arguments.seed, arguments.n);
    write_lines(&arguments.out, "records", workload::records(arguments.seed, arguments.n))?;
    write_lines(&arguments.out, "mine", day.mine.into_iter())?;
    write_lines(&arguments.out, "new", day.new.into_iter())?;
    write_lines(&arguments.out, "others", day.others.into_iter())
}

fn write_lines(folder: &Path, name: &str, lines: impl Iterator<Item = String>) -> std::io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(folder.join(format!("{name}.ndjson")))?);
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.flush()
}
