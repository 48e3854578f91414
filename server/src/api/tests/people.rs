//! Users, staff lists and links as the console asks for them.

use super::*;

#[tokio::test]
async fn a_user_is_added_enrolled_and_disabled() {
    let server = TestServer::new();
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let new = json!({ "name": "多杰", "unit": "a", "roles": [{ "role": "township", "unit": "a" }] });
    let (status, added) = county.post("users", new).await;
    assert_eq!((status, added["user"]["login"].as_str()), (StatusCode::OK, Some("a-1")));
    assert!(added["password"].is_string());
    let id = added["user"]["id"].as_str().unwrap().to_owned();
    let (status, told) = county.post(&format!("users/{id}/enrolment"), json!({})).await;
    assert_eq!((status, told["type"].as_str()), (StatusCode::CONFLICT, Some("address_unset")));
    server.store.set_setting("address", "10.0.0.1:8443").unwrap();
    let (status, invitation) = county.post(&format!("users/{id}/enrolment"), json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert!(invitation["link"].as_str().unwrap().starts_with("fieldbook://10.0.0.1:8443/enrol?pin="));
    assert!(invitation["qr_svg"].as_str().unwrap().starts_with("<svg"));
    let (_, list) = county.get("users?text=多杰").await;
    assert_eq!((list["users"].as_array().unwrap().len(), &list["next"]), (1, &json!(null)));
    assert!(!list.to_string().contains("password"), "it was shown once");
    let (status, told) = county.post(&format!("users/{id}/disable"), json!({})).await;
    assert_eq!((status, told["disabled"].as_bool()), (StatusCode::OK, Some(true)));
    let (status, told) = county.post(&format!("users/{id}/reset-password"), json!({})).await;
    assert_eq!((status, told["type"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some("roles_missing")));
    assert_eq!(county.post("users/nobody/disable", json!({})).await.0, StatusCode::NOT_FOUND);
    assert_eq!(county.get("users?limit=201").await.0, StatusCode::BAD_REQUEST);
    let (_, log) = county.get("audit").await;
    assert_eq!(log["type"], "not_auditor", "the log is for the topmost unit");
}

#[tokio::test]
async fn a_staff_list_becomes_a_sheet_of_links() {
    let server = TestServer::new();
    server.store.set_setting("address", "10.0.0.1:8443").unwrap();
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    let list = "姓名,单位,角色\n多杰,a,\n马秀英,unit b,乡镇\n".as_bytes().to_vec();
    let (status, rows) = county.upload("staff/previews", list).await;
    assert_eq!((status, rows[1]["outcome"].as_str()), (StatusCode::OK, Some("new")));
    let wanted = |row: &serde_json::Value| json!({ "name": row["name"], "login": row["login"], "unit": row["unit"], "role": row["role"] });
    let body = json!({ "rows": rows.as_array().unwrap().iter().map(wanted).collect::<Vec<_>>() });
    let (status, added) = county.post("staff", body.clone()).await;
    assert_eq!((status, added.as_array().unwrap().len()), (StatusCode::OK, 2));
    assert!(added[0]["enrolment"]["qr_svg"].as_str().unwrap().len() < 20_000);
    assert_eq!((added[0]["password"].is_null(), added[1]["password"].is_string()), (true, true));
    assert_eq!(added[1]["roles"], json!(["township"]));
    let ids: Vec<_> = added.as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    let (status, sheet) = county.post("enrolments", json!({ "users": ids, "days": 14 })).await;
    assert_eq!((status, sheet.as_array().unwrap().len()), (StatusCode::OK, 2));
    assert_ne!(sheet[0]["enrolment"]["link"], added[0]["enrolment"]["link"]);
    assert!(sheet[1]["password"].is_null(), "a password is not made anew with a link");
    let (_, waiting) = county.get("users?without_device=true&text=多杰").await;
    assert_eq!(waiting["users"][0]["link_until_ms"], sheet[0]["enrolment"]["expires_ms"]);
    for (bad, word) in [
        (json!({ "users": ids, "days": 31 }), "days_out_of_range"),
        (json!({ "users": vec!["x"; 2], "days": 1 }), "user_unknown"),
        (json!({ "users": ids, "days": 256 }), "request_malformed"),
    ] {
        assert_eq!(county.post("enrolments", bad).await.1["type"], word);
    }
    let (status, again) = county.post("staff", body).await;
    assert_eq!((status, again), (StatusCode::OK, json!([])));
    let bad = json!({ "rows": [{ "name": "=cmd()", "unit": "a" }] });
    let (status, told) = county.post("staff", bad).await;
    assert_eq!((status, told["type"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some("staff_row")));
    assert_eq!(told["title"], "第 1 人：名称“=cmd()”不能以 = + - @ 开头（全角的也不行）。所有人均未添加。");
    let (status, _) = county.upload("staff/previews", vec![b'x'; 3 * 1024 * 1024]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_device_says_what_it_has_still_to_bring() {
    let server = TestServer::new();
    let mut phone = server.phone("多杰", "a", Role::Field).await;
    let record = RecordId::new(server.random.as_ref());
    let mut document = Document::create(record, form().definition()).unwrap();
    let change = phone.save(&mut document, START_MS, &[set("name", "n")]);
    phone.sync(&server, record, &[change]).await;
    let county = server.supervisor("李措毛", "6301", Role::County).await;
    assert_eq!(county.get("devices").await.1[0]["to_send"], json!(null), "all that was stated is here");
    let cut = "UPDATE devices SET taken_statement = NULL, taken_index = NULL";
    server.store.write(|tx| Ok(tx.execute(cut, ())?)).unwrap();
    assert_eq!(county.get("devices").await.1[0]["to_send"], 1, "stated, and the bodies were cut off");
}
