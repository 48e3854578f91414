//! The system's own files.

use std::path::Path;

use fieldbook_sqlite::room;

use crate::ports::Disk;

/// The system's own files.
#[derive(Debug)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn vfs(&self) -> Option<&str> {
        None
    }

    fn length_bytes(&self, file: &Path) -> Option<u64> {
        std::fs::metadata(file).ok().map(|meta| meta.len())
    }

    fn free_bytes(&self, folder: &Path) -> Option<u64> {
        room::free_bytes(folder)
    }

    fn erase(&self, file: &Path) -> std::io::Result<()> {
        super::erase::erase_file(file)
    }
}
