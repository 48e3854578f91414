//! What a health institution's phone gets, and what field staff's does not.

use fieldbook_core::store::ListFilter;
use fieldbook_tests::demo::people;
use serde_json::json;

use super::office::{Office, Phone, sync_all};

/// How many records of a kind the phone holds; 0 where it does not know the kind.
fn held(phone: &Phone, kind: &str) -> usize {
    phone.book.list(kind, &ListFilter::default(), None, 100).map_or(0, |rows| rows.len())
}

/// A phone of the county's hospital.
fn hospital(office: &Office) -> Phone {
    let arguments = ["user", "add", "泽库县医院", "--unit", "632323", "--role", "health", "--login", "hospital"];
    office.world.server.administer(&arguments).unwrap();
    office.phone("hospital")
}

#[test]
fn a_health_institution_sees_who_is_registered_notes_who_came_and_sees_nothing_else() {
    let office = Office::open();
    let (a, b) = office.two();
    let hospital = hospital(&office);
    let (head, person) = (&people::HEADS[0], &people::CHECKED[0]);
    let household = a.create("household", None, people::household(head, 1));
    let check = a.create("health_check", None, people::health_check(person, 1));
    sync_all(&[&a, &hospital]);
    assert_eq!((held(&hospital, "health_check"), held(&hospital, "household")), (1, 0));
    assert_eq!(hospital.value(check, "/participant/name"), a.value(check, "/participant/name"));
    assert!(hospital.book.record(household).is_err());

    let came = json!({ "state": "attended", "state_on": "2026-06-01" });
    hospital.add(check, "states", came);
    let report = hospital.sync();
    assert_eq!(report.not_taken, 0, "{:?}", hospital.record(check).not_taken);
    sync_all(&[&a, &b]);
    for phone in [&a, &b] {
        let states = phone.record(check).values["states"].as_array().cloned().unwrap_or_default();
        assert!(states.iter().any(|row| row["state"] == "attended"), "{states:?}");
    }
    // The rest of the registration is not theirs to write.
    hospital.set(check, "participant/name", "别人");
    assert_eq!(hospital.sync().not_taken, 1);
    assert_eq!(office.county().page(check)["values"]["participant"]["name"], a.value(check, "/participant/name"));
}

#[test]
fn findings_reach_the_institution_and_nobody_in_the_field() {
    let office = Office::open();
    let (a, _) = office.two();
    let hospital = hospital(&office);
    let folder = office.world.home("finding");
    std::fs::create_dir_all(&folder).unwrap();
    let settings =
        "form_title,form_id,version,namespaces,fb:area\nFinding,finding,1,\"fb=\"\"urn:fieldbook:form\"\"\",health\n";
    let survey = "type,name,label::English (en),bind::fb:writers\ntext,tier,Tier,health\n";
    for (name, text) in [("settings", settings), ("survey", survey)] {
        std::fs::write(folder.join(format!("{name}.csv")), text).unwrap();
    }
    office.world.server.administer(&["form", "publish", folder.to_str().unwrap()]).unwrap();
    hospital.sync();
    let finding = hospital.create("finding", None, json!({ "tier": "A" }));
    sync_all(&[&hospital, &a]);
    assert_eq!(hospital.record(finding).not_taken, []);
    assert_eq!((held(&hospital, "finding"), held(&a, "finding")), (1, 0));
    assert!(a.book.record(finding).is_err());
    // Nor does what somebody in the field writes into that area get in.
    let own = a.create("finding", None, json!({ "tier": "B" }));
    assert_eq!(a.sync().not_taken, 1);
    hospital.sync();
    assert!(hospital.book.record(own).is_err());
}
