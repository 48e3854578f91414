//! Errors of the API: problem+json (RFC 9457) with stable words, in the reader's language.

use axum::Json;
use axum::extract::Request;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{ChangedField, Problem, StoreError};
use crate::text::{self, Language};

/// Body of every error, `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// Stable word for programs.
    #[serde(rename = "type")]
    pub(crate) word: String,
    /// What went wrong and what to do, in the language of `Accept-Language` (zh-Hans or en).
    pub(crate) title: String,
    /// HTTP status.
    pub(crate) status: u16,
    /// With `heads_moved`: what was written since the record was read, oldest first, at most 50 fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) changed: Vec<ChangedField>,
}

/// An error on its way out; [`localise`] puts it into words.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    problem: Problem,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, problem: Problem) -> Self {
        Self { status, problem }
    }

    /// In words.
    pub(crate) fn body(self, language: Language) -> ProblemBody {
        ProblemBody {
            word: self.problem.word.to_owned(),
            title: text::problem(language, &self.problem),
            status: self.status.as_u16(),
            changed: self.problem.changed.into_vec(),
        }
    }

    pub(crate) fn signed_out() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Problem::new("signed_out"))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Problem(problem) => Self::new(status_of(problem.word), problem),
            StoreError::DiskFull { .. } => {
                tracing::error!("the disk of the data folder is full");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Problem::new("disk_full"))
            }
            StoreError::Storage(source) => {
                tracing::error!(error = %source, "the storage of the data folder failed");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Problem::new("storage_failed").with("detail", source))
            }
            StoreError::Sql(error) if error.is_passing() => {
                tracing::error!(%error, "the database is away");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Problem::new("database_away"))
            }
            other => {
                tracing::error!(error = %other, "a request failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, Problem::new("internal"))
            }
        }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        StoreError::from(problem).into()
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        Self::new(status, Problem::new("request_malformed").with("detail", rejection.body_text()))
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), Problem::new("request_malformed").with("detail", rejection.body_text()))
    }
}

fn status_of(word: &str) -> StatusCode {
    match word {
        "record_unknown" | "kind_unknown" | "quarantine_unknown" | "device_unknown" | "unit_unknown"
        | "session_unknown" | "user_unknown" | "double_unknown" | "exchange_unknown" | "preview_unknown" => {
            StatusCode::NOT_FOUND
        }
        "not_publisher" | "role_above" | "own_account" => StatusCode::FORBIDDEN,
        "form_moved" | "form_version_taken" | "form_area_changed" | "form_unit_narrower" => StatusCode::CONFLICT,
        "login_taken" | "last_supervisor" | "address_unset" => StatusCode::CONFLICT,
        "name_malformed" | "name_formula" | "login_malformed" | "role_unknown" | "roles_missing"
        | "staff_unreadable" | "staff_columns" | "staff_too_many" | "staff_passwords" | "staff_row"
        | "days_out_of_range" => StatusCode::UNPROCESSABLE_ENTITY,
        "upload_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "workbook_refused" | "run_too_long" => StatusCode::UNPROCESSABLE_ENTITY,
        "busy" => StatusCode::SERVICE_UNAVAILABLE,
        "awaiting_confirmation" => StatusCode::SERVICE_UNAVAILABLE,
        "not_supervisor" | "not_your_field" | "not_auditor" => StatusCode::FORBIDDEN,
        "heads_moved"
        | "must_agree"
        | "has_problems"
        | "own_record"
        | "wrong_state"
        | "record_exists"
        | "form_not_there"
        | "heads_unknown"
        | "depends_on_quarantined" => StatusCode::CONFLICT,
        "value_refused" | "value_masked" | "side_unknown" | "field_unknown" | "reasons_missing" | "password_wrong"
        | "password_weak" | "password_malformed" | "factor_not_begun" | "code_refused" => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The language that a request asks for.
pub(crate) fn language(headers: &axum::http::HeaderMap) -> Language {
    let header = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Language::from_accept(header.unwrap_or_default())
}

/// Language code of a form's texts.
pub(crate) fn form_language(language: Language) -> &'static str {
    match language {
        Language::Chinese => "zh-Hans",
        Language::English => "en",
    }
}

fn is_plain(kind: &HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"text/plain")
}

/// Puts errors into words, and keeps answers out of caches.
pub(crate) async fn localise(request: Request, next: Next) -> Response {
    let language = language(request.headers());
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        response = (error.status, Json(error.body(language))).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    }
    // What the framework itself has refused, such as an address that is no text.
    let status = response.status();
    if status.is_client_error() && response.headers().get(header::CONTENT_TYPE).is_none_or(is_plain) {
        let problem = Problem::new("request_malformed").with("detail", status);
        response = (status, Json(ApiError::new(status, problem).body(language))).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The address is asked in another way.
pub(crate) async fn wrong_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, Problem::new("method_not_here"))
}

/// No such address.
pub(crate) async fn no_such_address() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, Problem::new("address_not_here"))
}
