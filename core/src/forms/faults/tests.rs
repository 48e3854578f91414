use super::*;

fn places(text: &str) -> Vec<usize> {
    let mut found: Vec<usize> = (0..9).filter(|at| text.contains(&format!("{{{at}}}"))).collect();
    found.dedup();
    found
}

fn is_han(c: char) -> bool {
    ('\u{4E00}'..='\u{9FFF}').contains(&c)
}

#[test]
fn every_fault_is_said_in_chinese_and_in_english() {
    let mut keys = std::collections::BTreeSet::new();
    for kind in FaultKind::ALL {
        let (chinese, english) = (kind.template(true), kind.template(false));
        assert!(chinese.contains(is_han), "{}: {chinese}", kind.key());
        assert!(!english.contains(is_han), "{}: {english}", kind.key());
        assert_eq!(places(chinese), places(english), "{}", kind.key());
        assert!(keys.insert(kind.key()), "{} is there twice", kind.key());
    }
}

#[test]
fn places_are_filled_once_and_references_stay_whole() {
    let fault = FormFault::new(FaultKind::UnseenTrigger).with("{1}").with("b");
    assert_eq!(fault.text("zh-Hans"), "${{1}} 不由人填写，不能触发“b”");
    assert_eq!(fault.to_string(), "${{1}} is answered by nobody, so it cannot trigger b");
    let fault = FormFault::new(FaultKind::OpenReference);
    assert_eq!(fault.text("bo"), "${…} 没有写完，缺少 }");
    let long = FormFault::new(FaultKind::UnknownType).with("长".repeat(5_000));
    assert!(long.text("en").chars().count() < 250);
}
