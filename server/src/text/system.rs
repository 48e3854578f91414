//! What the operating system says is English whoever asks.

use super::Language;

/// Commonest words of the system, by their numbers (Linux's errno).
const KNOWN: [(i32, &str); 17] = [
    (1, "不允许这样做"),
    (2, "没有这个文件或文件夹"),
    (5, "磁盘读写出错"),
    (13, "没有权限"),
    (17, "已存在"),
    (20, "不是文件夹"),
    (21, "这是文件夹"),
    (24, "打开的文件太多"),
    (28, "磁盘已满"),
    (30, "磁盘是只读的"),
    (36, "文件名太长"),
    (98, "地址已被占用"),
    (99, "本机没有这个地址"),
    (104, "连接被断开"),
    (110, "连接超时"),
    (111, "连接被拒绝"),
    (113, "网络不通"),
];

/// A text that may hold what the system said, in the language asked for as far as the words are known.
pub(super) fn words(language: Language, value: &str) -> String {
    if language == Language::English || !value.contains("(os error ") {
        return value.to_owned();
    }
    let said = |number: i32| std::io::Error::from_raw_os_error(number).to_string();
    KNOWN.iter().fold(value.to_owned(), |value, (number, chinese)| value.replace(&said(*number), chinese))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_said_in_chinese() {
        let denied = std::io::Error::from_raw_os_error(13);
        let said = format!("/x: {denied}");
        assert_eq!(words(Language::Chinese, &said), "/x: 没有权限");
        assert_eq!(words(Language::English, &said), said);
    }
}
