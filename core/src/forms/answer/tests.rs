use proptest::prelude::*;

use super::{geo, text, time};

#[test]
fn names_have_one_middle_dot() {
    for typed in [
        "仁青·卓玛",
        "仁青・卓玛",
        "仁青•卓玛",
        "仁青‧卓玛",
        "仁青∙卓玛",
        "仁青⋅卓玛",
        "仁青.卓玛",
        "仁青．卓玛",
        "仁青 · 卓玛",
        " 仁青・ 卓玛 ",
    ] {
        assert_eq!(text::name(typed), "仁青·卓玛", "{typed}");
    }
    assert_eq!(text::name("བཀྲ་ཤིས་・སྒྲོལ་མ"), text::name("བཀྲ་ཤིས་・སྒྲོལ་མ"));
    for kept in ["J.K. Rowling", "a.b@example.org", "3.5", "·", "卓玛.", "No. 5"] {
        assert_eq!(text::name(kept), kept, "{kept}");
    }
}

#[test]
fn plain_text_is_nfc_without_control_characters() {
    assert_eq!(text::plain(" e\u{301}\u{0}\r\nb\u{7} "), "\u{e9}\nb");
}

#[test]
fn decimals_have_one_form() {
    let cases = [
        ("12.50", Some("12.5")),
        ("+012", Some("12")),
        (".5", Some("0.5")),
        ("5.", Some("5")),
        ("-0.0", Some("0")),
        ("-0.10", Some("-0.1")),
        ("1e3", Some("1000")),
        ("1.5E-3", Some("0.0015")),
        ("１２．５", Some("12.5")),
        ("", None),
        (".", None),
        ("1,5", None),
        ("1e99", None),
        ("abc", None),
        ("--1", None),
    ];
    for (typed, canonical) in cases {
        assert_eq!(text::decimal(typed, 30).as_deref(), canonical, "{typed}");
    }
}

#[test]
fn dates_and_times_have_one_form() {
    assert_eq!(time::date("2024-5-1").as_deref(), Some("2024-05-01"));
    assert_eq!(time::date("2024年05月1日").as_deref(), Some("2024-05-01"));
    for wrong in ["2023-02-29", "2024-13-01", "24-01-01", "2024-01", "2024-01-01-01", "abcd-01-01"] {
        assert_eq!(time::date(wrong), None, "{wrong}");
    }
    assert_eq!(time::time("8:30").as_deref(), Some("08:30:00"));
    assert_eq!(time::time("08:30:00.000+08:00").as_deref(), Some("08:30:00"));
    assert_eq!(time::time("24:00"), None);
    assert_eq!(time::date_time("2024-05-01T08:30:00.000Z").as_deref(), Some("2024-05-01T16:30:00+08:00"));
    assert_eq!(time::date_time("2024-05-01 23:30").as_deref(), Some("2024-05-01T23:30:00+08:00"));
    assert_eq!(time::date_time("2024-05-01T23:30:00.120-02:30").as_deref(), Some("2024-05-02T10:00:00.120+08:00"));
    assert_eq!(time::date_time_text(1_716_177_600), "2024-05-20T12:00:00+08:00");
}

#[test]
fn positions_have_one_form() {
    assert_eq!(geo::point("36.620, 101.77").as_deref(), Some("36.62 101.77"));
    assert_eq!(geo::point("36.62 101.77 2261.0 5").as_deref(), Some("36.62 101.77 2261 5"));
    for wrong in ["", "36.62", "91 0", "0 181", "a b", "1 2 3 4 5"] {
        assert_eq!(geo::point(wrong), None, "{wrong}");
    }
    assert_eq!(geo::line("1 1;2 2;3 1", true).unwrap(), "1 1;2 2;3 1;1 1");
    assert!(geo::line("1 1;2 2", true).is_err());
    assert!(geo::line("1 1", false).is_err());
}

#[test]
fn what_meets_where_something_was_dropped_is_canonical_too() {
    assert_eq!(text::phone("\u{8e3}-\u{10a39}"), "\u{10a39}\u{8e3}", "found by a property test");
    assert_eq!(text::plain("e\u{1}\u{301}"), "é");
    assert_eq!(text::code("ｅ \u{301}"), "é");
    assert_eq!(text::phone("+86 +86 138 9700 1234"), "13897001234");
}

proptest! {
    #[test]
    fn canonical_text_stays_as_it_is(typed in "\\PC{0,40}") {
        for canonical in [text::plain, text::name, text::code, text::phone] {
            let once = canonical(&typed);
            prop_assert_eq!(canonical(&once), once);
        }
    }

    #[test]
    fn canonical_decimals_stay_and_mean_the_same(number in -1.0e12_f64..1.0e12) {
        let once = text::decimal(&number.to_string(), 40).unwrap();
        prop_assert_eq!(text::decimal(&once, 40).unwrap(), once.clone());
        prop_assert_eq!(once.parse::<f64>().unwrap(), number);
    }

    #[test]
    fn days_count_up_and_back(day in -700_000_i64..2_900_000) {
        let (year, month, date) = time::date_of(day);
        if (1..=9999).contains(&year) {
            prop_assert_eq!(time::day_number(year, month, date), Some(day));
        }
    }

    #[test]
    fn any_text_is_read_without_panic(typed in "\\PC{0,60}") {
        let _ = (time::date(&typed), time::time(&typed), time::date_time(&typed), geo::point(&typed), geo::line(&typed, true));
        let _ = text::decimal(&typed, 30);
    }
}
