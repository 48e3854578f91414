//! Search as staff type: `才让` finds `才让卓玛`, and so do `crzm` and `cairangzhuoma`; any middle dot or none; Tibetan by
//! syllable; ID numbers and phones by their beginning or their last digits.
//!
//! Text is indexed character by character (Chinese has no spaces, and many names have two characters, too few for
//! trigrams), so that a typed piece is a phrase. Names get extra words in a second column: pinyin initials and full
//! pinyin, from every character on, with the common readings of characters that have several.
//!
//! Phone and server make the same words of the same text; where the words are kept is each store's own.

use pinyin::{ToPinyin, ToPinyinMulti};
use unicode_normalization::UnicodeNormalization;

/// Characters of a search text that are used.
pub const SEARCH_CHARS_MAX: usize = 64;
/// Words of a search text that are used.
pub const SEARCH_WORDS_MAX: usize = 8;
/// Characters of one record that are indexed for search.
pub const INDEXED_CHARS_MAX: usize = 8_000;

/// Chinese characters in a row that are still taken for a name; longer texts get no pinyin.
const NAME_CHARS_MAX: usize = 8;
/// Readings of a whole name that are indexed: the product of its characters' readings is cut here.
const NAME_READINGS_MAX: usize = 8;
/// Digits from which a run counts as a number that is looked up by its end.
const NUMBER_DIGITS_MIN: usize = 7;
/// Lengths of the endings of a number that are indexed.
const NUMBER_ENDINGS: std::ops::RangeInclusive<usize> = 4..=8;
/// Stands between two fields, so that no phrase reaches over. A private-use character: nobody types it.
const FIELD_END: &str = "\u{e000}";

/// What the index holds of a record.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct IndexText {
    /// Text, spaced by character.
    pub words: String,
    /// Pinyin and number endings.
    pub codes: String,
}

/// One word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// One Chinese character.
    Han(char),
    /// Latin letters and digits, lower case.
    Latin(String),
    /// A syllable or word of any other script.
    Other(String),
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// Letters and marks of Tibetan but not its punctuation (the tsheg between syllables, the shad).
fn is_tibetan(c: char) -> bool {
    matches!(c, '\u{0f00}' | '\u{0f18}'..='\u{0f39}' | '\u{0f3e}'..='\u{0fbc}')
}

/// Splits a text into words; everything else (spaces, dots, punctuation) only separates.
fn tokens(text: &str, chars_max: usize) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    let mut glued = false;
    for c in text.nfkc().flat_map(char::to_lowercase).take(chars_max) {
        let token = if is_han(c) {
            Token::Han(c)
        } else if c.is_ascii_alphanumeric() {
            Token::Latin(c.to_string())
        } else if c.is_alphanumeric() || is_tibetan(c) {
            Token::Other(c.to_string())
        } else {
            glued = false;
            continue;
        };
        match (found.last_mut().filter(|_| glued), token) {
            (Some(Token::Latin(word)), Token::Latin(next)) | (Some(Token::Other(word)), Token::Other(next)) => {
                word.push_str(&next);
            }
            (_, token) => found.push(token),
        }
        glued = true;
    }
    found
}

fn push_word(text: &mut String, word: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(word);
}

/// What a record with these search fields is found by.
#[must_use]
pub fn index_text(fields: &[String]) -> IndexText {
    let mut index = IndexText::default();
    let mut left = INDEXED_CHARS_MAX;
    for field in fields {
        let found = tokens(field, left);
        left = left.saturating_sub(field.chars().count());
        let mut name: Vec<char> = Vec::new();
        for token in &found {
            if let Token::Han(c) = token {
                push_word(&mut index.words, c.encode_utf8(&mut [0; 4]));
                name.push(*c);
                continue;
            }
            index_name(&mut index.codes, &name);
            name.clear();
            match token {
                Token::Latin(word) => {
                    push_word(&mut index.words, word);
                    index_number(&mut index.codes, word);
                }
                Token::Other(word) => push_word(&mut index.words, word),
                Token::Han(_) => {}
            }
        }
        index_name(&mut index.codes, &name);
        push_word(&mut index.words, FIELD_END);
    }
    index
}

/// The plain readings of a character, the most common first.
fn readings(c: char) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = c.to_pinyin().map(|reading| reading.plain()).into_iter().collect();
    if let Some(all) = c.to_pinyin_multi() {
        for reading in all {
            if !found.contains(&reading.plain()) {
                found.push(reading.plain());
            }
        }
    }
    found
}

/// Adds initials and full pinyin of a name, from each of its characters on.
fn index_name(codes: &mut String, name: &[char]) {
    if name.len() < 2 || name.len() > NAME_CHARS_MAX {
        return;
    }
    let mut words: Vec<String> = Vec::new();
    for start in 0..name.len() - 1 {
        let mut whole: Vec<(String, String)> = vec![(String::new(), String::new())];
        for c in &name[start..] {
            let options = readings(*c);
            if options.is_empty() {
                continue;
            }
            let mut next = Vec::new();
            // The common reading of each comes first, so that the cut drops the rarest combinations.
            for reading in options {
                for (initials, full) in &whole {
                    if next.len() < NAME_READINGS_MAX {
                        let initial = reading.chars().next().map(String::from).unwrap_or_default();
                        next.push((format!("{initials}{initial}"), format!("{full}{}", plain_ascii(reading))));
                    }
                }
            }
            whole = next;
        }
        for (initials, full) in whole {
            for word in [initials, full] {
                if !word.is_empty() && !words.contains(&word) {
                    words.push(word);
                }
            }
        }
    }
    for word in words {
        push_word(codes, &word);
    }
}

/// `lü` is typed `lv`.
fn plain_ascii(reading: &str) -> String {
    reading.replace('ü', "v")
}

/// Adds the endings of a long number.
fn index_number(codes: &mut String, word: &str) {
    if word.len() < NUMBER_DIGITS_MIN || !word.bytes().take(word.len() - 1).all(|byte| byte.is_ascii_digit()) {
        return;
    }
    for length in NUMBER_ENDINGS {
        if length < word.len() {
            push_word(codes, &word[word.len() - length..]);
        }
    }
}

/// What a record must hold to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These words, one behind the other; with `open` the last one may go on.
    Phrase {
        /// Han characters, or words of other scripts.
        words: Vec<String>,
        /// The last word may be the beginning of a longer one.
        open: bool,
    },
    /// A word that begins so: Latin letters and digits.
    Beginning(String),
}

/// What a typed text asks for: all of it must be there. Empty if there is nothing to search for.
#[must_use]
pub fn parts(text: &str) -> Vec<Part> {
    let cut: String = text.chars().take(SEARCH_CHARS_MAX).collect();
    let mut parts: Vec<Part> = Vec::new();
    for typed in cut.split_whitespace() {
        let mut phrase: Vec<String> = Vec::new();
        let found = tokens(typed, SEARCH_CHARS_MAX);
        let last_is_open = matches!(found.last(), Some(Token::Other(_)));
        for token in found {
            match token {
                Token::Han(c) => phrase.push(c.to_string()),
                Token::Other(word) => phrase.push(word),
                Token::Latin(word) => {
                    flush(&mut parts, &mut phrase, false);
                    parts.push(Part::Beginning(word));
                }
            }
        }
        // A Chinese character is whole; a Tibetan syllable may still be being typed.
        flush(&mut parts, &mut phrase, last_is_open);
    }
    parts.truncate(SEARCH_WORDS_MAX);
    parts
}

fn flush(parts: &mut Vec<Part>, phrase: &mut Vec<String>, open: bool) {
    if !phrase.is_empty() {
        parts.push(Part::Phrase { words: std::mem::take(phrase), open });
    }
}

/// A typed text as an FTS5 query; `None` if there is nothing to search for.
#[must_use]
pub fn fts5_query(text: &str) -> Option<String> {
    let written = |part: Part| match part {
        Part::Phrase { words, open } => format!("\"{}\"{}", words.join(" "), if open { " *" } else { "" }),
        Part::Beginning(word) => format!("\"{word}\" *"),
    };
    let parts: Vec<String> = parts(text).into_iter().map(written).collect();
    if parts.is_empty() { None } else { Some(parts.join(" AND ")) }
}
