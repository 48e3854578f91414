//! Checks beyond a form's own logic (`fb:check`): citizen identity number, unified social credit code, phone number,
//! division code.

mod divisions;
#[cfg(test)]
mod tests;

use super::answer::{text, time};
use super::catalogue::{Message, MessageKey};
use super::definition::Check;

/// What a citizen identity number says about its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdNumberFacts {
    /// Days from 1970-01-01 to the date of birth.
    pub birth_day: i64,
    /// Digit 17 is odd.
    pub male: bool,
}

impl IdNumberFacts {
    /// The date of birth as `YYYY-MM-DD`.
    #[must_use]
    pub fn birth_date(&self) -> String {
        let (year, month, day) = time::date_of(self.birth_day);
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// The canonical text of an answer under `check`: half-width, no blanks, capital letters in codes.
#[must_use]
pub(crate) fn canonical(check: Check, answer: &str) -> String {
    match check {
        Check::IdNumber | Check::CreditCode => text::code(answer).to_uppercase(),
        Check::Division => text::code(answer),
        Check::Phone => text::phone(answer),
    }
}

/// What is wrong with a canonical answer, judged on day `today` (days from 1970-01-01); `None` when it passes.
pub(crate) fn verify(check: Check, answer: &str, today: i64) -> Option<Message> {
    match check {
        Check::IdNumber => id_number(answer, today).err().map(Message::new),
        Check::CreditCode => credit_code(answer).err().map(Message::new),
        Check::Phone => (!is_phone(answer)).then(|| Message::new(MessageKey::PhoneForm)),
        Check::Division => divisions::verify(answer),
    }
}

/// Checks a citizen identity number (GB 11643): 18 characters, check character, a date of birth that exists and is not
/// after `today`. The division at its start may be retired (numbers outlive divisions), so only its digits are checked.
///
/// # Errors
/// The message key of what is wrong.
pub fn id_number(number: &str, today: i64) -> Result<IdNumberFacts, MessageKey> {
    let bytes: [u8; 18] = number.as_bytes().try_into().map_err(|_| MessageKey::IdNumberForm)?;
    let [digits @ .., last] = bytes;
    if !digits.iter().all(u8::is_ascii_digit) || !(last.is_ascii_digit() || last == b'X') || digits[0] == b'0' {
        return Err(MessageKey::IdNumberForm);
    }
    if id_check_character(&digits) != Some(char::from(last)) {
        return Err(MessageKey::IdNumberChecksum);
    }
    let number = |range: std::ops::Range<usize>| {
        digits[range].iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'))
    };
    let birth_day = time::day_number(i64::from(number(6..10)), number(10..12), number(12..14))
        .filter(|day| *day <= today && number(6..10) >= 1800)
        .ok_or(MessageKey::IdNumberDate)?;
    Ok(IdNumberFacts { birth_day, male: number(16..17) % 2 == 1 })
}

/// The check character of an ID number's 17 digits; `None` if they are not digits.
pub(crate) fn id_check_character(digits: &[u8]) -> Option<char> {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECK: &[u8; 11] = b"10X98765432";
    if digits.len() != WEIGHTS.len() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    CHECK.get((sum % 11) as usize).copied().map(char::from)
}

/// Checks a unified social credit code (GB 32100): 18 of `0-9A-HJ-NPQRTUWXY`, weights 3^(i−1) mod 31.
fn credit_code(code: &str) -> Result<(), MessageKey> {
    const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    let values: Option<Vec<u32>> = code
        .bytes()
        .map(|byte| ALPHABET.iter().position(|letter| *letter == byte).and_then(|at| u32::try_from(at).ok()))
        .collect();
    let values = values.filter(|values| values.len() == 18).ok_or(MessageKey::CreditCodeForm)?;
    let mut weight = 1;
    let mut sum = 0;
    for value in &values[..17] {
        sum += value * weight;
        weight = weight * 3 % 31;
    }
    if (31 - sum % 31) % 31 == values[17] { Ok(()) } else { Err(MessageKey::CreditCodeChecksum) }
}

/// Mainland numbers: mobile (11 digits from 13), landline with area code (10 to 12 digits from 0) or without (7 or 8),
/// 400/800 numbers, and service numbers of five digits; or another country's number with `+`.
fn is_phone(number: &str) -> bool {
    let (plus, digits) = match number.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let mut start = digits.bytes();
    match (plus, digits.len(), start.next(), start.next()) {
        (true, length, Some(b'1'..=b'9'), _) => (7..=15).contains(&length),
        (false, 11, Some(b'1'), Some(b'3'..=b'9')) => true,
        (false, 10..=12, Some(b'0'), Some(b'1'..=b'9')) => true,
        (false, 10, Some(b'4' | b'8'), Some(b'0')) => true,
        (false, 7 | 8, Some(b'2'..=b'9'), _) => true,
        (false, 5, Some(b'1' | b'9'), _) => true,
        _ => false,
    }
}
