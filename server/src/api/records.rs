//! Records: lists and pages.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use fieldbook_core::ids::RecordId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ProblemBody, form_language, language};
use super::filter::filter_params;
use super::session::Caller;
use super::{App, limited};
use crate::store::{LISTED_MAX, ListQuery, Problem, RecordList, RecordPage, RelatedPage};

/// Records on a page unless asked otherwise.
const PAGE_DEFAULT: usize = 50;

filter_params! {
    /// Which records, in which order.
    pub(crate) struct ListParams {
        /// `first`, `received`, `changed`, `reviewed`, `state`, `unit`, `conflicts`, `problems`, or the path of a listed
        /// field that is not sensitive; descending with `-` in front. Default `-received`. Records with the same key
        /// stand by id, empty ones first.
        sort: Option<String>,
        /// `next` of the page before.
        after: Option<String>,
        /// `previous` of the page behind.
        before: Option<String>,
        /// Records on the page, 1 to 200. Default 50.
        limit: Option<usize>,
    }
}

/// What to show in clear.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// Fields to show in clear, by path without rows, comma-separated. It is logged.
    reveal: Option<String>,
}

impl PageParams {
    /// The fields.
    pub(super) fn revealed(&self) -> BTreeSet<String> {
        let named = self.reveal.as_deref().unwrap_or_default().split(',').map(str::trim);
        named.filter(|path| !path.is_empty()).map(str::to_owned).collect()
    }
}

/// The record id of an address; what is no id is no record.
pub(super) fn record_id(text: &str) -> Result<RecordId, ApiError> {
    text.parse().map_err(|_| Problem::new("record_unknown").with("record", text).into())
}

/// Records of a kind: filter, sort, page.
#[utoipa::path(get, path = "/kinds/{kind}/records", tag = "records", params(("kind" = String, Path), ListParams),
    responses((status = 200, body = RecordList),
        (status = 400, body = ProblemBody, description = "`request_malformed`"),
        (status = 404, body = ProblemBody, description = "`kind_unknown`, `unit_unknown`"),
        (status = 422, body = ProblemBody, description = "`field_unknown`")))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(kind): Path<String>,
    params: Result<Query<ListParams>, QueryRejection>,
) -> Result<Json<RecordList>, ApiError> {
    let Query(params) = params?;
    let query = ListQuery {
        filter: params.filter().parse()?,
        sort: params.sort.unwrap_or_else(|| "-received".to_owned()),
        after: params.after,
        before: params.before,
        limit: limited(params.limit, PAGE_DEFAULT, LISTED_MAX)?,
    };
    Ok(Json(app.ask(move |store| store.list(caller.user.id, &kind, &query)).await?))
}

/// What the record refers to and what refers to it, as far as the user may read that.
#[utoipa::path(get, path = "/records/{id}/related", tag = "records", params(("id" = String, Path)), responses(
    (status = 200, body = RelatedPage), (status = 404, body = ProblemBody, description = "`record_unknown`")))]
pub(crate) async fn related(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<RelatedPage>, ApiError> {
    let record = record_id(&id)?;
    let language = form_language(language(&headers));
    Ok(Json(app.ask(move |store| store.related(caller.user.id, record, language)).await?))
}

/// One record: merged values, conflicts with both sides, problems, decisions, and the history of who wrote what.
#[utoipa::path(get, path = "/records/{id}", tag = "records", params(("id" = String, Path), PageParams), responses(
    (status = 200, body = RecordPage), (status = 404, body = ProblemBody, description = "`record_unknown`")))]
pub(crate) async fn page(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    params: Result<Query<PageParams>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<RecordPage>, ApiError> {
    let revealed = params?.revealed();
    let record = record_id(&id)?;
    let language = form_language(language(&headers));
    Ok(Json(app.ask(move |store| store.page(caller.user.id, record, language, &revealed)).await?))
}
