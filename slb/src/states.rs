//! What is known of backends beside the configuration, for a process that takes over: weights and drains that an operator
//! set, and whom checks have taken out.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::backend::Backend;
use crate::config::BackendConfig;
use crate::pool::Pool;

/// What is known of one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackendState {
    pool: String,
    backend: String,
    address: SocketAddr,
    weight: u32,
    /// The configuration's, at the time.
    weight_configured: u32,
    draining: bool,
    up: bool,
}

/// Of all backends of a pool.
pub(crate) fn of(pool: &Pool) -> Vec<BackendState> {
    let plan = pool.plan();
    let state = |(backend, config): (&Arc<Backend>, &BackendConfig)| BackendState {
        pool: pool.name().to_owned(),
        backend: config.name.clone(),
        address: config.address,
        weight: backend.weight(),
        weight_configured: config.weight,
        draining: backend.is_draining(),
        up: backend.is_up(),
    };
    plan.backends.iter().zip(&plan.config.backends).map(state).collect()
}

/// Takes over what is known of backends of the same name and address. A weight that the configuration has changed since is
/// the configuration's.
pub(crate) fn restore(pool: &Pool, states: &[BackendState]) {
    pool.change(|| {
        let plan = pool.plan();
        for (backend, config) in plan.backends.iter().zip(&plan.config.backends) {
            let same = |state: &&BackendState| {
                state.pool == pool.name() && state.backend == config.name && state.address == config.address
            };
            let Some(state) = states.iter().find(same) else { continue };
            if state.weight_configured == config.weight {
                backend.set_weight(state.weight);
            }
            backend.set_draining(state.draining);
            backend.set_up(state.up);
        }
    });
}
