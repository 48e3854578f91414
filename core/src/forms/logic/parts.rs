//! Texts that an expression puts together.

use crate::forms::faults::{FaultKind, FormFault};
use crate::forms::limits::COMPUTED_TEXT_BYTES_MAX;

/// Texts put together, within [`COMPUTED_TEXT_BYTES_MAX`].
pub(super) struct Parts<'s> {
    pub separator: &'s str,
    pub text: Option<String>,
}

impl Parts<'_> {
    pub fn add(&mut self, part: &str) -> Result<(), FormFault> {
        let text = match &mut self.text {
            None => self.text.insert(String::new()),
            Some(text) => {
                text.push_str(self.separator);
                text
            }
        };
        if text.len() + part.len() > COMPUTED_TEXT_BYTES_MAX {
            return Err(FormFault::new(FaultKind::ComputedText).with(COMPUTED_TEXT_BYTES_MAX));
        }
        text.push_str(part);
        Ok(())
    }
}
