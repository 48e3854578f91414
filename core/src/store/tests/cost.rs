//! What a page of the outbox costs where much waits.
#![allow(clippy::unwrap_used)]

use fieldbook_sqlite::rusqlite::StatementStatus;

use super::super::held::{MARK_HELD, MARK_NOT_HELD};
use super::super::outbox::{MARK_SENT, MARK_UNSENT, UNACKNOWLEDGED};
use super::super::{StatementRow, Store};
use super::outbox_row;
use super::support::*;

const STATEMENTS: u64 = 80;
const LISTED: u64 = 50;
/// Steps of SQLite's machine for one row, at most: far fewer than rows that wait.
const STEPS_PER_ROW_MAX: i32 = 120;

/// Steps of the cached statement since it was last asked.
fn steps(store: &Store, sql: &str) -> i32 {
    store
        .write(|write| {
            Ok::<_, super::StoreError>(
                write.connection.prepare_cached(sql).unwrap().reset_status(StatementStatus::VmStep),
            )
        })
        .unwrap()
}

fn filled(store: &Store) {
    for number in 0..STATEMENTS {
        let of = number * LISTED..(number + 1) * LISTED;
        let statement = StatementRow { number: number + 1, hash: hash(number).0, bytes: vec![1], signature: vec![2] };
        store
            .write(|write| {
                of.clone().try_for_each(|n| write.put_outbox(&outbox_row(n)))?;
                write.put_statement(&statement, &of.map(hash).collect::<Vec<_>>())
            })
            .unwrap();
    }
}

#[test]
fn a_page_of_a_long_outbox_costs_its_own_rows_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    filled(&store);
    let last = LISTED as u32 - 1;
    // Half has been sent, and of the rest half is held by a hub, each told bit by bit.
    for number in 1..=STATEMENTS / 2 {
        let sent = store.write(|write| write.mark_sent((number, last))).unwrap();
        assert_eq!(sent, LISTED);
        assert!(steps(&store, MARK_SENT) < LISTED as i32 * STEPS_PER_ROW_MAX, "sent {number}");
    }
    for number in STATEMENTS / 2 + 1..=STATEMENTS / 4 * 3 {
        let held = store.write(|write| write.mark_held((number, last))).unwrap();
        assert_eq!(held, LISTED);
        assert!(steps(&store, MARK_HELD) < LISTED as i32 * STEPS_PER_ROW_MAX, "held {number}");
    }
    let mut after = None;
    for page in 0..STATEMENTS * LISTED / 40 {
        let rows = store.write(|write| write.view().unacknowledged(after, 40)).unwrap();
        assert_eq!(
            rows.iter().map(|row| row.record).collect::<Vec<_>>(),
            (page * 40..(page + 1) * 40).map(record).collect::<Vec<_>>()
        );
        after = rows.last().and_then(|row| row.statement);
        assert!(steps(&store, UNACKNOWLEDGED) < 40 * STEPS_PER_ROW_MAX, "page {page}");
    }
    let not_held = store.write(|write| write.mark_not_held(Some((STATEMENTS / 4 * 3 - 1, last)))).unwrap();
    assert_eq!(not_held, LISTED);
    assert!(steps(&store, MARK_NOT_HELD) < LISTED as i32 * STEPS_PER_ROW_MAX);
    store.write(|write| write.mark_unsent(Some((STATEMENTS / 2 - 1, last)))).unwrap();
    assert!(steps(&store, MARK_UNSENT) < LISTED as i32 * STEPS_PER_ROW_MAX);
}
