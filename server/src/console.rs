//! The supervisors' console: the built pages of `server/console`, from the program itself.
//!
//! A release holds them; a debug build reads `server/console/dist` at each request, so that tests and developers need
//! not compile the server for a changed page. Without a build the answer says so.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rust_embed::RustEmbed;

use crate::store::Problem;
use crate::text::{self, Language};

/// Stands in the page where its nonce belongs; `vite.config.ts` puts it there.
const NONCE_MARK: &str = "FIELDBOOK_NONCE";
/// Bytes of a page's nonce.
const NONCE_BYTES: usize = 16;
/// The page that every address of the console begins with.
const PAGE: &str = "index.html";
/// Files below it are named by their content and never change.
const HASHED: &str = "assets/";
/// A hashed file may be kept for a year, the longest that caches heed.
const HASHED_CACHE: &str = "public, max-age=31536000, immutable";
/// First steps of addresses that are no pages.
const NOT_PAGES: [&str; 3] = ["api/", "sync/", HASHED];

#[derive(RustEmbed)]
#[folder = "console/dist"]
struct Files;

/// A file of the console; every other address is a page of it.
pub(crate) async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path != PAGE
        && let Some(answer) = stored(path, &headers)
    {
        return secured(answer);
    }
    if NOT_PAGES.iter().any(|first| path.starts_with(first)) {
        return secured(StatusCode::NOT_FOUND.into_response());
    }
    secured(page(text::Language::from_accept(accepted(&headers, header::ACCEPT_LANGUAGE))))
}

fn accepted(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A file as it was built, compressed where the browser takes that.
fn stored(path: &str, headers: &HeaderMap) -> Option<Response> {
    let media_type = media_type(path)?;
    let takes_brotli = accepted(headers, header::ACCEPT_ENCODING).split(',').any(|word| {
        let mut parts = word.split(';').map(str::trim);
        parts.next() == Some("br") && parts.next() != Some("q=0")
    });
    let brotli = takes_brotli.then(|| Files::get(&format!("{path}.br"))).flatten();
    let compressed = brotli.is_some();
    let file = brotli.or_else(|| Files::get(path))?;
    let mut answer = Body::from(file.data.into_owned()).into_response();
    let named = answer.headers_mut();
    named.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    named.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let cache = if path.starts_with(HASHED) { HASHED_CACHE } else { "no-cache" };
    named.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if compressed {
        named.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    Some(answer)
}

/// The page, with a nonce of its own for the styles that its program makes.
fn page(language: Language) -> Response {
    let mut nonce = [0_u8; NONCE_BYTES];
    let built = Files::get(PAGE).and_then(|file| String::from_utf8(file.data.into_owned()).ok());
    let Some(html) = built.filter(|_| getrandom::fill(&mut nonce).is_ok()) else {
        let said = text::problem(language, &Problem::new("console_not_built")) + "\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], said)
            .into_response();
    };
    let nonce = URL_SAFE_NO_PAD.encode(nonce);
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, &policy),
    ];
    (headers, html.replace(NONCE_MARK, &nonce)).into_response()
}

fn secured(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("permissions-policy", HeaderValue::from_static("camera=(), microphone=(), geolocation=()"));
    answer
}

/// Media type of what the build makes; other files are not served.
fn media_type(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
