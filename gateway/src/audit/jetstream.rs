//! The audit in a JetStream stream of NATS, replicated over its nodes, for users with gateways in several zones.
//!
//! Each gateway has a stream of its own. A record is a message: its subject is `STREAM.KIND`, a report's
//! `STREAM.report.PARTITION`; its payload is kind `u16`, time `u64` (nanoseconds since 1970), both little-endian, and the
//! record as in [`super::record`]. It carries a Nats-Msg-Id that no other message of the stream has, so that one that is sent
//! again is not kept twice. The first of a batch that follows a good one names the sequence before it, so that a second writer
//! of the stream is noticed; after a failure the next batch goes without.
//!
//! NATS is a network of the operator's own: what goes to it is not ShangMi. Its ports belong on a private network.

use super::record::Head;
use super::{Kind, Record, Store, StoreError};
use async_nats::jetstream::context::{Context, PublishAckFuture};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, StorageType, Stream};
use bytes::Bytes;
use futures_util::TryStreamExt;
use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Records that wait for a commit, at most.
const PENDING_MAX: usize = 4_096;
/// For so long the servers know a Nats-Msg-Id again. A batch that was stored, answered with silence, and sent again later than
/// this is stored twice: a gateway that is without its servers for so long has stopped taking orders long before.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);

/// Where the stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JetStreamSettings {
    /// Addresses of the NATS servers, `nats://HOST:PORT` or `tls://HOST:PORT`.
    pub servers: Vec<String>,
    /// The stream's name, which no other gateway uses.
    pub stream: String,
    /// Nodes that keep a copy: 1, 3 or 5.
    pub replicas: usize,
    /// How long one exchange with the servers may take.
    pub timeout: Duration,
}

struct Message {
    subject: String,
    id: String,
    payload: Bytes,
}

/// The audit's store in JetStream.
pub struct JetStreamStore {
    runtime: Arc<Runtime>,
    context: Context,
    stream: Stream,
    settings: JetStreamSettings,
    /// Not acknowledged yet.
    pending: VecDeque<Message>,
    /// The sequence of the last message, where no message may be behind it that we do not know of.
    last: Option<u64>,
    /// Tells our ids from those of earlier openings.
    opening: u128,
    count: u64,
}

fn outside(error: impl Display) -> StoreError {
    StoreError::Outside(error.to_string())
}

impl JetStreamStore {
    /// Connects, and makes the stream if it is not there.
    ///
    /// # Errors
    /// The servers cannot be reached, or do not make such a stream.
    pub fn open(settings: JetStreamSettings) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(outside)?;
        let (context, mut stream) = runtime.block_on(connect(&settings))?;
        let last = runtime.block_on(stream.info()).map_err(outside)?.state.last_sequence;
        Ok(Self {
            runtime: Arc::new(runtime),
            context,
            stream,
            settings,
            pending: VecDeque::new(),
            last: Some(last),
            opening: std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos(),
            count: 0,
        })
    }

    /// Publishes all that waits, and waits for the acknowledgements; what is acknowledged waits no more.
    async fn publish(&mut self) -> Result<(), StoreError> {
        let mut sent: Vec<PublishAckFuture> = Vec::with_capacity(self.pending.len());
        for (index, message) in self.pending.iter().enumerate() {
            let mut publish =
                PublishMessage::build().payload(message.payload.clone()).message_id(&message.id);
            if let (0, Some(last)) = (index, self.last) {
                publish = publish.expected_last_sequence(last);
            }
            sent.push(self.context.send_publish(message.subject.clone(), publish).await.map_err(outside)?);
        }
        // Until all are acknowledged, what is behind the last one is not known.
        self.last = None;
        let mut last = 0;
        for ack in sent {
            last = ack.await.map_err(outside)?.sequence.max(last);
            self.pending.pop_front();
        }
        self.last = Some(last);
        Ok(())
    }
}

async fn connect(settings: &JetStreamSettings) -> Result<(Context, Stream), StoreError> {
    let options = async_nats::ConnectOptions::new()
        .name("tongdao gateway, audit")
        .connection_timeout(settings.timeout)
        .request_timeout(Some(settings.timeout));
    let client = options.connect(settings.servers.as_slice()).await.map_err(outside)?;
    let mut context = async_nats::jetstream::new(client);
    context.set_timeout(settings.timeout);
    let stream = Config {
        name: settings.stream.clone(),
        subjects: vec![format!("{}.>", settings.stream)],
        num_replicas: settings.replicas,
        storage: StorageType::File,
        duplicate_window: DUPLICATE_WINDOW,
        deny_delete: true,
        ..Config::default()
    };
    let stream = context.get_or_create_stream(stream).await.map_err(outside)?;
    Ok((context, stream))
}

impl Store for JetStreamStore {
    fn append(&mut self, kind: Kind, unix_ns: u64, parts: &[&[u8]]) -> Result<(), StoreError> {
        if self.pending.len() == PENDING_MAX {
            return Err(StoreError::BufferFull);
        }
        let mut payload = Vec::with_capacity(16 + parts.iter().map(|part| part.len()).sum::<usize>());
        Head { kind, unix_ns }.put(&mut payload);
        parts.iter().for_each(|part| payload.extend_from_slice(part));
        let stream = &self.settings.stream;
        let subject =
            match Head::split(&payload).map(|(head, record)| Record::parse(head.kind as u16, record)) {
                Some(Ok(Record::Report { partition_no, .. })) => format!("{stream}.report.{partition_no}"),
                _ => format!("{stream}.{}", kind.name()),
            };
        self.count += 1;
        let id = format!("{}-{}", self.opening, self.count);
        self.pending.push_back(Message { subject, id, payload: payload.into() });
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let runtime = self.runtime.clone();
        // Without a bound here a stream that has no leader would be waited for for ever.
        let timeout = self.settings.timeout * 2;
        runtime.block_on(async {
            let published = tokio::time::timeout(timeout, self.publish()).await;
            published.unwrap_or_else(|_| Err(outside("no answer in time")))
        })
    }

    fn reports(&mut self, since_unix_ns: u64, see: &mut dyn FnMut(u16, u64)) -> Result<(), StoreError> {
        let filter = format!("{}.report.*", self.settings.stream);
        self.runtime.block_on(async {
            let mut subjects = self.stream.info_with_subjects(&filter).await.map_err(outside)?;
            while let Some((subject, _)) = subjects.try_next().await.map_err(outside)? {
                let message = self.stream.get_last_raw_message_by_subject(&subject).await.map_err(outside)?;
                let (head, record) =
                    Head::split(&message.payload).ok_or_else(|| outside("not an audit's stream"))?;
                if let Ok(Record::Report { partition_no, report_index, .. }) =
                    Record::parse(head.kind as u16, record)
                    && head.unix_ns >= since_unix_ns
                {
                    see(partition_no, report_index);
                }
            }
            Ok(())
        })
    }
}
