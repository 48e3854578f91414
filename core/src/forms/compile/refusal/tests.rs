use super::*;
use crate::forms::compile_sheets;

const CHOICES: (&str, &str) = ("choices.csv", "list_name,name,label\nl,x,X\nl,y,Y\nm,x,X\n");

fn refused(files: &[(&str, &str)]) -> SheetError {
    match compile_sheets("bad", files) {
        Err(mut errors) => errors.remove(0),
        Ok(_) => panic!("it compiled: {files:?}"),
    }
}

fn is_han(c: char) -> bool {
    ('\u{4E00}'..='\u{9FFF}').contains(&c)
}

/// Kind, place, and that it reads well in both languages.
fn expect(files: &[(&str, &str)], kind: FaultKind, sheet: &str, row: usize, column: &str) {
    let error = refused(files);
    let place = (error.sheet.as_str(), error.row, error.column.as_deref());
    assert_eq!((error.fault.kind, place), (kind, (sheet, Some(row), Some(column))), "{error} of {files:?}");
    let (chinese, english) = (error.text("zh-Hans"), error.text("en"));
    let place = format!("工作表 {sheet}，第 {row} 行，{column} 列：");
    assert!(chinese.strip_prefix(&place).is_some_and(|said| said.contains(is_han)), "{chinese}");
    let place = format!("sheet {sheet}, row {row}, column {column}: ");
    assert!(english.strip_prefix(&place).is_some_and(|said| !said.is_empty() && !said.contains(is_han)), "{english}");
    for text in [chinese, english] {
        assert!((0..5).all(|at| !text.contains(&format!("{{{at}}}"))), "{text}");
    }
}

#[test]
fn what_the_library_says_of_a_row_has_a_kind_and_a_place() {
    use FaultKind as F;
    let table = [
        ("type,name,label\ntxet,a,A\n", F::UnknownType, 2, "type"),
        ("type,name,label\ntext,,A\n", F::NoName, 2, "name"),
        ("type,name,label\nbegin group,,G\ntext,a,A\nend group,,\n", F::GroupWithoutName, 2, "name"),
        ("type,name,label\ntext,my name,A\n", F::BadName, 2, "name"),
        ("type,name,label\nbegin group,1g,G\ntext,a,A\nend group,,\n", F::BadName, 2, "name"),
        ("type,name,label\ntext,a,A\ntext,a,B\n", F::NameTwice, 3, "name"),
        ("type,name,label\ntext,a,\n", F::NoLabel, 2, "label"),
        ("type,name,label\ntext,a,A\nend group,,\n", F::EndWithoutBegin, 3, "type"),
        ("type,name,label\nbegin group,g,G\ntext,a,A\nend repeat,,\n", F::WrongEnd, 4, "type"),
        ("type,name,label\nbegin repeat,g,G\ntext,a,A\n", F::NoEnd, 2, "type"),
        ("type,name,label,choice_filter\nselect_one l or_other,a,A,true()\n", F::OtherFiltered, 2, "type"),
        ("type,name,label\nselect_one_from_file f.csv or_other,a,A\n", F::OtherFromFile, 2, "type"),
        (
            "type,name,label,appearance,choice_filter\nbegin group,g,G,table-list,\nselect_one l,a,A,,true()\nend group,,,,\n",
            F::TableFiltered,
            3,
            "choice_filter",
        ),
        (
            "type,name,label,appearance\nbegin group,g,G,table-list\nselect_one l,a,A,\nselect_one m,b,B,\nend group,,,\n",
            F::TableLists,
            4,
            "type",
        ),
        ("type,name,label\nselect_one nope or_other,a,A\n", F::UnknownList, 2, "type"),
        ("type,name,label\nbegin loop over nope,g,G\ntext,a,A\nend loop,,\n", F::UnknownList, 2, "type"),
        ("type,name,label\nselect_one nope,a,A\n", F::UnknownList, 2, "type"),
        (
            "type,name,label\nselect_one_from_file f.csv,a,A\nselect_one_from_file f.xml,b,B\n",
            F::SourceTwice,
            3,
            "type",
        ),
        ("type,name,label\nbackground-geopoint,a,A\n", F::NoTrigger, 2, "trigger"),
        ("type,name,label,trigger\ntext,a,A,\ncalculate,b,,a\n", F::BadTrigger, 3, "trigger"),
        ("type,name,label,trigger\ntext,a,A,\ncalculate,b,,${c}\n", F::UnknownReference, 3, "trigger"),
        ("type,name,label,calculation,trigger\ncalculate,a,,1,\ncalculate,b,,2,${a}\n", F::UnseenTrigger, 3, "trigger"),
        ("type,name,label,save_to\nbegin repeat,r,R,\ntext,a,A,p\nend repeat,,,\n", F::SaveToInRepeat, 3, "save_to"),
    ];
    for (survey, kind, row, column) in table {
        expect(&[("survey.csv", survey), CHOICES], kind, "survey", row, column);
    }
}

#[test]
fn a_wrong_reference_is_found_in_its_cell() {
    use FaultKind as F;
    let table = [
        ("constraint", "${nobody} > 1", F::UnknownReference),
        ("constraint", "${ nobody } > 1", F::UnknownReference),
        ("constraint", ". > ${a", F::OpenReference),
        ("relevance", "${nobody} = 1", F::UnknownReference),
        ("label::中文 (zh-Hans)", "你好 ${nobody}", F::UnknownReference),
        ("hint", "你好 ${nobody", F::OpenReference),
        ("bind::odk:length", "${nobody}", F::UnknownReference),
        ("default", "${nobody}", F::UnknownReference),
        ("choice_filter", "x = ${nobody}", F::UnknownReference),
        ("readonly", "${nobody} = 1", F::UnknownReference),
    ];
    for (column, cell, kind) in table {
        let survey = format!("type,name,label,{column}\ntext,a,A,\nselect_one l,b,B,\"{cell}\"\n");
        expect(&[("survey.csv", &survey), CHOICES], kind, "survey", 3, column);
    }
    let twice = "type,name,label,constraint\nbegin group,g,G,\ntext,a,A,\nend group,,,\nbegin group,h,H,\ntext,a,A,\n\
        end group,,,\ntext,b,B,. != ${a}\n";
    expect(&[("survey.csv", twice)], F::AmbiguousReference, "survey", 8, "constraint");
    let survey = ("survey.csv", "type,name,label\nselect_one l,a,A\n");
    let settings = ("settings.csv", "form_id,instance_name\nx,${nobody}\n");
    expect(&[survey, CHOICES, settings], F::UnknownReference, "settings", 2, "instance_name");
    let count = "type,name,label,repeat_count\nbegin repeat,r,R,${nobody}\ntext,a,A,\nend repeat,,,\n";
    expect(&[("survey.csv", count)], F::UnknownReference, "survey", 2, "repeat_count");
}

#[test]
fn what_the_library_says_of_choices_and_entities_has_a_kind_and_a_place() {
    use FaultKind as F;
    let survey = ("survey.csv", "type,name,label\nselect_multiple l,a,A\n");
    let choices = [
        ("name,label\nx,X\n", F::ChoiceWithoutList, 2, "list_name"),
        ("list_name,name,label\nl,x,X\nl,,Y\n", F::ChoiceWithoutName, 3, "name"),
        ("list_name,name,label\nl,x,X\nl,x,Y\n", F::ChoiceTwice, 3, "name"),
        ("list_name,name,label\nl,x,X\nl,y y,Y\n", F::ChoiceWithSpace, 3, "name"),
    ];
    for (choices, kind, row, column) in choices {
        expect(&[survey, ("choices.csv", choices)], kind, "choices", row, column);
    }
    let entities = [
        ("list_name,label\np,a\nq,b\n", F::EntityTwice, 3, "list_name"),
        ("list_name,lable\np,a\n", F::EntityColumn, 2, "lable"),
        ("label\na\n", F::EntityWithoutList, 2, "list_name"),
        ("list_name,label\n__p,a\n", F::EntityListName, 2, "list_name"),
        ("list_name,label,update_if\np,a,true()\n", F::EntityUpdate, 2, "update_if"),
        ("list_name,label,entity_id,create_if\np,a,b,true()\n", F::EntityCreate, 2, "create_if"),
        ("list_name,create_if\np,true()\n", F::EntityWithoutLabel, 2, "label"),
        ("list_name,label\np,${nobody}\n", F::UnknownReference, 2, "label"),
    ];
    for (entities, kind, row, column) in entities {
        expect(&[survey, CHOICES, ("entities.csv", entities)], kind, "entities", row, column);
    }
}

#[test]
fn what_the_library_suggests_is_said_in_both_languages() {
    let told = |survey: &str| {
        let error = refused(&[("survey.csv", survey), CHOICES]);
        (error.text("zh-Hans"), error.text("en"))
    };
    let (chinese, english) = told("type,name,label\ntxet,a,A\n");
    assert_eq!(chinese, "工作表 survey，第 2 行，type 列：没有题型“txet”（是不是“text”？）");
    assert_eq!(english, "sheet survey, row 2, column type: there is no question type txet (did you mean text?)");
    let (chinese, english) = told("type,name,label\nselect_one villages,a,A\n");
    assert!(chinese.ends_with("没有选项表“villages”（现有：l, m）"), "{chinese}");
    assert!(english.ends_with("has no list villages (there are: l, m)"), "{english}");
    let error = refused(&[("survey.csv", "type,name,label\nselect_one villages,a,A\n")]);
    assert!(error.text("zh-Hans").ends_with("（没有 choices 工作表，或者它是空的）"), "{error}");
}

#[test]
fn what_the_catalogue_does_not_know_is_told_in_the_librarys_words() {
    let said = rxform::Error::new("the moon is 'full'").sheet("survey").row(7).column("name").hint("wait");
    let error = SheetError::of_library(said, &Workbook::default());
    assert_eq!(error.fault.kind, FaultKind::LibraryRefused);
    assert_eq!(error.text("zh-Hans"), "工作表 survey，第 7 行，name 列：表单库不接受（the moon is 'full'）");
    assert_eq!(error.text("en"), "sheet survey, row 7, column name: the form library refused it (the moon is 'full')");
}

#[test]
fn patterns_capture_what_stands_between_their_words() {
    assert_eq!(captured("'{}' and '{}'", "'a' and 'b'"), Some(vec!["a", "b"]));
    assert_eq!(captured("'{}' and '{}'", "'it's' and 'b'"), Some(vec!["it's", "b"]));
    assert_eq!(captured("lists: {}", "lists: a, b"), Some(vec!["a, b"]));
    assert_eq!(captured("plain", "plain"), Some(vec![]));
    for other in ["'a' and 'b", "'a' or 'b'", "a' and 'b'", "'a' and 'b' too"] {
        assert_eq!(captured("'{}' and '{}'", other), None, "{other}");
    }
    assert_eq!(captured("plain", "plainer"), None);
}
