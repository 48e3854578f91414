//! The filter that lists, counts and the map share, as addresses write it.

/// A struct of query parameters: the filter's and its own.
macro_rules! filter_params {
    ($(#[$doc:meta])* pub(crate) struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(crate) struct $name {
            /// `draft`, `submitted`, `returned`, `approved`, `amended`, `archived` or `voided`; several comma-separated.
            state: Option<String>,
            /// Code of a unit: it and all below.
            unit: Option<String>,
            /// With `true`: of the unit alone, without those below.
            unit_alone: Option<bool>,
            /// Only with conflicts (`true`) or without (`false`).
            conflicts: Option<bool>,
            /// Only with problems (`true`) or without (`false`).
            problems: Option<bool>,
            /// When the first change arrived: `2026`, `2026-05`, `2026-05-31` (Asia/Shanghai), milliseconds since 1970 UTC,
            /// or `FROM..TO` of these with both ends included and either left out.
            first: Option<String>,
            /// When the latest change arrived, as `first`.
            received: Option<String>,
            /// When the latest change was made, as its author claims, as `first`.
            changed: Option<String>,
            /// When the last decision was made, as `first`.
            reviewed: Option<String>,
            /// Id of a user who wrote in it.
            author: Option<String>,
            /// `path=name` of a listed field with choices that is not sensitive, several comma-separated: of one field any
            /// of its names, of several fields all.
            choice: Option<String>,
            /// Words that the searchable answers hold: names also by pinyin or its initials, numbers also by their end.
            text: Option<String>,
            /// Id of a record that an answer names.
            refers: Option<String>,
            /// Only what the user may decide on (`true`).
            decidable: Option<bool>,
            $($(#[$field_doc])* $field: $kind,)*
        }

        impl $name {
            fn filter(&self) -> $crate::store::FilterText {
                $crate::store::FilterText {
                    state: self.state.clone(),
                    unit: self.unit.clone(),
                    unit_alone: self.unit_alone,
                    conflicts: self.conflicts,
                    problems: self.problems,
                    first: self.first.clone(),
                    received: self.received.clone(),
                    changed: self.changed.clone(),
                    reviewed: self.reviewed.clone(),
                    author: self.author.clone(),
                    choice: self.choice.clone(),
                    text: self.text.clone(),
                    refers: self.refers.clone(),
                    decidable: self.decidable,
                }
            }
        }
    };
}
pub(super) use filter_params;
