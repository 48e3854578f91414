//! Forms: versions, an upload tried out as a phone would show it, publishing.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ProblemBody, form_language, language};
use super::session::Caller;
use crate::store::{FormKind, PreviewPage, Problem, PublishedForm, RunPage, RunStep, Tried};

/// Bytes of an uploaded workbook.
pub(crate) const UPLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is uploaded.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UploadParams {
    /// Name of the file; names the form where the sheet does not.
    name: Option<String>,
}

/// One step of filling in a form; exactly one of `set`, `add` and `remove`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepBody {
    /// Path of a question, with the row inside repeats: it is answered with `value`.
    set: Option<String>,
    /// The answer, as in exported JSON; null clears it.
    #[serde(default)]
    #[schema(value_type = Object)]
    value: Value,
    /// Path of a repeat: a row is added. Its id is the same in every run of the same steps.
    add: Option<String>,
    /// With `add` to a nested repeat: the enclosing row.
    parent: Option<String>,
    /// Path of a repeat: the row `row` is removed.
    remove: Option<String>,
    /// With `remove`: the row.
    row: Option<String>,
}

/// A form filled in so far.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRequest {
    /// Language of the texts, one of the form's; by default the form's first.
    language: Option<String>,
    /// What was done so far, in order, at most 300 steps.
    #[serde(default)]
    steps: Vec<StepBody>,
}

/// Where a form is published.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishRequest {
    /// Code of the unit from which it holds downwards; by default that of its last version, or the root.
    unit: Option<String>,
}

fn steps(steps: Vec<StepBody>) -> Result<Vec<RunStep>, Problem> {
    let step = |(at, step): (usize, StepBody)| {
        let malformed = || Problem::new("request_malformed").with("detail", format!("steps[{at}]"));
        let StepBody { set, value, add, parent, remove, row } = step;
        match (set, add, remove) {
            (Some(path), None, None) => Ok(RunStep::Set { path, value }),
            (None, Some(repeat), None) => Ok(RunStep::Add { repeat, parent }),
            (None, None, Some(repeat)) => Ok(RunStep::Remove { repeat, row: row.ok_or_else(malformed)? }),
            _ => Err(malformed()),
        }
    };
    steps.into_iter().enumerate().map(step).collect()
}

/// The kinds that the user may see, each with all versions of its form.
#[utoipa::path(get, path = "/forms", tag = "forms", responses((status = 200, body = Vec<FormKind>)))]
pub(crate) async fn forms(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Json<Vec<FormKind>>, ApiError> {
    let language = form_language(language(&headers));
    Ok(Json(app.ask(move |store| store.form_kinds(caller.user.id, language)).await?))
}

/// Compiles an XLSForm (`.xlsx`, `.xls`, or a zip of CSV sheets): its errors and warnings, and what differs from the
/// last version. It is kept for an hour, for its uploader alone, to be run and published.
#[utoipa::path(post, path = "/forms/previews", tag = "forms", params(UploadParams),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
        (status = 200, body = PreviewPage, description = "With `form`, or with `errors`"),
        (status = 403, body = ProblemBody, description = "`not_publisher`"),
        (status = 413, body = ProblemBody, description = "`upload_too_large`"),
        (status = 422, body = ProblemBody, description = "`workbook_refused`: no workbook, damaged, or beyond a limit"),
        (status = 503, body = ProblemBody, description = "`busy`")))]
pub(crate) async fn preview(
    State(app): State<App>,
    caller: Caller,
    params: Result<Query<UploadParams>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PreviewPage>, ApiError> {
    let Query(UploadParams { name }) = params?;
    let language = form_language(language(&headers));
    let body = body.map_err(|_| Problem::new("upload_too_large").with("max", UPLOAD_BYTES_MAX))?;
    let name = name.unwrap_or_else(|| "form".to_owned());
    Ok(Json(app.ask(move |store| store.preview_form(&caller.user, &name, &body, language)).await?))
}

async fn run_form(
    app: App,
    caller: Caller,
    form: Tried,
    body: Result<Json<RunRequest>, JsonRejection>,
) -> Result<Json<RunPage>, ApiError> {
    let Json(RunRequest { language, steps: bodies }) = body?;
    let steps = steps(bodies)?;
    Ok(Json(app.ask(move |store| store.run_form(caller.user.id, &form, language.as_deref(), &steps)).await?))
}

/// Runs an uploaded form over the steps so far, with the engine of the phones: the questions that show, with texts,
/// offered choices, calculated values and what is wrong. Nothing is stored.
#[utoipa::path(post, path = "/forms/previews/{digest}/run", tag = "forms", params(("digest" = String, Path)),
    request_body = RunRequest, responses((status = 200, body = RunPage),
        (status = 400, body = ProblemBody, description = "`request_malformed`"),
        (status = 404, body = ProblemBody, description = "`preview_unknown`"),
        (status = 422, body = ProblemBody, description = "`run_too_long`"),
        (status = 503, body = ProblemBody, description = "`busy`")))]
pub(crate) async fn run(
    State(app): State<App>,
    caller: Caller,
    Path(digest): Path<String>,
    body: Result<Json<RunRequest>, JsonRejection>,
) -> Result<Json<RunPage>, ApiError> {
    run_form(app, caller, Tried::Preview(digest), body).await
}

/// The same with a published form.
#[utoipa::path(post, path = "/forms/{kind}/{version}/run", tag = "forms",
    params(("kind" = String, Path), ("version" = String, Path)),
    request_body = RunRequest, responses((status = 200, body = RunPage),
        (status = 400, body = ProblemBody, description = "`request_malformed`"),
        (status = 404, body = ProblemBody, description = "`kind_unknown`"),
        (status = 422, body = ProblemBody, description = "`run_too_long`"),
        (status = 503, body = ProblemBody, description = "`busy`")))]
pub(crate) async fn run_published(
    State(app): State<App>,
    caller: Caller,
    Path((kind, version)): Path<(String, String)>,
    body: Result<Json<RunRequest>, JsonRejection>,
) -> Result<Json<RunPage>, ApiError> {
    run_form(app, caller, Tried::Published(kind, version), body).await
}

/// Publishes exactly what was previewed. Records of the kind are read under it anew in the background.
#[utoipa::path(post, path = "/forms/previews/{digest}/publish", tag = "forms", params(("digest" = String, Path)),
    request_body = PublishRequest, responses((status = 200, body = PublishedForm),
        (status = 403, body = ProblemBody, description = "`not_publisher`"),
        (status = 404, body = ProblemBody, description = "`preview_unknown`, `unit_unknown`"),
        (status = 409, body = ProblemBody,
            description = "`form_moved`: another version was published since; `form_version_taken`, `form_area_changed`")))]
pub(crate) async fn publish(
    State(app): State<App>,
    caller: Caller,
    Path(digest): Path<String>,
    body: Result<Json<PublishRequest>, JsonRejection>,
) -> Result<Json<PublishedForm>, ApiError> {
    let Json(PublishRequest { unit }) = body?;
    let published = app.ask(move |store| store.publish_preview(&caller.user, &digest, unit.as_deref())).await?;
    if published.new {
        tracing::info!(kind = published.kind, version = published.version, "published");
        let (store, kind) = (std::sync::Arc::clone(&app.store), published.kind.clone());
        // Thousands of records may be read anew: whoever publishes does not wait for it, and a restart goes on with it.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.read_again(&kind) {
                tracing::error!(%error, kind, "records are not read anew under their form; a restart tries again");
            }
        });
    }
    Ok(Json(published))
}
