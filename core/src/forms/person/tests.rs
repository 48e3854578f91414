use super::*;

#[test]
fn id_numbers_are_compared_in_one_form() {
    let cases = [
        ("11010519491231002X", Some("11010519491231002X")),
        (" 11010519491231002x ", Some("11010519491231002X")),
        ("１１０１０５ 19491231 002ｘ", Some("11010519491231002X")),
        // The same person's number of the first generation.
        ("110105491231002", Some("11010519491231002X")),
        ("110105194912310021", None),
        ("110105491331002", None),
        ("无", None),
        ("-", None),
        ("", None),
    ];
    for (text, number) in cases {
        assert_eq!(id_number(text).as_deref(), number, "{text}");
    }
}

#[test]
fn names_are_compared_in_one_form() {
    for (one, other) in
        [("才让•卓玛", "才让·卓玛"), ("才让 · 卓玛", "才让·卓玛"), (" 马  秀英 ", "马 秀英"), ("Ａli", "ali")]
    {
        assert_eq!(folded_name(one), folded_name(other), "{one}");
    }
    assert_ne!(folded_name("马秀英"), folded_name("马秀兰"));
}

#[test]
fn a_key_says_who_what_and_for_which_occasion() {
    let number = Identity::IdNumber("11010519491231002X".to_owned());
    let named = Identity::NameAndBirth { name: "a".to_owned(), birth_date: "1949-12-31".to_owned() };
    let (secret, other, none): (_, _, &[String]) = ([1; 32], [2; 32], &[]);
    let year = |year: &str| vec![year.to_owned()];
    let key = |who: &Identity, kind: &str, unit: &str| who.key(&secret, kind, none, unit);
    assert_eq!(key(&number, "household", "a"), key(&number, "household", "b"), "a number holds everywhere");
    assert_ne!(key(&named, "household", "a"), key(&named, "household", "b"), "a name within its unit");
    assert_ne!(key(&number, "household", "a"), key(&number, "payment", "a"));
    assert_ne!(key(&number, "household", "a"), number.key(&other, "household", none, "a"));
    assert_ne!(number.key(&secret, "check", &year("2025"), "a"), number.key(&secret, "check", &year("2026"), "a"));
    // Parts do not run into each other.
    let parts = |parts: [&str; 2]| number.key(&secret, "check", &parts.map(str::to_owned), "a");
    assert_ne!(parts(["1", "23"]), parts(["12", "3"]));
}
