//! Who may write what: judged by the server, once, on arrival.

use std::collections::HashSet;

use automerge::{Automerge, ChangeHash, ROOT, ReadDoc};

use super::{Refusal, Rights};
use crate::access::{Decision, Role};
use crate::document::graph::Graph;
use crate::document::history::Write;
use crate::document::layout::{SUBMITTED_KEY, Shape, am_hashes, is_scalar, is_set, removed_path, row_path};
use crate::forms::{Field, FieldPath};
use crate::ids::RowId;

/// Who writes a field that names nobody (`fb:writers`).
pub const DEFAULT_WRITERS: &[Role] = &[Role::Field, Role::Township, Role::County, Role::Prefecture, Role::Province];

/// Quarantines a change that its author may not make, with the fields that say so.
pub(super) fn check(
    rights: &Rights<'_>,
    shape: &Shape<'_>,
    writes: &[Write],
    work: &Automerge,
    graph: &Graph,
    deps: &[ChangeHash],
) -> Result<(), Refusal> {
    let foreign: Vec<&Write> = writes.iter().filter(|write| !may(rights.roles, shape, write)).collect();
    if !foreign.is_empty() {
        let detail = "the author's roles may not write these fields".to_owned();
        return Err(Refusal::Quarantined { reason: "role", fields: paths(&foreign), detail });
    }
    let Some(submission) = submission_change(work, deps) else { return Ok(()) };
    let added: HashSet<(&str, RowId)> = writes
        .iter()
        .filter_map(|write| match write {
            Write::Row(repeat, row, _) => Some((repeat.as_str(), *row)),
            _ => None,
        })
        .collect();
    let others: Vec<Role> =
        rights.roles.iter().copied().filter(|role| !matches!(role, Role::Field | Role::Township)).collect();
    let reopened = reopened(rights, graph, submission);
    let late = |write: &&Write| {
        !matches!(write, Write::Submit(_))
            && !row_of(write).is_some_and(|row| added.contains(&row))
            && !may(&others, shape, write)
            && !reopened.is_some_and(|fields| names(fields, write))
    };
    let late: Vec<&Write> = writes.iter().filter(late).collect();
    if late.is_empty() {
        return Ok(());
    }
    let detail = "the record was handed in before, and these fields were not opened again".to_owned();
    Err(Refusal::Quarantined { reason: "after_submission", fields: paths(&late), detail })
}

fn may(roles: &[Role], shape: &Shape<'_>, write: &Write) -> bool {
    let field = |path: &FieldPath| shape.fields.get(path.field.as_str()).is_some_and(|field| may_field(roles, field));
    match write {
        Write::Field(path, _) | Write::Choice(path, ..) => field(path),
        Write::Row(repeat, ..) | Write::Mark(repeat, ..) => shape
            .fields
            .values()
            .filter(|field| (is_scalar(field) || is_set(field)) && inside(field, repeat))
            .any(|field| may_field(roles, field)),
        Write::Submit(_) => roles.iter().any(|role| matches!(role, Role::Field | Role::Township)),
    }
}

/// In the repeat, or in one nested in it.
fn inside(field: &Field, repeat: &str) -> bool {
    let own = field.repeat.as_deref().and_then(|own| own.strip_prefix(repeat));
    own.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Supervisors resolve what field staff disagree about, so they may write what field staff may.
fn may_field(roles: &[Role], field: &Field) -> bool {
    let writers = if field.writers.is_empty() { DEFAULT_WRITERS } else { &field.writers };
    let by_staff = writers.iter().any(|role| matches!(role, Role::Field | Role::Township));
    roles.iter().any(|role| writers.contains(role) || (role.supervises() && by_staff))
}

/// The change that handed the record in, as the dependencies show it.
fn submission_change(work: &Automerge, deps: &[ChangeHash]) -> Option<ChangeHash> {
    let (_, op) = work.get_at(ROOT, SUBMITTED_KEY, deps).ok().flatten()?;
    work.hash_for_opid(&op)
}

/// The fields that are open again: the last review returned the record, and had seen this submission.
fn reopened<'r>(rights: &Rights<'r>, graph: &Graph, submission: ChangeHash) -> Option<&'r [String]> {
    let review = rights.last_review.filter(|review| review.decision == Decision::Return)?;
    let seen = graph.closure(&am_hashes(&review.heads)).contains(&submission);
    if seen { Some(rights.reopened.unwrap_or_default()) } else { None }
}

/// Whether a return names this field, its row's answer, or its whole repeat; none named = all.
fn names(fields: &[String], write: &Write) -> bool {
    let path = path_of(write);
    let shown = path.to_string();
    let repeat = path.row.as_ref().map(|(repeat, _)| repeat);
    fields.is_empty() || fields.iter().any(|name| *name == path.field || *name == shown || Some(name) == repeat)
}

fn row_of(write: &Write) -> Option<(&str, RowId)> {
    match write {
        Write::Field(path, _) | Write::Choice(path, ..) => {
            path.row.as_ref().map(|(repeat, row)| (repeat.as_str(), *row))
        }
        Write::Row(repeat, row, _) | Write::Mark(repeat, row, _) => Some((repeat, *row)),
        Write::Submit(_) => None,
    }
}

fn path_of(write: &Write) -> FieldPath {
    match write {
        Write::Field(path, _) | Write::Choice(path, ..) => path.clone(),
        Write::Row(repeat, row, _) => row_path(repeat, *row),
        Write::Mark(repeat, row, _) => removed_path(repeat, *row),
        Write::Submit(_) => FieldPath::root(SUBMITTED_KEY),
    }
}

fn paths(writes: &[&Write]) -> Vec<String> {
    let mut paths: Vec<String> = writes.iter().map(|write| path_of(write).to_string()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}
