//! One record of the workload: its fields in the order in which they are drawn and written.

use super::random::Rng;
use super::tables as t;

/// Characters of a visit's note.
pub(super) const NOTE_LENGTH: usize = 120;
/// How strongly free text prefers the first words of the table.
const WORD_SKEW: f64 = 1.8;

/// Fields that a visit usually changes, in the order from which edits choose.
pub(super) const EDITABLE: &[&str] = &[
    "phone",
    "member_count",
    "housing_grade",
    "water_source",
    "medical",
    "pigs",
    "cattle",
    "poultry",
    "wage_income",
    "farm_income",
    "transfer_income",
    "expense",
    "helper",
    "risk",
    "address",
];

/// A JSON object under construction; keys keep their order.
pub(super) struct Fields {
    json: String,
}

impl Fields {
    pub(super) fn new() -> Self {
        Self { json: String::from("{") }
    }

    /// Adds a value that is JSON already.
    pub(super) fn raw(&mut self, key: &str, json: &str) {
        if self.json.len() > 1 {
            self.json.push(',');
        }
        self.json.push_str(&format!("\"{key}\":{json}"));
    }

    /// Adds a text. The workload's texts hold nothing that JSON escapes.
    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.raw(key, &format!("\"{text}\""));
    }

    /// Adds a number as JavaScript writes it: shortest digits that read back the same, no `.0`.
    pub(super) fn number(&mut self, key: &str, number: f64) {
        self.raw(key, &number.to_string());
    }

    fn whole(&mut self, key: &str, number: u32) {
        self.number(key, f64::from(number));
    }

    /// Adds a list of objects.
    pub(super) fn rows(&mut self, key: &str, rows: &[String]) {
        self.raw(key, &format!("[{}]", rows.join(",")));
    }

    /// The finished object.
    pub(super) fn object(mut self) -> String {
        self.json.push('}');
        self.json
    }
}

/// All fields of record `index` of `seed`.
pub(super) fn record_fields(seed: u32, index: u32) -> Fields {
    let mut rng = Rng::from_product(f64::from(seed) * 2_654_435_761.0 + f64::from(index) * 40_503.0 + 17.0);
    let r = &mut rng;
    let mut fields = Fields::new();
    head(r, index, &mut fields);
    home(r, &mut fields);
    living(r, &mut fields);
    let members = [member(r), member(r), member(r), member(r)];
    fields.rows("members", &members);
    let visits = [visit_fields(r), visit_fields(r), visit_fields(r)];
    fields.rows("visits", &visits);
    fields
}

fn head(r: &mut Rng, index: u32, f: &mut Fields) {
    f.text("file_no", &format!("HV{index:08}"));
    f.text("head_name", &name(r));
    f.text("head_id_no", &id_number(r));
    f.text("head_gender", r.pick(&["男", "女"]));
    f.text("head_birth", &date(r, 1940, 2000));
    f.text("phone", &phone(r));
    f.text("alt_phone", &phone(r));
}

fn home(r: &mut Rng, f: &mut Fields) {
    f.text("province", r.pick(t::PROVINCES));
    f.text("city", r.pick(t::CITIES));
    f.text("county", r.pick(t::COUNTIES));
    f.text("town", r.pick(t::TOWNS));
    f.text("village", r.pick(t::VILLAGES));
    f.whole("group_no", 1 + r.int(15));
    f.text("address", &address(r, 1, 200));
    f.text("household_type", r.pick(t::HOUSEHOLD_TYPE));
    f.text("poverty_cause", r.pick(t::POVERTY_CAUSE));
    f.whole("member_count", 2 + r.int(6));
    f.whole("labor_count", r.int(4));
    f.text("housing_type", r.pick(t::HOUSING_TYPE));
    f.text("housing_grade", r.pick(t::HOUSING_GRADE));
    f.whole("housing_area", 40 + r.int(160));
    f.text("water_source", r.pick(t::WATER_SOURCE));
    f.text("toilet", r.pick(t::TOILET));
    f.text("fuel", r.pick(t::FUEL));
    f.text("road", r.pick(t::ROAD));
    f.number("road_km", f64::from(r.int(200)) / 10.0);
}

fn living(r: &mut Rng, f: &mut Fields) {
    f.text("medical", r.pick(t::MEDICAL));
    f.text("pension", if r.int(2) == 1 { "yes" } else { "no" });
    f.number("arable_mu", f64::from(r.int(150)) / 10.0);
    f.number("forest_mu", f64::from(r.int(200)) / 10.0);
    f.whole("pigs", r.int(12));
    f.whole("cattle", r.int(5));
    f.whole("poultry", r.int(40));
    f.whole("wage_income", r.int(60_000));
    f.whole("farm_income", r.int(20_000));
    f.whole("transfer_income", r.int(15_000));
    f.whole("expense", r.int(50_000));
    f.text("bank_card", &format!("6217{}", digits(r, 15)));
    f.text("risk", r.pick(t::RISK));
    f.text("measure", r.pick(t::MEASURE));
    f.text("helper", &name(r));
    f.text("registered", &date(r, 2014, 2024));
    f.text("network", r.pick(t::NETWORK));
    f.number("lat", 24.0 + f64::from(r.int(400_000)) / 100_000.0);
    f.number("lng", 103.0 + f64::from(r.int(600_000)) / 100_000.0);
}

fn member(r: &mut Rng) -> String {
    let mut f = Fields::new();
    f.text("name", &name(r));
    f.text("id_no", &id_number(r));
    f.text("relation", r.pick(t::RELATIONS));
    f.text("birth", &date(r, 1940, 2020));
    f.text("gender", r.pick(&["男", "女"]));
    f.text("health", r.pick(t::HEALTH));
    f.text("job", r.pick(t::JOBS));
    f.whole("income", r.int(40_000));
    f.object()
}

/// One visit, as JSON.
pub(super) fn visit_fields(r: &mut Rng) -> String {
    let mut f = Fields::new();
    let vid: String = (0..22).map(|_| r.pick_char(t::BASE62)).collect();
    f.text("vid", &vid);
    f.text("date", &date(r, 2024, 2026));
    f.text("worker", &name(r));
    f.text("note", &note(r));
    f.object()
}

/// A new value of an [`EDITABLE`] field; outside the range of first values, so that an edit always changes something.
pub(super) fn edit_value(r: &mut Rng, key: &'static str, f: &mut Fields) {
    match key {
        "phone" => f.text(key, &phone(r)),
        "member_count" => f.whole(key, 2 + r.int(6)),
        "housing_grade" => f.text(key, r.pick(t::HOUSING_GRADE)),
        "water_source" => f.text(key, r.pick(t::WATER_SOURCE)),
        "medical" => f.text(key, r.pick(t::MEDICAL)),
        "pigs" | "cattle" => f.whole(key, r.int(100) + 20),
        "poultry" => f.whole(key, 100 + r.int(400)),
        "wage_income" => f.whole(key, 70_000 + r.int(9_999)),
        "farm_income" => f.whole(key, 30_000 + r.int(9_999)),
        "transfer_income" => f.whole(key, 20_000 + r.int(9_999)),
        "expense" => f.whole(key, 60_000 + r.int(9_999)),
        "helper" => f.text(key, &name(r)),
        "risk" => f.text(key, r.pick(t::RISK)),
        "address" => f.text(key, &address(r, 201, 99)),
        _ => {}
    }
}

fn name(r: &mut Rng) -> String {
    let mut name = String::from(r.pick_char(t::SURNAMES));
    name.push(r.pick_char(t::GIVEN));
    if r.int(4) != 0 {
        name.push(r.pick_char(t::GIVEN));
    }
    name
}

fn phone(r: &mut Rng) -> String {
    format!("1{}", digits(r, 10))
}

/// `first` is the lowest house number, `count` how many there are.
fn address(r: &mut Rng, first: u32, count: u32) -> String {
    let (town, village) = (r.pick(t::TOWNS), r.pick(t::VILLAGES));
    let (group, house) = (1 + r.int(15), first + r.int(count));
    format!("{town}{village}{group}组{house}号")
}

fn date(r: &mut Rng, first_year: u32, last_year: u32) -> String {
    let (year, month, day) = (first_year + r.int(last_year - first_year + 1), 1 + r.int(12), 1 + r.int(28));
    format!("{year}-{month:02}-{day:02}")
}

fn digits(r: &mut Rng, count: usize) -> String {
    (0..count).map(|_| r.pick_char("0123456789")).collect()
}

/// An ID number by its shape only: the check character is drawn, not computed.
fn id_number(r: &mut Rng) -> String {
    let place = r.int(30) + 2400;
    let born = date(r, 1940, 2018).replace('-', "");
    format!("52{place:04}{born}{}{}", digits(r, 3), r.pick_char("0123456789X"))
}

fn note(r: &mut Rng) -> String {
    let mut text = String::new();
    let mut length = 0;
    while length < NOTE_LENGTH {
        let piece = if r.int(2) == 1 { free_text(r) } else { sentence(r) };
        length += piece.chars().count();
        text.push_str(&piece);
    }
    text.chars().take(NOTE_LENGTH).collect()
}

/// A sentence of the table with its `{…}` filled in.
fn sentence(r: &mut Rng) -> String {
    let mut rest = r.pick(t::PHRASES);
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let (key, tail) = after.split_once('}').unwrap_or((after, ""));
        match key {
            "n" => text.push_str(&name(r)),
            "d" => text.push_str(&(1 + r.int(28)).to_string()),
            "m" => text.push_str(&(100 + r.int(9_000)).to_string()),
            _ => text.push_str(r.pick(&["良好", "一般", "较差"])),
        }
        rest = tail;
    }
    text.push_str(rest);
    text
}

/// Words drawn with a skew, so that notes are not only template sentences.
fn free_text(r: &mut Rng) -> String {
    let mut text = String::new();
    for _ in 0..4 + r.int(6) {
        let share = r.next().powf(WORD_SKEW);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index below the number of words"
        )]
        let at = (share * t::WORDS.len() as f64).floor() as usize;
        text.push_str(t::WORDS[at.min(t::WORDS.len() - 1)]);
        if r.int(5) == 0 {
            text.push('，');
        }
    }
    text.push('。');
    text
}
