//! Looks for personal data in a phone's files, as somebody who found the phone would.

use std::path::Path;

use super::stage::Failure;

/// Every file below `folder` that holds one of `texts` in UTF-8 or UTF-16 (either byte order).
///
/// # Errors
/// When the folder cannot be read, or holds no file at all: then nothing was proved.
pub fn files_with(folder: &Path, texts: &[&str]) -> Result<Vec<String>, Failure> {
    let needles: Vec<Vec<u8>> = texts
        .iter()
        .flat_map(|text| {
            let little = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            [text.as_bytes().to_vec(), little, big]
        })
        .collect();
    let mut files = 0;
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            if needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_slice())) {
                found.push(path.display().to_string());
            }
        }
    }
    if files == 0 { Err(format!("{} is empty", folder.display())) } else { Ok(found) }
}
