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

#[test]
fn whoever_is_shut_out_shuts_out_nobody_else() {
    let limiter = Limiter::default();
    let keys = |from: &str, login: &str| [(format!("from {from}"), 50), (format!("login {login}"), LOGIN_ATTEMPTS_MAX)];
    for _ in 0..5 {
        assert!(limiter.attempt_all(&keys("office", "li"), 0));
    }
    // One machine, more logins than are remembered: after fifty it charges nobody.
    let passed = (0..=KEYS_MAX).filter(|number| limiter.attempt_all(&keys("attacker", &number.to_string()), 1)).count();
    assert_eq!(passed, 50);
    (0..LOGIN_ATTEMPTS_MAX).for_each(|_| assert!(!limiter.attempt_all(&keys("attacker", "li"), 2)));
    assert!(limiter.attempt_all(&keys("office", "li"), 3), "five of ten");
    // Many machines fill the table: what was tried longest ago goes, and everybody may still come.
    for number in 0..=KEYS_MAX {
        assert!(limiter.attempt_all(&keys(&format!("net {number}"), "wang"), 4) || number >= LOGIN_ATTEMPTS_MAX);
    }
    for number in 0..=KEYS_MAX {
        assert!(limiter.attempt(&format!("other {number}"), 1, 5));
    }
    assert!(limiter.attempt_all(&keys("office", "li"), 6));
}

#[test]
fn an_ipv6_subscriber_is_one() {
    let same = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"].map(|text| network(text.parse().unwrap()));
    assert_eq!(same[0], same[1]);
    assert_ne!(same[0], network("2001:db8:1:3::1".parse().unwrap()));
    assert_eq!(network("::ffff:192.0.2.7".parse().unwrap()), network("192.0.2.7".parse().unwrap()));
}
