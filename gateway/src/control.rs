//! The operator's commands, and what the operator may look at besides sessions and lines. Cold: the hot thread is asked
//! between two of its turns.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /` | lists the paths |
//! | `GET /checks` | the rules in force, the reference data, the accounts that are high-frequency ones |
//! | `GET /kill` | kill switches that are on |
//! | `POST` or `DELETE /kill/gateway`, `/kill/global`, `/kill/accounts/{account}` | switches one on or off |
//! | `POST /sessions/{comp_id}/disconnect` | ends a session |
//! | `POST /reload` | reads rules, reference data and tokens again, as SIGHUP does |

pub(crate) mod switches;

use crate::accounts::Accounts;
use crate::app::{Command, Gateway};
use crate::check::load::Reload;
use crate::check::{Kill, Scope};
use crate::config;
use crate::metrics::Metrics;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;
use service::admin::{Operator, Operators, echo};
use service::config::{Invalid, Origin};
use shard::{Cx, Handle, Reason};
use std::sync::Arc;
use switches::Switches;
use tokio::sync::Mutex;
use wire::szse::Text;
use wire::szse::code::SessionStatus;

/// Accounts shown at most.
const ACCOUNTS_SHOWN: usize = 1_000;

/// What `GET /` lists of a gateway.
const PATHS: &str = "\
GET /sessions  sessions of clients (?count_max=N)
GET /lines  lines to the cores
GET /checks  the rules in force and the busiest accounts
GET /kill  kill switches that are on
POST /kill/accounts/ACCOUNT  stops an account's orders
DELETE /kill/accounts/ACCOUNT  lets them go on
POST /kill/gateway  stops all orders that come to this gateway
DELETE /kill/gateway  lets them go on
POST /kill/global  the same, meant to be sent to every gateway
DELETE /kill/global  lets them go on
POST /sessions/COMP_ID/disconnect  ends a client's session
POST /lines/CORE/LINE/activate  the line takes over
POST /lines/CORE/LINE/down  takes a line out (?force=true: even the last one)
POST /lines/CORE/LINE/up  dials it again
POST /reload  reads rules, reference data and tokens again
";

/// What commands work with.
#[derive(Clone)]
pub(crate) struct Control {
    gateway: Handle<Command>,
    config: Arc<config::Control>,
    operators: Operators,
    /// What is on disk; held while one is switched, so that disk and gateway agree.
    switches: Arc<Mutex<Switches>>,
    reload: Reload,
}

type Answer<T> = Result<T, (StatusCode, String)>;

fn failed<T>(status: StatusCode, text: impl ToString) -> Answer<T> {
    Err((status, format!("{}\n", text.to_string())))
}

impl Control {
    /// # Errors
    /// The token file or the file of switches cannot be used.
    pub(crate) fn new(
        config: config::Control,
        gateway: Handle<Command>,
        reload: Reload,
        (metrics, origin): (&Metrics, Origin),
    ) -> Result<Self, Invalid> {
        let operators = Operators::load(&config.token_file, metrics.commands.clone(), origin)?;
        let switches = Arc::new(Mutex::new(config.load_switches()?));
        Ok(Self { gateway, config: Arc::new(config), operators, switches, reload })
    }

    /// Switches on what was on when the gateway ended.
    ///
    /// # Panics
    /// While somebody switches: it is for the start.
    pub(crate) fn set_initial(&self, accounts: &Accounts, kill: &mut Kill) {
        let switches = self.switches.try_lock().expect("invariant: nobody switches before the start");
        kill.set(Scope::Global, switches.global);
        kill.set(Scope::Gateway, switches.gateway);
        for name in &switches.accounts {
            match name.parse().ok().and_then(|name| accounts.key(name)) {
                Some(key) => drop(kill.set(Scope::Account(key), true)),
                None => tracing::warn!(account = name, "the kill file names an account of nobody here"),
            }
        }
        if *switches != Switches::default() {
            tracing::warn!(?switches, "kill switches are on");
        }
    }

    /// Reads everything again that can be; the log says what came of it.
    pub(crate) fn reload_all(&self) {
        // Both have logged what is wrong.
        drop(self.operators.reload());
        if let Err(error) = self.reload.begin() {
            tracing::error!(%error, "rules not loaded again");
        }
    }

    /// All routes of a gateway, guarded: its own, and those of `others`.
    pub(crate) fn routes(self, others: Router) -> Router {
        let operators = self.operators.clone();
        let routes = Router::new()
            .route("/checks", get(checks))
            .route("/kill", get(kills))
            .route("/kill/{scope}", post(kill).delete(unkill))
            .route("/kill/accounts/{account}", post(kill_account).delete(unkill_account))
            .route("/sessions/{comp_id}/disconnect", post(disconnect))
            .route("/reload", post(reload))
            .with_state(self)
            .merge(others)
            .merge(service::admin::list(PATHS));
        operators.guard(routes)
    }

    /// Lets the hot thread do something between two turns, and waits for its answer.
    async fn ask<T: Send + 'static>(
        &self,
        of: impl FnOnce(&mut Gateway, &mut Cx) -> T + Send + 'static,
    ) -> Answer<T> {
        let answer = crate::status::ask(&self.gateway, |reply| {
            Command::Do(Box::new(move |gateway, cx| crate::status::answer(reply, of(gateway, cx))))
        });
        answer.await.map_err(|(status, text)| (status, text.to_owned()))
    }

    /// Switches one: first on disk, then at the gateway.
    async fn switch(&self, operator: &Operator, named: Named, on: bool) -> Answer<Json<Switches>> {
        let mut switches = self.switches.lock().await;
        let (operator, what) =
            (operator.clone(), format!("kill switch {named:?} {}", if on { "on" } else { "off" }));
        let scope = match &named {
            Named::Gateway => Scope::Gateway,
            Named::Global => Scope::Global,
            Named::Account(asked_for) => {
                let name = asked_for.parse::<Text<12>>().ok();
                let (asks, asked) = (operator.clone(), what.clone());
                let key = self.ask(move |gateway, cx| {
                    let key = name.and_then(|name| gateway.desk.accounts.key(name));
                    if key.is_none() {
                        gateway.note(cx, &asks, &asked, StatusCode::NOT_FOUND);
                    }
                    key
                });
                let Some(key) = key.await? else {
                    return failed(StatusCode::NOT_FOUND, format!("no account \"{}\"", echo(asked_for)));
                };
                Scope::Account(key)
            }
        };
        let mut changed = switches.clone();
        match &named {
            Named::Gateway => changed.gateway = on,
            Named::Global => changed.global = on,
            Named::Account(name) => changed.set_account(name, on),
        }
        let stored = match self.config.kill_file() {
            Some(path) => changed.store(path),
            None => Ok(()),
        };
        // To stop is done in any case: that the disk is full must not keep somebody trading.
        let switched = on || stored.is_ok();
        let status = if stored.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
        let asks = operator.clone();
        self.ask(move |gateway, cx| {
            gateway.note(cx, &asks, &what, status);
            if switched {
                gateway.desk.checks.kill.set(scope, on);
            }
        })
        .await?;
        if switched {
            *switches = changed;
        }
        tracing::warn!(operator = operator.0, ?named, on, "kill switch");
        match stored {
            Ok(()) => Ok(Json(switches.clone())),
            Err(error) if on => failed(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("stopped, but not kept over a restart: {error}"),
            ),
            Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, format!("not switched: {error}")),
        }
    }
}

/// What a switch is named by.
#[derive(Debug)]
enum Named {
    Gateway,
    Global,
    Account(String),
}

impl Named {
    fn parse(scope: &str) -> Answer<Self> {
        match scope {
            "gateway" => Ok(Self::Gateway),
            "global" => Ok(Self::Global),
            _ => failed(StatusCode::NOT_FOUND, "expected /kill/gateway, /kill/global or /kill/accounts/NAME"),
        }
    }
}

/// What is in force.
#[derive(Serialize)]
struct ChecksStatus {
    /// The day of the rules, days since 1970-01-01.
    day: i64,
    trading_day: bool,
    /// Securities of the reference data.
    securities: usize,
    /// Own orders that are open, as far as a rule keeps them in mind.
    open_orders: usize,
    /// Rules of the integrator's own.
    own_checks: usize,
    /// The busiest accounts of the day.
    accounts: Vec<AccountStatus>,
}

#[derive(Serialize)]
struct AccountStatus {
    account: String,
    /// Requests that the cores answered today.
    today: u32,
    /// Most requests in one second.
    peak_per_second: u32,
    /// It is a high-frequency one, by the second or the day.
    high_frequency: bool,
}

impl Gateway {
    fn checks_status(&self) -> ChecksStatus {
        let (checks, accounts) = (&self.desk.checks, &self.desk.accounts);
        let of = |key: u32| {
            let account = checks.rates.account(key).filter(|account| account.today + account.peak > 0)?;
            Some(AccountStatus {
                account: accounts.name(key)?.to_string(),
                today: account.today,
                peak_per_second: account.peak,
                high_frequency: account.marked.contains(&true),
            })
        };
        let tables = checks.tables();
        ChecksStatus {
            day: tables.day.0,
            trading_day: tables.trading,
            securities: tables.len(),
            open_orders: checks.open.as_ref().map_or(0, crate::check::OpenOrders::len),
            own_checks: checks.own_len(),
            accounts: (1..=accounts.len() as u32).filter_map(of).take(ACCOUNTS_SHOWN).collect(),
        }
    }

    /// Writes a command into the audit: whose, what, and how it was answered.
    pub(crate) fn note(&mut self, cx: &Cx, operator: &Operator, what: &str, status: StatusCode) {
        if let Some(audit) = &mut self.audit {
            audit.operator(cx.wall_ns(), &format!("{}: {what}: {}", operator.0, status.as_u16()));
        }
    }

    /// Ends the sessions of a client, whatever port they came by; `false` when there is none.
    fn end_by_operator(&mut self, cx: &mut Cx, name: Text<20>) -> bool {
        const TEXT: &str = "disconnected by the operator";
        let mut comps = 0..self.desk.accounts.comps_len();
        let comp_no = comps.find(|comp_no| self.desk.accounts[*comp_no].comp_id == name);
        let Some(comp_no) = comp_no else { return false };
        let of_fix = self.fix.connection_of(comp_no);
        let binary = self.by_comp[comp_no];
        if let Some(id) = binary {
            if let Some(client) = self.peers.client(id) {
                cx.send(id, |out| client.session.end(SessionStatus::OTHER, TEXT, out));
            }
            cx.close(id, Reason::App(TEXT));
        }
        if let Some(id) = of_fix {
            self.fix_dismiss(cx, id, TEXT);
        }
        binary.is_some() || of_fix.is_some()
    }
}

async fn checks(State(control): State<Control>) -> Answer<Json<ChecksStatus>> {
    control.ask(|gateway, _| gateway.checks_status()).await.map(Json)
}

async fn kills(State(control): State<Control>) -> Json<Switches> {
    Json(control.switches.lock().await.clone())
}

async fn kill(
    State(control): State<Control>,
    Extension(operator): Extension<Operator>,
    Path(scope): Path<String>,
) -> Answer<Json<Switches>> {
    control.switch(&operator, Named::parse(&scope)?, true).await
}

async fn unkill(
    State(control): State<Control>,
    Extension(operator): Extension<Operator>,
    Path(scope): Path<String>,
) -> Answer<Json<Switches>> {
    control.switch(&operator, Named::parse(&scope)?, false).await
}

async fn kill_account(
    State(control): State<Control>,
    Extension(operator): Extension<Operator>,
    Path(account): Path<String>,
) -> Answer<Json<Switches>> {
    control.switch(&operator, Named::Account(account), true).await
}

async fn unkill_account(
    State(control): State<Control>,
    Extension(operator): Extension<Operator>,
    Path(account): Path<String>,
) -> Answer<Json<Switches>> {
    control.switch(&operator, Named::Account(account), false).await
}

async fn disconnect(
    State(control): State<Control>,
    Extension(operator): Extension<Operator>,
    Path(comp_id): Path<String>,
) -> Answer<String> {
    let unknown = || failed(StatusCode::NOT_FOUND, format!("no session of \"{}\"", echo(&comp_id)));
    let Ok(name) = comp_id.parse::<Text<20>>() else { return unknown() };
    let ended = control.ask(move |gateway, cx| {
        let ended = gateway.end_by_operator(cx, name);
        let status = if ended { StatusCode::OK } else { StatusCode::NOT_FOUND };
        gateway.note(cx, &operator, &format!("disconnect {name}"), status);
        ended
    });
    match ended.await? {
        true => Ok(format!("{name}: disconnected\n")),
        false => unknown(),
    }
}

async fn reload(
    State(control): State<Control>,
    Extension(operator): Extension<Operator>,
) -> Answer<&'static str> {
    let tokens = control.operators.reload().map_err(anyhow::Error::from);
    let loaded = tokens.and(control.reload.ask().await);
    let status = if loaded.is_ok() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    control.ask(move |gateway, cx| gateway.note(cx, &operator, "reload", status)).await?;
    match loaded {
        Ok(()) => Ok("loaded\n"),
        Err(error) => failed(StatusCode::UNPROCESSABLE_ENTITY, transport::causes(error.as_ref())),
    }
}
