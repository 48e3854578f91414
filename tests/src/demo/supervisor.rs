//! The supervisor: knows nothing but the HTTP API.

use std::sync::Arc;

use serde_json::{Value, json};

use super::stage::{Failure, Server};

/// A logged-in session at the API.
pub struct Supervisor {
    client: reqwest::Client,
    base: String,
    token: String,
}

/// The 32 bytes of a root key as links and the server print it.
fn root_key(pin: &str) -> Result<[u8; 32], Failure> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(pin).map_err(|error| error.to_string())?;
    bytes.try_into().map_err(|_| "the pin is no key of 32 bytes".to_owned())
}

impl Supervisor {
    /// Logs in over TLS pinned to the server's root key, with the password alone: nobody is here to read codes.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn log_in(server: &Server, login: &str, password: &str) -> Result<Self, Failure> {
        server.administer(&["user", "second-factor", "optional"])?;
        let tls = fieldbook_core::client::net::tls_config(&root_key(&server.pin)?)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(Arc::unwrap_or_clone(tls))
            .resolve("fieldbook", server.address)
            .build()
            .map_err(|error| format!("{error:?}"))?;
        let base = format!("https://fieldbook:{}/api/v1", server.address.port());
        let mut supervisor = Self { client, base, token: String::new() };
        let answer = supervisor.post("login", &json!({ "login": login, "password": password })).await?;
        supervisor.token = answer["token"].as_str().ok_or("login gave no token")?.to_owned();
        Ok(supervisor)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        let request = if self.token.is_empty() { request } else { request.bearer_auth(&self.token) };
        let response = request.send().await.map_err(|error| format!("{error:?}"))?;
        let (status, address) = (response.status(), response.url().path().to_owned());
        let text = response.text().await.map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("{address}: {status} {text}"));
        }
        if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text).map_err(|error| error.to_string()) }
    }

    /// The console's page, as a browser gets it.
    ///
    /// # Errors
    /// When the server does not give it out.
    pub async fn console(&self) -> Result<String, Failure> {
        let page = self.base.trim_end_matches("/api/v1");
        let response = self.client.get(format!("{page}/")).send().await.map_err(|error| format!("{error:?}"))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| error.to_string())?;
        if status.is_success() { Ok(text) } else { Err(format!("the console: {status}")) }
    }

    /// GET.
    ///
    /// # Errors
    /// Any status but success, with the problem that the server told.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.answer(self.client.get(format!("{}/{path}", self.base))).await
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// Any status but success, with the problem that the server told.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.client.post(format!("{}/{path}", self.base));
        self.answer(request.header("content-type", "application/json").body(body.to_string())).await
    }
}
