use super::*;

#[test]
fn ten_attempts_in_a_quarter_of_an_hour() {
    let limiter = Limiter::default();
    for _ in 0..ATTEMPTS_MAX {
        assert!(limiter.attempt("a", 0));
    }
    assert!(!limiter.attempt("a", 1));
    assert!(limiter.attempt("b", 1));
    assert!(limiter.attempt("a", WINDOW_MS));
    limiter.forgive("b");
    assert!(limiter.attempt("b", 2));
}
