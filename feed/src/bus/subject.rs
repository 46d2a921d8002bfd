//! The subject of a frame: `PREFIX.MARKET.SECURITY.TYPE` of a security's, `PREFIX.channel.CHANNELNO.TYPE` of a channel's.

use std::fmt::Write;
use wire::szse::ext::{ExtendedTickOrder, GapNotice};
use wire::szse::market::{ChannelHeartbeat, Snapshot, TickOrder, TickTrade};
use wire::szse::{Frame, GroupMessage, Message, SecurityId, SecurityIdSource};

/// Writes the subject of a frame of the log behind `prefix`; `None` of one that has none.
pub(super) fn of(prefix: &str, frame: &Frame<'_>, out: &mut String) -> Option<()> {
    out.clear();
    out.push_str(prefix);
    let ((id, source), what) = match frame.msg_type {
        TickOrder::MSG_TYPE => (named_order(frame.view().ok()?), "order"),
        ExtendedTickOrder::MSG_TYPE => {
            (named_order(frame.group::<ExtendedTickOrder<'_>>().ok()?.order), "order")
        }
        TickTrade::MSG_TYPE => {
            let trade: &TickTrade = frame.view().ok()?;
            ((trade.security_id, trade.security_id_source), "trade")
        }
        Snapshot::MSG_TYPE => {
            let head = frame.group::<Snapshot<'_>>().ok()?.head;
            ((head.security_id, head.security_id_source), "snapshot")
        }
        ChannelHeartbeat::MSG_TYPE => {
            let heartbeat: &ChannelHeartbeat = frame.view().ok()?;
            return channel(heartbeat.channel_no.get(), "heartbeat", out);
        }
        GapNotice::MSG_TYPE => {
            let notice: &GapNotice = frame.view().ok()?;
            return channel(notice.channel_no.get(), "gap", out);
        }
        _ => return None,
    };
    word(source.trimmed(), out);
    word(id.trimmed(), out);
    out.push('.');
    out.push_str(what);
    Some(())
}

fn named_order(order: &TickOrder) -> (SecurityId, SecurityIdSource) {
    (order.security_id, order.security_id_source)
}

fn channel(number: u16, what: &str, out: &mut String) -> Option<()> {
    write!(out, ".channel.{number}.{what}").ok()
}

/// A name as a word of a subject, with what a subject may not have as its code.
fn word(name: &[u8], out: &mut String) {
    out.push('.');
    if name.is_empty() {
        out.push('_');
    }
    for &byte in name {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            out.push(byte.into());
        } else {
            // Writing into a String does not fail.
            write!(out, "%{byte:02x}").unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::szse::{Text, U16, frame};

    fn subject<M: Message>(message: &M) -> Option<String> {
        let (mut bytes, mut out) = (Vec::new(), String::new());
        frame::encode(message, &mut bytes);
        let frame = frame::decode(&bytes, 1_000).unwrap().unwrap();
        of("quotes", &frame, &mut out).map(|()| out)
    }

    #[test]
    fn each_kind_has_a_subject_and_no_name_breaks_one() {
        let order = TickOrder {
            security_id: Text::literal("000001"),
            security_id_source: Text::literal("102"),
            ..TickOrder::default()
        };
        assert_eq!(subject(&order).unwrap(), "quotes.102.000001.order");
        let odd =
            TickOrder { security_id: Text::literal("a.b> *"), security_id_source: Text::BLANK, ..order };
        assert_eq!(subject(&odd).unwrap(), "quotes._.a%2eb%3e%20%2a.order");
        let trade = TickTrade {
            security_id: Text::literal("1"),
            security_id_source: Text::literal("101"),
            ..TickTrade::default()
        };
        assert_eq!(subject(&trade).unwrap(), "quotes.101.1.trade");
        let heartbeat = ChannelHeartbeat { channel_no: U16::new(7), ..ChannelHeartbeat::default() };
        assert_eq!(subject(&heartbeat).unwrap(), "quotes.channel.7.heartbeat");
        let gap = GapNotice { channel_no: U16::new(8), ..GapNotice::default() };
        assert_eq!(subject(&gap).unwrap(), "quotes.channel.8.gap");
        assert_eq!(subject(&wire::szse::Heartbeat {}), None);
    }
}
