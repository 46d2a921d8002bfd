//! A client that keeps every report it is sent, and asks for the next ones when it comes back.

use crate::line::Line;
use crate::town::{Market, PASSWORD, SECURITY};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use transport::Connector;
use wire::szse::code::{
    APPL_CASH_AUCTION, CashMargin, OrdType, SOURCE_SHENZHEN, Side, TimeInForce, VERSION_TRADING,
};
use wire::szse::trading::{
    BusinessReject, CancelReject, CashAuctionExt, NewOrder, OrderCancelRequest, OrderReport, PartitionIndex,
    PlatformInfo, PlatformStateInfo, ReportSynchronization, RequestBase, TradeReport,
};
use wire::szse::{
    Frame, GroupMessage, Heartbeat, I32, I64, Logon, Logout, Message, Password, Price, Qty, Text, frame,
};

/// Reports as they came, whole, by partition.
pub(crate) type Reports = BTreeMap<i32, Vec<Vec<u8>>>;

/// One end of a session.
pub(crate) struct Peer {
    line: Line,
    buffer: Vec<u8>,
}

impl Peer {
    /// Connects and asks to be logged on.
    pub(crate) fn logging_on(
        connector: &Connector,
        address: SocketAddr,
        (sender, target): (&str, &str),
        version: Text<32>,
    ) -> io::Result<Self> {
        let mut peer = Self { line: Line::open(connector, address)?, buffer: Vec::new() };
        let logon = Logon {
            sender_comp_id: sender.parse().expect("fits"),
            target_comp_id: target.parse().expect("fits"),
            heart_bt_int_s: I32::new(60),
            password: Password::new(PASSWORD).expect("fits"),
            default_appl_ver_id: version,
        };
        let mut bytes = Vec::new();
        frame::encode(&logon, &mut bytes);
        peer.line.write(&bytes)?;
        Ok(peer)
    }

    fn logged_on(connector: &Connector, address: SocketAddr, sender: &str, target: &str) -> Self {
        let peer = Self::logging_on(connector, address, (sender, target), VERSION_TRADING);
        let mut peer = peer.expect("it listens");
        let expected = [Logon::MSG_TYPE, PlatformInfo::MSG_TYPE, PlatformStateInfo::MSG_TYPE];
        for msg_type in expected {
            assert_eq!(decoded(&peer.next().expect("an answer")).msg_type, msg_type);
        }
        peer
    }

    fn send<M: Message>(&mut self, message: &M) {
        let mut bytes = Vec::new();
        frame::encode(message, &mut bytes);
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.line.write(bytes).expect("written");
    }

    /// It is not let in: the connection ends, by an alert or at once.
    pub(crate) fn expect_refusal(&mut self) {
        let mut bytes = [0; 16];
        assert!(matches!(self.line.read(&mut bytes), Ok(0) | Err(_)));
    }

    fn synchronize(&mut self, wanted: impl Iterator<Item = (i32, i64)>) {
        let index = |(partition_no, index)| PartitionIndex {
            partition_no: I32::new(partition_no),
            report_index: I64::new(index),
        };
        let partitions: Vec<_> = wanted.map(index).collect();
        let mut bytes = Vec::new();
        ReportSynchronization { partitions: &partitions }.encode(&mut bytes).expect("few");
        self.send_bytes(&bytes);
    }

    /// The next frame that is not a heartbeat; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let whole = frame::decode(&self.buffer, frame::BODY_LEN_MAX).expect("a good frame");
            if let Some((msg_type, len)) = whole.map(|frame| (frame.msg_type, frame.bytes.len())) {
                let bytes = self.buffer.drain(..len).collect();
                if msg_type != Heartbeat::MSG_TYPE {
                    return Some(bytes);
                }
                continue;
            }
            let mut chunk = [0; 16 << 10];
            match self.line.read(&mut chunk) {
                Ok(0) => return None,
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }
}

pub(crate) fn decoded(bytes: &[u8]) -> Frame<'_> {
    frame::decode(bytes, frame::BODY_LEN_MAX).expect("good").expect("whole")
}

/// (PartitionNo, ReportIndex) and AccountID of a report; a reject of a cancel has no AccountID.
fn place(bytes: &[u8]) -> Option<((i32, i64), Text<12>)> {
    let frame = decoded(bytes);
    let (base, account) = match frame.msg_type {
        OrderReport::MSG_TYPE => frame.view::<OrderReport>().map(|report| (report.base, report.account_id)),
        TradeReport::MSG_TYPE => frame.view::<TradeReport>().map(|report| (report.base, report.account_id)),
        CancelReject::MSG_TYPE => frame.view::<CancelReject>().map(|report| (report.base, Text::BLANK)),
        _ => return None,
    }
    .expect("of the right length");
    Some(((base.partition_no.get(), base.report_index.get()), account))
}

fn index(bytes: &[u8]) -> i64 {
    place(bytes).expect("a report").0.1
}

pub(crate) struct Client {
    name: String,
    connector: Connector,
    pub(crate) account: Text<12>,
    peer: Option<Peer>,
    reports: Reports,
}

impl Client {
    pub(crate) fn new(number: usize, connector: Connector) -> Self {
        let account = Text::truncated(&format!("a{number}"));
        Self { name: format!("c{number}"), connector, account, peer: None, reports: Reports::new() }
    }

    /// The same client, with only so many of its reports of each partition.
    pub(crate) fn resumed_behind(&self, counts: &[(i32, usize)]) -> Self {
        let some =
            |&(partition, count): &(i32, usize)| (partition, self.reports[&partition][..count].to_vec());
        let reports = counts.iter().map(some).collect();
        Self {
            name: self.name.clone(),
            connector: self.connector.clone(),
            account: self.account,
            peer: None,
            reports,
        }
    }

    /// Logs on and asks for the reports after those that it has.
    pub(crate) fn connect(&mut self, address: SocketAddr) {
        let mut peer = Peer::logged_on(&self.connector, address, &self.name, "gateway");
        let next = |reports: &Vec<Vec<u8>>| reports.last().map_or(1, |last| index(last) + 1);
        peer.synchronize(self.reports.iter().map(|(partition, reports)| (*partition, next(reports))));
        self.peer = Some(peer);
    }

    fn peer(&mut self) -> &mut Peer {
        self.peer.as_mut().expect("connected")
    }

    pub(crate) fn send<M: Message>(&mut self, message: &M) {
        self.peer().send(message);
    }

    /// An order for some shares at a price in 0.01.
    pub(crate) fn new_order(
        &self,
        cl_ord_id: &str,
        cash_margin: CashMargin,
        side: Side,
        (shares, price): (i64, i64),
    ) -> NewOrder {
        NewOrder {
            base: base(),
            cl_ord_id: cl_ord_id.parse().expect("fits"),
            account_id: self.account,
            side,
            ord_type: OrdType::LIMIT,
            order_qty: Qty::whole(shares),
            price: Price::from_raw(price * 100),
            ext: CashAuctionExt { time_in_force: TimeInForce::DAY, cash_margin, ..CashAuctionExt::default() },
            ..NewOrder::default()
        }
    }

    pub(crate) fn order(&mut self, cl_ord_id: &str, cash_margin: CashMargin, side: Side, terms: (i64, i64)) {
        let order = self.new_order(cl_ord_id, cash_margin, side, terms);
        self.send(&order);
    }

    pub(crate) fn cancel(&mut self, cl_ord_id: &str, orig_cl_ord_id: &str, side: Side) {
        self.send(&OrderCancelRequest {
            base: base(),
            cl_ord_id: cl_ord_id.parse().expect("fits"),
            orig_cl_ord_id: orig_cl_ord_id.parse().expect("fits"),
            side,
            ..OrderCancelRequest::default()
        });
    }

    /// Takes the next frame, which is a report that comes after all others of its partition.
    pub(crate) fn any_report(&mut self) -> Vec<u8> {
        let bytes = self.peer().next().expect("a report, not the end");
        let Some(((partition, number), _)) = place(&bytes) else {
            panic!("a report was expected, {} came", decoded(&bytes).msg_type);
        };
        let before = self.reports.entry(partition).or_default();
        let last = before.last().map_or(0, |last| index(last));
        assert!(number > last, "partition {partition}: {number} after {last}");
        before.push(bytes.clone());
        bytes
    }

    pub(crate) fn report<M: Message + Copy>(&mut self) -> M {
        let bytes = self.any_report();
        *decoded(&bytes).view::<M>().unwrap_or_else(|error| panic!("{}: {error}", M::NAME))
    }

    /// The next frame, which is the gateway's own answer.
    pub(crate) fn answer(&mut self) -> BusinessReject {
        let bytes = self.peer().next().expect("an answer");
        *decoded(&bytes).view().expect("a BusinessReject")
    }

    /// What becomes of an order: the gateway's refusal, or nothing once the core has reported it. Reports of others are kept.
    pub(crate) fn refusal_of(&mut self, cl_ord_id: &str) -> Option<BusinessReject> {
        let name: Text<10> = cl_ord_id.parse().expect("fits");
        loop {
            let bytes = self.peer().next().expect("an answer");
            let frame = decoded(&bytes);
            match frame.msg_type {
                BusinessReject::MSG_TYPE => {
                    let reject = *frame.view::<BusinessReject>().expect("of the right length");
                    assert_eq!(reject.business_reject_ref_id, name);
                    return Some(reject);
                }
                OrderReport::MSG_TYPE => {
                    let report = frame.view::<OrderReport>().expect("of the right length");
                    if report.cl_ord_id == name {
                        return None;
                    }
                }
                _ => {}
            }
        }
    }

    /// The gateway logs the client out and closes.
    pub(crate) fn expect_end(&mut self) {
        let bytes = self.peer().next().expect("a logout");
        assert_eq!(decoded(&bytes).msg_type, Logout::MSG_TYPE);
        assert!(self.peer().next().is_none());
    }

    /// How many reports still come until the stream ends.
    pub(crate) fn rest_until_end(&mut self) -> usize {
        std::iter::from_fn(|| self.peer().next()).filter(|bytes| place(bytes).is_some()).count()
    }

    pub(crate) fn seen(&self) -> &Reports {
        &self.reports
    }
}

fn base() -> RequestBase {
    RequestBase {
        appl_id: APPL_CASH_AUCTION,
        submitting_pbu_id: Text::literal("P00001"),
        security_id: SECURITY,
        security_id_source: SOURCE_SHENZHEN,
        ..RequestBase::default()
    }
}

/// Reads what the desks have said, at the desks themselves.
pub(crate) struct Auditor;

impl Auditor {
    /// All reports of an account so far.
    pub(crate) fn reports_of(account: Text<12>, market: &Market) -> Reports {
        let mut reports = Reports::new();
        for (desk, first) in market.desks.into_iter().zip([1, 11]) {
            let mut peer = Peer::logged_on(&market.connector(), desk, "AUDITOR", "MATCHER");
            let partitions = [first, first + 1];
            let count: i64 = partitions.map(|partition| next_index(&mut peer, partition) - 1).iter().sum();
            peer.synchronize(partitions.map(|partition| (partition, 1)).into_iter());
            for _ in 0..count {
                let bytes = peer.next().expect("a report");
                let ((partition, _), of) = place(&bytes).expect("a report");
                if of == account {
                    reports.entry(partition).or_default().push(bytes);
                }
            }
        }
        reports
    }
}

/// The next ReportIndex of a partition: who asks for one that is far away is told.
fn next_index(peer: &mut Peer, partition: i32) -> i64 {
    peer.synchronize(std::iter::once((partition, i64::MAX)));
    let bytes = peer.next().expect("an answer");
    let text = decoded(&bytes).view::<BusinessReject>().expect("refused").business_reject_text.to_string();
    text.rsplit(' ').next().and_then(|next| next.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}
