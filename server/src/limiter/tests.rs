use super::*;

#[test]
fn ten_attempts_in_a_quarter_of_an_hour() {
    let limiter = Limiter::default();
    for _ in 0..LOGIN_ATTEMPTS_MAX {
        assert!(limiter.attempt("a", LOGIN_ATTEMPTS_MAX, 0));
    }
    assert!(!limiter.attempt("a", LOGIN_ATTEMPTS_MAX, 1));
    assert!(limiter.attempt("b", LOGIN_ATTEMPTS_MAX, 1));
    assert!(limiter.attempt("a", LOGIN_ATTEMPTS_MAX, WINDOW_MS));
    limiter.forgive("b");
    assert!(limiter.attempt("b", LOGIN_ATTEMPTS_MAX, 2));
}
