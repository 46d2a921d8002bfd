//! Subscribers that stop reading: what one of them costs the others is to be seen in the others' figures.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

use wire::szse::{Text, frame};

use crate::logon::market_data;
use crate::subscriber::subscribe;

/// HeartBtInt of their logon, seconds: longer than any run, or the feed would end them for their silence.
const HEART_BT_S: i32 = 60;
/// Numbers of their CompIDs, apart from those of subscribers that read.
const NUMBER_FIRST: usize = 1_000_000;

/// Connects, logs on and subscribes to everything `count` times, and reads nothing; they stay until they are dropped.
///
/// # Errors
/// A connection that was refused.
pub fn start(address: SocketAddr, count: usize, target_comp_id: Text<20>) -> io::Result<Vec<TcpStream>> {
    let stalled = |number| {
        let mut stream = TcpStream::connect(address)?;
        let mut logon = market_data(NUMBER_FIRST + number, target_comp_id);
        logon.heart_bt_int_s = HEART_BT_S.into();
        let mut bytes = Vec::new();
        frame::encode(&logon, &mut bytes);
        subscribe(&[], &mut bytes);
        stream.write_all(&bytes)?;
        Ok(stream)
    };
    (0..count).map(stalled).collect()
}
