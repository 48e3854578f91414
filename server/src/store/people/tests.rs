use std::sync::atomic::Ordering;

use fieldbook_core::access::Role;
use fieldbook_core::ids::UserId;

use crate::store::{Granted, NewPerson, PeopleQuery, Problem, StaffEntry, StaffRow, StoreError, password_fits, users};
use crate::testing::TestServer;
use crate::text::Language;

fn user(server: &TestServer, login: &str, unit: &str, role: Role) -> UserId {
    server.store.add_user(&format!("name of {login}"), unit, &[role], Some(login)).unwrap().0.id
}

fn word<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> &'static str {
    match answer.unwrap_err() {
        StoreError::Problem(Problem { word, .. }) => word,
        other => panic!("{other}"),
    }
}

fn at(role: Role, unit: &str) -> Granted {
    vec![(role, unit.to_owned())]
}

fn new(login: &str, unit: &str, roles: Granted) -> NewPerson {
    NewPerson { name: "新人".to_owned(), login: Some(login.to_owned()), unit: unit.to_owned(), roles }
}

fn logins(server: &TestServer, by: UserId, query: &PeopleQuery) -> Vec<String> {
    let list = server.store.people(by, query).unwrap();
    list.users.into_iter().map(|person| person.login).collect()
}

fn all() -> PeopleQuery {
    PeopleQuery { limit: 200, ..PeopleQuery::default() }
}

/// Action and detail of what was done to somebody, oldest first; and that it is known who did it.
fn audited(server: &TestServer, by: UserId, subject: UserId) -> Vec<(String, String)> {
    let text = "SELECT action, detail FROM audit WHERE subject = ?1 AND user = ?2 ORDER BY id";
    let rows = server.store.read(|tx| {
        let mut statement = tx.prepare(text)?;
        let rows = statement.query_map((subject.to_string(), by.as_bytes()), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok::<_, StoreError>(rows.collect::<Result<_, _>>()?)
    });
    rows.unwrap()
}

#[test]
fn supervisors_see_the_users_of_their_subtree() {
    let server = TestServer::new();
    let top = user(&server, "top", "63", Role::Province);
    let county = user(&server, "county", "6301", Role::County);
    let field = user(&server, "field", "a", Role::Field);
    user(&server, "Other", "b", Role::Field);
    assert_eq!(logins(&server, county, &all()).len(), 3);
    assert_eq!(logins(&server, top, &all()).len(), 4);
    assert!(logins(&server, field, &all()).is_empty());
    let of = PeopleQuery { unit: Some("a".to_owned()), ..all() };
    assert_eq!(logins(&server, county, &of), ["field"]);
    let of = PeopleQuery { text: Some("oTHer".to_owned()), ..all() };
    assert_eq!(logins(&server, county, &of), ["Other"]);
    let two = PeopleQuery { limit: 2, ..all() };
    let first = server.store.people(county, &two).unwrap();
    let second = server.store.people(county, &PeopleQuery { after: first.next.clone(), ..two }).unwrap();
    let mut both: Vec<String> = first.users.into_iter().chain(second.users).map(|person| person.login).collect();
    both.sort();
    assert_eq!(
        (both.len(), both.as_slice(), second.next),
        (3, ["Other", "county", "field"].map(str::to_owned).as_slice(), None)
    );
    let nowhere = PeopleQuery { unit: Some("63".to_owned()), ..all() };
    assert_eq!(logins(&server, county, &nowhere).len(), 3, "of the unit above only what lies in the own subtree");
    let foreign = user(&server, "b", "b", Role::County);
    let of = PeopleQuery { unit: Some("a".to_owned()), ..all() };
    assert_eq!(word(server.store.people(foreign, &of)), "unit_unknown");
}

#[test]
fn roles_are_given_in_the_own_subtree_and_no_higher_than_the_own() {
    let server = TestServer::new();
    let county = user(&server, "county", "6301", Role::County);
    let store = &server.store;
    for role in Role::ALL {
        let answer = store.add_person(county, &new(&format!("n-{role}"), "a", at(*role, "a")), None);
        if matches!(role, Role::Prefecture | Role::Province) {
            assert_eq!(word(answer), "role_above");
        } else {
            let (person, password) = answer.unwrap();
            assert_eq!(password.is_some(), !matches!(role, Role::Field | Role::Hub), "{role}");
            assert!(person.manageable);
            let id = person.id.parse().unwrap();
            assert_eq!(audited(&server, county, id), [("user_added".to_owned(), format!("{role}@a"))]);
        }
    }
    assert_eq!(word(store.add_person(county, &new("x", "63", at(Role::Field, "a")), None)), "not_supervisor");
    assert_eq!(word(store.add_person(county, &new("x", "a", at(Role::Field, "63")), None)), "role_above");
    assert_eq!(word(store.add_person(county, &new("x", "nope", at(Role::Field, "a")), None)), "unit_unknown");
    assert_eq!(word(store.add_person(county, &new("x", "a", Vec::new()), None)), "roles_missing");
    assert_eq!(word(store.add_person(county, &new("county", "a", at(Role::Field, "a")), None)), "login_taken");
    for role in [Role::Field, Role::Township, Role::Auditor, Role::Finance, Role::Hub] {
        let id = user(&server, &format!("by-{role}"), "6301", role);
        let answer = store.add_person(id, &new("x", "a", at(Role::Field, "a")), None);
        assert_eq!(word(answer), "not_supervisor", "{role}");
    }
    // Whoever supervises the topmost unit gives them all.
    let top = user(&server, "top", "63", Role::County);
    store.add_person(top, &new("p", "63", at(Role::Province, "63")), None).unwrap();
}

#[test]
fn who_stands_higher_is_out_of_reach() {
    let server = TestServer::new();
    let county = user(&server, "county", "6301", Role::County);
    let store = &server.store;
    let above = user(&server, "above", "a", Role::Province);
    let wide = user(&server, "wide", "a", Role::Field);
    store.change_roles("wide", &at(Role::Auditor, "63"), &[]).unwrap();
    for id in [above, wide] {
        assert_eq!(word(store.set_roles(county, id, &at(Role::Field, "a"))), "role_above");
        assert_eq!(word(store.transfer_user(county, id, "b", false)), "role_above");
        assert_eq!(word(store.reset_factor_of(county, id)), "role_above");
        assert_eq!(word(store.reset_password_of(county, id)), "role_above");
        assert_eq!(word(store.enrolment_of(county, id, 1)), "role_above");
        assert_eq!(word(store.disable_user(county, id)), "role_above");
    }
    let foreign = user(&server, "foreign", "63", Role::Field);
    assert_eq!(word(store.reset_password_of(county, foreign)), "user_unknown");
    let list = store.people(county, &all()).unwrap().users;
    assert!(list.iter().all(|person| !person.manageable), "these, and the own account");
}

#[test]
fn nobody_changes_the_own_account() {
    let server = TestServer::new();
    let top = user(&server, "top", "63", Role::Province);
    let store = &server.store;
    assert_eq!(word(store.set_roles(top, top, &at(Role::Auditor, "63"))), "own_account");
    assert_eq!(word(store.transfer_user(top, top, "a", true)), "own_account");
    assert_eq!(word(store.disable_user(top, top)), "own_account");
    assert_eq!(word(store.reset_factor_of(top, top)), "own_account");
    assert_eq!(word(store.reset_password_of(top, top)), "own_account");
    store.enrolment_of(top, top, 1).unwrap();
}

#[test]
fn somebody_always_supervises_the_topmost_unit() {
    let server = TestServer::new();
    let (one, two) = (user(&server, "one", "63", Role::Province), user(&server, "two", "63", Role::County));
    let store = &server.store;
    store.set_roles(one, two, &at(Role::Field, "a")).unwrap();
    assert_eq!(word(store.set_roles(two, one, &at(Role::Field, "a"))), "user_unknown");
    assert_eq!(word(store.change_roles("one", &[], &at(Role::Province, "63"))), "last_supervisor");
    store.change_roles("one", &at(Role::County, "63"), &at(Role::Province, "63")).unwrap();
}

#[test]
fn roles_are_replaced_as_a_whole() {
    let server = TestServer::new();
    let county = user(&server, "county", "6301", Role::County);
    let id = user(&server, "field", "a", Role::Field);
    let wanted = [(Role::Township, "a".to_owned()), (Role::Finance, "6301".to_owned())];
    let person = server.store.set_roles(county, id, &wanted).unwrap();
    let held: Vec<(&str, &str)> = person.roles.iter().map(|held| (held.role.as_str(), held.unit.as_str())).collect();
    assert_eq!(held, [("township", "a"), ("finance", "6301")]);
    let told = |action: &str, detail: &str| (action.to_owned(), detail.to_owned());
    let expected = [told("roles_given", "township@a finance@6301"), told("roles_taken", "field@a")];
    assert_eq!(audited(&server, county, id), expected);
    assert_eq!(word(server.store.set_roles(county, id, &[])), "roles_missing");
}

#[tokio::test]
async fn a_transfer_takes_the_roles_along_and_introduces_the_phones() {
    let server = TestServer::new();
    let county = user(&server, "county", "6301", Role::County);
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let record = fieldbook_core::ids::RecordId::new(server.random.as_ref());
    let mut document = fieldbook_core::document::Document::create(record, crate::testing::form().definition()).unwrap();
    let change = phone.save(&mut document, crate::testing::START_MS, &[crate::testing::set("name", "n")]);
    phone.sync(&server, record, &[change]).await;
    let store = &server.store;
    let id = store.find_user("多杰").unwrap().id;
    assert_eq!(word(store.transfer_user(county, id, "63", false)), "not_supervisor");
    let person = store.transfer_user(county, id, "b", true).unwrap();
    assert_eq!((person.unit.as_str(), person.roles.len()), ("b", 2), "the old one holds until it is taken");
    let told: i64 = store
        .read(|tx| {
            let text = "SELECT count(*) FROM told WHERE unit = 'b' AND actor = ?1";
            Ok::<_, StoreError>(tx.query_row(text, [phone.actor.as_bytes()], |row| row.get(0))?)
        })
        .unwrap();
    assert_eq!(told, 1);
    let person = store.transfer_user(county, id, "a", false).unwrap();
    let held: Vec<&str> = person.roles.iter().map(|held| held.unit.as_str()).collect();
    assert_eq!((person.unit.as_str(), held), ("a", vec!["a"]));
    let last = audited(&server, county, id).pop().unwrap();
    assert_eq!(last, ("user_transferred".to_owned(), "b a".to_owned()));
    assert!(store.verify().unwrap().iter().all(|check| check.faults.is_empty()));
}

#[tokio::test]
async fn a_disabled_user_has_no_way_in() {
    let server = TestServer::new();
    let county = user(&server, "county", "6301", Role::County);
    let phone = server.phone("多杰", "a", Role::Field).await;
    let store = &server.store;
    let id = store.find_user("多杰").unwrap().id;
    let first = store.reset_password_of(county, id).unwrap();
    let waiting = store.enrolment_of(county, id, 1).unwrap();
    let person = store.disable_user(county, id).unwrap();
    assert!(person.disabled && person.manageable && person.devices == 0 && person.roles.is_empty());
    let hash = store.read(|tx| Ok::<_, StoreError>(users::by_login(tx, &person.login)?.unwrap().1)).unwrap();
    assert!(!password_fits(&first, &hash));
    let device = store.devices().unwrap().into_iter().find(|device| device.id == phone.device).unwrap();
    assert!(device.revoked_ms.is_some());
    assert_eq!(word(store.enrol(&waiting.code, [7; 32], "x")), "enrolment_code");
    assert_eq!(word(store.enrolment_of(county, id, 1)), "roles_missing");
    assert_eq!(word(store.reset_password_of(county, id)), "roles_missing");
    let actions: Vec<String> = audited(&server, county, id).into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["password_reset", "enrolment", "roles_taken", "password_reset", "user_disabled"]);
    store.set_roles(county, id, &at(Role::Field, "a")).unwrap();
    assert!(store.enrolment_of(county, id, 1).is_ok());
}

const DAY_MS: i64 = 24 * 3600 * 1000;

#[test]
fn an_enrolment_code_works_for_its_days_and_only_the_newest_of_a_user() {
    let server = TestServer::new();
    let store = &server.store;
    let county = user(&server, "county", "6301", Role::County);
    let id = user(&server, "field", "a", Role::Field);
    for days in [0, 31] {
        assert_eq!(word(store.enrolment_of(county, id, days)), "days_out_of_range");
    }
    let first = store.enrolment_of(county, id, 1).unwrap();
    let second = store.enrolment_of(county, id, 30).unwrap();
    assert_eq!(second.expires_ms, server.clock.0.load(Ordering::SeqCst) + 30 * DAY_MS);
    assert_eq!(word(store.enrol(&first.code, [7; 32], "x")), "enrolment_code");
    server.clock.0.fetch_add(30 * DAY_MS, Ordering::SeqCst);
    store.enrol(&second.code, [7; 32], "x").unwrap();
    let third = store.enrolment_of(county, id, 2).unwrap();
    server.clock.0.fetch_add(2 * DAY_MS + 1, Ordering::SeqCst);
    assert_eq!(word(store.enrol(&third.code, [8; 32], "y")), "enrolment_code");
}

#[tokio::test]
async fn a_lost_sheet_is_made_anew_for_all_or_none() {
    let server = TestServer::new();
    let store = &server.store;
    let county = user(&server, "county", "6301", Role::County);
    server.phone("多杰", "a", Role::Field).await;
    let ids: Vec<UserId> = ["one", "two"].map(|name| user(&server, name, "a", Role::Field)).to_vec();
    let gone = user(&server, "gone", "a", Role::Field);
    store.disable_user(county, gone).unwrap();
    let waiting = PeopleQuery { unit: Some("a".to_owned()), without_device: true, ..all() };
    assert_eq!(logins(&server, county, &waiting), ["one", "two"], "neither who has a device, nor who has no role");
    let lost = store.enrolment_of(county, ids[0], 7).unwrap();

    let until = || -> Vec<Option<i64>> {
        store.people(county, &waiting).unwrap().users.into_iter().map(|person| person.link_until_ms).collect()
    };
    assert_eq!(until(), [Some(lost.expires_ms), None]);
    assert_eq!(word(store.enrolments_of(county, &[ids[1], gone], 7)), "roles_missing");
    assert_eq!(word(store.enrolments_of(county, &[ids[1], UserId::random(server.random.as_ref())], 7)), "user_unknown");
    assert_eq!(word(store.enrolments_of(county, &vec![ids[0]; 2_001], 7)), "staff_too_many");
    assert_eq!(until(), [Some(lost.expires_ms), None], "none of them");

    let sheet = store.enrolments_of(county, &[ids[0], ids[1], ids[0]], 7).unwrap();
    let cards: Vec<_> = sheet.iter().map(|card| (card.enrolment.user.login.as_str(), card.roles.as_slice())).collect();
    assert_eq!(cards, [("one", &[Role::Field][..]), ("two", &[Role::Field][..])]);
    assert_eq!(word(store.enrol(&lost.code, [7; 32], "found")), "enrolment_code");
    store.enrol(&sheet[0].enrolment.code, [7; 32], "x").unwrap();
    assert_eq!(logins(&server, county, &waiting), ["two"]);
    let actions: Vec<String> = audited(&server, county, ids[1]).into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["enrolment"]);
}

const LIST: &str = "姓名,登录名,单位,角色\n多杰,duojie,a,\n马秀英,,unit b,乡镇\n";

fn preview(server: &TestServer, by: UserId, bytes: &[u8]) -> Vec<StaffRow> {
    server.store.preview_staff(by, bytes, Language::English).unwrap()
}

fn outcomes(rows: &[StaffRow]) -> Vec<(u64, &str, &str)> {
    rows.iter().map(|row| (row.row, row.outcome.as_str(), row.reason.as_deref().unwrap_or_default())).collect()
}

#[test]
fn a_list_is_read_in_every_encoding_and_nothing_is_written() {
    let server = TestServer::new();
    let county = user(&server, "county", "6301", Role::County);
    let gb = encoding_rs::GB18030.encode(LIST).0.into_owned();
    for bytes in [LIST.as_bytes().to_vec(), format!("\u{feff}{LIST}").into_bytes(), gb] {
        let rows = preview(&server, county, &bytes);
        assert_eq!(outcomes(&rows), [(2, "new", ""), (3, "new", "")]);
        assert_eq!(
            (rows[0].name.as_str(), rows[0].role.as_str(), rows[1].role.as_str()),
            ("多杰", "field", "township")
        );
        assert_eq!((rows[1].unit.as_str(), rows[1].unit_name.as_str()), ("b", "unit b"));
    }
    assert_eq!(server.store.users().unwrap().len(), 1);
    let refused = |bytes: &[u8]| word(server.store.preview_staff(county, bytes, Language::English));
    assert_eq!(refused(b"\x81"), "staff_unreadable");
    assert_eq!(refused(b"PK\x03\x04 and then nothing"), "staff_unreadable");
    assert_eq!(refused(b""), "staff_columns");
    assert_eq!(refused(b"a,b\n1,2\n"), "staff_columns");
    let many = format!("name,unit\n{}", "x,a\n".repeat(2_001));
    assert_eq!(refused(many.as_bytes()), "staff_too_many");
}

#[test]
fn each_row_says_what_is_wrong_with_it() {
    let server = TestServer::new();
    let county = user(&server, "county", "6301", Role::County);
    user(&server, "there", "a", Role::Field);
    let list = "name,login,unit,role\nname of there,there,a,field\nsomebody,there,a,field\n=1+1,f,a,\n\"a\u{7}b\",c,a,\n\
                x,x,63,\nx,y,nope,\nx,z,a,king\nx,v,a,province\nx,one,a,\ny,one,a,\n x y ,ok 1,a,\n";
    let rows = preview(&server, county, list.as_bytes());
    let expected = [
        (2, "exists", ""),
        (3, "error", "login_taken"),
        (4, "error", "name_formula"),
        (5, "error", "name_malformed"),
        (6, "error", "not_supervisor"),
        (7, "error", "unit_unknown"),
        (8, "error", "role_unknown"),
        (9, "error", "role_above"),
        (10, "new", ""),
        (11, "error", "staff_twice"),
        (12, "error", "login_malformed"),
    ];
    // The first row has the login of the second: only the first is met.
    let mut expected = expected.to_vec();
    expected[1].2 = "staff_twice";
    assert_eq!(outcomes(&rows), expected);
    assert_eq!(rows[4].unit_name, "", "nothing is said of units elsewhere");
}

fn entry(name: &str, login: &str, unit: &str, role: &str) -> StaffEntry {
    let [name, login, unit, role] = [name, login, unit, role].map(str::to_owned);
    StaffEntry { name, login, unit, role }
}

#[test]
fn a_list_is_added_as_a_whole_or_not_at_all() {
    let server = TestServer::new();
    let county = user(&server, "county", "6301", Role::County);
    let store = &server.store;
    let good = [entry("多杰", "duojie", "a", "field"), entry("马秀英", "", "b", "township")];
    let bad = [good[0].clone(), entry("x", "x", "63", "field")];
    assert_eq!(word(store.add_staff(county, &bad, 7, Language::English)), "staff_row");
    assert_eq!(store.users().unwrap().len(), 1);
    let added = store.add_staff(county, &good, 7, Language::English).unwrap();
    let logins: Vec<&str> = added.iter().map(|added| added.enrolment.user.login.as_str()).collect();
    assert_eq!(logins, ["duojie", "b-1"]);
    assert_eq!((added[0].password.is_some(), added[1].password.is_some()), (false, true));
    let actions: Vec<String> =
        audited(&server, county, added[1].enrolment.user.id).into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["user_added", "enrolment"]);
    store.enrol(&added[0].enrolment.code, [7; 32], "x").unwrap();
    // The same list again: everybody is there.
    assert!(store.add_staff(county, &good, 7, Language::English).unwrap().is_empty());
    let many = vec![entry("x", "", "a", "township"); 201];
    assert_eq!(word(store.add_staff(county, &many, 7, Language::English)), "staff_passwords");
    let field = user(&server, "field", "a", Role::Field);
    assert_eq!(word(store.add_staff(field, &[entry("y", "y", "a", "")], 7, Language::English)), "staff_row");
}
