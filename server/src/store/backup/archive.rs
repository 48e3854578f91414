//! The file that a backup is: every row of every table, compressed, encrypted as the program age does.
//!
//! Inside the encryption and zstd: [`MAGIC`], then messages of CBOR, each behind its length (4 bytes, little-endian):
//! a [`Header`], an array `[table, value, …]` for each row, and `[null, count, …]` with the rows of each table at the end.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode, Encoder};
use sha2::{Digest, Sha256};

use super::keys::{BackupKey, BackupRecipient};
use crate::data_folder::file_error;
use crate::sql::{Stored, Table, Values};
use crate::store::{Problem, StoreError};

/// What every backup begins with, inside its encryption.
const MAGIC: &[u8] = b"fieldbook backup 1\n";
/// zstd's level: bodies are compressed already, so more work would find little.
const LEVEL: i32 = 1;
/// Bytes of one message: a record's body is the largest row.
const MESSAGE_BYTES_MAX: u32 = 128 * 1024 * 1024;

/// What stands before the rows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Header {
    /// Version of the tables.
    #[n(0)]
    pub(super) schema_version: i64,
    /// The statements that make them.
    #[n(1)]
    pub(super) schema: String,
    /// Whose log it is.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(super) log: Vec<u8>,
    /// When it was made, milliseconds since 1970 UTC.
    #[n(3)]
    pub(super) made_ms: i64,
    /// Version of the program that made it.
    #[n(4)]
    pub(super) program: String,
    /// The tables and their columns, in an order in which they can be made.
    #[n(5)]
    pub(super) tables: Vec<(String, Vec<String>)>,
}

impl Header {
    /// The tables.
    pub(super) fn tables(&self) -> Vec<Table> {
        self.tables.iter().map(|(name, columns)| Table { name: name.clone(), columns: columns.clone() }).collect()
    }
}

/// Counts and hashes what passes on its way to the file.
struct Hashed {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = self.file.write(bytes)?;
        self.hash.update(&bytes[..taken]);
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// A backup that is being written.
pub(super) struct Writer<'p> {
    path: &'p Path,
    out: zstd::Encoder<'static, age::stream::StreamWriter<Hashed>>,
    counts: Vec<u64>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) sha256: [u8; 32],
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

impl<'p> Writer<'p> {
    /// Begins the new file `path` (mode 0600).
    pub(super) fn begin(path: &'p Path, recipient: &BackupRecipient, header: &Header) -> Result<Self, StoreError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(file_error(path))?;
        let hashed = Hashed { file: BufWriter::new(file), hash: Sha256::new(), bytes: 0 };
        let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient.recipient()))
            .map_err(|error| StoreError::corrupt("backup key", error))?;
        let begin = || {
            let encrypted = encryptor.wrap_output(hashed)?;
            let mut out = zstd::Encoder::new(encrypted, LEVEL)?;
            out.write_all(MAGIC)?;
            Ok(out)
        };
        let out = begin().map_err(file_error(path))?;
        let mut writer = Self { path, out, counts: vec![0; header.tables.len()] };
        writer.message(&minicbor::to_vec(header).map_err(|error| StoreError::corrupt("backup", error))?)?;
        Ok(writer)
    }

    fn message(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MESSAGE_BYTES_MAX);
        let length = length.ok_or_else(|| StoreError::corrupt("row", "too long for a backup"))?;
        let written = self.out.write_all(&length.to_le_bytes()).and_then(|()| self.out.write_all(bytes));
        written.map_err(file_error(self.path))
    }

    /// One row of the table of this number.
    pub(super) fn row(&mut self, table: usize, row: &Values) -> Result<(), StoreError> {
        let mut encoder = Encoder::new(Vec::new());
        encode(&mut encoder, Some(table), row).map_err(|error| StoreError::corrupt("row", error))?;
        self.counts[table] += 1;
        let bytes = encoder.into_writer();
        self.message(&bytes)
    }

    /// Writes the end; everything is durable when this returns.
    pub(super) fn end(mut self) -> Result<Written, StoreError> {
        let counts: Values = self.counts.iter().map(|count| i64::try_from(*count).ok().map(Stored::Integer)).collect();
        let mut encoder = Encoder::new(Vec::new());
        encode(&mut encoder, None, &counts).map_err(|error| StoreError::corrupt("backup", error))?;
        let end = encoder.into_writer();
        self.message(&end)?;
        let path = self.path;
        let rows = self.counts.iter().sum();
        let end = || {
            let mut hashed = self.out.finish()?.finish()?;
            hashed.flush()?;
            hashed.file.get_ref().sync_all()?;
            Ok((hashed.hash.finalize().into(), hashed.bytes))
        };
        let (sha256, bytes) = end().map_err(file_error(path))?;
        Ok(Written { sha256, bytes, rows })
    }
}

fn encode(
    encoder: &mut Encoder<Vec<u8>>,
    table: Option<usize>,
    row: &Values,
) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
    encoder.array(row.len() as u64 + 1)?;
    let table = table.and_then(|table| i64::try_from(table).ok()).map(Stored::Integer);
    for value in std::iter::once(&table).chain(row) {
        match value {
            None => encoder.null()?,
            Some(Stored::Integer(number)) => encoder.i64(*number)?,
            Some(Stored::Text(text)) => encoder.str(text)?,
            Some(Stored::Blob(bytes)) => encoder.bytes(bytes)?,
        };
    }
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<(Option<usize>, Values), minicbor::decode::Error> {
    let mut decoder = Decoder::new(bytes);
    let length = decoder.array()?.unwrap_or_default();
    let mut row = Values::new();
    for _ in 0..length {
        row.push(match decoder.datatype()? {
            Type::Null => {
                decoder.null()?;
                None
            }
            Type::String => Some(Stored::Text(decoder.str()?.to_owned())),
            Type::Bytes => Some(Stored::Blob(decoder.bytes()?.to_vec())),
            _ => Some(Stored::Integer(decoder.i64()?)),
        });
    }
    let table = match row.first() {
        Some(Some(Stored::Integer(table))) => Some(usize::try_from(*table).unwrap_or(usize::MAX)),
        Some(None) => None,
        _ => return Err(minicbor::decode::Error::message("no row")),
    };
    row.remove(0);
    Ok((table, row))
}

/// A backup that is being read.
pub(super) struct Reader {
    input: Box<dyn Read>,
    /// What stands before the rows.
    pub(super) header: Header,
}

fn foreign() -> StoreError {
    Problem::new("backup_foreign").into()
}

fn damaged() -> StoreError {
    Problem::new("backup_damaged").into()
}

impl Reader {
    /// Opens the backup at `path`.
    ///
    /// # Errors
    /// `file_unreadable`, `backup_foreign`, `backup_other_key`, `backup_damaged`.
    pub(super) fn open(path: &Path, key: &BackupKey) -> Result<Self, StoreError> {
        let unreadable = |error| Problem::new("file_unreadable").with("path", path.display()).with("detail", error);
        let file = BufReader::new(File::open(path).map_err(unreadable)?);
        let decryptor = age::Decryptor::new_buffered(file).map_err(|error| why(&error))?;
        let decrypted = decryptor.decrypt(std::iter::once(key.identity())).map_err(|error| why(&error))?;
        let mut input: Box<dyn Read> = Box::new(zstd::Decoder::new(decrypted).map_err(|_| damaged())?);
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic).map_err(|_| damaged())?;
        if magic != MAGIC {
            return Err(foreign());
        }
        let header = minicbor::decode(&message(input.as_mut())?).map_err(|_| foreign())?;
        Ok(Self { input, header })
    }

    /// Hands over every row with its table's number, and looks whether all are there; returns how many of each table.
    ///
    /// # Errors
    /// `backup_damaged`, or what `each` said.
    pub(super) fn rows(
        mut self,
        mut each: impl FnMut(usize, Values) -> Result<(), StoreError>,
    ) -> Result<Vec<u64>, StoreError> {
        let mut counts = vec![0_u64; self.header.tables.len()];
        loop {
            let (table, row) = decode(&message(self.input.as_mut())?).map_err(|_| damaged())?;
            let Some(table) = table else {
                let told = row.iter().map(|count| match count {
                    Some(Stored::Integer(count)) => u64::try_from(*count).ok(),
                    _ => None,
                });
                let whole = told.eq(counts.iter().map(|count| Some(*count)));
                // Reading to the end is what proves that nothing was cut off.
                let over = self.input.read(&mut [0; 1]).map_err(|_| damaged())? == 0;
                return if whole && over { Ok(counts) } else { Err(damaged()) };
            };
            if self.header.tables.get(table).map(|(_, columns)| columns.len()) != Some(row.len()) {
                return Err(damaged());
            }
            counts[table] += 1;
            each(table, row)?;
        }
    }
}

fn message(input: &mut dyn Read) -> Result<Vec<u8>, StoreError> {
    let mut length = [0; 4];
    input.read_exact(&mut length).map_err(|_| damaged())?;
    let length = u32::from_le_bytes(length);
    if length > MESSAGE_BYTES_MAX {
        return Err(damaged());
    }
    let mut bytes = Vec::new();
    let read = input.take(u64::from(length)).read_to_end(&mut bytes).map_err(|_| damaged())?;
    if read == length as usize { Ok(bytes) } else { Err(damaged()) }
}

fn why(error: &age::DecryptError) -> StoreError {
    use age::DecryptError as Error;
    match error {
        Error::NoMatchingKeys | Error::DecryptionFailed | Error::KeyDecryptionFailed => {
            Problem::new("backup_other_key").into()
        }
        Error::InvalidMac => damaged(),
        Error::Io(error) if error.kind() != ErrorKind::UnexpectedEof && error.kind() != ErrorKind::InvalidData => {
            damaged()
        }
        _ => foreign(),
    }
}

/// SHA-256 of a file, read from the disk.
pub(super) fn hash_of(path: &Path) -> Result<[u8; 32], StoreError> {
    let mut file = File::open(path).map_err(file_error(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).map_err(file_error(path))? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}
