//! The people of the demo: Chinese, Tibetan and Hui names with valid ID numbers; nobody of them exists.

use serde_json::{Value, json};

/// Weights of GB 11643 for the first 17 digits of an ID number.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// Check characters by remainder.
const CHECK: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];

/// An ID number of `division` (six digits) and `birth` (`YYYYMMDD`) with its check character; an odd `serial` is male.
#[must_use]
pub fn id_number(division: &str, birth: &str, serial: u32) -> String {
    let body = format!("{division}{birth}{serial:03}");
    let sum: u32 = body.chars().zip(WEIGHTS).map(|(digit, weight)| digit.to_digit(10).unwrap_or(0) * weight).sum();
    let check = CHECK.get((sum % 11) as usize).copied().unwrap_or('X');
    format!("{body}{check}")
}

/// Name, birth (`YYYYMMDD`), serial, ethnicity code of GB 3304 and the division of the ID number.
pub struct Person(pub &'static str, pub &'static str, pub u32, pub &'static str, pub &'static str);

impl Person {
    /// The ID number.
    #[must_use]
    pub fn id_no(&self) -> String {
        id_number(self.4, self.1, self.2)
    }

    /// `YYYY-MM-DD`.
    #[must_use]
    pub fn birth_date(&self) -> String {
        let (year, day) = self.1.split_at(4);
        let (month, day) = day.split_at(2);
        format!("{year}-{month}-{day}")
    }

    /// GB/T 2261.1.
    #[must_use]
    pub fn sex(&self) -> &'static str {
        if self.2 % 2 == 1 { "1" } else { "2" }
    }
}

/// Heads of households of 泽曲镇.
pub const HEADS: &[Person] = &[
    Person("才让卓玛", "19860412", 26, "04", "632323"),
    Person("仁青·卓玛", "19790903", 42, "04", "632323"),
    Person("马占福", "19750118", 13, "03", "630222"),
    Person("李玉兰", "19680725", 28, "01", "632323"),
    Person("多杰才旦", "19901130", 35, "04", "632323"),
    Person("韩海明", "19820606", 51, "35", "630225"),
    Person("王建国", "19711009", 17, "01", "630102"),
    Person("尕藏吉", "19940221", 62, "04", "632323"),
];

/// Who comes to a free health check of 泽曲镇.
pub const CHECKED: &[Person] = &[
    Person("马秀花", "19840315", 44, "03", "630222"),
    Person("周毛措", "19770830", 66, "04", "632323"),
    Person("张福贵", "19690102", 31, "01", "630121"),
    Person("冶存林", "19881217", 73, "03", "630121"),
    Person("拉毛才让", "19810519", 25, "04", "632301"),
    Person("祁生莲", "19730411", 88, "30", "630223"),
];

/// A complete household file of `head`: nothing required is missing, no rule is broken.
#[must_use]
pub fn household(head: &Person, number: usize) -> Value {
    let child = Person("扎西", "20140608", 37, head.3, head.4);
    json!({
        "basic": { "event_date": "2026-09-14", "division_code": "632323",
            "address": format!("泽曲镇热旭日村{}社{}号", 1 + number % 5, 10 + number * 7) },
        "head": { "name": head.0, "id_type": "id_card", "id_no": head.id_no(), "sex": head.sex(),
            "birth_date": head.birth_date(), "ethnicity": head.3, "phone": format!("139976{:05}", 10_203 + number * 131) },
        "head_status": { "marital": "20", "education": "70", "hukou_type": "rural", "hukou_prefecture": "632300",
            "hukou_division": "632323" },
        "head_work": { "health": "good", "insurances": ["resident_medical", "resident_pension"],
            "work_status": "flexible", "employer": "泽库县城零工", "worker_group": ["migrant"], "monthly_income": 180_000 },
        "members": [{
            "name": child.0, "relation": "2", "id_type": "id_card", "id_no": child.id_no(), "sex": "1",
            "birth_date": child.birth_date(), "ethnicity": child.3, "guardian_consent": "paper",
            "education": "80", "hukou_type": "rural", "health": "good", "insurances": ["resident_medical"],
            "work_status": "student", "school": "泽曲镇寄宿制小学", "entry_year": 2021, "years": 6,
        }],
        "rigid_expenses": [{ "category": "school", "amount": 320_000, "proof": "invoice" }],
        "economy": { "household_size": 2, "annual_income": 2_160_000, "other_income": 0, "dibao_status": "no" },
        "assets": { "housing_type": "self_built", "area": 68, "homes": 1, "vehicle": "no", "business": "no",
            "study_abroad": "no" },
        "hardship": { "proposed_category": "relative", "cause_main": "9", "needs": ["schooling", "living"],
            "self_help": "yes", "zero_employed": "no", "single_parent": "no" },
    })
}

/// Somebody who joins the family of the story.
#[must_use]
pub fn member(name: &str, birth: &str, serial: u32, relation: &str, work_status: &str) -> Value {
    let birth_date = Person("", Box::leak(birth.to_owned().into_boxed_str()), serial, "04", "632323").birth_date();
    json!({
        "name": name, "relation": relation, "id_type": "id_card", "id_no": id_number("632323", birth, serial),
        "sex": if serial % 2 == 1 { "1" } else { "2" }, "birth_date": birth_date, "ethnicity": "04",
        "marital": "20", "education": "80", "hukou_type": "rural", "health": "weak",
        "insurances": ["resident_medical"], "work_status": work_status, "monthly_income": 0,
    })
}

/// A visit to a household.
#[must_use]
pub fn visit(household: &str, head: &Person, day: u32) -> Value {
    json!({
        "about": { "household": household, "head_name": head.0, "event_date": format!("2026-10-{day:02}") },
        "visitors": [{ "visitor": "多杰", "visitor_org": "township" }, { "visitor": "马秀英", "visitor_org": "township" }],
        "when": { "type": "verify", "visited_at": format!("2026-10-{day:02}T10:30:00.000+08:00") },
        "situation": { "changes": ["none"], "requests": ["schooling"],
            "narrative": "入户核实了户口簿、收入和住房情况，孩子今年继续上学，家里希望申请助学金。" },
    })
}

/// A registration for a free health check.
#[must_use]
pub fn health_check(person: &Person, number: usize) -> Value {
    json!({
        "campaign_info": { "campaign": "2026年农民工免费体检", "year": 2026, "kind": "general",
            "event_date": "2026-10-12", "date": "2026-10-20", "site": "泽曲镇卫生院", "institution": "泽库县人民医院" },
        "participant": { "name": person.0, "id_type": "id_card", "id_no": person.id_no(), "sex": person.sex(),
            "birth_date": person.birth_date(), "phone": format!("138970{:05}", 20_411 + number * 97), "group": "migrant" },
        "eligibility": { "eligible": "yes", "card_no": format!("TJ2026{number:05}") },
        "states": [{ "state": "registered", "state_on": "2026-10-12" }],
    })
}

/// A labour-law check-up of an enterprise of 麦秀镇, as field staff record it: issues, conclusion and rating are the
/// lawyer's to write, and union facts the township's.
#[must_use]
pub fn legal_checkup() -> Value {
    let mut first = serde_json::Map::new();
    let mut second = serde_json::Map::new();
    let mut third = serde_json::Map::new();
    for number in 1..=18 {
        let result = match number {
            3 => "partial",
            8 => "fail",
            11 | 17 => "na",
            _ => "ok",
        };
        let items = match number {
            1..=6 => &mut first,
            7..=12 => &mut second,
            _ => &mut third,
        };
        items.insert(format!("lc{number:02}"), json!(result));
    }
    json!({
        "enterprise": { "has_uscc": "yes", "uscc": "91350100M000100Y43", "name": "麦秀镇牧产品加工有限公司",
            "nature": "private", "industry": "C", "address": "麦秀镇工业路3号", "workers": 46, "women": 21,
            "dispatched": 0, "platform": 0 },
        "team": [{ "member_name": "王建国", "member_role": "union", "member_org": "麦秀镇工会" },
            { "member_name": "陈律师", "member_role": "lawyer", "member_org": "泽库县法律援助中心" }],
        "visit_info": { "event_date": "2026-10-15", "date": "2026-10-15", "docs_seen": ["contracts", "payroll"],
            "methods": ["papers", "talk"], "leaflets": 40, "lectures": 1, "consultations": 12 },
        "items_1": first, "items_2": second, "items_3": third,
        "evidence": [{ "evidence_item": "lc08", "evidence_text": "加工车间未公示职业病危害因素检测结果，涉及18人。" }],
        "report": { "remarks": "企业当场表示整改。" },
    })
}
