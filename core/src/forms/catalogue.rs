//! What users read when an answer is not taken: short sentences in Chinese and English, by stable key. A form's own
//! `constraint_message` and `required_message` come before these.

use std::fmt;

/// Makes an enum of messages: what each is about, its stable key, Chinese, English.
macro_rules! catalogue {
    ($(#[$about:meta])* $name:ident {
        $($(#[$doc:meta])* $variant:ident $key:literal $zh:literal $en:literal;)+
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every key, in order.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The key as catalogues and logs name it.
            #[must_use]
            pub fn key(self) -> &'static str {
                match self { $($name::$variant => $key),+ }
            }

            fn template(self, chinese: bool) -> &'static str {
                match self { $($name::$variant => if chinese { $zh } else { $en }),+ }
            }
        }
    };
}
pub(super) use catalogue;

/// Readers of `zh…`, of `bo`, and of forms without languages read Chinese; everybody else English.
pub(super) fn reads_chinese(language: &str) -> bool {
    language.starts_with("zh") || language.starts_with("bo") || language == "default"
}

/// `template` with `{0}`, `{1}` … replaced by the arguments in order. What an argument holds is not looked at again.
#[must_use]
pub fn filled(template: &str, args: &[String]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let place = after.split_once('}').and_then(|(number, tail)| Some((number.parse::<usize>().ok()?, tail)));
        match place {
            Some((at, tail)) => {
                out.push_str(args.get(at).map_or("", String::as_str));
                rest = tail;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

catalogue! {
    /// The stable name of a message.
    MessageKey {
    /// The form has no such field.
    UnknownField "unknown_field" "表单中没有“{0}”这一项，请核对名称" "the form has no field {0}: check the name";
    /// The path names no row, or a row where there is none.
    WrongRow "wrong_row" "找不到“{0}”对应的行，请核对行号" "there is no such row for {0}: check the row id";
    /// The form computes it.
    Computed "computed" "此项由表单自动计算，不能填写" "the form computes this value: leave it out";
    /// A text was expected.
    NotText "not_text" "应填写文字" "expected text";
    /// Too long.
    TooLong "too_long" "内容太长，最多 {0} 个字" "too long: at most {0} characters";
    /// A whole number was expected.
    NotInteger "not_integer" "应填写整数，例如 12" "expected a whole number, such as 12";
    /// A number was expected.
    NotDecimal "not_decimal" "应填写数字，例如 12.5" "expected a number, such as 12.5";
    /// A date was expected.
    NotDate "not_date" "应填写日期，例如 2024-05-01" "expected a date, such as 2024-05-01";
    /// A time was expected.
    NotTime "not_time" "应填写时间，例如 08:30:00" "expected a time, such as 08:30:00";
    /// A date and time was expected.
    NotDateTime "not_date_time" "应填写日期和时间，例如 2024-05-01T08:30:00" "expected a date and time, such as 2024-05-01T08:30:00";
    /// A position was expected.
    NotPosition "not_position" "应填写位置：纬度 经度，例如 36.62 101.77" "expected a position: latitude longitude, such as 36.62 101.77";
    /// Too few points for a line or area.
    TooFewPoints "too_few_points" "至少需要 {0} 个点" "at least {0} points are needed";
    /// Not a choice of the list.
    NotAChoice "not_a_choice" "“{0}”不在选项中，请从列表中选择" "{0} is not one of the choices: pick one of the list";
    /// A list of choices was expected.
    NotAList "not_a_list" "应填写选项列表" "expected a list of choice names";
    /// Named twice in a ranking.
    Twice "twice" "“{0}”出现了两次" "{0} is named twice";
    /// A file name was expected.
    NotAFile "not_a_file" "应填写文件名，不含路径" "expected a file name without folders";
    /// Neither OK nor empty.
    NotAcknowledged "not_acknowledged" "应确认（OK）或留空" "expected OK, or nothing";
    /// Rows were expected.
    NotRows "not_rows" "“{0}”应为若干行" "{0} holds rows: expected a list of objects";
    /// A group was expected.
    NotAGroup "not_a_group" "“{0}”应为一组值" "{0} is a group: expected an object";
    /// Too many rows.
    TooManyRows "too_many_rows" "行数太多，最多 {0} 行" "too many rows: at most {0}";
    /// Rows of a counted repeat are made by the form.
    CountedRows "counted_rows" "此处行数由表单决定，不能增减" "the form decides how many rows there are here";
    /// Required and empty.
    Required "required" "此项必填" "this must be answered";
    /// The form's rule is broken.
    Constraint "constraint" "填写的内容不符合要求" "the answer is not allowed here";
    /// The choice does not fit the other answers.
    ChoiceFiltered "choice_filtered" "所选“{0}”与前面的回答不符，请重新选择" "{0} does not fit the other answers: choose again";
    /// A rule of the form could not be computed.
    Logic "logic" "表单规则无法计算（{0}），请告诉管理员" "a rule of the form cannot be computed ({0}): tell the administrator";
    /// ID number: length or characters.
    IdNumberForm "id_number_form" "身份证号码应为 18 位，请核对" "an ID number has 18 characters: check it";
    /// ID number: check character.
    IdNumberChecksum "id_number_checksum" "身份证号码有误（校验位不符），请逐位核对" "the ID number has a mistake (its last character does not fit): check it digit by digit";
    /// ID number: no such date of birth.
    IdNumberDate "id_number_date" "身份证号码中的出生日期不存在或在将来，请核对" "the date of birth in the ID number does not exist or lies in the future: check it";
    /// Sex differs from the ID number's.
    IdNumberSex "id_number_sex" "性别与身份证号码不一致，请核对" "the sex differs from the ID number: check both";
    /// Date of birth differs from the ID number's.
    IdNumberBirth "id_number_birth" "出生日期与身份证号码不一致，请核对" "the date of birth differs from the ID number: check both";
    /// Credit code: length or characters.
    CreditCodeForm "credit_code_form" "统一社会信用代码应为 18 位数字或大写字母（不含 I、O、S、V、Z），请核对" "a unified social credit code has 18 digits or letters (not I, O, S, V, Z): check it";
    /// Credit code: check character.
    CreditCodeChecksum "credit_code_checksum" "统一社会信用代码有误（校验位不符），请逐位核对" "the credit code has a mistake (its last character does not fit): check it";
    /// No phone number.
    PhoneForm "phone_form" "电话号码有误：手机 11 位，固定电话带区号" "no phone number: a mobile has 11 digits, a landline its area code";
    /// Division code: digits.
    DivisionForm "division_form" "区划代码应为 6、9 或 12 位数字" "a division code has 6, 9 or 12 digits";
    /// Division code: not in Qinghai's table.
    DivisionUnknown "division_unknown" "没有区划代码“{0}”，请核对" "there is no division {0}: check the code";
    }
}

/// A message with what fills its places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which.
    pub key: MessageKey,
    /// What fills its place, if it has one; never a value that could be sensitive.
    pub about: String,
}

impl Message {
    /// A message without places.
    #[must_use]
    pub fn new(key: MessageKey) -> Self {
        Self { key, about: String::new() }
    }

    /// A message about something; at most 80 characters of it are shown.
    #[must_use]
    pub fn about(key: MessageKey, about: impl fmt::Display) -> Self {
        Self { key, about: about.to_string().chars().take(80).collect() }
    }

    /// The sentence in `language`: Chinese for `zh…` and `bo`, else English.
    #[must_use]
    pub fn text(&self, language: &str) -> String {
        filled(self.key.template(reads_chinese(language)), std::slice::from_ref(&self.about))
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text("en"))
    }
}
