use sha2::{Digest, Sha256};

use super::notes::common_characters;
use super::record::NOTE_LENGTH;
use super::{day, day_with_random_notes, edits, records};

/// SHA-256 of records, mine, new and others as the reference script wrote them, for 300 records of each seed.
const REFERENCE: [(u32, [&str; 4]); 3] = [
    (
        1,
        [
            "acc15655569a54be967f76360d22f9d2ed7cf4daee502d9e16d63169544fd0d4",
            "5895aeafaba8bd5af6845152e2eee5a7391743b36e9dd3c4c2682281445db963",
            "7086efa135334ee9d8fdb1ee5d8f7324c4e4b3339da085652a80a1c4ea16a154",
            "5d8aa5b6c3e497c630e47a0259a6efbdc911b52b73c21bd0a78b851285d8fcb2",
        ],
    ),
    (
        2,
        [
            "95aabb5aaf8fc17c69a079e2bb85c25817e512e48b477fbe18dce65c922c6de7",
            "872fe7f1ed912cf8b423c21b0a1c4c265d9ed1ec474c58f9bae7340dc5966ded",
            "347cf13e9fc613e1a926fb36cba2adb98f0f15623bb71444a75bd0155f886abc",
            "2853945aa54ed6a75e7aa6afbba4e415bca871e72c12de8b5d2fc8cd854723e7",
        ],
    ),
    (
        3,
        [
            "746266cfc7dcfc264101b3456239d8247e194b09b8bf1f337e5a8e7eb76c6d57",
            "a92c61fb5e0def0deae704a52af7bbce42fff4c78c30a8977bbf6974e93e797a",
            "70dc6e35ec96691b2cadcf56359b652e9777bb8447fffdc7124f069b83b8ead1",
            "09a3d4760a3a98880482e0c31e00c6ec687316df203854c01581324c44650f36",
        ],
    ),
];

/// SHA-256 of 20 records of a seed beyond 2³¹, where the reference's arithmetic rounds.
const LARGE_SEED: (u32, &str) = (4_000_000_007, "ade839f40b680ca65a6441a2b65c92e082e7d05c8f0a0c32e5ec37cf67d451da");

fn file_hash(lines: impl Iterator<Item = String>) -> String {
    let mut hasher = Sha256::new();
    for line in lines {
        hasher.update(line.as_bytes());
        hasher.update(b"\n");
    }
    hex::encode(hasher.finalize())
}

#[test]
fn files_are_the_references_byte_for_byte() {
    for (seed, expected) in REFERENCE {
        let day = day(seed, 300);
        let files = [
            file_hash(records(seed, 300)),
            file_hash(day.mine.into_iter()),
            file_hash(day.new.into_iter()),
            file_hash(day.others.into_iter()),
        ];
        assert_eq!(files, expected, "seed {seed}: records, mine, new, others");
    }
}

#[test]
fn large_seeds_round_as_the_reference_does() {
    assert_eq!(file_hash(records(LARGE_SEED.0, 20)), LARGE_SEED.1);
}

#[test]
fn every_line_is_json_with_an_id_and_shared_records_have_wage_income_in_common() {
    let day = day(1, 300);
    let parse = |line: &String| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON");
    let (mine, others): (Vec<_>, Vec<_>) =
        (day.mine.iter().map(parse).collect(), day.others.iter().map(parse).collect());
    assert_eq!((mine.len(), others.len(), day.new.len()), (30, 105, 5));
    for (ours, theirs) in mine.iter().zip(&others).take(5) {
        assert_eq!(ours["id"], theirs["id"]);
        assert_ne!(ours["set"]["wage_income"], theirs["set"]["wage_income"]);
    }
}

#[test]
fn fewer_records_than_edits_make_fewer_edits() {
    let small = day(1, 3);
    assert_eq!((small.mine.len(), small.others.len(), small.new.len()), (3, 3, 5));
    assert!(day(1, 0).mine.is_empty());
}

#[test]
fn gb_2312_has_its_common_characters() {
    let characters = common_characters();
    let distinct: std::collections::BTreeSet<char> = characters.iter().copied().collect();
    assert_eq!((characters.len(), distinct.len()), (3_755, 3_755));
    assert_eq!((characters[0], characters[3_754]), ('啊', '座'));
}

#[test]
fn random_notes_change_nothing_but_the_notes() {
    let (plain, random) = (day(1, 300), day_with_random_notes(1, 300));
    let mut seen = std::collections::BTreeSet::new();
    for (ours, theirs) in [(plain.mine, random.mine), (plain.new, random.new), (plain.others, random.others)] {
        assert_eq!(ours.len(), theirs.len());
        for (before, after) in ours.iter().zip(&theirs) {
            let parse = |line: &String| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON");
            let (mut before, mut after) = (parse(before), parse(after));
            for holder in ["add", "values"] {
                if before.get(holder).is_none() {
                    continue;
                }
                let visits = after[holder]["visits"].as_array_mut().expect("visits");
                for (at, visit) in visits.iter_mut().enumerate() {
                    let note = visit["note"].as_str().expect("a note").to_owned();
                    assert_eq!(note.chars().count(), NOTE_LENGTH);
                    assert_ne!(before[holder]["visits"][at]["note"], note.as_str());
                    assert!(seen.insert(note), "a note twice");
                    visit["note"] = serde_json::Value::Null;
                    before[holder]["visits"][at]["note"] = serde_json::Value::Null;
                }
            }
            assert_eq!(before, after);
        }
    }
}

#[test]
fn further_edits_touch_the_records_that_were_asked_for_and_differ_by_round() {
    let ids: Vec<serde_json::Value> = records(2, 12)
        .map(|line| serde_json::from_str::<serde_json::Value>(&line).expect("JSON")["id"].clone())
        .collect();
    let (first, second) = (edits(2, 0, [3, 11, 3]), edits(2, 1, [3, 11, 3]));
    for (line, index) in first.iter().zip([3, 11, 3]) {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["id"], ids[index]);
        assert_eq!(
            (line["set"].as_object().map(serde_json::Map::len), line["add"]["visits"].as_array().map(Vec::len)),
            (Some(3), Some(1))
        );
    }
    assert!(first.iter().zip(&second).all(|(one, other)| one != other));
    assert_ne!(first[0], first[2]);
}
