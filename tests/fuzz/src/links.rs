//! An enrolment link, as it is scanned or typed, and field paths and ids, which come as text too.

use fieldbook_core::client::link::EnrolLink;
use fieldbook_core::forms::FieldPath;
use fieldbook_core::ids::{RecordId, RowId};

use crate::cbor::words;
use crate::hostile::Dice;
use crate::{Limits, Meter, Target};

/// The target.
pub const TARGET: Target = Target {
    name: "link",
    limits: Limits { input_bytes: 2 * 1024, time_ms: 5, memory_bytes: 64 * 1024, output_bytes: 4 * 1024 },
    run,
    mutate,
    seeds,
};

const PARTS: &[&str] =
    &["fieldbook://", "/enrol?", "pin=", "&code=", "[::1]", ":443", ":0", ":65536", "%", "#", "&", "=", "A", "_", "-"];

fn run(input: &[u8], meter: &mut Meter) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let link = meter.measure(|| text.parse::<EnrolLink>());
    if let Ok(link) = link {
        let host = link.server.to_string();
        meter.output(host.len() + link.code.len());
        assert!(host.is_ascii() && link.server.port > 0 && link.code.len() == 26);
    }
    if let Ok(path) = meter.measure(|| text.parse::<FieldPath>()) {
        let again = path.to_string();
        meter.output(again.len());
        assert_eq!(again.parse(), Ok(path), "a path is not read as it is written");
    }
    meter.measure(|| (text.parse::<RecordId>().is_ok(), text.parse::<RowId>().is_ok()));
}

fn mutate(input: &mut Vec<u8>, dice: &mut Dice) {
    if dice.below(3) == 0 {
        let at = dice.below(input.len() + 1);
        let end = (at + dice.below(8)).min(input.len());
        input.splice(at..end, PARTS[dice.below(PARTS.len())].bytes());
    } else {
        words(input, dice);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let pin = "A".repeat(43);
    let code = "0123456789ABCDEFGHJKMNPQRS";
    let link = |host: &str| format!("fieldbook://{host}/enrol?pin={pin}&code={code}").into_bytes();
    vec![
        link("union.example:8443"),
        link("[2001:db8::1]:443"),
        b"members[0101010101010101]/name".to_vec(),
        b"group/name".to_vec(),
        b"936da01f-9abd-4d9d-80c7-02af85c822a8".to_vec(),
    ]
}
