use std::sync::Arc;

use serde_json::json;

use crate::forms::limits::{COMPUTED_BYTES_MAX, COMPUTED_TEXT_BYTES_MAX, REFERENCED_BYTES_MAX};
use crate::forms::{EvalTime, FaultKind, Form, FormSession, ProblemKind, Scalar, Values, compile_sheets};

/// 2024-05-20 12:00 in Shanghai.
fn noon() -> EvalTime {
    EvalTime { time_s: 1_716_177_600, record: "record".to_owned() }
}

/// A form with answers to read (`n`, `m`, `empty`, `day`, `text`, `many`, rows with `age`) and one calculation.
fn form(calculation: &str) -> Result<Form, Vec<crate::forms::SheetError>> {
    let quoted = calculation.replace('"', "\"\"");
    let survey = format!(
        "type,name,label,calculation\n\
         integer,n,N,\ninteger,m,M,\ninteger,empty,E,\ndate,day,D,\ntext,text,T,\nselect_multiple fruit,many,F,\n\
         geopoint,here,H,\nbegin repeat,row,R,\ninteger,age,A,\ntext,who,W,\nend repeat,,,\n\
         calculate,result,,\"{quoted}\"\n"
    );
    let choices = "list_name,name,label\nfruit,apple,苹果\nfruit,pear,梨\nfruit,plum,李子\n";
    let settings = "form_id,version\nlogic,3\n";
    compile_sheets("logic", &[("survey.csv", &survey), ("choices.csv", choices), ("settings.csv", settings)])
}

struct Zero;

impl crate::ports::Random for Zero {
    fn fill(&self, bytes: &mut [u8]) {
        use std::sync::atomic::{AtomicU8, Ordering};
        static NEXT: AtomicU8 = AtomicU8::new(1);
        bytes.fill(NEXT.fetch_add(1, Ordering::Relaxed));
    }
}

fn answers(form: &Form) -> Values {
    let json = json!({
        "n": 7, "m": -2, "day": "2024-02-29", "text": "走访 abc", "many": ["pear", "plum"], "here": "36.62 101.77 0 0",
        "row": [{"age": 30, "who": "甲"}, {"who": "乙"}, {"age": 12}],
    });
    let mut values = Values::default();
    form.edits_from_json(&json, &Zero).unwrap().iter().for_each(|edit| values.apply(edit));
    values
}

fn result(calculation: &str) -> String {
    let form = form(calculation).unwrap_or_else(|errors| panic!("{calculation}: {}", errors[0]));
    let evaluation = form.evaluate(&answers(&form), noon());
    assert!(evaluation.problems.is_empty(), "{calculation}: {:?}", evaluation.problems);
    match evaluation.shown.fields.get("result") {
        Some(Scalar::Text(text)) => text.clone(),
        Some(Scalar::Integer(number)) => number.to_string(),
        None => String::new(),
    }
}

#[test]
fn functions_give_what_the_specification_says() {
    let table = [
        ("${n} + ${m} * 2", "3"),
        ("${n} div 2", "3.5"),
        ("-${n} mod 4", "-3"),
        ("${empty} + 1", ""),
        ("${empty} = ''", "true"),
        ("coalesce(${empty}, ${n})", "7"),
        ("if(${n} > 5, 'big', 'small')", "big"),
        ("if(${empty}, 'yes', 'no')", "no"),
        ("count(${row})", "3"),
        ("sum(${age})", "42"),
        ("max(${age})", "30"),
        ("min(${age}, 5)", "5"),
        ("count-non-empty(${who})", "2"),
        ("join('、', ${who})", "甲、乙、"),
        ("count(${row}[age > 10])", "2"),
        ("sum(${row}/age[. != ''])", "42"),
        ("indexed-repeat(${who}, ${row}, 2)", "乙"),
        ("${row}[position() = 3]/age", "12"),
        ("selected(${many}, 'plum')", "true"),
        ("count-selected(${many})", "2"),
        ("selected-at(${many}, 1)", "plum"),
        ("jr:choice-name(selected-at(${many}, 0), '${many}')", "梨"),
        ("string-length(${text})", "6"),
        ("substr(${text}, 3)", "abc"),
        ("concat(${n}, '-', ${m})", "7--2"),
        ("translate(${text}, 'abc', 'xyz')", "走访 xyz"),
        ("regex(${text}, '.*abc')", "true"),
        ("regex(${text}, 'abc')", "false"),
        ("contains(${text}, '访')", "true"),
        ("round(${n} div 3, 2)", "2.33"),
        ("int(${n} div 2)", "3"),
        ("pow(2, 10)", "1024"),
        ("today()", "2024-05-20"),
        ("now()", "2024-05-20T12:00:00+08:00"),
        ("${day} < today()", "true"),
        ("today() > date('2024-05-20')", "false"),
        ("today() - ${day}", "81"),
        ("date(${day} + 1)", "2024-03-01"),
        ("decimal-date-time('1970-01-02')", "1"),
        ("decimal-time('06:00')", "0.25"),
        ("format-date(${day}, '%Y年%n月%e日')", "2024年2月29日"),
        ("format-date(${day}, '%a %b')", "Thu Feb"),
        ("int((today() - date('1990-05-21')) div 365.25)", "33"),
        ("checklist(2, 3, ${n} > 1, ${m} < 0, ${empty} = 1)", "true"),
        ("weighted-checklist(5, 9, ${n} > 1, 4, ${m} < 0, 2)", "true"),
        ("digest('abc', 'SHA-256', 'hex')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("digest('abc', 'SHA-256')", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
        ("boolean-from-string('TRUE')", "true"),
        ("not(${n} = 7) or ${m} = -2", "true"),
        ("${n} != ${m} and true()", "true"),
        ("geofence(${here}, '36 101;37 101;37 102;36 102;36 101')", "true"),
        ("round(distance('36 101;36 102'))", "90058"),
    ];
    let wrong: Vec<String> = table
        .iter()
        .map(|(calculation, expected)| (calculation, expected, result(calculation)))
        .filter(|(_, expected, found)| found != *expected)
        .map(|(calculation, expected, found)| format!("{calculation}: expected {expected:?}, found {found:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_cannot_be_run_is_refused_with_its_row() {
    let table = [
        ("nonsense(1)", FaultKind::UnknownFunction, "没有函数 nonsense()"),
        ("1 +", FaultKind::ExpressionMalformed, "表达式写法有误，请核对括号、引号、逗号和运算符（"),
        ("concat('a", FaultKind::OpenQuote, "表达式中的引号没有成对"),
        ("1 ＋ 1", FaultKind::UnexpectedCharacter, "表达式中不能有“＋”"),
        ("$n + 1", FaultKind::UnknownVariable, "表单中没有 $n；引用题目写作 ${n}"),
        ("instance(${text})/root", FaultKind::InstanceName, "instance() 中要用引号"),
        ("count()", FaultKind::WrongArguments, "count() 不能有 0 个参数"),
        ("regex(${text}, '[')", FaultKind::BadPattern, "regex() 不能用“[”"),
        ("jr:choice-name('a', 'b')", FaultKind::ChoiceNameOfNothing, "jr:choice-name() 没有指明"),
        ("indexed-repeat(${age})", FaultKind::IndexedRepeat, "indexed-repeat() 的参数"),
        ("digest('a', 'MD5') + ${nobody}", FaultKind::UnknownReference, "${nobody} 不是任何题目"),
    ];
    for (wrong, kind, chinese) in table {
        let error = form(wrong).err().unwrap_or_else(|| panic!("{wrong} compiled")).remove(0);
        let place = (error.sheet.as_str(), error.row, error.column.as_deref());
        assert_eq!((error.fault.kind, place), (kind, ("survey", Some(13), Some("calculation"))), "{wrong}: {error}");
        let expected = format!("工作表 survey，第 13 行，calculation 列：{chinese}");
        assert!(error.text("zh-Hans").starts_with(&expected), "{}", error.text("zh-Hans"));
    }
}

#[test]
fn a_rule_that_cannot_be_run_names_its_column() {
    for column in ["relevant", "constraint", "required", "readonly", "choice_filter", "default", "repeat_count"] {
        let survey = format!(
            "type,name,label,{column}\nbegin repeat,r,R,{}\nselect_one l,a,A,{}\nend repeat,,,\n",
            if column == "repeat_count" { "nonsense(1)" } else { "" },
            if column == "repeat_count" { "" } else { "nonsense(1)" },
        );
        let choices = "list_name,name,label\nl,x,X\n";
        let errors = compile_sheets("x", &[("survey.csv", &survey), ("choices.csv", choices)]).unwrap_err();
        let row = if column == "repeat_count" { 2 } else { 3 };
        assert_eq!((errors[0].row, errors[0].column.as_deref()), (Some(row), Some(column)), "{}", errors[0]);
    }
}

#[test]
fn a_rule_that_fails_on_a_record_is_told_in_the_readers_language() {
    let form = form("format-date(${day}, ${text})").unwrap();
    let mut values = Values::default();
    let json = json!({ "day": "2024-02-29", "text": "%Q" });
    form.edits_from_json(&json, &Zero).unwrap().iter().for_each(|edit| values.apply(edit));
    let told = |language: &str| form.evaluate_in(&values, &noon(), language).problems.remove(0).message;
    assert_eq!(told("zh-Hans"), "表单规则无法计算（format-date() 不认识 %Q），请告诉管理员");
    assert_eq!(
        told("en"),
        "a rule of the form cannot be computed (format-date() does not know %Q): tell the administrator"
    );
}

#[test]
fn circles_are_refused() {
    let survey = "type,name,label,calculation\ncalculate,a,,${b} + 1\ncalculate,b,,${a} + 1\n";
    let errors = compile_sheets("x", &[("survey.csv", survey)]).unwrap_err();
    let place = (errors[0].fault.kind, errors[0].row, errors[0].column.as_deref());
    assert_eq!(place, (FaultKind::Circular, Some(3), Some("calculation")), "{}", errors[0]);
}

#[test]
fn hostile_expressions_end_quickly() {
    for deep in
        ["(".repeat(5000) + "1" + &")".repeat(5000), "1".to_owned() + &"+1".repeat(50_000), "-".repeat(20_000) + "1"]
    {
        assert!(form(&deep).is_err());
    }
}

#[test]
fn inside_a_row_a_reference_means_the_same_row() {
    let survey = "type,name,label,calculation,relevant,constraint\n\
        integer,limit,L,,,\n\
        begin repeat,r,R,,,\n\
        integer,age,A,,,. < ${limit}\n\
        calculate,double,,${age} * 2,,\n\
        calculate,place,,position(..),,\n\
        text,school,S,,${age} < 18,\n\
        begin repeat,inner,I,,,\n\
        calculate,both,,\"concat(${age}, '/', position(..))\",,\n\
        text,t,T,,,\n\
        end repeat,,,,,\n\
        end repeat,,,,,\n\
        calculate,adults,,count(${r}[age >= 18]),,\n\
        calculate,schools,,\"join(',', ${school})\",,\n";
    let form = Arc::new(compile_sheets("rows", &[("survey.csv", survey)]).unwrap());
    let json = json!({"limit": 40, "r": [
        {"age": 30, "school": "hidden", "inner": [{"t": "a"}]},
        {"age": 12, "school": "一中", "inner": [{"t": "b"}, {"t": "c"}]},
        {"age": 50},
    ]});
    let mut values = Values::default();
    form.edits_from_json(&json, &Zero).unwrap().iter().for_each(|edit| values.apply(edit));
    let evaluation = form.evaluate(&values, noon());
    let shown = without_ids(form.values_to_json(&evaluation.shown));
    assert_eq!(
        shown,
        json!({"limit": 40, "r": [
            {"age": 30, "double": 60, "place": 1, "inner": [{"both": "30/1", "t": "a"}]},
            {"age": 12, "double": 24, "place": 2, "school": "一中", "inner": [{"both": "12/1", "t": "b"}, {"both": "12/2", "t": "c"}]},
            {"age": 50, "double": 100, "place": 3},
        ], "adults": 2, "schools": "一中"})
    );
    // The hidden answer is kept, not shown; the third age breaks its constraint, in its row only.
    assert_eq!(values.rows["r"][0].fields["r/school"], Scalar::Text("hidden".to_owned()));
    let problems: Vec<String> = evaluation.problems.iter().map(|problem| problem.path.to_string()).collect();
    assert_eq!(problems, [format!("r[{}]/age", values.rows["r"][2].id)]);
}

fn without_ids(json: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match json {
        Value::Object(map) => {
            Value::Object(map.into_iter().filter(|(key, _)| key != "_row").map(|(k, v)| (k, without_ids(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_ids).collect()),
        other => other,
    }
}

#[test]
fn irrelevance_cascades_and_counts_as_absent() {
    let survey = "type,name,label,calculation,relevant,required\n\
        select_one yn,work,W,,,\n\
        begin group,job,J,,${work} = 'yes',\n\
        text,employer,E,,,yes\n\
        integer,pay,P,,,\n\
        end group,,,,,\n\
        calculate,pay_twice,,${pay} * 2,,\n\
        note,shown,${pay_twice},,${pay_twice} != '',\n";
    let choices = "list_name,name,label\nyn,yes,是\nyn,no,否\n";
    let form = compile_sheets("x", &[("survey.csv", survey), ("choices.csv", choices)]).unwrap();
    let show = |json: serde_json::Value| {
        let mut values = Values::default();
        form.edits_from_json(&json, &Zero).unwrap().iter().for_each(|edit| values.apply(edit));
        let evaluation = form.evaluate(&values, noon());
        (form.values_to_json(&evaluation.shown), evaluation.problems.len())
    };
    assert_eq!(
        show(json!({"work": "yes", "job": {"pay": 5}})),
        (json!({"work": "yes", "job": {"pay": 5}, "pay_twice": 10}), 1)
    );
    assert_eq!(show(json!({"work": "no", "job": {"pay": 5, "employer": "x"}})), (json!({"work": "no"}), 0));
}

#[test]
fn calculations_that_double_each_other_stop_at_the_limits() {
    let mut survey = "type,name,label,calculation\ncalculate,c0,,\"'0123456789'\"\n".to_owned();
    for step in 1..40 {
        let before = step - 1;
        survey.push_str(&format!("calculate,c{step},,\"concat(${{c{before}}}, ${{c{before}}})\"\n"));
    }
    let form = compile_sheets("double", &[("survey.csv", &survey)]).unwrap();
    let evaluation = form.evaluate(&Values::default(), noon());
    assert!(evaluation.problems.iter().any(|problem| problem.kind == ProblemKind::Logic), "{:?}", evaluation.problems);
    let sizes = evaluation.shown.fields.values().map(|value| match value {
        Scalar::Text(text) => text.len(),
        Scalar::Integer(_) => 0,
    });
    let sizes: Vec<usize> = sizes.collect();
    assert!(sizes.iter().all(|size| *size <= COMPUTED_TEXT_BYTES_MAX), "{sizes:?}");
    // Many that are each within their limit are held by the limit of all.
    let many: String = (0..200).map(|n| format!("calculate,d{n},,\"concat(${{c14}}, '{n}')\"\n")).collect();
    let form = compile_sheets("many", &[("survey.csv", &(survey + &many))]).unwrap();
    let evaluation = form.evaluate(&Values::default(), noon());
    let sizes = evaluation.shown.fields.values().map(|value| match value {
        Scalar::Text(text) => text.len(),
        Scalar::Integer(_) => 0,
    });
    assert!(sizes.sum::<usize>() <= COMPUTED_BYTES_MAX);
}

#[test]
fn a_label_takes_up_only_so_much_of_an_answer() {
    let label = "${text}".repeat(2_000);
    let survey = format!("type,name,label\ntext,text,T\ntext,after,{label}\n");
    let form = Arc::new(compile_sheets("label", &[("survey.csv", &survey)]).unwrap());
    let mut values = Values::default();
    values.fields.insert("text".to_owned(), Scalar::Text("才让".repeat(5_000)));
    let session = FormSession::new(form, values, noon(), "zh-Hans");
    let longest = session.questions().iter().map(|question| question.label.len()).max().unwrap();
    assert!((1_000..=REFERENCED_BYTES_MAX).contains(&longest), "{longest}");
}

#[test]
fn a_form_of_endless_groups_is_no_form() {
    // Kind, version, no titles, languages, fields or repeats; then groups in groups in one of another's items.
    let mut bytes = vec![0x8a, 0x61, b'k', 0x61, b'1', 0xa0, 0x80, 0x00, 0x80, 0x80];
    let end = [0x80, 0xa0, 0x60];
    let shallow = [&bytes[..], &end].concat();
    let read = Form::from_bytes(&shallow);
    assert!(!matches!(&read, Err(fault) if fault.kind == FaultKind::NotAForm), "{read:?}");
    for _ in 0..100_000 {
        bytes.extend_from_slice(&[0x81, 0x82, 0x01, 0x81, 0x84, 0x61, b'g', 0xa0, 0xf6]);
    }
    bytes.extend_from_slice(&end);
    assert_eq!(Form::from_bytes(&bytes).unwrap_err().kind, FaultKind::NestsTooDeep);
    let whole = form("1").unwrap();
    assert_eq!(Form::from_bytes(&whole.to_bytes()).unwrap().definition(), whole.definition());
}
