//! Division codes: GB/T 2260 to the county, then three digits each for township and village. Qinghai's counties come
//! from the table beside the built-in forms; other provinces are judged by structure only.

use crate::forms::catalogue::{Message, MessageKey};

/// The divisions of Qinghai down to the county (statistics of 2023-06-30), first column: six-digit code.
const QINGHAI: &str = include_str!("../../../forms/codes/divisions-qinghai.csv");

/// Provinces and their like by the first two digits of GB/T 2260.
const PROVINCES: &[&str] = &[
    "11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41", "42", "43", "44",
    "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65", "71", "81", "82",
];

/// What is wrong with a division code; `None` when it passes.
pub(super) fn verify(code: &str) -> Option<Message> {
    if !matches!(code.len(), 6 | 9 | 12) || !code.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Message::new(MessageKey::DivisionForm));
    }
    let (province, county) = (&code[..2], &code[..6]);
    let known = match province {
        "63" => QINGHAI.lines().skip(1).any(|line| line.split(',').next() == Some(county)),
        _ => PROVINCES.contains(&province),
    };
    // Streets 001–099, towns 100–199, townships 200–399, quasi-townships 400–599.
    let township = code.get(6..9).is_none_or(|part| ("001"..="599").contains(&part));
    (!known || !township).then(|| Message::about(MessageKey::DivisionUnknown, code))
}
