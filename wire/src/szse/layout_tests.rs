//! Offsets of every field against the tables of `docs/protocol-szse.md`, written down field by field: a field moved,
//! widened or forgotten shows up here by name.

use std::mem::offset_of;

use super::ext::{
    ChannelStart, ChannelStream, EntitlementNotice, GapNotice, MarketDataRequestAck, RelayHead, RelayHello,
    RequestHead, Security,
};
use super::market::{self, ChannelHeartbeat, MdEntry, Resend, SnapshotHead, TickOrder, TickTrade};
use super::trading::{
    self, CancelReject, CashAuctionExt, NewOrder, OrderCancelRequest, OrderReport, PartitionIndex,
    PlatformStateInfo, ReportBase, ReportFinished, RequestBase, TradeReport,
};
use super::{Logon, Logout};

/// Every field's length in order: each begins where the one before it ends, and the last ends with the struct.
macro_rules! layout {
    ($test:ident, $message:ty, $len:literal, { $($field:ident $field_len:literal),* $(,)? }) => {
        #[test]
        fn $test() {
            let mut end = 0;
            $(
                assert_eq!(offset_of!($message, $field), end, "offset of {}", stringify!($field));
                end += $field_len;
            )*
            assert_eq!(end, $len);
            assert_eq!(size_of::<$message>(), $len);
        }
    };
}

layout!(logon, Logon, 92, {
    sender_comp_id 20, target_comp_id 20, heart_bt_int_s 4, password 16, default_appl_ver_id 32,
});
layout!(logout, Logout, 204, { session_status 4, text 200 });

layout!(request_base, RequestBase, 41, {
    appl_id 3, submitting_pbu_id 6, security_id 8, security_id_source 4, owner_type 2, clearing_firm 2,
    transact_time 8, user_info 8,
});
layout!(report_base, ReportBase, 59, {
    partition_no 4, report_index 8, appl_id 3, reporting_pbu_id 6, submitting_pbu_id 6, security_id 8,
    security_id_source 4, owner_type 2, clearing_firm 2, transact_time 8, user_info 8,
});
layout!(cash_auction_ext, CashAuctionExt, 20, {
    stop_px 8, min_qty 8, max_price_levels 2, time_in_force 1, cash_margin 1,
});
layout!(new_order, NewOrder, 109, {
    base 41, cl_ord_id 10, account_id 12, branch_id 4, order_restrictions 4, side 1, ord_type 1, order_qty 8,
    price 8, ext 20,
});
layout!(order_cancel_request, OrderCancelRequest, 86, {
    base 41, cl_ord_id 10, orig_cl_ord_id 10, side 1, order_id 16, order_qty 8,
});
layout!(order_report, OrderReport, 199, {
    base 59, order_id 16, cl_ord_id 10, quote_msg_id 10, orig_cl_ord_id 10, exec_id 16, exec_type 1, ord_status 1,
    ord_rej_reason 2, leaves_qty 8, cum_qty 8, side 1, ord_type 1, order_qty 8, price 8, account_id 12,
    branch_id 4, order_restrictions 4, ext 20,
});
layout!(trade_report, TradeReport, 163, {
    base 59, order_id 16, cl_ord_id 10, quote_msg_id 10, exec_id 16, exec_type 1, ord_status 1, last_px 8,
    last_qty 8, leaves_qty 8, cum_qty 8, side 1, account_id 12, branch_id 4, cash_margin 1,
});
layout!(cancel_reject, CancelReject, 115, {
    base 59, cl_ord_id 10, orig_cl_ord_id 10, side 1, ord_status 1, cxl_rej_reason 2, reject_text 16, order_id 16,
});
layout!(trading_business_reject, trading::BusinessReject, 103, {
    appl_id 3, transact_time 8, submitting_pbu_id 6, security_id 8, security_id_source 4, ref_seq_num 8,
    ref_msg_type 4, business_reject_ref_id 10, business_reject_reason 2, business_reject_text 50,
});
layout!(platform_state_info, PlatformStateInfo, 4, { platform_id 2, platform_state 2 });
layout!(report_finished, ReportFinished, 14, { partition_no 4, report_index 8, platform_id 2 });
layout!(partition_index, PartitionIndex, 12, { partition_no 4, report_index 8 });

layout!(snapshot_head, SnapshotHead, 65, {
    orig_time 8, channel_no 2, md_stream_id 3, security_id 8, security_id_source 4, trading_phase_code 8,
    prev_close_px 8, num_trades 8, total_volume_trade 8, total_value_trade 8,
});
layout!(md_entry, MdEntry, 28, {
    md_entry_type 2, md_entry_px 8, md_entry_size 8, md_price_level 2, number_of_orders 8,
});
// OrdType at one byte is the doubt of this table: with two the struct would be 52.
layout!(tick_order, TickOrder, 51, {
    channel_no 2, appl_seq_num 8, md_stream_id 3, security_id 8, security_id_source 4, price 8, order_qty 8, side 1,
    transact_time 8, ord_type 1,
});
layout!(tick_trade, TickTrade, 66, {
    channel_no 2, appl_seq_num 8, md_stream_id 3, bid_appl_seq_num 8, offer_appl_seq_num 8, security_id 8,
    security_id_source 4, last_px 8, last_qty 8, exec_type 1, transact_time 8,
});
layout!(channel_heartbeat, ChannelHeartbeat, 12, { channel_no 2, appl_last_seq_num 8, end_of_channel 2 });
layout!(resend, Resend, 44, {
    resend_type 1, channel_no 2, appl_beg_seq_num 8, appl_end_seq_num 8, news_id 8, resend_status 1, reject_text 16,
});
layout!(market_business_reject, market::BusinessReject, 74, {
    ref_seq_num 8, ref_msg_type 4, business_reject_ref_id 10, business_reject_reason 2, business_reject_text 50,
});

layout!(request_head, RequestHead, 7, { request_id 4, mode 1, policy 1, want_snapshots 1 });
layout!(channel_start, ChannelStart, 10, { channel_no 2, next_appl_seq_num 8 });
layout!(security, Security, 12, { security_id 8, security_id_source 4 });
layout!(market_data_request_ack, MarketDataRequestAck, 55, { request_id 4, status 1, text 50 });
layout!(gap_notice, GapNotice, 19, { channel_no 2, appl_beg_seq_num 8, appl_end_seq_num 8, reason 1 });
layout!(entitlement_notice, EntitlementNotice, 55, { markets 2, level 1, delay_min 2, text 50 });
layout!(relay_hello, RelayHello, 20, { feed 20 });
layout!(relay_head, RelayHead, 18, { sent_ns 8, delay_us 8, hops 2 });
layout!(channel_stream, ChannelStream, 6, { request_id 4, channel_no 2 });
