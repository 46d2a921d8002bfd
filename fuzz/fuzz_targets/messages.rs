//! Every message's view on any body: the input is a MsgType (an index into the list of known ones) and a body, so
//! that no time is spent on finding checksums.
#![no_main]

use std::fmt::Write;

use libfuzzer_sys::fuzz_target;
use wire::szse::ext::{
    ChannelStream, EntitlementNotice, ExtendedTickOrder, GapNotice, MarketDataRequest, MarketDataRequestAck,
    RelayHello, RelayPath,
};
use wire::szse::market::{self, ChannelHeartbeat, Resend, Snapshot, TickOrder, TickTrade};
use wire::szse::trading::{
    self, CancelReject, NewOrder, OrderCancelRequest, OrderReport, PlatformInfo, PlatformStateInfo,
    ReportFinished, ReportSynchronization, TradeReport,
};
use wire::szse::{Frame, GroupMessage, Heartbeat, Logon, Logout, Message, frame};

/// Views the body and prints it: every field's accessor and formatter meets what a peer may send.
fn view<M: Message + std::fmt::Debug + PartialEq>(body: &[u8]) {
    let frame = Frame { msg_type: M::MSG_TYPE, body, bytes: body };
    if let Ok(message) = frame.view::<M>() {
        print(message);
        let mut out = Vec::new();
        frame::encode(message, &mut out);
        let again = frame::decode(&out, frame::BODY_LEN_MAX).expect("a frame").expect("whole");
        assert_eq!(again.view::<M>(), Ok(message));
    }
}

fn group<'a, G: GroupMessage<'a>>(body: &'a [u8]) -> Option<G> {
    Frame { msg_type: G::MSG_TYPE, body, bytes: body }.group().ok()
}

fn print(message: &dyn std::fmt::Debug) {
    let mut out = String::new();
    write!(out, "{message:?}").expect("a String takes all");
}

fn body_of(out: &[u8]) -> &[u8] {
    &out[frame::HEADER_LEN..out.len() - frame::TRAILER_LEN]
}

fn snapshot(body: &[u8]) {
    let Some(snapshot) = group::<Snapshot<'_>>(body) else { return };
    let mut out = Vec::new();
    Snapshot::encode(snapshot.head, &mut out, |to| {
        snapshot.entries().try_for_each(|it| to.push(it.entry, it.orders))
    })
    .expect("what was taken can be sent");
    assert_eq!(body_of(&out), body);
}

fn request(body: &[u8]) {
    let Some(request) = group::<MarketDataRequest<'_>>(body) else { return };
    print(&request);
    let mut out = Vec::new();
    request.encode(&mut out).expect("what was taken can be sent");
    assert_eq!(body_of(&out), body);
}

fn extended(body: &[u8]) {
    let Some(tick) = group::<ExtendedTickOrder<'_>>(body) else { return };
    print(&tick);
    let mut out = Vec::new();
    tick.encode(&mut out).expect("what was taken can be sent");
    assert_eq!(body_of(&out), body);
}

fn path(body: &[u8]) {
    let Some(path) = group::<RelayPath<'_>>(body) else { return };
    print(&path);
    let mut out = Vec::new();
    path.encode(&mut out).expect("what was taken can be sent");
    assert_eq!(body_of(&out), body);
}

fuzz_target!(|data: &[u8]| {
    let Some((which, body)) = data.split_first() else { return };
    match which % 27 {
        0 => view::<Logon>(body),
        1 => view::<Logout>(body),
        2 => view::<Heartbeat>(body),
        3 => view::<NewOrder>(body),
        4 => view::<OrderCancelRequest>(body),
        5 => view::<OrderReport>(body),
        6 => view::<TradeReport>(body),
        7 => view::<CancelReject>(body),
        8 => view::<trading::BusinessReject>(body),
        9 => view::<PlatformStateInfo>(body),
        10 => view::<ReportFinished>(body),
        11 => view::<TickOrder>(body),
        12 => view::<TickTrade>(body),
        13 => view::<ChannelHeartbeat>(body),
        14 => view::<Resend>(body),
        15 => view::<market::BusinessReject>(body),
        16 => view::<MarketDataRequestAck>(body),
        17 => view::<GapNotice>(body),
        18 => print(&group::<ReportSynchronization<'_>>(body)),
        19 => print(&group::<PlatformInfo<'_>>(body)),
        20 => snapshot(body),
        21 => extended(body),
        22 => view::<EntitlementNotice>(body),
        23 => view::<RelayHello>(body),
        24 => path(body),
        25 => view::<ChannelStream>(body),
        _ => request(body),
    }
});
