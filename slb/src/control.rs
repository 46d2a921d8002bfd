//! What an operator sees and changes at run time: `/backends` on the admin port, and [`Control`]
//! for a program that embeds the balancer.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::config::{Config, WEIGHT_MAX};
use crate::pool::{Backend, Pool};
use crate::schedule::Scheduler;

/// A pool as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolView {
    /// Its name.
    pub pool: String,
    /// How it chooses.
    pub scheduler: Scheduler,
    /// Its backends.
    pub backends: Vec<BackendView>,
}

/// A backend as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendView {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: std::net::SocketAddr,
    /// Whether it takes new connections, or why not.
    pub state: State,
    /// Its weight, 0 to 100.
    pub weight: u32,
    /// Its open connections.
    pub connections: u32,
}

/// Whether a backend takes new connections, or why not. (With weight 0 it takes none either.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It answers its health checks.
    Up,
    /// It does not.
    Down,
    /// An operator took it out; its connections go on.
    Draining,
}

/// Why a change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such pool or backend.
    #[error("no such pool or backend")]
    Unknown,
    /// The weight is above 100.
    #[error("a weight is 0 to 100")]
    Weight,
}

/// A handle to look at the pools and change them while they work. Clones are the same handle.
#[derive(Clone, Debug)]
pub struct Control {
    pools: Arc<[Arc<Pool>]>,
}

impl Control {
    pub(crate) fn new(pools: &[Arc<Pool>]) -> Self {
        Self { pools: pools.into() }
    }

    /// All pools as they are now.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolView> {
        self.pools.iter().map(|pool| view(pool)).collect()
    }

    /// One backend as it is now.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn backend(&self, pool: &str, backend: &str) -> Result<BackendView, ControlError> {
        let (pool, at) = self.find(pool, backend)?;
        Ok(view_backend(&pool.backends()[at]))
    }

    /// Sets a weight; 0 takes no new connection and keeps the old ones.
    ///
    /// # Errors
    /// When there is no such backend, or the weight is above 100.
    pub fn set_weight(&self, pool: &str, backend: &str, weight: u32) -> Result<(), ControlError> {
        if weight > WEIGHT_MAX {
            return Err(ControlError::Weight);
        }
        let (pool, at) = self.find(pool, backend)?;
        tracing::info!(pool = pool.name(), backend, weight, "weight");
        pool.set_weight(at, weight);
        Ok(())
    }

    /// Takes a backend out for new connections, or in again. Its connections go on.
    ///
    /// # Errors
    /// When there is no such backend.
    pub fn set_draining(&self, pool: &str, backend: &str, draining: bool) -> Result<(), ControlError> {
        let (pool, at) = self.find(pool, backend)?;
        tracing::info!(pool = pool.name(), backend, draining, "drain");
        pool.set_draining(at, draining);
        Ok(())
    }

    /// Takes over the weights of `config`. Whatever else differs waits for a restart.
    pub fn reload(&self, config: &Config) {
        for pool in &config.pools {
            for backend in &pool.backends {
                match self.find(&pool.name, &backend.name) {
                    Ok((found, at)) if found.backends()[at].weight() != backend.weight => {
                        tracing::info!(
                            pool = pool.name,
                            backend = backend.name,
                            weight = backend.weight,
                            "weight"
                        );
                        found.set_weight(at, backend.weight);
                    }
                    Ok(_) => {}
                    Err(_) => {
                        tracing::warn!(pool = pool.name, backend = backend.name, "new: waits for a restart");
                    }
                }
            }
        }
    }

    /// Waits until the pools are as `wanted` says; looks again at each change of a backend's state
    /// or weight (not of its connections).
    pub async fn wait_until(&self, mut wanted: impl FnMut(&[PoolView]) -> bool) {
        let mut changes: Vec<_> = self.pools.iter().map(|pool| pool.subscribe()).collect();
        while !wanted(&self.pools()) {
            let any = changes.iter_mut().map(|change| Box::pin(change.changed()));
            first_of(any.collect()).await;
        }
    }

    /// Whether every pool has a backend to give.
    ///
    /// # Errors
    /// The name of one that has none.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        match self.pools.iter().find(|pool| !pool.is_ready()) {
            Some(pool) => Err(format!("pool {} has no backend that takes connections", pool.name())),
            None => Ok(()),
        }
    }

    fn find(&self, pool: &str, backend: &str) -> Result<(&Arc<Pool>, usize), ControlError> {
        let pool = self.pools.iter().find(|known| known.name() == pool).ok_or(ControlError::Unknown)?;
        let at = pool.backends().iter().position(|known| known.name() == backend);
        at.map(|at| (pool, at)).ok_or(ControlError::Unknown)
    }
}

/// Completes with the first of `futures`.
async fn first_of<F: Future + Unpin>(mut futures: Vec<F>) {
    std::future::poll_fn(|context| {
        let ready = futures.iter_mut().any(|future| std::pin::Pin::new(future).poll(context).is_ready());
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn view(pool: &Pool) -> PoolView {
    PoolView {
        pool: pool.name().to_owned(),
        scheduler: pool.scheduler(),
        backends: pool.backends().iter().map(view_backend).collect(),
    }
}

fn view_backend(backend: &Backend) -> BackendView {
    let state = match (backend.is_draining(), backend.is_up()) {
        (true, _) => State::Draining,
        (false, true) => State::Up,
        (false, false) => State::Down,
    };
    BackendView {
        name: backend.name().to_owned(),
        address: backend.address(),
        state,
        weight: backend.weight(),
        connections: backend.open(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weight {
    weight: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    draining: bool,
}

/// `GET /backends`, `POST /backends/{pool}/{backend}/weight` with `{"weight": 50}` and
/// `POST /backends/{pool}/{backend}/drain` with `{"draining": true}`.
pub(crate) fn routes(control: Control) -> Router {
    Router::new()
        .route("/backends", get(|Shared(control): Shared<Control>| async move { Json(control.pools()) }))
        .route("/backends/{pool}/{backend}/weight", post(post_weight))
        .route("/backends/{pool}/{backend}/drain", post(post_drain))
        .with_state(control)
}

type Target = Path<(String, String)>;

async fn post_weight(
    Shared(control): Shared<Control>,
    Path((pool, backend)): Target,
    Json(wanted): Json<Weight>,
) -> Response {
    answer(&control, &pool, &backend, control.set_weight(&pool, &backend, wanted.weight))
}

async fn post_drain(
    Shared(control): Shared<Control>,
    Path((pool, backend)): Target,
    Json(wanted): Json<Drain>,
) -> Response {
    answer(&control, &pool, &backend, control.set_draining(&pool, &backend, wanted.draining))
}

/// The backend as it is after the change, or why there was none.
fn answer(control: &Control, pool: &str, backend: &str, changed: Result<(), ControlError>) -> Response {
    match changed.and_then(|()| control.backend(pool, backend)) {
        Ok(view) => Json(view).into_response(),
        Err(error @ ControlError::Unknown) => (StatusCode::NOT_FOUND, format!("{error}\n")).into_response(),
        Err(error @ ControlError::Weight) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")).into_response()
        }
    }
}
