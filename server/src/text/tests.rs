use super::*;

#[test]
fn every_word_is_there_once_and_both_languages_name_the_same_things() {
    let names = |text: &str| -> Vec<String> {
        let mut found: Vec<String> =
            text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name.to_owned()).collect();
        found.sort();
        found.dedup();
        found
    };
    let all: Vec<_> =
        CATALOGUE.iter().chain(desk::CATALOGUE).chain(operations::CATALOGUE).chain(people::CATALOGUE).collect();
    for (at, (word, chinese, english)) in all.iter().enumerate() {
        assert!(all[..at].iter().all(|(other, ..)| other != word), "{word} is there twice");
        assert_eq!(names(chinese), names(english), "{word}");
    }
}

#[test]
fn languages_are_chosen_by_tag_and_header() {
    assert_eq!(Language::from_tag("en_GB.UTF-8"), Language::English);
    assert_eq!(Language::from_tag("C.UTF-8"), Language::Chinese);
    assert_eq!(Language::from_accept("en;q=0.5, zh-CN"), Language::Chinese);
    assert_eq!(Language::from_accept("fr, en-GB;q=0.8"), Language::English);
    assert_eq!(Language::from_accept(""), Language::Chinese);
}

#[test]
fn texts_are_filled() {
    let text = text(Language::English, "unit_unknown", &[("unit", "X".to_owned())]);
    assert_eq!(text, "No unit X: check its code or name.");
}
