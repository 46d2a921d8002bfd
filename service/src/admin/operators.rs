//! Before a request reaches a route of the operator's port: who asks, and may they? And behind it: what was done, by whom.
//!
//! Looking is GET; anything else is a command. Without a token file looking is free and commands are refused; with one
//! both want a token, looking any, a command one of `operate`; the list of the server's paths, `GET /`, is looking. `/live`,
//! `/ready` and `/metrics` are the service's own and stay free.

use super::tokens::{Role, Tokens};
use crate::config::{self, Invalid, Origin};
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus::IntCounterVec;
use std::path::Path;
use std::sync::Arc;

/// Who may look at a server and command it, by its `control.token_file`.
#[derive(Clone)]
pub struct Operators {
    /// Empty: none, and `tokens` has `None`.
    file: Arc<Path>,
    tokens: Arc<ArcSwap<Option<Tokens>>>,
    commands: IntCounterVec,
    origin: Origin,
}

/// Who gave a command, for what it writes down: an extension of the requests behind [`Operators::guard`].
#[derive(Clone, Debug)]
pub struct Operator(pub String);

/// What names a token file.
const TOKEN_FILE: &str = "control.token_file";

/// Why a request goes no further.
enum Denied {
    NoTokens,
    NoToken,
    WrongToken,
    ReadOnly(String),
}

impl Denied {
    fn response(&self) -> Response {
        let (status, text) = match self {
            Self::NoTokens => (StatusCode::FORBIDDEN, "commands need tokens: configure control.token_file\n"),
            Self::NoToken => (StatusCode::UNAUTHORIZED, "a token is needed: Authorization: Bearer TOKEN\n"),
            Self::WrongToken => (StatusCode::UNAUTHORIZED, "not a token of this server\n"),
            Self::ReadOnly(_) => (StatusCode::FORBIDDEN, "this token is for looking only\n"),
        };
        let mut response = (status, text).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }

    const fn label(&self) -> &'static str {
        match self {
            Self::NoTokens => "no token file",
            Self::NoToken => "no token",
            Self::WrongToken => "wrong token",
            Self::ReadOnly(_) => "read only",
        }
    }
}

impl Operators {
    /// By this file, which a configuration from `origin` names; empty for none. `commands` counts what was asked for by its label `outcome`.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn load(file: &Path, commands: IntCounterVec, origin: Origin) -> Result<Self, Invalid> {
        let tokens = Arc::new(ArcSwap::from_pointee(Self::read(file)?));
        Ok(Self { file: file.into(), tokens, commands, origin })
    }

    /// Whether a file can be used.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(file: &Path) -> Result<(), Invalid> {
        Self::read(file).map(drop)
    }

    /// Reads the file again; what is wrong with it is logged, and the old tokens stay.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn reload(&self) -> Result<(), Invalid> {
        let tokens = Self::read(&self.file).inspect_err(|error| {
            tracing::error!(error = %self.origin.placed(error), "tokens not loaded again; the old ones stay");
        })?;
        self.tokens.store(Arc::new(tokens));
        Ok(())
    }

    /// Puts a guard before these routes.
    pub fn guard(&self, routes: Router) -> Router {
        routes.layer(axum::middleware::from_fn_with_state(self.clone(), guard))
    }

    fn read(file: &Path) -> Result<Option<Tokens>, Invalid> {
        if file.as_os_str().is_empty() {
            return Ok(None);
        }
        let text = config::read(TOKEN_FILE, file)?;
        Tokens::parse(&text).map(Some).map_err(|error| Invalid::in_file(TOKEN_FILE, file, error))
    }

    fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<Operator, Denied> {
        let looking = matches!(*method, Method::GET | Method::HEAD);
        let tokens = self.tokens.load();
        let Some(tokens) = tokens.as_ref() else {
            return if looking { Ok(Operator("anybody".to_owned())) } else { Err(Denied::NoTokens) };
        };
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let secret = value.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Denied::NoToken)?;
        let (name, role) = tokens.holder(secret.trim().as_bytes()).ok_or(Denied::WrongToken)?;
        match role {
            Role::Read if !looking => Err(Denied::ReadOnly(name.to_owned())),
            Role::Read | Role::Operate => Ok(Operator(name.to_owned())),
        }
    }
}

/// Lets a request through, or not; each command is written down with its outcome.
async fn guard(State(operators): State<Operators>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let command = !matches!(method, Method::GET | Method::HEAD);
    match operators.admit(&method, request.headers()) {
        Ok(operator) => {
            request.extensions_mut().insert(operator.clone());
            let response = next.run(request).await;
            if command {
                let status = response.status().as_u16();
                tracing::info!(operator = operator.0, %method, path, status, "operator command");
                let outcome = if response.status().is_success() { "done" } else { "failed" };
                operators.commands.with_label_values(&[outcome]).inc();
            }
            response
        }
        Err(denied) => {
            let operator = if let Denied::ReadOnly(name) = &denied { name } else { "" };
            tracing::warn!(operator, %method, path, reason = denied.label(), "operator request denied");
            operators.commands.with_label_values(&[denied.label()]).inc();
            denied.response()
        }
    }
}
