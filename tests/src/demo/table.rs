//! Text tables for terminals whose columns hold Chinese too.

/// Columns that a text takes on a terminal: two for Han characters and full-width signs.
#[must_use]
pub fn width(text: &str) -> usize {
    text.chars().map(|c| if matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}') { 2 } else { 1 }).sum()
}

/// Rows with columns lined up; the first row is the head.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|i| rows.iter().filter_map(|row| row.get(i)).map(|cell| width(cell)).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, wanted) in row.iter().zip(&widths) {
            text.push_str("  ");
            text.push_str(cell);
            text.push_str(&" ".repeat(wanted - width(cell)));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
            text.push_str(&format!("  {}\n", rule.join("  ")));
        }
    }
    text
}
