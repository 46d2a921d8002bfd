//! A feed asks the broker's own list who may see what, at the logon and when the list changes.
#![allow(clippy::unwrap_used)] // A test fails where it unwraps.

use broker_example::rights::Subscriptions;
use feed::{Config, Server};
use service::Host;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use wire::szse::code::VERSION_MARKET_DATA;
use wire::szse::ext::{
    EntitlementNotice, MarketDataRequest, MarketDataRequestAck, RequestHead, RequestStatus,
};
use wire::szse::ext::{Security, SlowReaderPolicy, SubscriptionMode};
use wire::szse::{I32, Logon, Logout, Message, Password, Text, frame};

/// A failing test ends here; a passing one never waits this long.
const DEADLINE: Duration = Duration::from_secs(60);

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    fn log_on(address: SocketAddr, password: &'static str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let logon = Logon {
            sender_comp_id: Text::literal("fund"),
            target_comp_id: Text::literal("feed"),
            heart_bt_int_s: I32::new(60),
            password: Password::new(password.as_bytes()).unwrap(),
            default_appl_ver_id: VERSION_MARKET_DATA,
        };
        let mut client = Self { stream, received: Vec::new() };
        let mut out = Vec::new();
        frame::encode(&logon, &mut out);
        client.stream.write_all(&out).unwrap();
        client
    }

    /// The next frame is one of these.
    fn expect<M: Message + Copy>(&mut self) -> M {
        loop {
            if let Some(frame) = frame::decode(&self.received, frame::BODY_LEN_MAX).unwrap() {
                let (len, message) = (frame.bytes.len(), *frame.view::<M>().unwrap());
                self.received.drain(..len);
                return message;
            }
            let mut bytes = [0; 1_024];
            let count = self.stream.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "{} was expected, and the connection ended", M::NAME);
            self.received.extend_from_slice(&bytes[..count]);
        }
    }

    /// Asks for a security of this market.
    fn ask_for(&mut self, source: &'static str) -> RequestStatus {
        let head = RequestHead {
            mode: SubscriptionMode::SECURITIES,
            policy: SlowReaderPolicy::DISCONNECT,
            ..RequestHead::default()
        };
        let (security_id, security_id_source) = (Text::literal("600000"), Text::literal(source));
        let securities = [Security { security_id, security_id_source }];
        let mut out = Vec::new();
        MarketDataRequest { head, channels: &[], securities: &securities }.encode(&mut out).unwrap();
        self.stream.write_all(&out).unwrap();
        self.expect::<MarketDataRequestAck>().status
    }
}

#[test]
fn the_list_says_who_may_see_what_and_its_changes_reach_open_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("rights.csv");
    std::fs::write(&list, "fund,secret,SSE,2,1\n").unwrap();
    let subscriptions = Subscriptions::open(&list).unwrap();
    subscriptions.watch(list.clone(), Duration::from_millis(10)).unwrap();
    let mut config = Config::default();
    config.listen.address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(config, &Host::default()).unwrap().with_entitlement(subscriptions);
    let address = server.address();
    let running = server.start().unwrap();

    let refused: Logout = Client::log_on(address, "guess").expect();
    assert_eq!(refused.text.to_string(), "wrong CompID or password");
    let mut fund = Client::log_on(address, "secret");
    fund.expect::<Logon>();
    assert_eq!(fund.ask_for("101"), RequestStatus::ACCEPTED);
    assert_eq!(fund.ask_for("102"), RequestStatus::NOT_ENTITLED);
    let second: Logout = Client::log_on(address, "secret").expect();
    assert_eq!(second.text.to_string(), "too many sessions");

    let put = |text: &str| {
        // In one step: a list that is read half written would be another list.
        let new = folder.path().join("new.csv");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &list).unwrap();
    };
    put("fund,secret,SZSE+SSE,1,1\n");
    let notice: EntitlementNotice = fund.expect();
    assert_eq!((notice.markets.get(), notice.level), (0b110, 1));
    assert_eq!(fund.ask_for("102"), RequestStatus::ACCEPTED);
    put("# nobody\n");
    let ended: Logout = fund.expect();
    assert_eq!(ended.text.to_string(), "right withdrawn");
    running.stop().unwrap();
}
