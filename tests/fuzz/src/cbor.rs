//! CBOR as a tree, changed node by node: every length fits again.

use crate::hostile::{self, Dice, scramble};

/// Nesting up to which items are taken apart.
const DEPTH_MAX: usize = 60;
/// Bytes up to which an item may grow.
const BYTES_MAX: usize = 60_000;

#[derive(Clone)]
enum Node {
    Int(u8, u64),
    Bytes(Vec<u8>),
    Text(Vec<u8>),
    Array(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Tag(u64, Box<Node>),
    /// Simple values and floats, with their head.
    Raw(Vec<u8>),
}

fn head(major: u8, value: u64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    match value {
        0..24 => out.push(major << 5 | value as u8),
        24..0x100 => out.extend_from_slice(&[major << 5 | 24, bytes[7]]),
        0x100..0x1_0000 => {
            out.push(major << 5 | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major << 5 | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major << 5 | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

fn read(input: &mut &[u8], depth: usize) -> Option<Node> {
    let (first, rest) = input.split_first()?;
    let (major, info) = (first >> 5, first & 0x1f);
    let extra = match info {
        0..24 => 0,
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return None,
    };
    let (number, rest) = rest.split_at_checked(extra)?;
    let value =
        if extra == 0 { u64::from(info) } else { number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) };
    if major == 7 {
        let raw = input[..=extra].to_vec();
        *input = rest;
        return Some(Node::Raw(raw));
    }
    *input = rest;
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match major {
        0 | 1 => Node::Int(major, value),
        2 | 3 => {
            let (bytes, rest) = input.split_at_checked(usize::try_from(value).ok()?)?;
            *input = rest;
            if major == 2 { Node::Bytes(bytes.to_vec()) } else { Node::Text(bytes.to_vec()) }
        }
        4 => Node::Array((0..value).map(|_| read(input, depth + 1)).collect::<Option<_>>()?),
        5 => {
            let pair = |_| Some((read(input, depth + 1)?, read(input, depth + 1)?));
            Node::Map((0..value).map(pair).collect::<Option<_>>()?)
        }
        _ => Node::Tag(value, Box::new(read(input, depth + 1)?)),
    })
}

fn write(node: &Node, out: &mut Vec<u8>) {
    match node {
        Node::Int(major, value) => head(*major, *value, out),
        Node::Bytes(bytes) => {
            head(2, bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        Node::Text(bytes) => {
            head(3, bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        Node::Array(items) => {
            head(4, items.len() as u64, out);
            items.iter().for_each(|item| write(item, out));
        }
        Node::Map(pairs) => {
            head(5, pairs.len() as u64, out);
            pairs.iter().for_each(|(key, value)| {
                write(key, out);
                write(value, out);
            });
        }
        Node::Tag(tag, inner) => {
            head(6, *tag, out);
            write(inner, out);
        }
        Node::Raw(bytes) => out.extend_from_slice(bytes),
    }
}

fn count(node: &Node) -> usize {
    1 + match node {
        Node::Array(items) => items.iter().map(count).sum(),
        Node::Map(pairs) => pairs.iter().map(|(key, value)| count(key) + count(value)).sum(),
        Node::Tag(_, inner) => count(inner),
        _ => 0,
    }
}

/// The node with this number, in the order in which they are written.
fn node_at<'n>(node: &'n mut Node, at: &mut usize) -> Option<&'n mut Node> {
    if *at == 0 {
        return Some(node);
    }
    *at -= 1;
    match node {
        Node::Array(items) => items.iter_mut().find_map(|item| node_at(item, at)),
        Node::Map(pairs) => pairs.iter_mut().find_map(|(key, value)| match node_at(key, at) {
            Some(found) => Some(found),
            None => node_at(value, at),
        }),
        Node::Tag(_, inner) => node_at(inner, at),
        _ => None,
    }
}

/// Changes one to three nodes of the CBOR items in `bytes`; false if these are none.
pub fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) -> bool {
    let mut items = Vec::new();
    let mut input = bytes.as_slice();
    while !input.is_empty() {
        let Some(item) = read(&mut input, 0) else { return false };
        items.push(item);
    }
    if items.is_empty() {
        return false;
    }
    let mut root = Node::Array(items);
    for _ in 0..=dice.below(3) {
        let total = count(&root);
        let donor = node_at(&mut root, &mut (1 + dice.below(total - 1))).map(|node| node.clone());
        if let Some(node) = node_at(&mut root, &mut (1 + dice.below(total - 1))) {
            change(node, donor, dice);
        }
    }
    let Node::Array(items) = &root else { return false };
    let mut out = Vec::new();
    items.iter().for_each(|item| write(item, &mut out));
    if out.is_empty() || out.len() > BYTES_MAX {
        return false;
    }
    *bytes = out;
    true
}

fn change(node: &mut Node, donor: Option<Node>, dice: &mut Dice) {
    match dice.below(12) {
        0 => *node = donor.unwrap_or(Node::Int(0, 0)),
        1 => *node = Node::Raw(vec![[0xf6, 0xf5, 0xf4, 0xf7][dice.below(4)]]),
        2 => *node = Node::Array(vec![node.clone()]),
        _ => match node {
            Node::Int(_, value) => *value = number(*value, dice),
            Node::Bytes(bytes) => inner(bytes, dice),
            Node::Text(text) => words(text, dice),
            Node::Array(items) => list(items, donor, dice),
            Node::Map(pairs) if !pairs.is_empty() => {
                let at = dice.below(pairs.len());
                if dice.below(2) == 0 {
                    pairs.remove(at);
                } else {
                    let copy = pairs[at].clone();
                    pairs.push(copy);
                }
            }
            Node::Map(_) | Node::Tag(..) => {}
            Node::Raw(bytes) => scramble(bytes, dice),
        },
    }
}

/// A number near the old one, or at an edge.
pub fn number(value: u64, dice: &mut Dice) -> u64 {
    match dice.below(5) {
        0 => value.wrapping_add(1),
        1 => value.wrapping_sub(1),
        2 => [0, 1, 255, 65_535, u64::from(u32::MAX), i64::MAX as u64, u64::MAX, 1 << 32][dice.below(8)],
        3 => dice.below(20) as u64,
        _ => dice.roll() >> dice.below(64),
    }
}

/// Bytes may be CBOR themselves, or a change.
fn inner(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if bytes.starts_with(&[0x85, 0x6f, 0x4a, 0x83]) && dice.below(8) != 0 {
        *bytes = crate::change::mutate_sealed(bytes, dice);
    } else if bytes.len() < 4 || dice.below(4) == 0 || !mutate(bytes, dice) {
        match dice.below(4) {
            0 => bytes.clear(),
            1 => bytes.extend(std::iter::repeat_n(0, dice.below(3_000))),
            _ => scramble(bytes, dice),
        }
    }
}

/// Text changes by words of the trade, so that names and expressions still mean something.
pub fn words(text: &mut Vec<u8>, dice: &mut Dice) {
    if dice.below(4) == 0 {
        scramble(text, dice);
        return;
    }
    let word = WORDS[dice.below(WORDS.len())].as_bytes();
    match dice.below(6) {
        0 => *text = word.to_vec(),
        1 if text.len() < 2_000 => *text = text.repeat(1 + dice.below(8)),
        2 => text.clear(),
        _ => {
            let at = boundary(text, dice);
            let end = if dice.below(2) == 0 { at } else { boundary(text, dice).max(at) };
            text.splice(at..end, word.iter().copied());
        }
    }
}

/// A place between two characters.
fn boundary(text: &[u8], dice: &mut Dice) -> usize {
    let mut at = dice.below(text.len() + 1);
    while at > 0 && at < text.len() && text[at] & 0xc0 == 0x80 {
        at -= 1;
    }
    at
}

fn list(items: &mut Vec<Node>, donor: Option<Node>, dice: &mut Dice) {
    if items.is_empty() {
        items.extend(donor);
        return;
    }
    let at = dice.below(items.len());
    match dice.below(7) {
        0 => {
            items.remove(at);
        }
        1 => {
            let copy = items[at].clone();
            items.insert(at, copy);
        }
        2 => {
            let other = dice.below(items.len());
            items.swap(at, other);
        }
        3 => items.extend(donor),
        4 => {
            let copy = items[at].clone();
            let most = if dice.below(20) == 0 { 2_000 } else { 8 };
            items.extend(std::iter::repeat_n(copy, dice.below(most)));
        }
        5 => items.truncate(at),
        _ => {
            let mut deep = items[at].clone();
            for _ in 0..dice.below(40) {
                deep = Node::Array(vec![deep]);
            }
            items[at] = deep;
        }
    }
}

/// What names, paths, answers and expressions are made of.
pub const WORDS: &[&str] = &[
    "/data/",
    "../",
    "name",
    "age",
    "members",
    "members/name",
    "members/jobs",
    "needs",
    "total",
    "_id",
    "_removed",
    ".",
    "concat(",
    "substr(",
    "string-length(",
    "count(",
    "sum(",
    "join(' ', ",
    "if(",
    "coalesce(",
    "selected(",
    "regex(",
    "position(",
    "indexed-repeat(",
    "pulldata(",
    "instance('",
    "')/root/item",
    "[",
    "]",
    "(",
    ")",
    ", ",
    " + ",
    " div ",
    " mod ",
    " and ",
    " or ",
    " = ",
    " != ",
    "//",
    "*",
    "|",
    "-1",
    "0",
    "1",
    "2147483648",
    "9999999999999999999",
    "1e308",
    "0.1",
    "NaN",
    "'",
    "\"",
    "true()",
    "today()",
    "now()",
    "once(",
    "random()",
    "uuid()",
    "format-date(",
    "round(",
    "pow(",
    "area(",
    "distance(",
    "randomize(",
    "date(",
    "2026-02-30",
    "24:61",
    "110101199003071234",
    "county",
    "aid",
    "才让",
    "，",
    "０",
    "·",
    "\u{1f600}",
    "\u{0}",
    "<",
    ">",
    "&amp;",
    "<value>",
    "</",
    "${name}",
    "${",
    "}",
    "select_one",
    "yes_no",
    "begin_repeat",
    "end_repeat",
    "begin_group",
    "end_group",
    "calculate",
    "repeat_count",
    "fb:",
    "http://",
    " ",
    "\n",
    ",",
];

/// A change's chunk around random bytes would never be tried otherwise.
pub fn reseal(chunk: &[u8]) -> Vec<u8> {
    hostile::seal(hostile::PLAIN, hostile::body(chunk))
}
