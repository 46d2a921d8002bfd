//! Subscribers that stop reading: what one of them costs the others is to be seen in the others' figures.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;
use transport::{Connector, Stream};
use wire::szse::ext::SlowReaderPolicy;
use wire::szse::{Text, frame};

use crate::logon::market_data;
use crate::subscriber::subscribe;

/// HeartBtInt of their logon, seconds: longer than any run, or the feed would end them for their silence.
const HEART_BT_S: i32 = 60;
/// Numbers of their CompIDs, apart from those of subscribers that read.
const NUMBER_FIRST: usize = 1_000_000;
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that nobody reads from. They stand until they are dropped.
pub struct Stalled {
    _streams: Vec<Stream>,
    /// Not run any more, so that nothing is read behind our back either.
    _runtime: Runtime,
}

/// Connects, logs on and subscribes to everything `count` times, and reads nothing.
///
/// # Errors
/// A connection that was refused.
pub fn start(
    address: SocketAddr,
    connector: &Connector,
    count: usize,
    policy: SlowReaderPolicy,
    target_comp_id: Text<20>,
) -> io::Result<Stalled> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stalled = async |number| {
        let mut stream = connector.dial(address, DIAL_TIMEOUT).await?;
        let mut logon = market_data(NUMBER_FIRST + number, target_comp_id);
        logon.heart_bt_int_s = HEART_BT_S.into();
        let mut bytes = Vec::new();
        frame::encode(&logon, &mut bytes);
        subscribe(&[], policy, false, &mut bytes);
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        io::Result::Ok(stream)
    };
    let streams = runtime.block_on(async {
        let mut streams = Vec::new();
        for number in 0..count {
            streams.push(stalled(number).await?);
        }
        io::Result::Ok(streams)
    })?;
    Ok(Stalled { _streams: streams, _runtime: runtime })
}
