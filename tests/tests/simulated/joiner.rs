//! A subscriber that comes late: the last snapshot first, then everything after it. What the exchange published between that
//! snapshot and the first tick that followed it asks for again.

use super::source::{CHANNELS, SNAPSHOT_CHANNEL, SNAPSHOT_EVERY};
use super::subscriber::session;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use wire::szse::code::{ResendStatus, ResendType};
use wire::szse::ext::{GapNotice, MarketDataRequest, RequestHead, SlowReaderPolicy, SubscriptionMode};
use wire::szse::market::{Resend, Snapshot, TickOrder};
use wire::szse::{Frame, GroupMessage, I64, Message, U16, frame};

/// What came to one that joined late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Joined {
    /// How far the market was in the snapshot that it began with; 0 before there was one.
    pub(crate) snapshot: u64,
    /// Snapshots after it.
    pub(crate) snapshots: u64,
    /// Times that one or more snapshots were left out before the next.
    pub(crate) skips: u64,
    /// Of each channel, the number that is wanted next: all from behind the snapshot up to it are there.
    pub(crate) next: [u64; CHANNELS.len()],
    /// Numbers that were asked for again.
    pub(crate) asked: u64,
    /// Numbers that are not what follows, notices that some will not come, and snapshots that go back.
    pub(crate) holes: u64,
}

/// Joins and follows until the simulation ends.
pub(super) async fn join(joined: Rc<RefCell<Joined>>) -> turmoil::Result {
    let mut joiner =
        Joiner { joined, live: [0; CHANNELS.len()], again: Default::default(), last_snapshot: 0 };
    session(request, |frame, out| joiner.message(frame, out)).await
}

fn request(out: &mut Vec<u8>) {
    let head = RequestHead {
        request_id: 1.into(),
        mode: SubscriptionMode::ALL,
        policy: SlowReaderPolicy::DISCONNECT,
        want_snapshots: 1,
    };
    MarketDataRequest { head, channels: &[], securities: &[] }.encode(out).expect("within its bounds");
}

struct Joiner {
    joined: Rc<RefCell<Joined>>,
    /// Of each channel, the number after the last one that came by itself; 0 before the first.
    live: [u64; CHANNELS.len()],
    /// Of each channel, what was asked for and is not here yet.
    again: [Range<u64>; CHANNELS.len()],
    last_snapshot: u64,
}

impl Joiner {
    fn message(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) {
        match frame.msg_type {
            Snapshot::MSG_TYPE => self.snapshot(frame),
            TickOrder::MSG_TYPE => self.tick(frame.view().expect("a tick order"), out),
            Resend::MSG_TYPE => {
                let answer: &Resend = frame.view().expect("an answer");
                assert_eq!(answer.resend_status, ResendStatus::COMPLETE, "the feed holds it");
            }
            GapNotice::MSG_TYPE => self.joined.borrow_mut().holes += 1,
            _ => {}
        }
    }

    fn snapshot(&mut self, frame: &Frame<'_>) {
        let head = frame.group::<Snapshot<'_>>().expect("a snapshot").head;
        assert_eq!(head.channel_no.get(), SNAPSHOT_CHANNEL);
        let (number, mut joined) = (head.num_trades.get() as u64, self.joined.borrow_mut());
        if self.last_snapshot == 0 {
            joined.snapshot = number;
            joined.next = [number + 1; CHANNELS.len()];
        } else {
            joined.snapshots += 1;
            joined.holes += u64::from(number <= self.last_snapshot);
            joined.skips += u64::from(number > self.last_snapshot + SNAPSHOT_EVERY);
        }
        self.last_snapshot = number;
    }

    fn tick(&mut self, order: &TickOrder, out: &mut Vec<u8>) {
        let place = CHANNELS.iter().position(|channel| *channel == order.channel_no.get());
        let place = place.expect("a channel of the source");
        let (number, mut joined) = (order.appl_seq_num.get() as u64, self.joined.borrow_mut());
        assert_ne!(joined.snapshot, 0, "the snapshot comes first");
        if self.live[place] == 0 {
            // The first that follows the snapshot: what lies between was before this one came.
            self.live[place] = number;
            let begin = joined.next[place];
            if begin < number {
                ask(CHANNELS[place], (begin, number - 1), out);
                joined.asked += number - begin;
                self.again[place] = begin..number;
            }
        }
        let wanted = &mut self.again[place];
        let again = !wanted.is_empty() && wanted.start == number;
        wanted.start += u64::from(again);
        joined.holes += u64::from(!again && number != self.live[place]);
        if !again {
            self.live[place] = number + 1;
        }
        // All that was asked for is there, so what came by itself follows.
        if self.again[place].is_empty() {
            joined.next[place] = self.live[place];
        }
    }
}

fn ask(channel: u16, (begin, end): (u64, u64), out: &mut Vec<u8>) {
    let request = Resend {
        resend_type: ResendType::TICKS,
        channel_no: U16::new(channel),
        appl_beg_seq_num: I64::new(begin as i64),
        appl_end_seq_num: I64::new(end as i64),
        ..Resend::default()
    };
    frame::encode(&request, out);
}
