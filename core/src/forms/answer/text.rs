//! Canonical text: one way to write what looks the same, so that equal answers are equal values.

use unicode_normalization::UnicodeNormalization;

/// Characters that people type for the middle dot of a name (`仁青·卓玛`). The Greek ano teleia is folded by NFC.
const DOTS: &[char] =
    &['\u{30FB}', '\u{2022}', '\u{2027}', '\u{2219}', '\u{22C5}', '\u{FF65}', '\u{FF0E}', '\u{2E31}', '.', '\u{B7}'];

/// NFC, unix line ends, no control characters but line ends and tabs, no blanks around.
pub(crate) fn plain(text: &str) -> String {
    let lines = text.replace("\r\n", "\n");
    without(&lines, |c| c.is_control() && !matches!(c, '\n' | '\t')).trim().to_owned()
}

/// NFC without these characters: what stood on both sides of one may compose, or change places.
fn without(text: &str, dropped: impl Fn(char) -> bool) -> String {
    text.chars().filter(|c| !dropped(*c)).nfc().collect()
}

/// Full-width ASCII forms (U+FF01–U+FF5E) and the ideographic space become ASCII.
pub(crate) fn half_width(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{3000}' => ' ',
            '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
            other => other,
        })
        .collect()
}

/// A code: half-width, without any blanks.
pub(crate) fn code(text: &str) -> String {
    without(&half_width(&plain(text)), char::is_whitespace)
}

/// A phone number: digits, with `+` in front of other countries' numbers; `+86` and `0086` are dropped.
pub(crate) fn phone(text: &str) -> String {
    let between = |c| matches!(c, '-' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '/' | '.');
    let bare = without(&code(text), between);
    let mut number = bare.as_str();
    while let Some(rest) = ["+86", "0086"].iter().find_map(|prefix| number.strip_prefix(prefix)) {
        number = rest;
    }
    number.to_owned()
}

fn is_dot(c: char, before: char, after: char) -> bool {
    // A full stop between Latin letters is no name's dot: `J.K.` and `a.b@c` stay.
    DOTS.contains(&c)
        && before.is_alphabetic()
        && after.is_alphabetic()
        && !(c == '.' && (before.is_ascii() || after.is_ascii()))
}

/// A name: one middle dot `·` (U+00B7) between letters, whichever dot was typed, without blanks around it.
pub(crate) fn name(text: &str) -> String {
    let chars: Vec<char> = plain(text).chars().collect();
    let mut out: Vec<char> = Vec::with_capacity(chars.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if DOTS.contains(&c) {
            let before = out.iter().rev().find(|c| !c.is_whitespace()).copied().unwrap_or(' ');
            let skip = chars.iter().skip(at + 1).take_while(|c| c.is_whitespace()).count();
            let after = chars.get(at + 1 + skip).copied().unwrap_or(' ');
            if is_dot(c, before, after) {
                while out.last().is_some_and(|c| c.is_whitespace()) {
                    out.pop();
                }
                out.push('\u{B7}');
                at += 1 + skip;
                continue;
            }
        }
        out.push(c);
        at += 1;
    }
    out.into_iter().collect()
}

/// A decimal without exponent, `+`, leading or trailing zeros: `012.50` becomes `12.5`, `-0` becomes `0`.
/// `None` when it is no number or has more digits than `digits_max`.
pub(crate) fn decimal(text: &str, digits_max: usize) -> Option<String> {
    let text = code(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa.to_owned(), exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, unsigned) = match mantissa.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(&mantissa)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    if exponent.unsigned_abs() as usize > digits_max || whole.len() + fraction.len() > 4 * digits_max {
        return None;
    }
    let (whole, fraction) = shift(whole, fraction, exponent);
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if whole.len() + fraction.len() > digits_max {
        return None;
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if negative && !(whole == "0" && fraction.is_empty()) { "-" } else { "" };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Moves the point of `whole.fraction` by `exponent` places.
fn shift(whole: &str, fraction: &str, exponent: i32) -> (String, String) {
    let places = exponent.unsigned_abs() as usize;
    if exponent >= 0 {
        let mut fraction = fraction.to_owned();
        while fraction.len() < places {
            fraction.push('0');
        }
        let (moved, rest) = fraction.split_at(places);
        (format!("{whole}{moved}"), rest.to_owned())
    } else {
        let mut whole = whole.to_owned();
        while whole.len() < places {
            whole.insert(0, '0');
        }
        let (rest, moved) = whole.split_at(whole.len() - places);
        (rest.to_owned(), format!("{moved}{fraction}"))
    }
}
