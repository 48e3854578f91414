use super::*;
use crate::forms::compile_sheets;

const SETTINGS: &str = "form_title,form_id,version\nVisit,note,1\n";

fn form(survey: &str, choices: &str) -> Form {
    let files = [("survey.csv", survey), ("choices.csv", choices), ("settings.csv", SETTINGS)];
    compile_sheets("note", &files).unwrap_or_else(|errors| panic!("{errors:?}"))
}

const SURVEY: &str = "\
type,name,label,hint,required,relevant,constraint,calculation,bind::fb:merge,bind::fb:sensitivity,bind::fb:writers
text,name,Name,Whole,yes,,string-length(.) < 9,,,,
integer,count,Count,,,,,,,,
select_one colour,colour,Colour,,,,,,,,
begin group,more,More,,,,,,,,
text,note,Note,,,${count} > 1,,,,,
end group,,,,,,,,,,
";
const CHOICES: &str = "list_name,name,label\ncolour,red,Red\ncolour,blue,Blue\n";

#[test]
fn a_form_does_not_differ_from_itself() {
    assert_eq!(differences(&form(SURVEY, CHOICES), &form(SURVEY, CHOICES)), Vec::new());
}

/// What stands in the survey, what is put there, and the difference that it makes: kind, path, before, after.
type Case = (&'static str, &'static str, DifferenceKind, &'static str, Option<&'static str>, Option<&'static str>);

#[test]
fn each_difference_is_named_with_both_sides() {
    use DifferenceKind as Kind;
    let cases: &[Case] = &[
        ("integer,count,Count", "text,count,Count", Kind::Retyped, "count", Some("integer"), Some("text")),
        (
            "text,name,Name,Whole",
            "text,name,Full name,Whole",
            Kind::Label,
            "name",
            Some("default: Name"),
            Some("default: Full name"),
        ),
        (
            "text,name,Name,Whole",
            "text,name,Name,All",
            Kind::Hint,
            "name",
            Some("default: Whole"),
            Some("default: All"),
        ),
        ("Whole,yes,", "Whole,,", Kind::Required, "name", Some("true()"), None),
        (
            "string-length(.) < 9",
            "string-length(.) < 8",
            Kind::Constraint,
            "name",
            Some("string-length(.) < 9"),
            Some("string-length(.) < 8"),
        ),
        (
            "text,name,Name,Whole,yes,,string-length(.) < 9,,,,",
            "text,name,Name,Whole,yes,,string-length(.) < 9,,once,,",
            Kind::Merge,
            "name",
            Some("register"),
            Some("once"),
        ),
        (
            "text,name,Name,Whole,yes,,string-length(.) < 9,,,,",
            "text,name,Name,Whole,yes,,string-length(.) < 9,,,plain,",
            Kind::Sensitivity,
            "name",
            Some("personal"),
            Some("plain"),
        ),
        (
            "text,name,Name,Whole,yes,,string-length(.) < 9,,,,",
            "text,name,Name,Whole,yes,,string-length(.) < 9,,,,county",
            Kind::Writers,
            "name",
            Some("county field prefecture province township"),
            Some("county"),
        ),
    ];
    for (old, new, kind, path, before, after) in cases {
        assert!(SURVEY.contains(old), "{old}");
        let found = differences(&form(SURVEY, CHOICES), &form(&SURVEY.replacen(old, new, 1), CHOICES));
        let wanted = Difference {
            kind: *kind,
            path: (*path).to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        assert_eq!(found, vec![wanted], "{new}");
    }
}

#[test]
fn what_came_and_went_is_named() {
    use DifferenceKind as Kind;
    let moved = SURVEY.replace("text,note,Note", "text,remark,Note");
    let found = differences(&form(SURVEY, CHOICES), &form(&moved, CHOICES));
    let named: Vec<(Kind, &str)> = found.iter().map(|one| (one.kind, one.path.as_str())).collect();
    assert_eq!(named, [(Kind::Added, "more/remark"), (Kind::Removed, "more/note")]);
    let choices = "list_name,name,label\ncolour,red,Dark red\ncolour,green,Green\n";
    let found = differences(&form(SURVEY, CHOICES), &form(SURVEY, choices));
    let named: Vec<_> =
        found.iter().map(|one| (one.kind, one.path.as_str(), one.before.as_deref(), one.after.as_deref())).collect();
    assert_eq!(
        named,
        [
            (Kind::ChoicesAdded, "colour", None, Some("green")),
            (Kind::ChoicesRemoved, "colour", Some("blue"), None),
            (Kind::ChoiceLabels, "colour/red", Some("default: Red"), Some("default: Dark red")),
        ]
    );
}
