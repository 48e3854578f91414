//! What the commands print.

use fieldbook_core::client::{
    ClientError, ConflictView, EnrolmentInfo, HistoryView, KindInfo, Language, NotTakenView, Progress, RecordView,
    StatusView, SyncListener, SyncReport, TouchedView,
};
use fieldbook_core::store::ListRow;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};

use super::text::{Said, Text};
use crate::meter;

/// Progress on a terminal.
pub(super) struct Bar {
    drawn: ProgressBar,
    language: Language,
}

impl Bar {
    pub(super) fn new(language: Language) -> Self {
        let drawn = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {bar:30} {msg}") {
            drawn.set_style(style);
        }
        Self { drawn, language }
    }

    pub(super) fn finish(&self) {
        self.drawn.finish_and_clear();
    }
}

impl SyncListener for Bar {
    fn progress(&self, progress: Progress) {
        self.drawn.set_length((progress.changes_sent + progress.changes_waiting).max(1));
        self.drawn.set_position(progress.changes_sent);
        let said = Said::new(Text::Progress)
            .with(progress.changes_sent)
            .with(progress.bytes_up / 1000)
            .with(progress.changes_received)
            .with(progress.bytes_down / 1000);
        self.drawn.set_message(said.say(self.language));
    }
}

pub(super) fn enrolment(info: &EnrolmentInfo) -> Json {
    let roles: Vec<Json> = info.roles.iter().map(|(role, unit)| json!({ "role": role.word(), "unit": unit })).collect();
    json!({
        "server": info.server,
        "server_name": info.server_name,
        "user": info.user_name,
        "unit": info.unit,
        "unit_name": info.unit_name,
        "roles": roles,
    })
}

pub(super) fn status(status: &StatusView, kinds: &[KindInfo]) -> Json {
    let kinds: Vec<Json> = kinds
        .iter()
        .map(|kind| {
            json!({
                "kind": kind.kind,
                "version": kind.version,
                "title": kind.title,
                "records": kind.records,
                "in_conflict": kind.in_conflict,
                "unsynced": kind.unsynced,
            })
        })
        .collect();
    let store = &status.store;
    json!({
        "enrolment": status.enrolment.as_ref().map(enrolment),
        "kinds": kinds,
        "saved_here": store.saved_here,
        "sent": store.sent,
        "at_township": store.at_township,
        "on_server": store.on_server,
        "not_taken": store.not_taken,
        "in_conflict": store.in_conflict,
        "outbox_changes": store.outbox_changes,
        "drafts": store.drafts,
        "needs_newer_app": store.pending,
        "free_bytes": store.free_bytes,
        "space_low": store.space_low,
        "space_warning": status.space_warning,
        "revoked": status.revoked,
        "salvaged": status.salvaged,
        "last_sync_ms": status.last_sync_ms,
    })
}

pub(super) fn list_row(row: &ListRow) -> Json {
    json!({
        "id": row.id,
        "kind": row.kind,
        "unit": row.unit,
        "title": row.title,
        "list": serde_json::from_str::<Json>(&row.list).unwrap_or(Json::Null),
        "state": row.state.word(),
        "sync": row.sync.word(),
        "conflicts": row.conflicts,
        "problems": row.problems,
    })
}

fn conflict(conflict: &ConflictView) -> Json {
    let values: Vec<Json> = conflict
        .values
        .iter()
        .map(|side| {
            json!({
                "value": side.value,
                "shown": side.shown,
                "author": side.author,
                "time_ms": side.time_ms,
                "change": side.change,
                "own": side.own,
            })
        })
        .collect();
    json!({ "path": conflict.path, "label": conflict.label, "values": values })
}

fn touched(fields: &[TouchedView]) -> Vec<Json> {
    let one =
        |one: &TouchedView| json!({ "path": one.path, "label": one.label, "value": one.value, "shown": one.shown });
    fields.iter().map(one).collect()
}

fn history(entry: &HistoryView) -> Json {
    let touched = touched(&entry.touched);
    json!({ "change": entry.change, "author": entry.author, "time_ms": entry.time_ms, "touched": touched })
}

pub(super) fn not_taken(one: &NotTakenView) -> Json {
    json!({
        "record": one.record,
        "kind": one.kind,
        "title": one.title,
        "change": one.change,
        "time_ms": one.time_ms,
        "reason": one.reason,
        "fields": touched(&one.fields),
    })
}

pub(super) fn record(record: &RecordView) -> Json {
    let problems: Vec<Json> =
        record.problems.iter().map(|problem| json!({ "path": problem.path, "message": problem.message })).collect();
    let reviews: Vec<Json> = record
        .reviews
        .iter()
        .map(|review| {
            json!({
                "decision": review.decision,
                "reasons": review.reasons,
                "fields": review.fields,
                "reviewer": review.reviewer,
                "time_ms": review.time_ms,
            })
        })
        .collect();
    json!({
        "id": record.id,
        "kind": record.kind,
        "unit": record.unit,
        "title": record.title,
        "state": record.state.word(),
        "sync": record.sync.word(),
        "heads": record.heads,
        "values": record.values,
        "conflicts": record.conflicts.iter().map(conflict).collect::<Vec<_>>(),
        "problems": problems,
        "reviews": reviews,
        "history": record.history.iter().map(history).collect::<Vec<_>>(),
        "not_taken": record.not_taken.iter().map(not_taken).collect::<Vec<_>>(),
    })
}

/// `used`: CPU milliseconds of this process, and its largest resident kB where the system tells it.
pub(super) fn error(error: &ClientError) -> Json {
    json!({ "kind": error.kind.word(), "message": error.message, "detail": error.detail })
}

/// With what this process has used so far.
pub(super) fn report(report: &SyncReport, first_listed_s: Option<f64>) -> Json {
    json!({
        "bytes_up": report.bytes_up,
        "bytes_down": report.bytes_down,
        "frames": report.frames,
        "requests": report.requests,
        "changes_sent": report.changes_sent,
        "changes_received": report.changes_received,
        "changes_transcoded": report.changes_transcoded,
        "changes_raw": report.changes_raw,
        "not_taken": report.not_taken,
        "conflicts": report.conflicts,
        "breaks": report.breaks,
        "seconds": report.seconds,
        "clock_warning": report.clock_warning,
        "space_warning": report.space_warning,
        "erased": report.erased.iter().map(|one| json!({ "record": one.record, "unsent": one.unsent })).collect::<Vec<_>>(),
        "cpu_ms": meter::own_cpu_ms(),
        "peak_resident_kb": meter::peak_resident_kb(meter::OWN).ok(),
        "first_listed_s": first_listed_s,
    })
}

pub(super) fn report_text(report: &SyncReport) -> Said {
    Said::new(Text::Synced)
        .with(report.changes_sent)
        .with(report.bytes_up)
        .with(report.changes_received)
        .with(report.bytes_down)
        .with(report.not_taken)
        .with(report.conflicts)
        .with(report.requests)
        .with(report.frames)
        .with(format!("{:.1}", report.seconds))
}
