//! The messages that are measured.

use fix::codec::{BEGIN_STRING, Encoder};
use fix::message::{Body, CashMargin, Exchange, NewOrderSingle, OrdType, Side, TimeInForce};
use fix::{Now, Price, Qty, UtcTimestamp};

/// When all of it happens.
pub(crate) const NOW: Now = Now { ns: 1, wall_ns: 1_709_170_200_123_000_000 };

/// An order with the fields that most have.
pub(crate) fn order() -> NewOrderSingle<'static> {
    NewOrderSingle {
        cl_ord_id: b"A000001234",
        account: Some(b"0100000001"),
        cash_margin: Some(CashMargin::Cash),
        min_qty: None,
        max_price_levels: None,
        symbol: b"000001",
        security_id: None,
        security_id_source: Some(b"102"),
        security_exchange: Some(Exchange::Shenzhen),
        side: Side::Buy,
        transact_time: UtcTimestamp::from_unix_ms(NOW.wall_ns / 1_000_000),
        order_qty: Qty::from_raw(20_000),
        ord_type: OrdType::Limit,
        price: Some(Price::from_raw(123_400)),
        time_in_force: Some(TimeInForce::Day),
        order_restrictions: None,
    }
}

/// A message of the client's.
pub(crate) fn write(body: &impl Body, number: u64, out: &mut Vec<u8>) {
    let mut message = Encoder::begin(out, BEGIN_STRING, body.msg_type());
    message.text(49, b"CLIENT").text(56, b"TONGDAO").number(34, number).time(52, NOW.utc());
    body.encode(&mut message);
    message.finish();
}
