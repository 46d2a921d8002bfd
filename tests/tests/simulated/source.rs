//! A source of quotes: two channels of tick orders, a tick every other millisecond, and of one security a snapshot now and
//! then; the same from each source.

use flow::{Tag, Writer};
use matcher_stub::Admission;
use matcher_stub::publisher::{Publisher, ResendLimits};
use shard::{App, ConnId, Cx, Handle, Limits, Log, LogId, Opened, Port, Reason, Setup};
use std::net::SocketAddr;
use transport::{Listener, SocketOptions};
use wire::szse::code::{STREAM_SNAPSHOT, VERSION_MARKET_DATA};
use wire::szse::market::{Snapshot, SnapshotHead, TickOrder};
use wire::szse::{I64, Text, Timestamp, U16, frame};

/// ChannelNo of what is published.
pub(super) const CHANNELS: [u16; 2] = [2_011, 2_012];
/// ChannelNo of the snapshots.
pub(super) const SNAPSHOT_CHANNEL: u16 = 1_011;
/// Ticks of each channel between two snapshots.
pub(super) const SNAPSHOT_EVERY: u64 = 100;
const LOG: LogId = LogId(0);
const PACE_NS: u64 = 2_000_000;
/// 2026-01-05 in Shenzhen, nanoseconds since 1970.
const NINE_THIRTY_NS: u64 = 1_767_576_600_000_000_000;

struct Exchange {
    publisher: Publisher,
    number: u64,
    due_ns: u64,
}

/// Publishes until the simulation ends.
pub(super) async fn publish(listen: SocketAddr) -> turmoil::Result {
    let listener = Listener::bind(listen, SocketOptions::default())?;
    let limits = Limits::default();
    let setup = Setup {
        ports: vec![Port { listener, tag: 0 }],
        logs: vec![Log::Own(Writer::new(flow::Limits::default()))],
        limits,
        core: None,
    };
    let admission = Admission {
        comp_id: Text::literal("MATCHER"),
        clients: Vec::new(),
        version: VERSION_MARKET_DATA,
        limits: wire::szse::session::Limits::default(),
    };
    let publisher = Publisher::new(LOG, vec!["market data".to_owned()], admission, ResendLimits::default());
    let exchange = Exchange { publisher, number: 0, due_ns: 0 };
    shard::run(setup, exchange, Handle::new(&limits)).await?;
    Ok(())
}

impl Exchange {
    fn tick(&mut self, cx: &mut Cx) {
        self.number += 1;
        for channel in CHANNELS {
            let order = TickOrder {
                channel_no: U16::new(channel),
                appl_seq_num: I64::new(self.number as i64),
                security_id: Text::literal("000001"),
                security_id_source: Text::literal("102"),
                ..TickOrder::default()
            };
            let mut bytes = Vec::new();
            frame::encode(&order, &mut bytes);
            let tag = Tag { lane: channel, number: self.number, key: 1 };
            cx.writer(LOG).append(tag, &bytes).expect("numbers ascend");
        }
        if self.number.is_multiple_of(SNAPSHOT_EVERY) {
            self.snapshot(cx);
        }
    }

    /// The state after the last ticks: NumTrades says which they were.
    fn snapshot(&self, cx: &mut Cx) {
        let head = SnapshotHead {
            orig_time: Timestamp::from_unix_ns(NINE_THIRTY_NS + self.number * PACE_NS),
            channel_no: U16::new(SNAPSHOT_CHANNEL),
            md_stream_id: STREAM_SNAPSHOT,
            security_id: Text::literal("000001"),
            security_id_source: Text::literal("102"),
            num_trades: I64::new(self.number as i64),
            ..SnapshotHead::default()
        };
        let mut bytes = Vec::new();
        Snapshot::encode(&head, &mut bytes, |_| Ok(())).expect("a snapshot without levels is a frame");
        let tag = Tag { lane: SNAPSHOT_CHANNEL, number: 0, key: 1 };
        cx.writer(LOG).append(tag, &bytes).expect("it has no number");
    }
}

impl App for Exchange {
    type Command = ();

    fn on_start(&mut self, cx: &mut Cx) {
        cx.wake_at(0);
    }

    fn on_wake(&mut self, cx: &mut Cx) {
        while self.due_ns <= cx.now_ns() {
            self.due_ns += PACE_NS;
            self.tick(cx);
        }
        cx.wake_at(self.due_ns);
    }

    fn on_open(&mut self, cx: &mut Cx, id: ConnId, _opened: Opened) {
        self.publisher.on_open(cx, id, 0);
    }

    fn on_dial_failed(&mut self, _cx: &mut Cx, _tag: u32, _error: std::io::Error) {}

    fn on_data(&mut self, cx: &mut Cx, id: ConnId, data: &[u8]) -> Result<usize, Reason> {
        self.publisher.on_data(cx, id, data)
    }

    fn on_close(&mut self, _cx: &mut Cx, id: ConnId, _reason: Reason) {
        self.publisher.on_close(id);
    }

    fn on_tick(&mut self, cx: &mut Cx) {
        self.publisher.on_tick(cx);
    }

    fn on_drained(&mut self, cx: &mut Cx, id: ConnId) {
        self.publisher.on_drained(cx, id);
    }

    fn on_command(&mut self, _cx: &mut Cx, (): ()) {}
}
