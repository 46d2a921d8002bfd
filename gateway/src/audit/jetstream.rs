//! The audit in a JetStream stream of NATS, replicated over its nodes, for users with gateways in several zones.
//!
//! Each gateway has a stream of its own. A record is a message: its subject is `STREAM.KIND`, a report's
//! `STREAM.report.PARTITION`; its payload is kind `u16`, time `u64` (nanoseconds since 1970), both little-endian, and the
//! record as in [`super::record`]. It carries a Nats-Msg-Id that no other message of the stream has, and names the sequence
//! that must be before it, so the stream has one writer: where two write, the first to do so goes on, and the other one
//! fails from then on. After a batch that failed it is not known which of its messages are in the stream. Nothing is written then
//! before the stream has been read from the last place that is known: what is there of ours is not sent again, and what is
//! not ours is another writer's.
//!
//! NATS is a network of the operator's own: what goes to it is not ShangMi. Its ports belong on a private network.

use super::record::Head;
use super::{Kept, Kind, Record, Store, StoreError};
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

impl JetStreamSettings {
    /// The stream and its servers, for who has to mend what is wrong there; without the passwords that stand in some addresses.
    pub(crate) fn place(&self) -> String {
        let without_user = |server: &String| match (server.split_once("://"), server.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            (None, Some((_, host))) => host.to_owned(),
            (_, None) => server.clone(),
        };
        let servers: Vec<_> = self.servers.iter().map(without_user).collect();
        format!("JetStream stream {} at {}", self.stream, servers.join(", "))
    }

    /// What went wrong there, as the audit tells it.
    fn told(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Outside(text) => StoreError::Outside(format!("{}: {text}", self.place())),
            error => error,
        }
    }
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
    /// The sequence of the last message that is known to be in the stream.
    last: u64,
    /// Messages of ours may be behind it.
    doubtful: bool,
    /// Another writer's are.
    fenced: bool,
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
        let opened = runtime.block_on(async {
            let (context, mut stream) = connect(&settings).await?;
            let last = stream.info().await.map_err(outside)?.state.last_sequence;
            Ok::<_, StoreError>((context, stream, last))
        });
        let (context, stream, last) = opened.map_err(|error| settings.told(error))?;
        Ok(Self {
            runtime: Arc::new(runtime),
            context,
            stream,
            settings,
            pending: VecDeque::new(),
            last,
            doubtful: false,
            fenced: false,
            opening: std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos(),
            count: 0,
        })
    }

    /// Publishes all that waits, and waits for the acknowledgements; what is acknowledged waits no more.
    async fn publish(&mut self) -> Result<(), StoreError> {
        if self.fenced {
            return Err(outside(ANOTHER_WRITER));
        }
        if std::mem::replace(&mut self.doubtful, true) {
            self.find_place().await?;
        }
        let mut sent: Vec<PublishAckFuture> = Vec::with_capacity(self.pending.len());
        for (message, before) in self.pending.iter().zip(self.last..) {
            let publish = PublishMessage::build()
                .payload(message.payload.clone())
                .message_id(&message.id)
                .expected_last_sequence(before);
            sent.push(self.context.send_publish(message.subject.clone(), publish).await.map_err(outside)?);
        }
        for ack in sent {
            let sequence = ack.await.map_err(outside)?.sequence;
            // A copy that came late is told apart by its id, and has the place of the first.
            if sequence != self.last + 1 {
                return Err(outside(format_args!("sequence {sequence} behind {}", self.last)));
            }
            self.last = sequence;
            self.pending.pop_front();
        }
        self.doubtful = false;
        Ok(())
    }

    /// Reads what is behind the last place that is known: what is there of ours waits no more.
    async fn find_place(&mut self) -> Result<(), StoreError> {
        let end = self.stream.info().await.map_err(outside)?.state.last_sequence;
        if end < self.last {
            return Err(outside(format_args!("the stream ends at {end}, and {} was kept", self.last)));
        }
        for sequence in self.last + 1..=end {
            let there = self.stream.get_raw_message(sequence).await.map_err(outside)?;
            let id = there.headers.get(async_nats::header::NATS_MESSAGE_ID).map(|id| id.as_str());
            if self.pending.front().is_none_or(|ours| Some(ours.id.as_str()) != id) {
                self.fenced = true;
                return Err(outside(ANOTHER_WRITER));
            }
            self.last = sequence;
            self.pending.pop_front();
        }
        Ok(())
    }
}

const ANOTHER_WRITER: &str = "another writer has written to this stream: each gateway needs one of its own";

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
        let published = runtime.block_on(async {
            let published = tokio::time::timeout(timeout, self.publish()).await;
            published.unwrap_or_else(|_| Err(outside("no answer in time")))
        });
        published.map_err(|error| self.settings.told(error))
    }

    fn reports(&mut self, since_unix_ns: u64, see: &mut dyn FnMut(Kept)) -> Result<(), StoreError> {
        let filter = format!("{}.report.*", self.settings.stream);
        let seen = self.runtime.block_on(async {
            let mut subjects = self.stream.info_with_subjects(&filter).await.map_err(outside)?;
            while let Some((subject, _)) = subjects.try_next().await.map_err(outside)? {
                let message = self.stream.get_last_raw_message_by_subject(&subject).await.map_err(outside)?;
                let (head, record) =
                    Head::split(&message.payload).ok_or_else(|| outside("not an audit's stream"))?;
                if let Ok(Record::Report { partition_no, report_index, frame, .. }) =
                    Record::parse(head.kind as u16, record)
                    && head.unix_ns >= since_unix_ns
                {
                    see(Kept::new(partition_no, report_index, head.unix_ns, frame));
                }
            }
            Ok(())
        });
        seen.map_err(|error| self.settings.told(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(servers: &[&str]) -> JetStreamSettings {
        JetStreamSettings {
            servers: servers.iter().map(ToString::to_string).collect(),
            stream: "audit-a".to_owned(),
            replicas: 3,
            timeout: Duration::from_secs(2),
        }
    }

    #[test]
    fn what_is_wrong_names_the_stream_and_its_servers_and_no_password() {
        let place = settings(&["nats://u:secret@10.0.0.1:4222", "10.0.0.2:4222", "t@10.0.0.3"]).place();
        assert_eq!(place, "JetStream stream audit-a at nats://10.0.0.1:4222, 10.0.0.2:4222, 10.0.0.3");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let address = format!("nats://{free}");
        let error = JetStreamStore::open(settings(&[&address])).err().expect("nobody is there").to_string();
        let expected = format!("JetStream stream audit-a at {address}: ");
        assert!(error.starts_with(&expected) && error.len() > expected.len(), "{error}");
    }
}
