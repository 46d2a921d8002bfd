//! The fields, by tag.

use Kind::{Boolean, Char, Data, Exchange, Int, Length, Price, Qty, SeqNum, Text, UtcTimestamp};

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Digits, perhaps with a minus.
    Int,
    /// A message's number, from 0.
    SeqNum,
    /// The length of the data field that follows.
    Length,
    /// One character.
    Char,
    /// `Y` or `N`.
    Boolean,
    /// Any characters but the delimiter.
    Text,
    /// A market identifier code.
    Exchange,
    /// Any bytes, as many as the field before says.
    Data,
    /// A float.
    Price,
    /// A float.
    Qty,
    /// A date and time of day, UTC.
    UtcTimestamp,
}

/// A field.
#[derive(Debug)]
pub struct FieldDef {
    /// Its tag.
    pub tag: u32,
    /// Its name in FIX.
    pub name: &'static str,
    /// How its value is written.
    pub kind: Kind,
    /// The values that are taken and their names; any, where none are listed.
    pub values: &'static [(&'static str, &'static str)],
}

const fn def(tag: u32, name: &'static str, kind: Kind) -> FieldDef {
    FieldDef { tag, name, kind, values: &[] }
}

const fn coded(
    tag: u32,
    name: &'static str,
    kind: Kind,
    values: &'static [(&'static str, &'static str)],
) -> FieldDef {
    FieldDef { tag, name, kind, values }
}

/// All fields, by ascending tag. At most 128: a set of them is one machine word or two.
pub const FIELDS: &[FieldDef] = &[
    def(1, "Account", Text),
    def(6, "AvgPx", Price),
    def(7, "BeginSeqNo", SeqNum),
    def(8, "BeginString", Text),
    def(9, "BodyLength", Length),
    def(10, "CheckSum", Text),
    def(11, "ClOrdID", Text),
    def(14, "CumQty", Qty),
    def(15, "Currency", Text),
    def(16, "EndSeqNo", SeqNum),
    def(17, "ExecID", Text),
    coded(
        21,
        "HandlInst",
        Char,
        &[
            ("1", "AUTOMATED_EXECUTION_NO_INTERVENTION"),
            ("2", "AUTOMATED_EXECUTION_INTERVENTION_OK"),
            ("3", "MANUAL_ORDER"),
        ],
    ),
    coded(
        22,
        "SecurityIDSource",
        Text,
        &[("8", "EXCHANGE_SYMBOL"), ("101", "SHANGHAI"), ("102", "SHENZHEN")],
    ),
    def(31, "LastPx", Price),
    def(32, "LastQty", Qty),
    def(34, "MsgSeqNum", SeqNum),
    def(35, "MsgType", Text),
    def(36, "NewSeqNo", SeqNum),
    def(37, "OrderID", Text),
    def(38, "OrderQty", Qty),
    coded(
        39,
        "OrdStatus",
        Char,
        &[
            ("0", "NEW"),
            ("1", "PARTIALLY_FILLED"),
            ("2", "FILLED"),
            ("4", "CANCELED"),
            ("6", "PENDING_CANCEL"),
            ("8", "REJECTED"),
            ("A", "PENDING_NEW"),
            ("C", "EXPIRED"),
        ],
    ),
    coded(40, "OrdType", Char, &[("1", "MARKET"), ("2", "LIMIT"), ("U", "OWN_SIDE_BEST")]),
    def(41, "OrigClOrdID", Text),
    def(43, "PossDupFlag", Boolean),
    def(44, "Price", Price),
    def(45, "RefSeqNum", SeqNum),
    def(48, "SecurityID", Text),
    def(49, "SenderCompID", Text),
    def(50, "SenderSubID", Text),
    def(52, "SendingTime", UtcTimestamp),
    coded(54, "Side", Char, &[("1", "BUY"), ("2", "SELL")]),
    def(55, "Symbol", Text),
    def(56, "TargetCompID", Text),
    def(57, "TargetSubID", Text),
    def(58, "Text", Text),
    coded(59, "TimeInForce", Char, &[("0", "DAY"), ("3", "IMMEDIATE_OR_CANCEL")]),
    def(60, "TransactTime", UtcTimestamp),
    def(95, "RawDataLength", Length),
    def(96, "RawData", Data),
    def(97, "PossResend", Boolean),
    def(98, "EncryptMethod", Int),
    coded(
        102,
        "CxlRejReason",
        Int,
        &[
            ("0", "TOO_LATE_TO_CANCEL"),
            ("1", "UNKNOWN_ORDER"),
            ("2", "BROKER"),
            ("3", "ALREADY_PENDING"),
            ("6", "DUPLICATE_CL_ORD_ID"),
            ("99", "OTHER"),
        ],
    ),
    coded(
        103,
        "OrdRejReason",
        Int,
        &[
            ("0", "BROKER"),
            ("1", "UNKNOWN_SYMBOL"),
            ("2", "EXCHANGE_CLOSED"),
            ("3", "ORDER_EXCEEDS_LIMIT"),
            ("5", "UNKNOWN_ORDER"),
            ("6", "DUPLICATE_ORDER"),
            ("11", "UNSUPPORTED_ORDER_CHARACTERISTIC"),
            ("13", "INCORRECT_QUANTITY"),
            ("15", "UNKNOWN_ACCOUNT"),
            ("16", "PRICE_EXCEEDS_CURRENT_PRICE_BAND"),
            ("99", "OTHER"),
        ],
    ),
    def(108, "HeartBtInt", Int),
    def(110, "MinQty", Qty),
    def(112, "TestReqID", Text),
    def(122, "OrigSendingTime", UtcTimestamp),
    def(123, "GapFillFlag", Boolean),
    def(141, "ResetSeqNumFlag", Boolean),
    def(142, "SenderLocationID", Text),
    def(143, "TargetLocationID", Text),
    coded(
        150,
        "ExecType",
        Char,
        &[
            ("0", "NEW"),
            ("4", "CANCELED"),
            ("6", "PENDING_CANCEL"),
            ("8", "REJECTED"),
            ("A", "PENDING_NEW"),
            ("C", "EXPIRED"),
            ("F", "TRADE"),
            ("I", "ORDER_STATUS"),
        ],
    ),
    def(151, "LeavesQty", Qty),
    coded(167, "SecurityType", Text, &[("CS", "COMMON_STOCK"), ("ETF", "FUND"), ("MF", "MUTUAL_FUND")]),
    coded(207, "SecurityExchange", Exchange, &[("XSHE", "SHENZHEN"), ("XSHG", "SHANGHAI")]),
    def(347, "MessageEncoding", Text),
    def(354, "EncodedTextLen", Length),
    def(355, "EncodedText", Data),
    def(369, "LastMsgSeqNumProcessed", SeqNum),
    def(371, "RefTagID", Int),
    def(372, "RefMsgType", Text),
    def(373, "SessionRejectReason", Int),
    def(379, "BusinessRejectRefID", Text),
    def(380, "BusinessRejectReason", Int),
    def(383, "MaxMessageSize", Length),
    coded(
        434,
        "CxlRejResponseTo",
        Char,
        &[("1", "ORDER_CANCEL_REQUEST"), ("2", "ORDER_CANCEL_REPLACE_REQUEST")],
    ),
    def(464, "TestMessageIndicator", Boolean),
    coded(529, "OrderRestrictions", Text, &[("1", "PROGRAM_TRADE")]),
    coded(
        530,
        "MassCancelRequestType",
        Char,
        &[("1", "CANCEL_ORDERS_FOR_A_SECURITY"), ("7", "CANCEL_ALL_ORDERS")],
    ),
    coded(
        531,
        "MassCancelResponse",
        Char,
        &[
            ("0", "CANCEL_REQUEST_REJECTED"),
            ("1", "CANCEL_ORDERS_FOR_A_SECURITY"),
            ("7", "CANCEL_ALL_ORDERS"),
        ],
    ),
    coded(
        532,
        "MassCancelRejectReason",
        Int,
        &[("0", "MASS_CANCEL_NOT_SUPPORTED"), ("1", "INVALID_OR_UNKNOWN_SECURITY"), ("99", "OTHER")],
    ),
    def(533, "TotalAffectedOrders", Int),
    coded(544, "CashMargin", Char, &[("1", "CASH"), ("2", "MARGIN_OPEN"), ("3", "MARGIN_CLOSE")]),
    def(553, "Username", Text),
    def(554, "Password", Text),
    def(789, "NextExpectedMsgSeqNum", SeqNum),
    def(790, "OrdStatusReqID", Text),
    def(1090, "MaxPriceLevels", Int),
];

/// Where a tag stands in [`FIELDS`]; `NONE` where it does not.
static INDEX: [u8; INDEX_LEN] = index();
const INDEX_LEN: usize = 1_091;
const NONE: u8 = u8::MAX;

const fn index() -> [u8; INDEX_LEN] {
    assert!(FIELDS.len() <= 128, "a set of fields is a u128");
    let mut index = [NONE; INDEX_LEN];
    let mut at = 0;
    while at < FIELDS.len() {
        assert!(at == 0 || FIELDS[at - 1].tag < FIELDS[at].tag, "tags ascend");
        index[FIELDS[at].tag as usize] = at as u8;
        at += 1;
    }
    index
}

/// Where a tag stands in [`FIELDS`].
pub(super) const fn position(tag: u32) -> Option<usize> {
    if tag as usize >= INDEX_LEN || INDEX[tag as usize] == NONE {
        return None;
    }
    Some(INDEX[tag as usize] as usize)
}

/// The field with this tag, if the tables have it.
#[must_use]
pub fn field(tag: u32) -> Option<&'static FieldDef> {
    position(tag).map(|at| &FIELDS[at])
}
