//! A subscriber of the plainest kind: blocking, on a thread of its own, which keeps every frame.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use wire::szse::code::VERSION_MARKET_DATA;
use wire::szse::ext::{ChannelStart, MarketDataRequest, RequestHead, SlowReaderPolicy, SubscriptionMode};
use wire::szse::market::{Snapshot, TickOrder, TickTrade};
use wire::szse::{GroupMessage, Heartbeat, I32, I64, Logon, Message, Password, Text, U16, U32, ext, frame};

/// Nothing for so long: the test fails instead of hanging.
const SILENCE: Duration = Duration::from_secs(120);

/// What a subscriber received.
#[derive(Default)]
pub(crate) struct Heard {
    /// All frames of ticks and snapshots, one after the other.
    pub(crate) bytes: Vec<u8>,
    /// Channel and number of each tick, in order of arrival.
    pub(crate) numbers: Vec<(u16, u64)>,
}

/// Logged on and subscribed to everything of `channel` from 1.
pub(crate) struct Listener {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Listener {
    pub(crate) fn subscribe(address: SocketAddr, name: &str, channel: u16) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        let logon = Logon {
            sender_comp_id: Text::truncated(name),
            target_comp_id: Text::literal("feed"),
            heart_bt_int_s: I32::new(60),
            password: Password::default(),
            default_appl_ver_id: VERSION_MARKET_DATA,
        };
        let mut out = Vec::new();
        frame::encode(&logon, &mut out);
        stream.write_all(&out).unwrap();
        let mut listener = Self { stream, received: Vec::new() };
        assert_eq!(listener.next().0, Logon::MSG_TYPE, "logged on");
        let start = ChannelStart { channel_no: U16::new(channel), next_appl_seq_num: I64::new(1) };
        let head = RequestHead {
            request_id: U32::new(1),
            mode: SubscriptionMode::ALL,
            policy: SlowReaderPolicy::DISCONNECT,
            want_snapshots: 1,
        };
        out.clear();
        MarketDataRequest { head, channels: &[start], securities: &[] }.encode(&mut out).unwrap();
        listener.stream.write_all(&out).unwrap();
        assert_eq!(listener.next().0, ext::MarketDataRequestAck::MSG_TYPE, "subscribed");
        listener
    }

    /// The next frame's type and bytes.
    fn next(&mut self) -> (u32, Vec<u8>) {
        loop {
            if let Some(frame) = frame::decode(&self.received, frame::BODY_LEN_MAX).unwrap() {
                let taken = (frame.msg_type, frame.bytes.to_vec());
                self.received.drain(..taken.1.len());
                return taken;
            }
            let mut buffer = [0; 64 << 10];
            let read = self.stream.read(&mut buffer).expect("something comes");
            assert!(read > 0, "the feed closed");
            self.received.extend_from_slice(&buffer[..read]);
        }
    }

    /// Takes everything until `ticks` ticks are there and, after them, the snapshot that `is_last`.
    pub(crate) fn listen(mut self, ticks: usize, is_last: impl Fn(&[u8]) -> bool) -> Heard {
        let mut heard = Heard::default();
        loop {
            let (msg_type, bytes) = self.next();
            match msg_type {
                TickOrder::MSG_TYPE | TickTrade::MSG_TYPE | ext::ExtendedTickOrder::MSG_TYPE => {
                    let channel = u16::from_be_bytes(bytes[8..10].try_into().unwrap());
                    heard.numbers.push((channel, u64::from_be_bytes(bytes[10..18].try_into().unwrap())));
                }
                Snapshot::MSG_TYPE => {}
                Heartbeat::MSG_TYPE => continue,
                _ => continue,
            }
            heard.bytes.extend_from_slice(&bytes);
            if msg_type == Snapshot::MSG_TYPE && heard.numbers.len() >= ticks && is_last(&bytes) {
                return heard;
            }
        }
    }
}
