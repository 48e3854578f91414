//! What is said of a command line that is wrong, in Chinese: clap's own words are English.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::text::{Language, text};

/// What is wrong, in Chinese; `None` where clap's own words have to do.
pub(super) fn told(error: &clap::Error) -> Option<String> {
    let of = |kind| match error.get(kind) {
        Some(ContextValue::String(value)) => Some(value.clone()),
        Some(ContextValue::Strings(values)) => Some(values.join(", ")),
        _ => None,
    };
    let word = match error.kind() {
        ErrorKind::UnknownArgument => "misuse_unknown",
        ErrorKind::InvalidSubcommand => "misuse_command",
        ErrorKind::MissingRequiredArgument => "misuse_missing",
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => "misuse_value",
        ErrorKind::ArgumentConflict => "misuse_conflict",
        _ => return None,
    };
    let args = [
        ("argument", of(ContextKind::InvalidArg).or_else(|| of(ContextKind::InvalidSubcommand))?),
        ("value", of(ContextKind::InvalidValue).unwrap_or_default()),
        ("other", of(ContextKind::PriorArg).unwrap_or_default()),
    ];
    Some(text(Language::Chinese, word, &args))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::options::Options;
    use super::*;

    #[test]
    fn mistakes_are_told_in_chinese() {
        for (line, told_is) in [
            ("serve --lisen x", "不认识的参数 --lisen。运行时加 --help 可看用法。"),
            ("srve", "不认识的命令 srve。运行时加 --help 可看用法。"),
            ("restore", "缺少 --key <FILE>, <FILE>。运行时加 --help 可看用法。"),
            ("device enrol a --days many", "--days <DAYS> 的值“many”不对。运行时加 --help 可看用法。"),
        ] {
            let error = Options::try_parse_from(std::iter::once("x").chain(line.split(' '))).unwrap_err();
            assert_eq!(told(&error).as_deref(), Some(told_is), "{line}");
        }
        let help = Options::try_parse_from(["x", "--help"]).unwrap_err();
        assert_eq!(told(&help), None);
    }
}
