use super::*;

/// 2024-05-20.
const TODAY: i64 = 19_863;

#[test]
fn id_numbers_of_the_standard_pass() {
    let facts = id_number("11010519491231002X", TODAY).unwrap();
    assert_eq!((facts.birth_date().as_str(), facts.male), ("1949-12-31", false));
    let facts = id_number("440524188001010014", TODAY).unwrap();
    assert_eq!((facts.birth_date().as_str(), facts.male), ("1880-01-01", true));
}

#[test]
fn wrong_id_numbers_say_what_is_wrong() {
    let cases = [
        ("", MessageKey::IdNumberForm),
        ("11010519491231002", MessageKey::IdNumberForm),
        ("1101051949123100２X", MessageKey::IdNumberForm),
        ("11010519491231002x", MessageKey::IdNumberForm),
        ("A1010519491231002X", MessageKey::IdNumberForm),
        ("110105194912310021", MessageKey::IdNumberChecksum),
        ("110105194912310O2X", MessageKey::IdNumberForm),
    ];
    for (number, key) in cases {
        assert_eq!(id_number(number, TODAY), Err(key), "{number}");
    }
}

/// Gives 17 digits their check character.
fn completed(digits: &str) -> String {
    "0123456789X"
        .chars()
        .map(|end| format!("{digits}{end}"))
        .find(|number| id_number(number, i64::MAX) != Err(MessageKey::IdNumberChecksum))
        .unwrap()
}

#[test]
fn dates_of_birth_must_exist_and_have_been() {
    for digits in ["63012220230229001", "63012220231301001", "63012220240521001", "63012220990101001"] {
        assert_eq!(id_number(&completed(digits), TODAY), Err(MessageKey::IdNumberDate), "{digits}");
    }
    // The day of the check itself has been; a leap day exists; 630122 is a retired division.
    for digits in ["63012220240520001", "63012220240229001", "63210019700101123"] {
        assert!(id_number(&completed(digits), TODAY).is_ok(), "{digits}");
    }
}

#[test]
fn every_single_wrong_digit_of_an_id_number_is_noticed() {
    let right = "11010519491231002X";
    for at in 0..18 {
        for digit in "0123456789X".chars() {
            let wrong: String = right.chars().enumerate().map(|(i, c)| if i == at { digit } else { c }).collect();
            assert_eq!(id_number(&wrong, TODAY).is_ok(), wrong == right, "{wrong}");
        }
    }
}

#[test]
fn full_width_codes_are_folded_before_the_check() {
    assert_eq!(canonical(Check::IdNumber, "　１１０１０５１９４９１２３１００２ｘ "), "11010519491231002X");
    assert_eq!(canonical(Check::CreditCode, "91350100ｍ000100ｙ43"), "91350100M000100Y43");
    assert_eq!(canonical(Check::Phone, "+86 139-7000-0001"), "13970000001");
    assert_eq!(canonical(Check::Phone, "（０９７１）１２３４５６７"), "09711234567");
}

#[test]
fn credit_codes() {
    assert_eq!(verify(Check::CreditCode, "91350100M000100Y43", TODAY), None);
    let key = |code| verify(Check::CreditCode, code, TODAY).map(|message| message.key);
    assert_eq!(key("91350100M000100Y44"), Some(MessageKey::CreditCodeChecksum));
    assert_eq!(key("91350100I000100Y43"), Some(MessageKey::CreditCodeForm));
    assert_eq!(key("91350100M000100Y4"), Some(MessageKey::CreditCodeForm));
}

#[test]
fn phones() {
    for right in ["13970000001", "09711234567", "01012345678", "4008123456", "8123456", "12351", "+85298765432"] {
        assert_eq!(verify(Check::Phone, right, TODAY), None, "{right}");
    }
    for wrong in ["", "1397000000", "12970000001", "139700000012", "00971123456", "abc", "+86", "123"] {
        assert!(verify(Check::Phone, wrong, TODAY).is_some(), "{wrong}");
    }
}

#[test]
fn divisions() {
    for right in ["632301", "630000", "632857", "632301100", "632301100201", "110105"] {
        assert_eq!(verify(Check::Division, right, TODAY), None, "{right}");
    }
    for wrong in ["639999", "990000", "63230", "6323011", "632301999", "632301000", "63230a"] {
        assert!(verify(Check::Division, wrong, TODAY).is_some(), "{wrong}");
    }
}
