//! The kinds that come with the app, as XLSForm sheets under `core/forms`.

use super::{SheetError, compile_sheets};
use crate::forms::form::Form;

macro_rules! kind {
    ($name:literal) => {
        (
            $name,
            [
                ("survey.csv", include_str!(concat!("../../../forms/", $name, "/survey.csv"))),
                ("choices.csv", include_str!(concat!("../../../forms/", $name, "/choices.csv"))),
                ("settings.csv", include_str!(concat!("../../../forms/", $name, "/settings.csv"))),
            ],
        )
    };
}

/// Sheets of every built-in kind.
const KINDS: &[(&str, [(&str, &str); 3])] =
    &[kind!("household"), kind!("visit"), kind!("health_check"), kind!("legal_checkup")];

/// Compiles the built-in kinds: `household`, `visit`, `health_check`, `legal_checkup`.
///
/// # Errors
/// [`SheetError`]s of a sheet that was broken while building; a test compiles them all.
pub fn builtin() -> Result<Vec<Form>, Vec<SheetError>> {
    KINDS.iter().map(|(name, sheets)| compile_sheets(name, sheets)).collect()
}
