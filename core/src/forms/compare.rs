//! What differs between two versions of a form.

#[cfg(test)]
#[cfg(feature = "xlsform")]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::definition::{Check, Choice, Field, FormDefinition, Labels, Merge, QuestionItem, Sensitivity, SurveyItem};
use super::form::Form;
use super::logic::{SheetRules, rules_of};

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    /// A field that was not there.
    Added,
    /// A field that is no longer there.
    Removed,
    /// The same path with another type: a new field.
    Retyped,
    /// The same path in another repeat, or now in one: a new field.
    Regrouped,
    /// The label of a field.
    Label,
    /// The hint of a question.
    Hint,
    /// Choices that were not there.
    ChoicesAdded,
    /// Choices that are no longer there.
    ChoicesRemoved,
    /// Labels of choices.
    ChoiceLabels,
    /// Whether it must be answered.
    Required,
    /// When it is asked.
    Relevant,
    /// What an answer must fulfil.
    Constraint,
    /// How it is computed.
    Calculation,
    /// `fb:merge`.
    Merge,
    /// `fb:sensitivity`.
    Sensitivity,
    /// `fb:writers`.
    Writers,
    /// `fb:check`.
    Check,
    /// `fb:identity`.
    Identity,
    /// `fb:occasion`.
    Occasion,
    /// `fb:list`.
    List,
    /// `fb:search`.
    Search,
    /// `fb:unit`.
    Unit,
    /// The order of the fields that both have.
    Order,
    /// The title.
    Title,
    /// The languages.
    Languages,
}

impl DifferenceKind {
    /// The word in the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Retyped => "retyped",
            Self::Regrouped => "regrouped",
            Self::Label => "label",
            Self::Hint => "hint",
            Self::ChoicesAdded => "choices_added",
            Self::ChoicesRemoved => "choices_removed",
            Self::ChoiceLabels => "choice_labels",
            Self::Required => "required",
            Self::Relevant => "relevant",
            Self::Constraint => "constraint",
            Self::Calculation => "calculation",
            Self::Merge => "merge",
            Self::Sensitivity => "sensitivity",
            Self::Writers => "writers",
            Self::Check => "check",
            Self::Identity => "identity",
            Self::Occasion => "occasion",
            Self::List => "list",
            Self::Search => "search",
            Self::Unit => "unit",
            Self::Order => "order",
            Self::Title => "title",
            Self::Languages => "languages",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub kind: DifferenceKind,
    /// Path of the field, or name of the choice list; empty when it is about the whole form.
    pub path: String,
    /// What stood there, as the sheet writes it.
    pub before: Option<String>,
    /// What stands there.
    pub after: Option<String>,
}

struct Found {
    all: Vec<Difference>,
}

impl Found {
    fn push(&mut self, kind: DifferenceKind, path: &str, before: Option<String>, after: Option<String>) {
        self.all.push(Difference { kind, path: path.to_owned(), before, after });
    }

    /// Notes a difference where there is one; an empty text is none.
    fn compare(&mut self, kind: DifferenceKind, path: &str, before: &str, after: &str) {
        if before != after {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            self.push(kind, path, text(before), text(after));
        }
    }

    fn labels(&mut self, kind: DifferenceKind, path: &str, before: &Labels, after: &Labels) {
        let languages: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let changed: Vec<&String> =
            languages.into_iter().filter(|language| before.get(*language) != after.get(*language)).collect();
        let text = |labels: &Labels| {
            let lines = changed.iter().filter_map(|language| Some(format!("{language}: {}", labels.get(*language)?)));
            lines.collect::<Vec<_>>().join("\n")
        };
        self.compare(kind, path, &text(before), &text(after));
    }
}

fn merge(merge: Merge) -> &'static str {
    match merge {
        Merge::Register => "register",
        Merge::MustAgree => "must-agree",
        Merge::Set => "set",
        Merge::Once => "once",
    }
}

fn sensitivity(sensitivity: Sensitivity) -> &'static str {
    match sensitivity {
        Sensitivity::Plain => "plain",
        Sensitivity::Personal => "personal",
        Sensitivity::Sensitive => "sensitive",
    }
}

fn check(check: Option<Check>) -> &'static str {
    match check {
        None => "",
        Some(Check::IdNumber) => "id-number",
        Some(Check::CreditCode) => "credit-code",
        Some(Check::Division) => "division",
        Some(Check::Phone) => "phone",
    }
}

fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "" }
}

fn items<'a>(items: &'a [SurveyItem], found: &mut BTreeMap<&'a str, &'a QuestionItem>) {
    for item in items {
        match item {
            SurveyItem::Question(question) => {
                found.insert(&question.path, question);
            }
            SurveyItem::Group(group) => self::items(&group.items, found),
            SurveyItem::Repeat(repeat) => self::items(&repeat.items, found),
        }
    }
}

fn compare_field(found: &mut Found, before: &Field, after: &Field) {
    use DifferenceKind as Kind;
    let path = &after.path;
    if before.field_type != after.field_type {
        found.compare(Kind::Retyped, path, before.field_type.word(), after.field_type.word());
    }
    let repeat = |field: &Field| field.repeat.clone().unwrap_or_default();
    found.compare(Kind::Regrouped, path, &repeat(before), &repeat(after));
    found.labels(Kind::Label, path, &before.label, &after.label);
    found.compare(Kind::Merge, path, merge(before.merge), merge(after.merge));
    found.compare(Kind::Sensitivity, path, sensitivity(before.sensitivity), sensitivity(after.sensitivity));
    let writers = |field: &Field| {
        let mut words: Vec<&str> = field.writers.iter().map(|role| role.word()).collect();
        words.sort_unstable();
        words.join(" ")
    };
    found.compare(Kind::Writers, path, &writers(before), &writers(after));
    found.compare(Kind::Check, path, check(before.check), check(after.check));
    found.compare(Kind::Identity, path, yes(before.identity), yes(after.identity));
    found.compare(Kind::Occasion, path, yes(before.occasion), yes(after.occasion));
    found.compare(Kind::List, path, yes(before.list), yes(after.list));
    found.compare(Kind::Search, path, yes(before.search), yes(after.search));
    let unit = |field: &Field| field.unit.clone().unwrap_or_default();
    found.compare(Kind::Unit, path, &unit(before), &unit(after));
}

fn compare_choices(found: &mut Found, list: &str, before: &[Choice], after: &[Choice]) {
    let by_name = |choices: &[Choice]| -> BTreeMap<String, Labels> {
        choices.iter().map(|choice| (choice.name.clone(), choice.label.clone())).collect()
    };
    let (before, after) = (by_name(before), by_name(after));
    let missing = |here: &BTreeMap<String, Labels>, there: &BTreeMap<String, Labels>| {
        let names: Vec<&str> = here.keys().filter(|name| !there.contains_key(*name)).map(String::as_str).collect();
        names.join(" ")
    };
    found.compare(DifferenceKind::ChoicesAdded, list, "", &missing(&after, &before));
    found.compare(DifferenceKind::ChoicesRemoved, list, &missing(&before, &after), "");
    for (name, label) in &before {
        if let Some(now) = after.get(name).filter(|now| *now != label) {
            found.labels(DifferenceKind::ChoiceLabels, &format!("{list}/{name}"), label, now);
        }
    }
}

fn compare_rules(found: &mut Found, before: &Form, after: &Form) {
    use DifferenceKind as Kind;
    let (was, now) = (rules_of(before.definition()), rules_of(after.definition()));
    let nothing = SheetRules::default();
    let paths: BTreeSet<&String> = was.keys().chain(now.keys()).collect();
    // What came or went says all by that; groups are in both.
    let in_both = |path: &str| before.field(path).is_some() == after.field(path).is_some();
    for path in paths.into_iter().filter(|path| in_both(path)) {
        let (was, now) = (was.get(path).unwrap_or(&nothing), now.get(path).unwrap_or(&nothing));
        found.compare(Kind::Required, path, &was.required, &now.required);
        found.compare(Kind::Relevant, path, &was.relevant, &now.relevant);
        found.compare(Kind::Constraint, path, &was.constraint, &now.constraint);
        found.compare(Kind::Calculation, path, &was.calculation, &now.calculation);
    }
}

fn order(definition: &FormDefinition, of: &Form) -> Vec<String> {
    let both = definition.fields.iter().filter(|field| of.field(&field.path).is_some());
    both.map(|field| field.path.clone()).collect()
}

/// What `after` has otherwise than `before`: fields in the order of the form, then rules, choices and the whole.
#[must_use]
pub fn differences(before: &Form, after: &Form) -> Vec<Difference> {
    let (was, now) = (before.definition(), after.definition());
    let mut found = Found { all: Vec::new() };
    for field in &now.fields {
        match before.field(&field.path) {
            Some(old) => compare_field(&mut found, old, field),
            None => found.push(DifferenceKind::Added, &field.path, None, Some(field.field_type.word().to_owned())),
        }
    }
    for field in was.fields.iter().filter(|field| after.field(&field.path).is_none()) {
        found.push(DifferenceKind::Removed, &field.path, Some(field.field_type.word().to_owned()), None);
    }
    compare_rules(&mut found, before, after);
    let (mut old_items, mut new_items) = (BTreeMap::new(), BTreeMap::new());
    items(&was.items, &mut old_items);
    items(&now.items, &mut new_items);
    for (path, item) in &new_items {
        if let Some(old) = old_items.get(path) {
            found.labels(DifferenceKind::Hint, path, &old.hint, &item.hint);
        }
    }
    let lists: BTreeSet<&String> = was.choices.keys().chain(now.choices.keys()).collect();
    for list in lists {
        let of = |definition: &FormDefinition| definition.choices.get(list).cloned().unwrap_or_default();
        compare_choices(&mut found, list, &of(was), &of(now));
    }
    let (old_order, new_order) = (order(was, after), order(now, before));
    if old_order != new_order {
        found.push(DifferenceKind::Order, "", None, None);
    }
    found.labels(DifferenceKind::Title, "", &was.title, &now.title);
    found.compare(DifferenceKind::Languages, "", &was.languages.join(" "), &now.languages.join(" "));
    found.all
}
