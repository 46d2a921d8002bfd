//! A subscriber that takes everything, from number 1 of each channel, and keeps count.

use super::{of, source::CHANNELS};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use transport::{Connector, Stream};
use wire::szse::ext::{
    ChannelStart, GapNotice, MarketDataRequest, RequestHead, SlowReaderPolicy, SubscriptionMode,
};
use wire::szse::market::TickOrder;
use wire::szse::session::{Event, Limits, Session};
use wire::szse::{Frame, I64, Logon, Message, Text, U16};

/// What a subscriber has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Ticks.
    pub(crate) received: u64,
    /// Numbers that the feed says will not come.
    pub(crate) lost: u64,
    /// Ticks whose number was seen before.
    pub(crate) duplicated: u64,
    /// Ticks that came before a lower number of their channel.
    pub(crate) out_of_order: u64,
    /// The longest time without a tick.
    pub(crate) gap_max: Duration,
}

/// Subscribes once and follows until the simulation ends.
pub(super) async fn subscribe(seen: Rc<RefCell<Seen>>) -> turmoil::Result {
    let mut count = Count { seen, next: [1; CHANNELS.len()], at: Instant::now() };
    session(request, |frame, _| count.message(frame)).await
}

/// A session of a subscriber: asks once, and gives each message to `on_message`, which may say something to it.
pub(super) async fn session(
    request: impl Fn(&mut Vec<u8>),
    mut on_message: impl FnMut(&Frame<'_>, &mut Vec<u8>),
) -> turmoil::Result {
    let mut stream = connect().await;
    let started = Instant::now();
    let now_ns = |at: Instant| (at - started).as_nanos() as u64;
    let (mut out, mut buffer, mut held) = (Vec::new(), Vec::new(), 0);
    let logon = Logon {
        sender_comp_id: Text::literal("subscriber"),
        target_comp_id: Text::literal("feed"),
        heart_bt_int_s: 1.into(),
        ..Logon::default()
    };
    let mut session = Session::initiator(Limits::default(), &logon, 0, &mut out);
    loop {
        stream.write_all(&out).await?;
        out.clear();
        buffer.resize(held + 65_536, 0);
        let wait = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut buffer[held..]));
        if let Ok(read) = wait.await {
            held += read?;
        }
        let mut consumed = 0;
        while let Some(received) =
            session.receive(&buffer[consumed..held], now_ns(Instant::now()), &mut out)?
        {
            consumed += received.consumed;
            match received.event {
                Event::LoggedOn(_) => request(&mut out),
                Event::Message(frame) => on_message(&frame, &mut out),
                Event::Heartbeat => {}
                other => panic!("the feed takes leave: {other:?}"),
            }
        }
        buffer.copy_within(consumed..held, 0);
        held -= consumed;
        session.on_timeout(now_ns(Instant::now()), &mut out)?;
    }
}

async fn connect() -> Stream {
    loop {
        match Connector::default().dial(of("feed"), Duration::from_secs(1)).await {
            Ok(stream) => return stream,
            Err(_not_there_yet) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn request(out: &mut Vec<u8>) {
    let from_the_start =
        |channel| ChannelStart { channel_no: U16::new(channel), next_appl_seq_num: I64::new(1) };
    let head = RequestHead {
        request_id: 1.into(),
        mode: SubscriptionMode::ALL,
        policy: SlowReaderPolicy::DISCONNECT,
        want_snapshots: 0,
    };
    let channels = CHANNELS.map(from_the_start);
    MarketDataRequest { head, channels: &channels, securities: &[] }.encode(out).expect("within its bounds");
}

struct Count {
    seen: Rc<RefCell<Seen>>,
    next: [i64; CHANNELS.len()],
    at: Instant,
}

impl Count {
    fn message(&mut self, frame: &Frame<'_>) {
        let mut seen = self.seen.borrow_mut();
        match frame.msg_type {
            TickOrder::MSG_TYPE => {
                let order: &TickOrder = frame.view().expect("a tick order");
                let place = CHANNELS.iter().position(|channel| *channel == order.channel_no.get());
                let next = &mut self.next[place.expect("a channel of the source")];
                let number = order.appl_seq_num.get();
                seen.received += 1;
                seen.duplicated += u64::from(number < *next);
                seen.out_of_order += u64::from(number > *next);
                *next = number.max(*next - 1) + 1;
                let now = Instant::now();
                seen.gap_max = seen.gap_max.max(now - self.at);
                self.at = now;
            }
            GapNotice::MSG_TYPE => {
                let notice: &GapNotice = frame.view().expect("a notice");
                seen.lost += (notice.appl_end_seq_num.get() - notice.appl_beg_seq_num.get() + 1) as u64;
            }
            _ => {}
        }
    }
}
