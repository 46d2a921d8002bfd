//! Hot path: two pre-trade rules of a broker's own.
//!
//! Rules: those of [`Check`]: no lock, no I/O, no allocation once the room is there.

use arc_swap::ArcSwap;
use gateway::check::{Check, Reported, Submission, Verdict};
use gateway::orders::AccountKey;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use wire::szse::code::{ExecType, OrdType};
use wire::szse::trading::OrderReport;
use wire::szse::{Message, SecurityId, Text, Timestamp};

/// BusinessRejectReason of [`BranchList`]. From 10,000 on no code of the gateway's is in the way.
pub const CODE_BRANCH: u16 = 10_101;
/// BusinessRejectReason of [`DailyLimit`].
pub const CODE_DAILY_LIMIT: u16 = 10_102;
/// BusinessRejectReason of [`DailyLimit`] for an order whose worth is not known.
pub const CODE_NO_PRICE: u16 = 10_103;

/// What may not be traded from where.
pub type Forbidden = HashSet<(Text<4>, SecurityId)>;

/// A line that says nothing of a branch and a security.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected BRANCH,SECURITY")]
pub struct ListError {
    /// Which, from 1.
    pub line: usize,
}

/// Reads a list: a line `BRANCH,SECURITY` each; empty lines and what stands behind `#` say nothing.
///
/// # Errors
/// The first line that is something else.
pub fn forbidden(text: &str) -> Result<Forbidden, ListError> {
    let mut list = Forbidden::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let parsed = text.split_once(',').and_then(|(branch, security)| {
            Some((branch.trim().parse().ok()?, security.trim().parse().ok()?))
        });
        list.insert(parsed.ok_or(ListError { line })?);
    }
    Ok(list)
}

/// Securities that a branch may not trade. The list comes from a file, which another thread reads again: it puts the new one in
/// place of the old one with one pointer, and the rule never waits for it.
pub struct BranchList {
    list: Arc<ArcSwap<Forbidden>>,
}

impl BranchList {
    /// The rule, and where a new list is put.
    pub fn new(list: Forbidden) -> (Self, Arc<ArcSwap<Forbidden>>) {
        let list = Arc::new(ArcSwap::from_pointee(list));
        (Self { list: list.clone() }, list)
    }
}

impl Check for BranchList {
    fn name(&self) -> &'static str {
        "branch list"
    }

    fn order(&mut self, submission: &Submission<'_>) -> Result<(), Verdict> {
        let order = submission.order;
        if self.list.load().contains(&(order.branch_id, order.base.security_id)) {
            return Err(Verdict { code: CODE_BRANCH, text: "10101: not from this branch" });
        }
        Ok(())
    }
}

/// Most money that an account's orders of a day may be worth: filled, open and under way together.
///
/// What it knows it has from the cores' reports, which a gateway that starts reads from the first one of the day on: so it
/// knows after a restart, and of orders by other gateways too.
pub struct DailyLimit {
    /// In units of Price times Qty, 0.000001.
    limit: i128,
    /// The exchange's day, YYYYMMDD.
    day: i64,
    /// By account: what reports say.
    reported: HashMap<AccountKey, i128>,
    /// By account: what is under way, without a report yet.
    under_way: HashMap<AccountKey, i128>,
    /// By order under way: its worth.
    orders: HashMap<(AccountKey, Text<10>), i128>,
}

/// Room for orders under way; a gateway has no more (`[forwarding] in_flight_max`).
const UNDER_WAY_MAX: usize = 65_536;
/// Room for accounts.
const ACCOUNTS: usize = 65_536;
const UNITS: i128 = 1_000_000;

impl DailyLimit {
    /// Of so many yuan.
    pub fn new(yuan: u64) -> Self {
        Self {
            limit: i128::from(yuan) * UNITS,
            day: 0,
            reported: HashMap::with_capacity(ACCOUNTS),
            under_way: HashMap::with_capacity(ACCOUNTS),
            orders: HashMap::with_capacity(UNDER_WAY_MAX),
        }
    }

    /// A day that has begun forgets the one before.
    fn on_day(&mut self, time: Timestamp) {
        let day = time.raw() / 1_000_000_000;
        if day > self.day {
            self.day = day;
            self.reported.clear();
        }
    }

    /// An order that was under way has its answer.
    fn settled(&mut self, account: AccountKey, cl_ord_id: Text<10>) {
        if let Some(worth) = self.orders.remove(&(account, cl_ord_id)) {
            *self.under_way.entry(account).or_default() -= worth;
        }
    }
}

impl Check for DailyLimit {
    fn name(&self) -> &'static str {
        "daily limit"
    }

    fn order(&mut self, submission: &Submission<'_>) -> Result<(), Verdict> {
        let Submission { account, order, at, .. } = *submission;
        self.on_day(Timestamp::from_unix_ns(at.wall_ns.max(0).cast_unsigned()));
        if order.ord_type != OrdType::LIMIT {
            return Err(Verdict {
                code: CODE_NO_PRICE,
                text: "10103: the daily limit takes limit orders only",
            });
        }
        let used = |by: &HashMap<AccountKey, i128>| by.get(&account).copied().unwrap_or(0);
        let worth = worth(order.price.raw(), order.order_qty.raw());
        if used(&self.reported) + used(&self.under_way) + worth > self.limit {
            return Err(Verdict {
                code: CODE_DAILY_LIMIT,
                text: "10102: above the account's limit of the day",
            });
        }
        Ok(())
    }

    fn sent(&mut self, submission: &Submission<'_>) {
        let Submission { account, order, .. } = *submission;
        let worth = worth(order.price.raw(), order.order_qty.raw());
        self.orders.insert((account, order.cl_ord_id), worth);
        *self.under_way.entry(account).or_default() += worth;
    }

    fn reported(&mut self, report: &Reported<'_>) {
        if report.frame.msg_type != OrderReport::MSG_TYPE {
            return;
        }
        let Ok(order) = report.frame.view::<OrderReport>() else { return };
        let account = report.account;
        self.on_day(order.base.transact_time);
        let (change, cl_ord_id) = match order.exec_type {
            ExecType::NEW => (worth(order.price.raw(), order.order_qty.raw()), order.cl_ord_id),
            // What had traded stays; the rest is free again.
            ExecType::CANCELLED => {
                let rest = order.order_qty.raw() - order.cum_qty.raw();
                (-worth(order.price.raw(), rest), order.orig_cl_ord_id)
            }
            _ => (0, order.cl_ord_id),
        };
        self.settled(account, cl_ord_id);
        if order.ord_type == OrdType::LIMIT {
            *self.reported.entry(account).or_default() += change;
        }
    }

    fn refused(&mut self, account: AccountKey, cl_ord_id: Text<10>) {
        self.settled(account, cl_ord_id);
    }
}

fn worth(price: i64, quantity: i64) -> i128 {
    i128::from(price) * i128::from(quantity)
}

#[cfg(test)]
mod tests;
