//! References to answers inside texts and cells: `${name}`.

/// `text` with what `mean` says of the name in each `${…}`; a `${` that nothing closes stays as it is.
pub(super) fn replace(text: &str, mut mean: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        out.push_str(&mean(name));
        rest = tail;
    }
    out.push_str(rest);
    out
}
