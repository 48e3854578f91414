//! The hub's cache of segments: each comes once over the line to the server, however many phones ask for it at once.
//! Without their keys, which only the server hands out, they say nothing.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fieldbook_core::net::{CancelFlag, Network, ServerAddress, Transport};
use fieldbook_core::protocol::limits::SEGMENT_BYTES_MAX;
use sha2::{Digest, Sha256};

use super::store::HubStore;
use crate::data_folder::file_error;
use crate::store::StoreError;

/// Folder of the files, in the data folder.
const FOLDER: &str = "segments";
/// Ending of a file that is being written.
const PART: &str = "part";
/// Bytes that the cache holds; the oldest files go first.
const CACHE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Path at the server, before the name.
const SEGMENTS_PATH: &str = "/sync/1/segments/";

/// What was fetched of a segment, or why not.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The server does not have it.
    #[error("the server has no such segment")]
    Unknown,
    /// The server cannot be reached, or sent something else.
    #[error("a segment could not be fetched: {0}")]
    Unreachable(String),
    /// It cannot be kept here.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One segment that somebody asks for.
type Asked = Arc<Mutex<()>>;

/// The cache.
pub struct Segments {
    folder: PathBuf,
    server: ServerAddress,
    network: Arc<dyn Network>,
    /// One line to the server: segments come one after the other.
    line: Mutex<Option<Box<dyn Transport>>>,
    /// Those that are asked for now.
    asked: Mutex<HashMap<[u8; 32], Asked>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Segments {
    /// The cache of the hub of `store`, of what its server has, which it reaches by `network`.
    ///
    /// # Errors
    /// `hub_not_enrolled` before [`HubStore::enrol`].
    pub fn new(store: &HubStore, network: Arc<dyn Network>) -> Result<Self, StoreError> {
        let (folder, server) = (store.folder().join(FOLDER), store.server()?);
        Ok(Self { folder, server, network, line: Mutex::default(), asked: Mutex::default() })
    }

    /// The file of a segment, fetched if it is not here. Blocks; whoever asks for the same waits for the same.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn file(&self, name: &[u8; 32]) -> Result<PathBuf, Missing> {
        let path = self.folder.join(hex::encode(name));
        if path.is_file() {
            return Ok(path);
        }
        let asked = Arc::clone(locked(&self.asked).entry(*name).or_default());
        let waits = locked(&asked);
        let found = if path.is_file() { Ok(()) } else { self.fetch(name, &path) };
        drop(waits);
        let mut all = locked(&self.asked);
        // This map and this call are the last that know of it.
        if Arc::strong_count(&asked) <= 2 {
            all.remove(name);
        }
        drop(all);
        found.map(|()| path)
    }

    fn fetch(&self, name: &[u8; 32], path: &Path) -> Result<(), Missing> {
        let unreachable = |error: &dyn std::fmt::Display| Missing::Unreachable(error.to_string());
        let mut line = locked(&self.line);
        let mut connection = match line.take() {
            Some(connection) => connection,
            None => self.network.transport(self.server.clone()).map_err(|error| unreachable(&error))?,
        };
        let mut bytes = Vec::new();
        let from = format!("{SEGMENTS_PATH}{}", hex::encode(name));
        let got = connection.get(&from, 0, &CancelFlag::default(), &|_| {}, &mut |piece| {
            bytes.extend_from_slice(piece);
            if bytes.len() as u64 > SEGMENT_BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if !got.map_err(|error| unreachable(&error))? {
            return Err(Missing::Unknown);
        }
        *line = Some(connection);
        drop(line);
        if <[u8; 32]>::from(Sha256::digest(&bytes)) != *name {
            return Err(unreachable(&"what came is not the segment of this name"));
        }
        tracing::info!(bytes = bytes.len(), "a segment came from the server");
        Ok(self.keep(path, &bytes)?)
    }

    /// Under its name there is never less than all of it.
    fn keep(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(file_error(&self.folder))?;
        self.make_room(bytes.len() as u64)?;
        let part = path.with_extension(PART);
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
        let written = made.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.and_then(|()| fs::rename(&part, path)).map_err(file_error(&part))
    }

    fn make_room(&self, wanted: u64) -> Result<(), StoreError> {
        let failed = file_error(&self.folder);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let known = entry.metadata().map_err(&failed)?;
            files.push((known.modified().map_err(&failed)?, known.len(), entry.path()));
        }
        files.sort();
        let mut held: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if held + wanted <= CACHE_BYTES_MAX {
                break;
            }
            fs::remove_file(&path).map_err(file_error(&path))?;
            held -= bytes;
        }
        Ok(())
    }
}
