//! `import` and `edit`: lines in, ids out once they are durable.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use fieldbook_core::client::{ClientError, Fieldbook, Language, NewRecord, Patch};
use fieldbook_core::ids::RecordId;
use serde_json::{Map, Value as Json};

use super::{PhoneError, Said, Text, say};

/// Lines that are saved in one transaction.
const BATCH_LINES: usize = 50;
/// How long the first line of a batch waits for others.
const BATCH_WAIT: Duration = Duration::from_millis(100);
/// Bytes of a line.
const LINE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Batches that are read ahead.
const LINES_AHEAD: usize = 4 * BATCH_LINES;

/// A line that was read, from 1.
struct Line {
    number: u64,
    text: Result<String, Said>,
}

/// Makes new records of `kind`.
///
/// # Errors
/// [`Text::LinesNotTaken`] if some lines were not taken, or the first error that stopped everything.
pub(super) fn import(book: &Fieldbook, kind: &str, file: &Path) -> Result<(), PhoneError> {
    in_batches(
        book.language(),
        file,
        |json| {
            let mut object = object(json)?;
            let record = NewRecord {
                id: take_id(&mut object)?,
                values: object.shift_remove("values").ok_or_else(|| missing("values"))?,
                submit: take_flag(&mut object, "submit")?,
            };
            nothing_left(&object)?;
            Ok(record)
        },
        |records| book.import(kind, records),
        RecordId::to_string,
    )
}

/// Changes records.
///
/// # Errors
/// As [`import`].
pub(super) fn edit(book: &Fieldbook, file: &Path) -> Result<(), PhoneError> {
    in_batches(
        book.language(),
        file,
        |json| {
            let mut object = object(json)?;
            let patch = Patch {
                id: take_id(&mut object)?.ok_or_else(|| missing("id"))?,
                set: take_object(&mut object, "set")?,
                add: take_object(&mut object, "add")?,
                remove: take_object(&mut object, "remove")?,
                submit: take_flag(&mut object, "submit")?,
            };
            nothing_left(&object)?;
            Ok(patch)
        },
        |patches| book.edit(patches),
        |saved| saved.record.to_string(),
    )
}

fn in_batches<I, T>(
    language: Language,
    file: &Path,
    parse: impl Fn(Json) -> Result<I, Said>,
    save: impl Fn(&[I]) -> Result<Vec<Result<T, ClientError>>, ClientError>,
    name: impl Fn(&T) -> String,
) -> Result<(), PhoneError> {
    let lines = reader(file)?;
    let mut refused = 0;
    let mut refuse = |number: u64, why: String| {
        eprintln!("{}", Said::new(Text::Line).with(number).with(why).say(language));
        refused += 1;
    };
    while let Some(batch) = next_batch(&lines) {
        let mut numbers = Vec::with_capacity(batch.len());
        let mut items = Vec::with_capacity(batch.len());
        for line in batch {
            let text = match line.text {
                Ok(text) if text.trim().is_empty() => continue,
                other => other,
            };
            let parsed = text
                .and_then(|text| serde_json::from_str(&text).map_err(|error| Said::new(Text::NoJson).with(error)))
                .and_then(&parse);
            match parsed {
                Ok(item) => {
                    numbers.push(line.number);
                    items.push(item);
                }
                Err(why) => refuse(line.number, why.say(language)),
            }
        }
        if items.is_empty() {
            continue;
        }
        for (number, saved) in numbers.into_iter().zip(save(&items)?) {
            match saved {
                Ok(saved) => say(&name(&saved))?,
                Err(error) => refuse(number, error.at_line(number).message),
            }
        }
    }
    if refused == 0 { Ok(()) } else { Err(Said::new(Text::LinesNotTaken).with(refused).into()) }
}

/// Lines as they come, from a thread of their own, so that a slow writer does not hold back what it has written.
fn reader(file: &Path) -> Result<Receiver<Line>, PhoneError> {
    let input: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let opened = File::open(file).map_err(|error| Said::new(Text::Opening).with(file.display()).with(error))?;
        Box::new(opened)
    };
    let (sender, receiver) = mpsc::sync_channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut input = BufReader::new(input);
        for number in 1.. {
            let text = match next_line(&mut input) {
                None => return,
                Some(text) => text,
            };
            let broken = text.is_err();
            if sender.send(Line { number, text }).is_err() || broken {
                return;
            }
        }
    });
    Ok(receiver)
}

/// One line; an error ends the reading.
fn next_line(input: &mut impl BufRead) -> Option<Result<String, Said>> {
    let mut bytes = Vec::new();
    match input.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
        Err(error) => Some(Err(Said::new(Text::Reading).with(error))),
        Ok(0) => None,
        Ok(_) if bytes.len() as u64 == LINE_BYTES_MAX && !bytes.ends_with(b"\n") => {
            Some(Err(Said::new(Text::TooLong).with(LINE_BYTES_MAX)))
        }
        Ok(_) => Some(String::from_utf8(bytes).map_err(|_| Said::new(Text::NotUtf8))),
    }
}

fn next_batch(lines: &Receiver<Line>) -> Option<Vec<Line>> {
    let mut batch = vec![lines.recv().ok()?];
    let until = Instant::now() + BATCH_WAIT;
    while batch.len() < BATCH_LINES {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => batch.push(line),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(batch)
}

fn missing(key: &str) -> Said {
    Said::new(Text::Missing).with(key)
}

fn object(json: Json) -> Result<Map<String, Json>, Said> {
    match json {
        Json::Object(object) => Ok(object),
        _ => Err(Said::new(Text::NoObject)),
    }
}

fn take_id(object: &mut Map<String, Json>) -> Result<Option<RecordId>, Said> {
    match object.shift_remove("id") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => text.parse().map(Some).map_err(|_| Said::new(Text::NoId).with(text)),
        Some(_) => Err(Said::new(Text::NotText).with("id")),
    }
}

fn take_flag(object: &mut Map<String, Json>, key: &str) -> Result<bool, Said> {
    match object.shift_remove(key) {
        None => Ok(false),
        Some(Json::Bool(flag)) => Ok(flag),
        Some(_) => Err(Said::new(Text::NotFlag).with(key)),
    }
}

fn take_object(object: &mut Map<String, Json>, key: &str) -> Result<Map<String, Json>, Said> {
    match object.shift_remove(key) {
        None => Ok(Map::new()),
        Some(Json::Object(inner)) => Ok(inner),
        Some(_) => Err(Said::new(Text::NotObject).with(key)),
    }
}

fn nothing_left(object: &Map<String, Json>) -> Result<(), Said> {
    match object.keys().next() {
        Some(key) => Err(Said::new(Text::UnknownKey).with(key)),
        None => Ok(()),
    }
}
