use super::shanghai;

#[test]
fn times_are_those_of_shanghai() {
    assert_eq!(shanghai(0), "1970-01-01T08:00:00+08:00");
    assert_eq!(shanghai(951_782_399_000), "2000-02-29T07:59:59+08:00");
    assert_eq!(shanghai(1_795_321_710_981), "2026-11-22T12:28:30+08:00");
    assert_eq!(shanghai(-28_800_001), "1969-12-31T23:59:59+08:00");
}
