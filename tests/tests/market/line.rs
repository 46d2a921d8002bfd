//! One end of a connection, whatever it goes over, for a test that waits.

use crate::town::DEADLINE;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use transport::{Connector, Stream};

pub(crate) struct Line {
    stream: Stream,
    runtime: Runtime,
}

impl Line {
    pub(crate) fn open(connector: &Connector, address: SocketAddr) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let stream = runtime.block_on(connector.dial(address, DEADLINE))?;
        Ok(Self { stream, runtime })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { stream, runtime } = self;
        let writing = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        runtime.block_on(async { timeout(DEADLINE, writing).await })?
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { stream, runtime } = self;
        runtime.block_on(async { timeout(DEADLINE, stream.read(buffer)).await })?
    }
}
