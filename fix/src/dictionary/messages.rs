//! The messages and which fields they may or must have.

use super::fields::position;

/// A message.
#[derive(Debug)]
pub struct MessageDef {
    /// Its MsgType.
    pub msg_type: &'static str,
    /// Its name in FIX.
    pub name: &'static str,
    /// The session's own.
    pub admin: bool,
    /// Fields of the body in their customary order; true for those that must be there.
    pub fields: &'static [(u32, bool)],
    pub(super) allowed: u128,
    pub(super) required: u128,
}

const Y: bool = true;
const N: bool = false;

/// The set of positions in [`super::FIELDS`].
const fn set(fields: &[(u32, bool)], only_required: bool) -> u128 {
    let (mut set, mut at) = (0, 0);
    while at < fields.len() {
        if fields[at].1 || !only_required {
            match position(fields[at].0) {
                Some(bit) => set |= 1_u128 << bit,
                None => panic!("a message has a field that the table of fields has not"),
            }
        }
        at += 1;
    }
    set
}

const fn def(
    msg_type: &'static str,
    name: &'static str,
    admin: bool,
    fields: &'static [(u32, bool)],
) -> MessageDef {
    MessageDef { msg_type, name, admin, fields, allowed: set(fields, false), required: set(fields, true) }
}

/// Fields of the header; the first three and the trailer's CheckSum are framing.
pub const HEADER: &[(u32, bool)] = &[
    (8, Y),
    (9, Y),
    (35, Y),
    (49, Y),
    (56, Y),
    (34, Y),
    (50, N),
    (142, N),
    (57, N),
    (143, N),
    (43, N),
    (97, N),
    (52, Y),
    (122, N),
    (347, N),
    (369, N),
];
/// Of the header, what may stand behind MsgType.
pub(super) const HEADER_SET: u128 = set(HEADER, false) & !FRAMING;
pub(super) const HEADER_REQUIRED: u128 = set(HEADER, true) & !FRAMING;
const FRAMING: u128 = set(&[(8, Y), (9, Y), (35, Y), (10, Y)], false);

/// All messages that are taken or sent.
pub static MESSAGES: &[MessageDef] = &[
    def("0", "Heartbeat", true, &[(112, N)]),
    def("1", "TestRequest", true, &[(112, Y)]),
    def("2", "ResendRequest", true, &[(7, Y), (16, Y)]),
    def("3", "Reject", true, &[(45, Y), (371, N), (372, N), (373, N), (58, N), (354, N), (355, N)]),
    def("4", "SequenceReset", true, &[(123, N), (36, Y)]),
    def("5", "Logout", true, &[(58, N), (354, N), (355, N)]),
    def(
        "A",
        "Logon",
        true,
        &[(98, Y), (108, Y), (95, N), (96, N), (141, N), (789, N), (383, N), (464, N), (553, N), (554, N)],
    ),
    def("D", "NewOrderSingle", false, NEW_ORDER_SINGLE),
    def("F", "OrderCancelRequest", false, ORDER_CANCEL_REQUEST),
    def("H", "OrderStatusRequest", false, ORDER_STATUS_REQUEST),
    def("q", "OrderMassCancelRequest", false, ORDER_MASS_CANCEL_REQUEST),
    def("8", "ExecutionReport", false, EXECUTION_REPORT),
    def("9", "OrderCancelReject", false, ORDER_CANCEL_REJECT),
    def("r", "OrderMassCancelReport", false, ORDER_MASS_CANCEL_REPORT),
    def(
        "j",
        "BusinessMessageReject",
        false,
        &[(45, N), (372, Y), (379, N), (380, Y), (58, N), (354, N), (355, N)],
    ),
];

const NEW_ORDER_SINGLE: &[(u32, bool)] = &[
    (11, Y),
    (1, N),
    (544, N),
    (21, N),
    (110, N),
    (1090, N),
    (55, Y),
    (48, N),
    (22, N),
    (167, N),
    (207, N),
    (54, Y),
    (60, Y),
    (38, Y),
    (40, Y),
    (44, N),
    (15, N),
    (59, N),
    (529, N),
    (58, N),
    (354, N),
    (355, N),
];

const ORDER_CANCEL_REQUEST: &[(u32, bool)] = &[
    (41, Y),
    (37, N),
    (11, Y),
    (1, N),
    (55, Y),
    (48, N),
    (22, N),
    (167, N),
    (207, N),
    (54, Y),
    (60, Y),
    (38, N),
    (58, N),
    (354, N),
    (355, N),
];

const ORDER_STATUS_REQUEST: &[(u32, bool)] =
    &[(37, N), (11, Y), (790, N), (1, N), (55, Y), (48, N), (22, N), (167, N), (207, N), (54, Y)];

const ORDER_MASS_CANCEL_REQUEST: &[(u32, bool)] = &[
    (11, Y),
    (530, Y),
    (55, N),
    (48, N),
    (22, N),
    (167, N),
    (207, N),
    (54, N),
    (60, Y),
    (58, N),
    (354, N),
    (355, N),
];

const EXECUTION_REPORT: &[(u32, bool)] = &[
    (37, Y),
    (11, N),
    (41, N),
    (790, N),
    (17, Y),
    (150, Y),
    (39, Y),
    (103, N),
    (1, N),
    (544, N),
    (55, Y),
    (48, N),
    (22, N),
    (167, N),
    (207, N),
    (54, Y),
    (38, N),
    (40, N),
    (44, N),
    (15, N),
    (59, N),
    (529, N),
    (32, N),
    (31, N),
    (151, Y),
    (14, Y),
    (6, Y),
    (60, N),
    (21, N),
    (110, N),
    (1090, N),
    (58, N),
    (354, N),
    (355, N),
];

const ORDER_CANCEL_REJECT: &[(u32, bool)] =
    &[(37, Y), (11, Y), (41, Y), (39, Y), (1, N), (60, N), (434, Y), (102, N), (58, N), (354, N), (355, N)];

const ORDER_MASS_CANCEL_REPORT: &[(u32, bool)] = &[
    (11, N),
    (37, Y),
    (530, Y),
    (531, Y),
    (532, N),
    (533, N),
    (55, N),
    (48, N),
    (22, N),
    (167, N),
    (207, N),
    (54, N),
    (60, N),
    (58, N),
    (354, N),
    (355, N),
];

/// The message with this MsgType, if the tables have it.
#[must_use]
pub fn message(msg_type: &[u8]) -> Option<&'static MessageDef> {
    MESSAGES.iter().find(|def| def.msg_type.as_bytes() == msg_type)
}

/// Whether FIX 4.4 has this MsgType: what is known but not taken is answered with a business reject, what is unknown with
/// a session reject.
#[must_use]
pub fn is_fix44_type(msg_type: &[u8]) -> bool {
    match msg_type {
        // I, O and U are not given out: U begins the user-defined ones.
        [b'0'..=b'9' | b'A'..=b'H' | b'J'..=b'N' | b'P'..=b'T' | b'V'..=b'Z'] => true,
        [b'a'..=b'z'] => true,
        [b'A', b'A'..=b'Z'] => true,
        [b'B', b'A'..=b'H'] => true,
        _ => false,
    }
}
