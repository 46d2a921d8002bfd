//! Compares what clients saw, what the cores hold and what the audit holds. It knows nothing of how the run went: it gets
//! the evidence and the orders' terms, and finds what must not be.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use wire::szse::{Qty, Text, Timestamp};

use super::evidence::{Flow, History, News, Place, Repeats, Report, Terms, Trail};
use super::mix::{Fate, Mix, Request};

/// What a gateway passed on so shortly before it was killed may not be in its audit: the interval of its commits and what a
/// slow disk adds.
const UNWRITTEN_NS_MAX: u64 = 250_000_000;

/// Everything that is compared.
pub(super) struct Evidence<'a> {
    pub(super) mix: &'a Mix,
    /// Orders that were to be sent.
    pub(super) planned: u64,
    pub(super) clients: &'a [History],
    /// The cores' flows when all was over.
    pub(super) flows: &'a [Flow],
    /// The same after the cores were killed once more and had recovered.
    pub(super) recovered: &'a [Flow],
    pub(super) trails: &'a [Trail],
    /// When gateways were killed, by the run's clock.
    pub(super) kills_ns: &'a [u64],
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// An order was to be sent and was not.
    NotSent { order: u64 },
    /// A client never got the answer to its order.
    NotAnswered { order: u64 },
    /// A core holds an order that should have traded, or been cancelled, as open.
    Unresolved { order: u64 },
    /// A client was told that its order exists, and no core holds it.
    NotAtACore { order: u64 },
    /// A client was told that its order exists, and no gateway's audit holds it.
    NotInTheAudit { order: u64, what: &'static str },
    /// A core has forgotten a report by being killed.
    Forgotten { place: Place },
    /// Two orders with one identity.
    TwiceAtTheCores { order: u64 },
    /// A client got a report twice.
    ReportTwice { session: u64, place: Place },
    /// An audit has a report twice, or behind a later one.
    AuditedTwice { gateway: &'static str, place: Place },
    /// An audit does not have a report of the cores.
    NotAudited { gateway: &'static str, place: Place },
    /// A core's partition has a hole.
    Hole { core: &'static str, after: Place, found: i64 },
    /// A client never got a report of its account.
    ReportMissed { session: u64, place: Place },
    /// A client got a report after a later one of the partition.
    OutOfOrder { session: u64, place: Place, after: i64 },
    /// A client got a report that no core has sent to its account.
    ReportOfNobody { session: u64, place: Place },
    /// A report is not the one that the core holds at its place.
    Altered { at: String, place: Place },
    /// A core or an audit holds an order that no client sent, or with other terms.
    Invented { holder: String, cl_ord_id: Text<10> },
    /// A core refused an order that must be good, or refused as a duplicate what it never took.
    Refused { order: u64, reason: u16 },
    /// The reports of an order contradict each other, or what its terms let become of it.
    Contradiction { order: u64, why: &'static str },
}

/// What a break counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    Lost,
    Duplicated,
    ReportGap,
    Other,
}

impl Break {
    pub(super) const fn account(&self) -> Account {
        match self {
            Self::NotSent { .. }
            | Self::NotAnswered { .. }
            | Self::Unresolved { .. }
            | Self::NotAtACore { .. }
            | Self::NotInTheAudit { .. } => Account::Lost,
            Self::TwiceAtTheCores { .. } | Self::ReportTwice { .. } | Self::AuditedTwice { .. } => {
                Account::Duplicated
            }
            Self::Forgotten { .. }
            | Self::NotAudited { .. }
            | Self::Hole { .. }
            | Self::ReportMissed { .. }
            | Self::OutOfOrder { .. } => Account::ReportGap,
            Self::ReportOfNobody { .. }
            | Self::Altered { .. }
            | Self::Invented { .. }
            | Self::Refused { .. }
            | Self::Contradiction { .. } => Account::Other,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "report {} of partition {}", self.index, self.partition)
    }
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent { order } => write!(f, "order {order} was never sent"),
            Self::NotAnswered { order } => write!(f, "order {order} was never answered"),
            Self::Unresolved { order } => {
                write!(f, "order {order} should have traded or been cancelled, and is still open at its core")
            }
            Self::NotAtACore { order } => write!(f, "order {order} is acknowledged, and no core holds it"),
            Self::NotInTheAudit { order, what } => {
                write!(f, "order {order} is acknowledged, and no audit holds its {what}")
            }
            Self::Forgotten { place } => write!(f, "{place} is gone after its core was killed"),
            Self::TwiceAtTheCores { order } => write!(f, "order {order} was accepted twice"),
            Self::ReportTwice { session, place } => write!(f, "session {session} got {place} twice"),
            Self::AuditedTwice { gateway, place } => {
                write!(f, "the audit of gateway {gateway} has {place} twice, or behind a later one")
            }
            Self::NotAudited { gateway, place } => {
                write!(f, "the audit of gateway {gateway} does not have {place}")
            }
            Self::Hole { core, after, found } => {
                write!(f, "the {core} core goes on from {after} with {found}")
            }
            Self::ReportMissed { session, place } => write!(f, "session {session} never got {place}"),
            Self::OutOfOrder { session, place, after } => {
                write!(f, "session {session} got {place} after {after}")
            }
            Self::ReportOfNobody { session, place } => {
                write!(f, "session {session} got {place}, which no core has for it")
            }
            Self::Altered { at, place } => write!(f, "{place} is another one at {at} than at the core"),
            Self::Invented { holder, cl_ord_id } => {
                write!(f, "the {holder} holds an order {cl_ord_id} that no client sent so")
            }
            Self::Refused { order, reason } => write!(f, "order {order} was refused, OrdRejReason {reason}"),
            Self::Contradiction { order, why } => write!(f, "the reports of order {order}: {why}"),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Orders that clients sent.
    pub(super) orders: u64,
    /// Orders that a client was told of that the core has them.
    pub(super) acknowledged: u64,
    /// Reports that the cores hold.
    pub(super) reports: u64,
    /// Orders that the cores refused as sent twice.
    pub(super) refused_again: u64,
    /// Acknowledged orders whose request a gateway was killed before it had written.
    pub(super) requests_unwritten: u64,
    pub(super) breaks: Vec<Break>,
}

impl Findings {
    /// How many breaks count as this.
    pub(super) fn count(&self, account: Account) -> u64 {
        self.breaks.iter().filter(|broken| broken.account() == account).count() as u64
    }
}

/// Compares it all.
pub(super) fn check(evidence: &Evidence<'_>) -> Findings {
    let mut findings = Findings::default();
    let cores = Cores::new(evidence, &mut findings);
    let acknowledged = clients(evidence, &cores, &mut findings);
    findings.acknowledged = acknowledged.len() as u64;
    for order in acknowledged.keys() {
        if !cores.orders.contains_key(order) {
            findings.breaks.push(Break::NotAtACore { order: *order });
        }
    }
    audit(evidence, &cores, &acknowledged, &mut findings);
    recovered(evidence, &cores, &mut findings);
    findings
}

/// What the cores hold, in order.
struct Cores {
    reports: HashMap<Place, Held>,
    /// Where each order was accepted.
    orders: HashMap<u64, Place>,
}

/// A report at its core.
struct Held {
    digest: u64,
    /// The session that must get it.
    owner: Option<u64>,
    /// It answers another copy of a request ([`Repeats`]).
    repeats: bool,
}

/// An order as its reports tell of it.
struct Life {
    terms: Terms,
    cum: i64,
    end: End,
    /// Its reports contradict each other: that is told, and what became of it is not known.
    contradicts: bool,
}

/// What has become of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is in the book.
    Open,
    /// All of it has traded.
    Filled,
    /// What was left of it is gone.
    Cancelled,
}

impl Cores {
    fn new(evidence: &Evidence<'_>, findings: &mut Findings) -> Self {
        let mut cores = Self { reports: HashMap::new(), orders: HashMap::new() };
        let (mut lives, mut repeats) = (HashMap::new(), Repeats::default());
        for flow in evidence.flows {
            let mut last: HashMap<i32, i64> = HashMap::new();
            for report in &flow.reports {
                findings.reports += 1;
                findings.refused_again += u64::from(report.is_duplicate());
                let place = report.place;
                let before = last.insert(place.partition, place.index).unwrap_or(0);
                if place.index != before + 1 {
                    let after = Place { index: before, ..place };
                    findings.breaks.push(Break::Hole { core: flow.core, after, found: place.index });
                }
                let held = Held {
                    digest: report.digest,
                    owner: owner(evidence.mix, report),
                    repeats: repeats.next(report),
                };
                cores.reports.insert(place, held);
                cores.take(evidence, flow.core, report, &mut lives, findings);
            }
        }
        ends(evidence.mix, &lives, findings);
        cores
    }

    fn take(
        &mut self,
        evidence: &Evidence<'_>,
        core: &'static str,
        report: &Report,
        lives: &mut HashMap<u64, Life>,
        findings: &mut Findings,
    ) {
        let mix = evidence.mix;
        let named = mix.request(&report.order).map(Request::order).filter(|order| *order < evidence.planned);
        let Some(order) = named else {
            findings.breaks.push(Break::Invented { holder: format!("{core} core"), cl_ord_id: report.order });
            return;
        };
        if let News::Accepted(terms) = report.news {
            let kind = mix.core(order).name();
            if core != kind
                || terms != self::terms(mix, order)
                || report.account != mix.plan.account(mix.plan.session(order))
            {
                findings
                    .breaks
                    .push(Break::Invented { holder: format!("{core} core"), cl_ord_id: report.order });
            }
            if self.orders.insert(order, report.place).is_some() {
                findings.breaks.push(Break::TwiceAtTheCores { order });
            }
            lives.entry(order).or_insert(Life { terms, cum: 0, end: End::Open, contradicts: false });
            return;
        }
        if let Some(why) = contradiction(lives.get_mut(&order), report) {
            findings.breaks.push(Break::Contradiction { order, why });
            lives.entry(order).and_modify(|life| life.contradicts = true);
        }
        if let News::Rejected(reason) = report.news
            && !(report.is_duplicate() && self.orders.contains_key(&order))
        {
            findings.breaks.push(Break::Refused { order, reason: reason.raw() });
        }
    }
}

/// What an order's reports must not say, in the order in which the core sent them.
fn contradiction(life: Option<&mut Life>, report: &Report) -> Option<&'static str> {
    if matches!(report.news, News::Rejected(_) | News::CancelRejected) {
        return None;
    }
    let Some(life) = life else { return Some("something happened to it before it was accepted") };
    if life.end != End::Open {
        return Some("something happened to it after it was over");
    }
    match report.news {
        News::Traded { last, cum, leaves } => {
            life.cum += last.raw();
            if leaves == Qty::ZERO {
                life.end = End::Filled;
            }
            let adds_up = cum.raw() == life.cum && cum.raw() + leaves.raw() == life.terms.quantity.raw();
            (!adds_up || last.raw() <= 0).then_some("its trades do not add up")
        }
        News::Cancelled { cum } => {
            life.end = End::Cancelled;
            (cum.raw() != life.cum).then_some("what was cancelled of it is not what was left")
        }
        News::Accepted(_) | News::Rejected(_) | News::CancelRejected => None,
    }
}

/// What became of each order that a core has accepted: prices decide whom it meets (`mix.rs`), so there is one end that it can
/// have. Of a pair that should trade, one half that no core holds leaves the other half open, and is told itself.
fn ends(mix: &Mix, lives: &HashMap<u64, Life>, findings: &mut Findings) {
    let mut sound: Vec<(u64, &Life)> =
        lives.iter().filter(|(_, life)| !life.contradicts).map(|(order, life)| (*order, life)).collect();
    sound.sort_unstable_by_key(|(order, _)| *order);
    for (order, life) in sound {
        let fate = mix.fate(order);
        let (end, cum) = match fate {
            Fate::Trades => (End::Filled, life.terms.quantity.raw()),
            Fate::Rests => (End::Open, 0),
            Fate::IsCancelled | Fate::IsForAtOnce => (End::Cancelled, 0),
        };
        if (life.end, life.cum) == (end, cum) {
            continue;
        }
        if life.end != End::Open {
            let why = "it came to another end than its price lets it";
            findings.breaks.push(Break::Contradiction { order, why });
        } else if fate != Fate::Trades || lives.contains_key(&(order ^ 1)) {
            findings.breaks.push(Break::Unresolved { order });
        }
    }
}

/// The terms under which an order was sent.
fn terms(mix: &Mix, order: u64) -> Terms {
    Terms::of(&mix.order(order, Timestamp::ZERO))
}

/// The session that must get a report.
fn owner(mix: &Mix, report: &Report) -> Option<u64> {
    mix.request(&report.cl_ord_id).map(|request| mix.session(request))
}

/// What clients saw, against the cores; returns the orders that were acknowledged, and when their clients were told.
fn clients(evidence: &Evidence<'_>, cores: &Cores, findings: &mut Findings) -> BTreeMap<u64, u64> {
    let mut acknowledged = BTreeMap::new();
    let mut sent = HashSet::new();
    for client in evidence.clients {
        sent.extend(client.orders.iter().copied());
        let seen = sequence(client, cores, findings);
        for received in &client.reports {
            if let News::Accepted(_) = received.report.news
                && let Some(request) = evidence.mix.request(&received.report.order)
            {
                acknowledged.entry(request.order()).or_insert(received.at_ns);
            }
        }
        let mut missed: Vec<Place> = cores
            .reports
            .iter()
            .filter(|(_, held)| held.owner == Some(client.session) && !held.repeats)
            .filter(|(place, _)| !seen.contains(*place))
            .map(|(place, _)| *place)
            .collect();
        missed.sort_unstable();
        let session = client.session;
        findings.breaks.extend(missed.into_iter().map(|place| Break::ReportMissed { session, place }));
    }
    findings.orders = sent.len() as u64;
    for order in 0..evidence.planned {
        match (sent.contains(&order), acknowledged.contains_key(&order)) {
            (false, _) => findings.breaks.push(Break::NotSent { order }),
            (true, false) => findings.breaks.push(Break::NotAnswered { order }),
            (true, true) => {}
        }
    }
    acknowledged
}

/// The reports of one client, one after the other.
fn sequence(client: &History, cores: &Cores, findings: &mut Findings) -> HashSet<Place> {
    let session = client.session;
    let mut seen = HashSet::new();
    let mut last: BTreeMap<i32, i64> = BTreeMap::new();
    for received in &client.reports {
        let Report { place, digest, .. } = received.report;
        let before = last.entry(place.partition).or_insert(0);
        if !seen.insert(place) {
            findings.breaks.push(Break::ReportTwice { session, place });
        } else if place.index < *before {
            findings.breaks.push(Break::OutOfOrder { session, place, after: *before });
        }
        *before = (*before).max(place.index);
        match cores.reports.get(&place) {
            Some(held) if held.digest != digest => {
                findings.breaks.push(Break::Altered { at: format!("session {session}"), place });
            }
            Some(held) if held.owner == Some(session) => {}
            _ => findings.breaks.push(Break::ReportOfNobody { session, place }),
        }
    }
    seen
}

/// Each audit has every report of the cores, once and in order, and no other; every acknowledged order is in one of them as
/// it was asked for.
fn audit(evidence: &Evidence<'_>, cores: &Cores, acknowledged: &BTreeMap<u64, u64>, findings: &mut Findings) {
    let mut requests = HashSet::new();
    let mut reports = HashSet::new();
    for trail in evidence.trails {
        audited_requests(evidence.mix, trail, &mut requests, findings);
        let kept = audited_reports(trail, cores, findings);
        let gateway = trail.gateway;
        let mut missing: Vec<Place> = cores
            .reports
            .iter()
            .filter(|(place, held)| held.owner.is_some() && !held.repeats && !kept.contains(*place))
            .map(|(place, _)| *place)
            .collect();
        missing.sort_unstable();
        findings.breaks.extend(missing.into_iter().map(|place| Break::NotAudited { gateway, place }));
        reports.extend(kept);
    }
    let near = |ns: u64| evidence.kills_ns.iter().any(|kill_ns| kill_ns.abs_diff(ns) <= UNWRITTEN_NS_MAX);
    let sendings = evidence.clients.iter().flat_map(|client| &client.sendings);
    let sent_near: HashSet<u64> =
        sendings.filter(|(_, at_ns)| near(*at_ns)).map(|(order, _)| *order).collect();
    for (order, told_ns) in acknowledged {
        if requests.contains(order) {
            continue;
        }
        // A gateway that was killed within moments of passing it on may not have written it: its report is there, and that is
        // enough. Its client had sent it just before, or was told of it just before.
        if sent_near.contains(order) || near(*told_ns) {
            findings.requests_unwritten += 1;
        } else {
            findings.breaks.push(Break::NotInTheAudit { order: *order, what: "request" });
        }
    }
    for order in acknowledged.keys() {
        if cores.orders.get(order).is_some_and(|place| !reports.contains(place)) {
            findings.breaks.push(Break::NotInTheAudit { order: *order, what: "acceptance" });
        }
    }
}

/// Orders in an audit are those that were sent.
fn audited_requests(mix: &Mix, trail: &Trail, requests: &mut HashSet<u64>, findings: &mut Findings) {
    for passed in &trail.orders {
        let order = mix.request(&passed.cl_ord_id).filter(|request| !request.is_cancel());
        let sent_so = order.map(Request::order).filter(|order| {
            passed.account == mix.plan.account(mix.plan.session(*order))
                && passed.core == mix.core(*order).name()
                && passed.terms == terms(mix, *order)
        });
        match sent_so {
            Some(order) => drop(requests.insert(order)),
            None => {
                let (holder, cl_ord_id) = (trail.gateway, passed.cl_ord_id);
                findings
                    .breaks
                    .push(Break::Invented { holder: format!("audit of gateway {holder}"), cl_ord_id });
            }
        }
    }
}

/// Reports in an audit are those of the cores, each once, ascending in each partition.
fn audited_reports(trail: &Trail, cores: &Cores, findings: &mut Findings) -> HashSet<Place> {
    let mut kept = HashSet::new();
    let mut last: HashMap<i32, i64> = HashMap::new();
    for (place, digest) in &trail.reports {
        if cores.reports.get(place).is_none_or(|held| held.digest != *digest) {
            let at = format!("the audit of gateway {}", trail.gateway);
            findings.breaks.push(Break::Altered { at, place: *place });
        }
        let before = last.insert(place.partition, place.index).unwrap_or(0);
        if !kept.insert(*place) || place.index < before {
            findings.breaks.push(Break::AuditedTwice { gateway: trail.gateway, place: *place });
        }
    }
    kept
}

/// Cores that were killed hold what they held before, and nothing else.
fn recovered(evidence: &Evidence<'_>, cores: &Cores, findings: &mut Findings) {
    let reports = || evidence.recovered.iter().flat_map(|flow| &flow.reports);
    let now: HashSet<Place> = reports().map(|report| report.place).collect();
    let mut gone: Vec<Place> = cores.reports.keys().filter(|place| !now.contains(place)).copied().collect();
    gone.sort_unstable();
    findings.breaks.extend(gone.into_iter().map(|place| Break::Forgotten { place }));
    for report in reports() {
        if cores.reports.get(&report.place).is_none_or(|held| held.digest != report.digest) {
            let at = "the core after it was killed".to_string();
            findings.breaks.push(Break::Altered { at, place: report.place });
        }
    }
}

/// The acceptance of an order.
#[cfg(test)]
pub(super) fn example(mix: &Mix, order: u64) -> Report {
    Report {
        place: Place { partition: 1, index: 1 },
        digest: 0,
        cl_ord_id: mix.cl_ord_id(Request(order)),
        order: mix.cl_ord_id(Request(order)),
        order_id: Text::BLANK,
        account: mix.plan.account(mix.session(Request(order))),
        news: News::Accepted(terms(mix, order)),
    }
}

#[cfg(test)]
mod tests;
