//! A client that sends an order every few milliseconds, whatever is answered, and keeps count of the answers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use transport::{Connector, Stream};
use wire::szse::code::{
    APPL_CASH_AUCTION, CashMargin, ExecType, OrdType, PlatformState, SOURCE_SHENZHEN, Side, TimeInForce,
    VERSION_TRADING,
};
use wire::szse::session::{Event, Limits, Session};
use wire::szse::trading::{
    BusinessReject, CashAuctionExt, NewOrder, OrderReport, PartitionIndex, PlatformInfo, PlatformStateInfo,
    ReportSynchronization, RequestBase,
};
use wire::szse::{Frame, GroupMessage, I64, Logon, Message, Price, Qty, Text, frame};

const PACE: Duration = Duration::from_millis(5);

/// What a client has been told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// Orders sent.
    pub(crate) sent: u64,
    /// Of each order that was accepted, how often it was.
    pub(crate) accepted: BTreeMap<Text<10>, u32>,
    /// Orders refused, by whomever.
    pub(crate) refused: u64,
    /// Reports whose ReportIndex did not ascend within its partition. It may jump: the core's answer to an order sent again is a
    /// report, too, and is nobody's.
    pub(crate) out_of_order: u64,
    /// The longest wait between two acceptances while orders were sent.
    pub(crate) gap_max: Duration,
    /// Set by the story: no more orders.
    pub(crate) closed: bool,
}

/// Trades in one session until the simulation ends.
pub(super) async fn trade(gateway: SocketAddr, told: Rc<RefCell<Told>>) -> turmoil::Result {
    let mut stream = connect(gateway).await;
    let started = Instant::now();
    let now_ns = |at: Instant| (at - started).as_nanos() as u64;
    let (mut out, mut buffer, mut held) = (Vec::new(), Vec::new(), 0);
    let logon = Logon {
        sender_comp_id: Text::literal("client"),
        target_comp_id: Text::literal("gateway"),
        heart_bt_int_s: 1.into(),
        default_appl_ver_id: VERSION_TRADING,
        ..Logon::default()
    };
    let mut session = Session::initiator(Limits::default(), &logon, 0, &mut out);
    let mut client = Client { told, next: BTreeMap::new(), due: None, accepted_at: started };
    loop {
        client.order(&mut out);
        stream.write_all(&out).await?;
        out.clear();
        buffer.resize(held + 65_536, 0);
        if let Ok(read) = tokio::time::timeout(PACE, stream.read(&mut buffer[held..])).await {
            let read = read?;
            assert!(read > 0, "the gateway does not leave");
            held += read;
        }
        let mut consumed = 0;
        while let Some(received) =
            session.receive(&buffer[consumed..held], now_ns(Instant::now()), &mut out)?
        {
            consumed += received.consumed;
            match received.event {
                Event::Message(frame) => client.message(&frame, &mut out),
                Event::LoggedOn(_) | Event::Heartbeat => {}
                other => panic!("the gateway takes leave: {other:?}"),
            }
        }
        buffer.copy_within(consumed..held, 0);
        held -= consumed;
        session.on_timeout(now_ns(Instant::now()), &mut out)?;
    }
}

async fn connect(gateway: SocketAddr) -> Stream {
    loop {
        match Connector::default().dial(gateway, Duration::from_secs(1)).await {
            Ok(stream) => return stream,
            Err(_not_there_yet) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

struct Client {
    told: Rc<RefCell<Told>>,
    /// The next ReportIndex of each partition.
    next: BTreeMap<i32, i64>,
    /// When the next order is due, once the core takes orders.
    due: Option<Instant>,
    accepted_at: Instant,
}

impl Client {
    /// Sends what is due.
    fn order(&mut self, out: &mut Vec<u8>) {
        let mut told = self.told.borrow_mut();
        while let Some(due) = self.due.filter(|due| *due <= Instant::now() && !told.closed) {
            self.due = Some(due + PACE);
            told.sent += 1;
            frame::encode(&new_order(told.sent), out);
        }
    }

    fn message(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) {
        match frame.msg_type {
            <PlatformInfo<'_> as GroupMessage<'_>>::MSG_TYPE => {
                let info: PlatformInfo<'_> = frame.group().expect("the gateway's partitions");
                let from_first =
                    |partition| PartitionIndex { partition_no: partition, report_index: I64::new(1) };
                let partitions: Vec<_> = info.partitions.iter().copied().map(from_first).collect();
                ReportSynchronization { partitions: &partitions }.encode(out).expect("few");
            }
            PlatformStateInfo::MSG_TYPE => {
                let info: &PlatformStateInfo = frame.view().expect("the gateway's state");
                if info.platform_state == PlatformState::OPEN {
                    self.due.get_or_insert_with(Instant::now);
                }
            }
            OrderReport::MSG_TYPE => self.reported(frame.view().expect("a report")),
            BusinessReject::MSG_TYPE => self.told.borrow_mut().refused += 1,
            _ => {}
        }
    }

    fn reported(&mut self, report: &OrderReport) {
        let mut told = self.told.borrow_mut();
        let next = self.next.entry(report.base.partition_no.get()).or_insert(1);
        let index = report.base.report_index.get();
        told.out_of_order += u64::from(index < *next);
        *next = index + 1;
        if report.exec_type == ExecType::NEW {
            *told.accepted.entry(report.cl_ord_id).or_default() += 1;
            let now = Instant::now();
            told.gap_max = told.gap_max.max(now - self.accepted_at);
            self.accepted_at = now;
        } else {
            told.refused += 1;
        }
    }
}

/// One that rests: nobody sells.
fn new_order(number: u64) -> NewOrder {
    NewOrder {
        base: RequestBase {
            appl_id: APPL_CASH_AUCTION,
            security_id: Text::literal("000001"),
            security_id_source: SOURCE_SHENZHEN,
            owner_type: 1.into(),
            ..RequestBase::default()
        },
        cl_ord_id: Text::truncated(&format!("{number:010}")),
        account_id: Text::literal("account"),
        side: Side::BUY,
        ord_type: OrdType::LIMIT,
        order_qty: Qty::whole(100),
        price: Price::whole(10),
        ext: CashAuctionExt {
            time_in_force: TimeInForce::DAY,
            cash_margin: CashMargin::CASH,
            ..CashAuctionExt::default()
        },
        ..NewOrder::default()
    }
}
