use super::*;

#[test]
fn every_sentence_is_there_in_both_languages_about_the_same_things() {
    let is_han = |c: char| ('\u{4E00}'..='\u{9FFF}').contains(&c);
    for text in Text::ALL {
        let (chinese, english) = (text.template(Language::Chinese), text.template(Language::English));
        assert!(chinese.contains(is_han), "{chinese}");
        assert!(!english.contains(is_han), "{english}");
        for at in 0..10 {
            let place = format!("{{{at}}}");
            assert_eq!(chinese.contains(&place), english.contains(&place), "{text:?}");
        }
    }
}

#[test]
fn places_are_filled_once() {
    let said = Said::new(Text::Line).with(7).with("{0}");
    assert_eq!(said.say(Language::Chinese), "第 7 行：{0}");
    assert_eq!(said.say(Language::English), "line 7: {0}");
    assert_eq!(Said::new(Text::NotObject).with("set").say(Language::English), "set must be an object {…}");
}
