//! A tick order that may have a number other than its ApplSeqNum.

use wire::szse::ext::ExtendedTickOrder;
use wire::szse::market::TickOrder;
use wire::szse::{DecodeError, Frame, Message, frame};

/// Appends `order` as a frame: plain where `order_no`, by which trades and cancels call it, is its ApplSeqNum, else
/// extended by `order_no`.
pub(super) fn encode(order: &TickOrder, order_no: i64, out: &mut Vec<u8>) {
    if order_no == order.appl_seq_num.get() {
        frame::encode(order, out);
    } else {
        ExtendedTickOrder { order, extension: &order_no.to_be_bytes() }
            .encode(out)
            .expect("invariant: eight bytes are an extension");
    }
}

/// The inverse of [`encode`].
pub(super) fn decode<'a>(frame: &Frame<'a>) -> Result<(&'a TickOrder, i64), DecodeError> {
    if frame.msg_type == TickOrder::MSG_TYPE {
        let order = frame.view::<TickOrder>()?;
        return Ok((order, order.appl_seq_num.get()));
    }
    let extended = frame.group::<ExtendedTickOrder<'a>>()?;
    if extended.extension.len() != 8 {
        return Err(DecodeError::BodyLength { msg_type: frame.msg_type, len: frame.body.len() });
    }
    Ok((extended.order, extended.order_no()))
}
