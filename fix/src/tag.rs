//! Tag numbers, named as FIX 4.4 names the fields.

/// Declares tags.
macro_rules! tags {
    ($($name:ident = $tag:literal, $field:literal;)*) => {
        $(#[doc = $field] pub const $name: u32 = $tag;)*
    };
}

tags! {
    ACCOUNT = 1, "Account";
    AVG_PX = 6, "AvgPx";
    BEGIN_SEQ_NO = 7, "BeginSeqNo";
    BEGIN_STRING = 8, "BeginString";
    BODY_LENGTH = 9, "BodyLength";
    CHECK_SUM = 10, "CheckSum";
    CL_ORD_ID = 11, "ClOrdID";
    CUM_QTY = 14, "CumQty";
    END_SEQ_NO = 16, "EndSeqNo";
    EXEC_ID = 17, "ExecID";
    HANDL_INST = 21, "HandlInst";
    SECURITY_ID_SOURCE = 22, "SecurityIDSource";
    LAST_PX = 31, "LastPx";
    LAST_QTY = 32, "LastQty";
    MSG_SEQ_NUM = 34, "MsgSeqNum";
    MSG_TYPE = 35, "MsgType";
    NEW_SEQ_NO = 36, "NewSeqNo";
    ORDER_ID = 37, "OrderID";
    ORDER_QTY = 38, "OrderQty";
    ORD_STATUS = 39, "OrdStatus";
    ORD_TYPE = 40, "OrdType";
    ORIG_CL_ORD_ID = 41, "OrigClOrdID";
    POSS_DUP_FLAG = 43, "PossDupFlag";
    PRICE = 44, "Price";
    REF_SEQ_NUM = 45, "RefSeqNum";
    SECURITY_ID = 48, "SecurityID";
    SENDER_COMP_ID = 49, "SenderCompID";
    SENDER_SUB_ID = 50, "SenderSubID";
    SENDING_TIME = 52, "SendingTime";
    SIDE = 54, "Side";
    SYMBOL = 55, "Symbol";
    TARGET_COMP_ID = 56, "TargetCompID";
    TARGET_SUB_ID = 57, "TargetSubID";
    TEXT = 58, "Text";
    TIME_IN_FORCE = 59, "TimeInForce";
    TRANSACT_TIME = 60, "TransactTime";
    RAW_DATA_LENGTH = 95, "RawDataLength";
    RAW_DATA = 96, "RawData";
    POSS_RESEND = 97, "PossResend";
    ENCRYPT_METHOD = 98, "EncryptMethod";
    CXL_REJ_REASON = 102, "CxlRejReason";
    ORD_REJ_REASON = 103, "OrdRejReason";
    HEART_BT_INT = 108, "HeartBtInt";
    MIN_QTY = 110, "MinQty";
    TEST_REQ_ID = 112, "TestReqID";
    ORIG_SENDING_TIME = 122, "OrigSendingTime";
    GAP_FILL_FLAG = 123, "GapFillFlag";
    RESET_SEQ_NUM_FLAG = 141, "ResetSeqNumFlag";
    EXEC_TYPE = 150, "ExecType";
    LEAVES_QTY = 151, "LeavesQty";
    SECURITY_EXCHANGE = 207, "SecurityExchange";
    ENCODED_TEXT_LEN = 354, "EncodedTextLen";
    ENCODED_TEXT = 355, "EncodedText";
    REF_TAG_ID = 371, "RefTagID";
    REF_MSG_TYPE = 372, "RefMsgType";
    SESSION_REJECT_REASON = 373, "SessionRejectReason";
    BUSINESS_REJECT_REF_ID = 379, "BusinessRejectRefID";
    BUSINESS_REJECT_REASON = 380, "BusinessRejectReason";
    CXL_REJ_RESPONSE_TO = 434, "CxlRejResponseTo";
    ORDER_RESTRICTIONS = 529, "OrderRestrictions";
    MASS_CANCEL_REQUEST_TYPE = 530, "MassCancelRequestType";
    MASS_CANCEL_RESPONSE = 531, "MassCancelResponse";
    MASS_CANCEL_REJECT_REASON = 532, "MassCancelRejectReason";
    TOTAL_AFFECTED_ORDERS = 533, "TotalAffectedOrders";
    CASH_MARGIN = 544, "CashMargin";
    USERNAME = 553, "Username";
    PASSWORD = 554, "Password";
    ORD_STATUS_REQ_ID = 790, "OrdStatusReqID";
    MAX_PRICE_LEVELS = 1090, "MaxPriceLevels (of a later FIX; the exchange's carrier of it in 4.4 too)";
}

/// The last tag that FIX 4.4 itself defines.
pub const LAST_OF_FIX44: u32 = 956;

/// User-defined tags: 5000 to 9999, and those of bilateral agreements from 20000 on. They are let through unread.
#[must_use]
pub const fn is_user_defined(tag: u32) -> bool {
    matches!(tag, 5_000..=9_999 | 20_000..=39_999)
}

/// The data field that a length field announces: its value may contain any byte, the delimiter too.
#[must_use]
pub const fn data_of(length_tag: u32) -> Option<u32> {
    Some(match length_tag {
        90 => 91,
        93 => 89,
        RAW_DATA_LENGTH => RAW_DATA,
        212 => 213,
        348 => 349,
        350 => 351,
        352 => 353,
        ENCODED_TEXT_LEN => ENCODED_TEXT,
        356 => 357,
        358 => 359,
        360 => 361,
        362 => 363,
        364 => 365,
        445 => 446,
        618 => 619,
        621 => 622,
        _ => return None,
    })
}
