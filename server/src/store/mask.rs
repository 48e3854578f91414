//! Sensitive answers are hidden on lists and pages until somebody asks for one, which is logged.

use std::collections::BTreeSet;

use fieldbook_core::forms::{Edit, Field, FormDefinition, Scalar, Sensitivity, Values};

/// What is shown of a hidden answer, or begins it.
const HIDDEN: &str = "***";
/// Characters of a long number that stay readable at its end, to tell people apart.
const TAIL_CHARS: usize = 4;
/// Shortest number whose end stays readable.
const LONG_CHARS_MIN: usize = 12;

/// Hides an answer; of a number, as of a card or an account, the end stays readable. Of a text it would tell the illness
/// with which a sentence ends, of a position where it is.
pub(crate) fn scalar(value: &Scalar) -> Scalar {
    let text = match value {
        Scalar::Text(text) => text.clone(),
        Scalar::Integer(number) => number.to_string(),
    };
    let count = text.chars().count();
    if count < LONG_CHARS_MIN || !text.chars().all(|letter| letter.is_ascii_alphanumeric()) {
        return Scalar::Text(HIDDEN.to_owned());
    }
    let tail: String = text.chars().skip(count - TAIL_CHARS).collect();
    Scalar::Text(format!("{}{tail}", "*".repeat(count - TAIL_CHARS)))
}

/// The field of an edit that would write what a mask shows: nobody who answers so has seen the answer.
pub(crate) fn masked_in<'f>(form: &'f FormDefinition, edits: &[Edit]) -> Option<&'f str> {
    edits.iter().find_map(|edit| match edit {
        Edit::Set { path, value: Some(Scalar::Text(text)) } if text.starts_with(HIDDEN) => {
            let field = form.fields.iter().find(|field| field.path == path.field)?;
            (field.sensitivity == Sensitivity::Sensitive).then_some(field.path.as_str())
        }
        _ => None,
    })
}

/// Whether the field is hidden unless `revealed` names it.
pub(crate) fn hides(field: &Field, revealed: &BTreeSet<String>) -> bool {
    field.sensitivity == Sensitivity::Sensitive && !revealed.contains(&field.path)
}

/// Hides every sensitive answer that `revealed` does not name.
pub(crate) fn values(form: &FormDefinition, values: &mut Values, revealed: &BTreeSet<String>) {
    let hide_set = |set: &mut BTreeSet<String>| *set = BTreeSet::from([HIDDEN.to_owned()]);
    for field in form.fields.iter().filter(|field| hides(field, revealed)) {
        let rows = field.repeat.as_ref().and_then(|repeat| values.rows.get_mut(repeat));
        for row in rows.into_iter().flatten() {
            if let Some(value) = row.fields.get_mut(&field.path) {
                *value = scalar(value);
            }
            row.sets.get_mut(&field.path).map(hide_set).unwrap_or_default();
        }
        if let Some(value) = values.fields.get_mut(&field.path) {
            *value = scalar(value);
        }
        values.sets.get_mut(&field.path).map(hide_set).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_of_long_numbers_the_end_stays_readable() {
        for (answer, shown) in [
            ("63232319620612014X", "**************014X"),
            ("6217000010001234567", "***************4567"),
            ("13997600777", "***"),
            ("长期患有高血压，去年又查出糖尿病", "***"),
            ("35.0366 101.4689 0 0", "***"),
            ("hypertension, diabetes", "***"),
        ] {
            assert_eq!(scalar(&Scalar::Text(answer.to_owned())), Scalar::Text(shown.to_owned()));
        }
        assert_eq!(scalar(&Scalar::Integer(19_800)), Scalar::Text("***".to_owned()));
    }
}
