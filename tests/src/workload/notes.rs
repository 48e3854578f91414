//! Notes that do not repeat: random characters of those that Chinese is written with.

use serde_json::Value;

use super::random::Rng;
use super::record::NOTE_LENGTH;

/// Rows of GB 2312's first level in its two-byte form: the 3,755 common characters.
const FIRST_BYTES: std::ops::RangeInclusive<u8> = 0xb0..=0xd7;
/// Places in a row.
const SECOND_BYTES: std::ops::RangeInclusive<u8> = 0xa1..=0xfe;

/// The common characters of GB 2312, in its order.
pub(super) fn common_characters() -> Vec<char> {
    let mut characters = Vec::new();
    for first in FIRST_BYTES {
        for second in SECOND_BYTES {
            // The last five places of the last row are empty there; other tables put private characters into them.
            let bytes = [first, second];
            let (text, _) = encoding_rs::GBK.decode_without_bom_handling(&bytes);
            characters.extend(text.chars().filter(|character| ('\u{4e00}'..='\u{9fff}').contains(character)));
        }
    }
    characters
}

/// Replaces the notes of visits.
pub(super) struct RandomNotes {
    rng: Rng,
    characters: Vec<char>,
}

impl RandomNotes {
    pub(super) fn new(seed: u32) -> Self {
        let rng = Rng::from_product(f64::from(seed) * 3_266_489_917.0 + 61.0);
        Self { rng, characters: common_characters() }
    }

    /// The line with every visit's note replaced, in `add` as in `values`.
    pub(super) fn put_into(&mut self, line: &str) -> String {
        let mut line: Value = serde_json::from_str(line).unwrap_or_default();
        for holder in ["add", "values"] {
            let visits = line.get_mut(holder).and_then(|held| held.get_mut("visits"));
            for visit in visits.and_then(Value::as_array_mut).into_iter().flatten() {
                visit["note"] = Value::from(self.note());
            }
        }
        line.to_string()
    }

    fn note(&mut self) -> String {
        (0..NOTE_LENGTH).map(|_| self.characters[self.rng.index(self.characters.len())]).collect()
    }
}
