//! Who logs on, and as whom.

use wire::szse::code::{VERSION_MARKET_DATA, VERSION_TRADING};
use wire::szse::{I32, Logon, Password, Text};

/// HeartBtInt of every logon, seconds.
const HEART_BT_S: i32 = 10;

/// The logon of a subscriber.
pub(crate) fn market_data(number: usize, target_comp_id: Text<20>) -> Logon {
    logon(Text::truncated(&format!("loadgen-{number}")), target_comp_id, VERSION_MARKET_DATA)
}

/// The logon of an order session.
pub(crate) fn trading(comp_id: Text<20>, target_comp_id: Text<20>, password: Password) -> Logon {
    Logon { password, ..logon(comp_id, target_comp_id, VERSION_TRADING) }
}

/// The name of a thread.
pub(crate) fn thread_name(kind: &str, number: u64) -> String {
    format!("loadgen-{kind}-{number}")
}

fn logon(sender_comp_id: Text<20>, target_comp_id: Text<20>, default_appl_ver_id: Text<32>) -> Logon {
    Logon {
        sender_comp_id,
        target_comp_id,
        heart_bt_int_s: I32::new(HEART_BT_S),
        password: Password::default(),
        default_appl_ver_id,
    }
}
