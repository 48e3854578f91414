//! What the headless phone itself says to people: zh-Hans first, English beside it. What the facade says comes in its
//! own words, and JSON is for programs.

use std::fmt;

use fieldbook_core::client::Language;
use fieldbook_core::forms::catalogue::filled;

macro_rules! catalogue {
    ($($(#[$doc:meta])* $variant:ident $zh:literal $en:literal;)+) => {
        /// The sentences; `{0}`, `{1}` … are what they are about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Text { $($(#[$doc])* $variant),+ }

        impl Text {
            /// Every sentence.
            pub const ALL: &[Text] = &[$(Text::$variant),+];

            fn template(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Text::$variant, Language::Chinese) => $zh, (Text::$variant, Language::English) => $en),+
                }
            }
        }
    };
}

catalogue! {
    /// What a sync did.
    Synced
        "发出 {0} 项修改（{1} 字节），收到 {2} 项修改（{3} 字节），未接受 {4} 项，分歧 {5} 处，{6} 次请求，{7} 帧，{8} 秒"
        "sent {0} changes ({1} bytes), received {2} changes ({3} bytes), not taken {4}, conflicts {5}, {6} requests, {7} frames, {8} s";
    /// A sync failed that is tried again.
    Again "{0} {1} 秒后再试。" "{0} Trying again in {1} s.";
    /// The system gives no means to watch.
    NoWatching "系统不能等候保存与信号（{0}）" "the system cannot wait for saves and signals ({0})";
    /// What a sync has done so far.
    Progress
        "↑ {0} 项修改，{1} kB  ↓ {2} 项修改，{3} kB"
        "↑ {0} changes, {1} kB  ↓ {2} changes, {3} kB";
    /// What was wrong with one line.
    Line "第 {0} 行：{1}" "line {0}: {1}";
    /// How many lines were not taken.
    LinesNotTaken "有 {0} 行没有存入，请改正后重新提交这几行" "{0} lines were not taken: correct them and give them again";
    /// No JSON.
    NoJson "不是有效的 JSON（{0}）" "no JSON ({0})";
    /// No object.
    NoObject "应为一个对象 {…}" "expected an object {…}";
    /// A key that is not there.
    Missing "缺少“{0}”" "{0} is missing";
    /// A key that nobody knows.
    UnknownKey "不认识“{0}”，请核对拼写" "unknown key {0}: check its spelling";
    /// No text.
    NotText "“{0}”应为文字" "{0} must be a text";
    /// Neither true nor false.
    NotFlag "“{0}”应为 true 或 false" "{0} must be true or false";
    /// No object under a key.
    NotObject "“{0}”应为一个对象 {…}" "{0} must be an object {…}";
    /// No record id.
    NoId "“{0}”不是档案编号（UUID）" "{0} is no record id (UUID)";
    /// Too long.
    TooLong "超过 {0} 字节，其后的行没有读" "longer than {0} bytes; nothing after it was read";
    /// Another encoding.
    NotUtf8 "不是 UTF-8 编码，其后的行没有读" "no UTF-8; nothing after it was read";
    /// A file cannot be opened.
    Opening "打不开文件 {0}（{1}）" "{0} cannot be opened ({1})";
    /// A line cannot be read.
    Reading "读不下去（{0}），其后的行没有读" "reading failed ({0}); nothing after it was read";
    /// Nobody reads what is written.
    Writing "写不出结果（{0}）" "what was done cannot be written ({0})";
    /// The time that the environment names is none.
    NoTime "环境变量 {0} 应写作 2024-05-01T08:30:00Z" "the variable {0} must be written 2024-05-01T08:30:00Z";
}

/// A sentence with what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    text: Text,
    about: Vec<String>,
}

impl Said {
    /// A sentence about nothing but itself.
    #[must_use]
    pub fn new(text: Text) -> Self {
        Self { text, about: Vec::new() }
    }

    /// Fills the next place.
    #[must_use]
    pub fn with(mut self, about: impl fmt::Display) -> Self {
        self.about.push(about.to_string());
        self
    }

    /// The sentence in `language`.
    #[must_use]
    pub fn say(&self, language: Language) -> String {
        filled(self.text.template(language), &self.about)
    }
}

#[cfg(test)]
mod tests;
