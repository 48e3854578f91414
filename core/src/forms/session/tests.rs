use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::forms::{ProblemKind, compile_sheets};

fn noon() -> EvalTime {
    EvalTime { time_s: 1_716_177_600, record: "0b9df1c2-7a1e-4c52-8f0e-93a5cf3d8d11".to_owned() }
}

fn form(survey: &str) -> Arc<Form> {
    let choices = "list_name,name,label::中文 (zh-Hans),label::English (en),up\n\
        yn,yes,是,Yes,\nyn,no,否,No,\nsex,1,男,Male,\nsex,2,女,Female,\n\
        town,t1,隆务镇,Rongwo,c1\ntown,t2,保安镇,Bao'an,c1\ntown,t3,马克唐镇,Markhutang,c2\n\
        county,c1,同仁,Tongren,\ncounty,c2,尖扎,Jainca,\n";
    compile_sheets("session", &[("survey.csv", survey), ("choices.csv", choices)])
        .map(Arc::new)
        .unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn open(survey: &str) -> FormSession {
    FormSession::new(form(survey), Values::default(), noon(), "zh-Hans")
}

fn at(path: &str) -> FieldPath {
    path.parse().unwrap()
}

fn row(n: u8) -> RowId {
    RowId([n; 8])
}

fn question<'a>(questions: &'a [Question], path: &str) -> Option<&'a Question> {
    questions.iter().find(|question| question.path == path)
}

#[test]
fn answers_move_calculations_relevance_choices_and_labels_at_once() {
    let mut session = open(
        "type,name,label::中文 (zh-Hans),label::English (en),calculation,relevant,choice_filter,required\n\
         select_one county,county,县,County,,,,yes\n\
         select_one town,town,镇,Town,,${county} != '',up = ${county},\n\
         integer,n,数,Number,,,,\n\
         calculate,twice,,,${n} * 2,,,\n\
         note,told,两倍是${twice}，在${county}。,Twice is ${twice} in ${county}.,,${twice} > 10,,\n",
    );
    assert!(question(&session.questions(), "town").is_none());
    let changed = session.set(&at("county"), &json!("c1")).unwrap();
    assert_eq!(changed, [at("county"), at("town")]);
    let questions = session.questions();
    let names: Vec<&str> = question(&questions, "town").unwrap().choices.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["t1", "t2"]);
    assert_eq!(question(&questions, "town").unwrap().choices[0].label, "隆务镇");
    session.set(&at("n"), &json!("６")).unwrap();
    assert_eq!(question(&session.questions(), "told").unwrap().label, "两倍是12，在同仁。");
    session.set_language("en");
    assert_eq!(question(&session.questions(), "told").unwrap().label, "Twice is 12 in Tongren.");
    // A choice that no longer fits is kept and said.
    session.set(&at("town"), &json!("t1")).unwrap();
    session.set(&at("county"), &json!("c2")).unwrap();
    let town = session.error(&at("town")).unwrap();
    assert_eq!(town.0, ProblemKind::Constraint);
    assert!(town.1.contains("Rongwo"), "{}", town.1);
}

#[test]
fn a_wrong_type_is_refused_and_changes_nothing() {
    let mut session = open("type,name,label\ninteger,n,N\nselect_one yn,c,C\nnote,t,T\n");
    for (path, json, key) in [
        ("n", json!("abc"), MessageKey::NotInteger),
        ("n", json!(1.5), MessageKey::NotInteger),
        ("c", json!("maybe"), MessageKey::NotAChoice),
        ("t", json!("x"), MessageKey::Computed),
        ("x", json!("x"), MessageKey::UnknownField),
        ("n", json!(["1"]), MessageKey::NotInteger),
    ] {
        assert_eq!(session.set(&at(path), &json).unwrap_err().message.key, key, "{path} {json}");
    }
    assert!(session.values().is_empty());
    assert!(session.edits().is_empty());
}

#[test]
fn an_id_number_fills_sex_and_birth_but_never_over_a_typed_answer() {
    let survey = "type,name,label,bind::fb:check\nbegin group,p,P,\ntext,id_no,N,id-number\nselect_one sex,sex,S,\n\
         date,birth_date,B,\nend group,,,\n";
    let mut session = open(survey);
    session.set(&at("p/id_no"), &json!("１１０１０５１９４９１２３１００２ｘ")).unwrap();
    let json = session.form().values_to_json(session.values());
    assert_eq!(json, json!({"p": {"id_no": "11010519491231002X", "sex": "2", "birth_date": "1949-12-31"}}));
    // Another number: what the first one filled follows.
    session.set(&at("p/id_no"), &json!("440524188001010014")).unwrap();
    let json = session.form().values_to_json(session.values());
    assert_eq!(json["p"]["sex"], "1");
    // A typed answer stays, and the mismatch is told.
    session.set(&at("p/sex"), &json!("2")).unwrap();
    session.set(&at("p/id_no"), &json!("440524188001010014")).unwrap();
    assert_eq!(session.error(&at("p/sex")).unwrap().0, ProblemKind::Check);
    session.set(&at("p/id_no"), &json!("440524188001010015")).unwrap();
    assert_eq!(session.error(&at("p/id_no")).unwrap().0, ProblemKind::Check);
    assert_eq!(session.error(&at("p/sex")), None);
}

#[test]
fn defaults_times_and_drawn_values_are_filled_once() {
    let survey = "type,name,label,default,calculation,trigger\n\
         start,begun,,,,\nend,ended,,,,\ntoday,day,,,,\ndeviceid,device,,,,\n\
         text,static,S,默认,,\ndate,dynamic,D,today() - 1,,\ncalculate,id,,,uuid(),\ncalculate,first,,,once(${n}),\n\
         integer,n,N,,,\ntext,copied,C,,\"concat('n=', ${n})\",${n}\n\
         begin repeat,r,R,,,\ntext,t,T,行,,\ninteger,place,P,position(..),,\nend repeat,,,,,\n";
    let properties = BTreeMap::from([("deviceid".to_owned(), "phone-1".to_owned())]);
    let mut session = FormSession::with_properties(form(survey), Values::default(), noon(), "zh-Hans", properties);
    session.set(&at("n"), &json!(5)).unwrap();
    session.set(&at("n"), &json!(6)).unwrap();
    session.add_row("r", None, row(1)).unwrap();
    session.add_row("r", None, row(2)).unwrap();
    session.set_time(noon().time_s + 60);
    let json = session.form().values_to_json(session.values());
    let id = json["id"].as_str().unwrap().to_owned();
    assert!(uuid::Uuid::try_parse(&id).is_ok(), "{id}");
    assert_eq!(
        json,
        json!({"begun": "2024-05-20T12:00:00+08:00", "ended": "2024-05-20T12:01:00+08:00", "day": "2024-05-20",
            "device": "phone-1", "static": "默认", "dynamic": "2024-05-19", "id": id, "first": "5", "n": 6, "copied": "n=6",
            "r": [{"_row": row(1).to_string(), "t": "行", "place": 1}, {"_row": row(2).to_string(), "t": "行", "place": 2}]})
    );
    // Another phone that opens the same record draws the same.
    let other = FormSession::new(form(survey), Values::default(), noon(), "zh-Hans");
    assert_eq!(other.form().values_to_json(other.values())["id"], json["id"]);
    // A record that has answers gets no defaults.
    let mut values = Values::default();
    values.fields.insert("n".to_owned(), Scalar::Integer(1));
    let opened = FormSession::new(form(survey), values, noon(), "zh-Hans");
    assert!(!opened.values().fields.contains_key("static"));
}

#[test]
fn counted_rows_follow_their_count_and_surplus_is_kept_unseen() {
    let survey = "type,name,label,repeat_count,calculation\ninteger,n,N,,\nbegin repeat,r,R,${n},\ntext,t,T,,\n\
         end repeat,,,,\ncalculate,rows,,,count(${r})\n";
    let mut session = open(survey);
    session.set(&at("n"), &json!(3)).unwrap();
    let rows: Vec<RowId> = session.values().rows["r"].iter().map(|row| row.id).collect();
    assert_eq!(rows.len(), 3);
    session.set(&FieldPath::in_row("r/t", "r", rows[2]), &json!("三")).unwrap();
    session.set(&at("n"), &json!(2)).unwrap();
    assert_eq!(session.values().rows["r"].len(), 3);
    let shown = session.evaluation().shown;
    assert_eq!(shown.rows["r"].len(), 2);
    assert_eq!(shown.fields["rows"], Scalar::Integer(2));
    assert_eq!(session.questions().iter().filter(|q| q.kind == QuestionKind::Row).count(), 2);
    session.set(&at("n"), &json!(3)).unwrap();
    assert_eq!(session.evaluation().shown.rows["r"][2].fields["r/t"], Scalar::Text("三".to_owned()));
    assert!(session.add_row("r", None, row(9)).is_err());
    assert!(session.remove_row("r", rows[0]).is_err());
    // Two phones make the same rows.
    let mut other = open(survey);
    other.set(&at("n"), &json!(3)).unwrap();
    assert_eq!(other.values().rows["r"].iter().map(|row| row.id).collect::<Vec<_>>(), rows);
    // A hostile count ends.
    other.set(&at("n"), &json!(9_000_000_000_i64)).unwrap();
    assert_eq!(other.values().rows["r"].len(), RECORD_ROWS_MAX);
}

#[test]
fn edits_are_only_what_differs_from_the_start() {
    let survey = "type,name,label\ntext,a,A\ntext,b,B\nselect_multiple yn,m,M\nbegin repeat,r,R\ntext,t,T\n\
         begin repeat,i,I\ntext,u,U\nend repeat,,\nend repeat,,\n";
    let mut start = Values::default();
    start.fields.insert("a".to_owned(), Scalar::Text("1".to_owned()));
    start.sets.insert("m".to_owned(), BTreeSet::from(["yes".to_owned()]));
    start.rows.insert("r".to_owned(), vec![Row::new(row(1), None), Row::new(row(2), None)]);
    start.rows.insert("r/i".to_owned(), vec![Row::new(row(3), Some(row(1))), Row::new(row(4), Some(row(2)))]);
    let mut session = FormSession::new(form(survey), start.clone(), noon(), "zh-Hans");
    assert_eq!(session.edits(), []);
    session.set(&at("a"), &json!("2")).unwrap();
    session.set(&at("a"), &json!("1")).unwrap();
    session.set(&at("b"), &json!("x")).unwrap();
    session.set(&at("m"), &json!(["no"])).unwrap();
    session.remove_row("r", row(1)).unwrap();
    session.remove_row("r/i", row(4)).unwrap();
    session.add_row("r/i", Some(row(2)), row(5)).unwrap();
    let choose = |choice: &str, chosen| Edit::Choose { path: at("m"), choice: choice.to_owned(), chosen };
    let remove = |repeat: &str, row| Edit::RemoveRow { repeat: repeat.to_owned(), row };
    let expected = [
        Edit::AddRow { repeat: "r/i".to_owned(), row: row(5), parent: Some(row(2)) },
        Edit::Set { path: at("b"), value: Some(Scalar::Text("x".to_owned())) },
        choose("no", true),
        choose("yes", false),
        remove("r", row(1)),
        remove("r/i", row(4)),
    ];
    assert_eq!(session.edits(), expected);
    // The edits make the values, and a draft takes them up exactly.
    let mut made = start.clone();
    session.edits().iter().for_each(|edit| made.apply(edit));
    assert_eq!(&made, session.values());
    let resumed = FormSession::resume(form(survey), start.clone(), noon(), "zh-Hans", &session.draft()).unwrap();
    assert_eq!((resumed.values(), resumed.edits()), (session.values(), session.edits()));
    assert_eq!(resumed.draft(), session.draft());
    assert!(FormSession::resume(form(survey), start, noon(), "zh-Hans", &[1, 2, 3]).is_err());
}

#[test]
fn messages_are_the_forms_own_first() {
    let mut session = open(
        "type,name,label,required,required_message::中文 (zh-Hans),required_message::English (en),constraint,constraint_message::中文 (zh-Hans)\n\
         integer,n,N,yes,请填${m},Fill ${m} in,. < 5,\ntext,m,M,yes,,,string-length(.) > ${n},要长于${n}\n",
    );
    session.set(&at("m"), &json!("数")).unwrap();
    assert_eq!(session.error(&at("n")), Some((ProblemKind::Required, "请填数".to_owned())));
    session.set(&at("n"), &json!(7)).unwrap();
    assert_eq!(session.error(&at("m")), Some((ProblemKind::Constraint, "要长于7".to_owned())));
    assert_eq!(session.error(&at("n")), Some((ProblemKind::Constraint, "填写的内容不符合要求".to_owned())));
    session.set_language("en");
    assert_eq!(session.error(&at("n")), Some((ProblemKind::Constraint, "the answer is not allowed here".to_owned())));
}

#[test]
fn field_lists_share_a_page() {
    let mut session = open(
        "type,name,label,appearance\ntext,a,A,\nbegin group,g,G,field-list\ntext,b,B,\ntext,c,C,\nend group,,,\n\
         begin repeat,r,R,field-list\ntext,d,D,\ntext,e,E,\nend repeat,,,\ntext,f,F,\n",
    );
    session.add_row("r", None, row(1)).unwrap();
    session.add_row("r", None, row(2)).unwrap();
    let pages: Vec<usize> =
        session.questions().iter().filter(|q| q.kind == QuestionKind::Field).map(|q| q.page).collect();
    assert_eq!(pages, [0, 1, 1, 2, 2, 3, 3, 4]);
}

#[test]
fn two_hundred_rows_are_answered() {
    let survey = "type,name,label,calculation,relevant\nbegin repeat,r,R,,\ninteger,a,A,,\ntext,b,B,,${a} > 10\n\
         calculate,c,,${a} * 2,\nend repeat,,,,\ncalculate,total,,sum(${c}),\n";
    let mut session = open(survey);
    for n in 0..200_u8 {
        session.add_row("r", None, row(n)).unwrap();
        session.set(&FieldPath::in_row("r/a", "r", row(n)), &json!(n)).unwrap();
    }
    assert_eq!(session.evaluation().shown.fields["total"], Scalar::Integer(199 * 200));
    let fields = session.questions().into_iter().filter(|q| q.kind == QuestionKind::Field).count();
    assert_eq!(fields, 200 + 189);
}
