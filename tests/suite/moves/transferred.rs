//! A user moves to another unit: the phone goes along as it is.

use fieldbook_core::access::Role;
use fieldbook_core::client::EnrolmentInfo;

use super::*;

/// The unit that people are transferred to, and its name.
const NEW: &str = "632323101";
const NEW_NAME: &str = "麦秀镇工会";

fn place(phone: &Phone) -> EnrolmentInfo {
    phone.book.status().unwrap().enrolment.unwrap()
}

/// Moves a field user by the hand of a county supervisor.
fn transfer(world: &Inside, login: &str, unit: &str, keep: bool) {
    let county = world.store.find_user("licuomao").unwrap().id;
    let user = world.store.find_user(login).unwrap().id;
    world.store.transfer_user(county, user, unit, keep).unwrap();
}

/// The world of [`Inside`] with a second township, where `zhaxi` works, and a county supervisor.
fn with_a_county() -> Inside {
    let world = Inside::new();
    let unit =
        Unit { code: NEW.to_owned(), name: NEW_NAME.to_owned(), parent: Some("632323".to_owned()), division: None };
    world.store.add_unit(&unit).unwrap();
    world.store.add_user("扎西", NEW, &[Role::Field], Some("zhaxi")).unwrap();
    world.store.add_user("李措毛", "632323", &[Role::County], Some("licuomao")).unwrap();
    world
}

#[test]
fn a_phone_writes_for_the_unit_that_its_user_was_transferred_to() {
    let world = with_a_county();
    let (phone, colleague) = (world.phone("a", "duojie"), world.phone("b", "maxiuying"));
    let there = world.phone("there", "zhaxi");
    phone.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    phone.sync();
    phone.create(NOTE, Some(id(2)), json!({ "title": "还没有同步" }));
    // What was written for the old unit stays its own.
    transfer(&world, "duojie", NEW, true);
    let report = phone.sync();
    assert_eq!((report.not_taken, place(&phone).unit.as_str()), (0, NEW));
    assert_eq!(place(&phone).unit_name, NEW_NAME);
    assert_eq!(place(&phone).roles, [(Role::Field, TOWN.to_owned()), (Role::Field, NEW.to_owned())]);
    phone.create(NOTE, Some(id(3)), json!({ "title": "新单位的一户" }));
    let report = phone.sync();
    assert_eq!((report.not_taken, phone.record(id(3)).unit.as_str()), (0, NEW));
    sync_all(&[&colleague, &there]);
    assert!(!is_gone(&colleague, id(1)) && !is_gone(&colleague, id(2)) && is_gone(&colleague, id(3)));
    assert!(is_gone(&there, id(1)) && is_gone(&there, id(2)));
    show_the_same(&[&phone, &there], id(3));

    // The roles at the old unit end: what is its goes from the phone.
    let user = world.store.find_user("duojie").unwrap().id;
    let county = world.store.find_user("licuomao").unwrap().id;
    world.store.set_roles(county, user, &[(Role::Field, NEW.to_owned())]).unwrap();
    phone.sync();
    assert!(is_gone(&phone, id(1)) && is_gone(&phone, id(2)) && !is_gone(&phone, id(3)));
    assert_eq!(phone.book.status().unwrap().store.outbox_changes, 0);
    world.verify();
}

#[test]
fn what_a_phone_wrote_before_it_heard_of_a_transfer_is_kept_apart_and_told() {
    let world = with_a_county();
    let phone = world.phone("a", "duojie");
    transfer(&world, "duojie", NEW, false);
    phone.create(NOTE, Some(id(1)), json!({ "title": "一户" }));
    let report = phone.sync();
    assert_eq!((report.not_taken, apart(&world)), (1, vec!["foreign_unit".to_owned()]));
    assert_eq!(phone.book.not_taken(0, 10).unwrap().len(), 1);
    // The same again, as the new unit's.
    phone.create(NOTE, Some(id(2)), json!({ "title": "一户" }));
    assert_eq!((phone.sync().not_taken, phone.record(id(2)).unit.as_str()), (0, NEW));
    world.verify();
}
