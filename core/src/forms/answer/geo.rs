//! Positions, WGS-84: degrees and metres as canonical decimals.

use super::text;
use crate::forms::catalogue::{Message, MessageKey};
use crate::forms::limits::{DECIMAL_DIGITS_MAX, GEO_POINTS_MAX};

/// `latitude longitude`, or with altitude and accuracy in metres; a missing accuracy becomes 0.
pub(super) fn point(answer: &str) -> Option<String> {
    let bare = text::half_width(answer).replace(',', " ");
    let mut numbers: Vec<String> =
        bare.split_whitespace().map(|part| text::decimal(part, DECIMAL_DIGITS_MAX)).collect::<Option<_>>()?;
    if numbers.len() == 3 {
        numbers.push("0".to_owned());
    }
    if !matches!(numbers.len(), 2 | 4) {
        return None;
    }
    let within = |at: usize, limit: f64| {
        numbers.get(at).and_then(|n| n.parse::<f64>().ok()).is_some_and(|n| (-limit..=limit).contains(&n))
    };
    (within(0, 90.0) && within(1, 180.0)).then(|| numbers.join(" "))
}

/// Points separated by `;`. A shape is closed: its last point is its first.
pub(super) fn line(answer: &str, closed: bool) -> Result<String, Message> {
    let mut points = Vec::new();
    for part in answer.split(';').filter(|part| !part.trim().is_empty()) {
        if points.len() == GEO_POINTS_MAX {
            return Err(Message::about(MessageKey::TooLong, GEO_POINTS_MAX));
        }
        points.push(point(part).ok_or(Message::new(MessageKey::NotPosition))?);
    }
    if closed && points.len() > 1 && points.first() != points.last() {
        points.extend(points.first().cloned());
    }
    let needed = if closed { 4 } else { 2 };
    if points.len() < needed {
        return Err(Message::about(MessageKey::TooFewPoints, if closed { 3 } else { 2 }));
    }
    Ok(points.join(";"))
}
