//! The memories of FIX sessions in one JetStream stream of NATS, which all gateways share: a session goes on through whichever
//! gateway its client logs on to.
//!
//! Each session has a subject, `STREAM.CLIENT.OURS`. Its messages are an owner's mark (`O`) or a batch of records
//! (`B` and [`fix::store::Batch`]); the header [`OWNER_HEADER`] of each says who wrote it, so the last one says whose the session is,
//! whatever a reset has let go. Who takes a session over publishes its mark, whatever was there, and reads all up to that: nothing of
//! the owner before it comes behind, as a batch is taken only where it follows the one before it (the expected last sequence of the
//! subject). The owner before it is told so by its next batch, which fails. A batch whose fate is not known counts as failed: the
//! session ends, and the next logon reads what is there. Who must know whether a session is its own still marks it again, right behind
//! a message of its own.
//!
//! This runs on a thread of its own, `fix-store`; the hot thread has one job a session under way at most (`kept.rs`).
//!
//! NATS is a network of the operator's own: what goes to it is not ShangMi. Its ports belong on a private network.

use super::store::escaped;
use crate::app::{Command, Gateway};
use crate::audit::JetStreamSettings;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, LastRawMessageErrorKind, StorageType, Stream};
use fix::store::{Batch, BatchStore, StoreError};
use futures_util::StreamExt;
use service::outage::Outage;
use service::{Phase, Shutdown};
use shard::Handle;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, mpsc};
use tokio::task::LocalSet;
use transport::Clock;
use wire::szse::Text;

/// The longest batch: NATS takes 1 MiB in one message unless it is told otherwise.
pub(super) const BATCH_BYTES_MAX: usize = 512 << 10;
const OWNER: u8 = b'O';
const BATCH: u8 = b'B';
/// The header that says who wrote a message: a gateway, in one of its lives.
const OWNER_HEADER: &str = "Tongdao-Owner";
/// The header of a batch that was made while the client was not logged on.
const AWAY_HEADER: &str = "Tongdao-Away";
/// How often a mark is tried behind the last message before that counts as no answer. What may come between is a message of this
/// gateway's that had been given up: there is one of each kind at most.
const LOOKS: u32 = 3;
/// Between two tries to tell a gateway whose queue of commands is full.
const PAUSE: Duration = Duration::from_millis(1);

/// What the hot thread wants done for a session, by its number.
pub(super) enum Job {
    /// It is this gateway's from now on; `known`: the sequence up to which its memory is known here.
    Claim { number: usize, subject: Arc<str>, known: Option<u64> },
    /// A batch that comes right behind this sequence; `away`: the client is not logged on.
    Keep { number: usize, subject: Arc<str>, after: u64, batch: Batch, away: bool },
    /// Whether it is this gateway's still.
    Look { number: usize, subject: Arc<str> },
}

/// A session that is this gateway's.
pub(super) struct Claimed {
    /// The sequence of its last message.
    pub(super) sequence: u64,
    /// Its memory, where it was not known.
    pub(super) store: Option<BatchStore>,
    /// How long ago it was claimed first since its client was logged on last, nanoseconds; 0 where the memory was known.
    pub(super) away_ns: u64,
}

/// A session that is this gateway's still.
pub(super) struct Still {
    /// The sequence of the message that was its last one.
    pub(super) behind: u64,
    /// That of the mark which came behind it.
    pub(super) sequence: u64,
}

/// What became of a job.
pub(super) enum Told {
    Claimed(Result<Claimed, StoreError>),
    /// The sequence of the batch.
    Kept(Result<u64, StoreError>),
    /// That it is this gateway's still; [`StoreError::Taken`]: it is another one's.
    Looked(Result<Still, StoreError>),
}

/// The end at which jobs are given.
pub(super) type Keeper = mpsc::Sender<Job>;

/// The thread's end, until it is started.
pub(crate) struct Jobs {
    jobs: mpsc::Receiver<Job>,
    settings: JetStreamSettings,
    session_bytes_max: usize,
}

/// The two ends, for so many sessions.
pub(super) fn keeper(
    settings: JetStreamSettings,
    session_bytes_max: usize,
    sessions: usize,
) -> (Keeper, Jobs) {
    // A session has one batch under way at most, and one claim or one look.
    let (to, jobs) = mpsc::channel(2 * sessions.max(1));
    (to, Jobs { jobs, settings, session_bytes_max })
}

/// The subject of a session.
pub(super) fn subject(stream: &str, client: Text<20>, ours: Text<20>) -> Arc<str> {
    format!("{stream}.{}.{}", escaped(client), escaped(ours)).into()
}

struct Connection {
    client: async_nats::Client,
    context: Context,
    stream: Stream,
}

/// All that the jobs need.
struct Desk {
    settings: JetStreamSettings,
    session_bytes_max: usize,
    /// Who this gateway is in this life of it: what it owned in another one is not its own.
    owner: String,
    connection: OnceCell<Connection>,
    /// Of each kind of exchange that fails, what has failed since one came to something.
    outages: RefCell<BTreeMap<&'static str, Outage>>,
    clock: Clock,
}

impl Jobs {
    /// Works until the gateway's thread has ended and all of its jobs are done.
    ///
    /// # Errors
    /// The system gives no runtime.
    pub(crate) fn run(
        mut self,
        name: String,
        gateway: &Handle<Command>,
        shutdown: &Shutdown,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Gateways may have the same address, each in a network of its own.
        let owner = format!("{name} {:016x}", RandomState::new().hash_one(&name));
        let desk = Rc::new(Desk::new(self.settings, self.session_bytes_max, owner));
        let local = LocalSet::new();
        // Early, so that the log says at the start what is wrong.
        let early = desk.clone();
        local.spawn_local(async move { early.connection().await.map(drop) });
        runtime.block_on(local.run_until(async {
            while let Some(job) = self.jobs.recv().await {
                let (desk, gateway, shutdown) = (desk.clone(), gateway.clone(), shutdown.clone());
                tokio::task::spawn_local(async move {
                    let (number, told, reset) = desk.do_job(job).await;
                    tell(&gateway, &shutdown, number, told).await;
                    if let Some((subject, sequence)) = reset {
                        desk.purge(&subject, sequence).await;
                    }
                });
            }
        }));
        // What is under way when the gateway ends is still done: its own deadlines end it.
        runtime.block_on(local);
        Ok(())
    }
}

/// Brings the answer to the hot thread.
async fn tell(gateway: &Handle<Command>, shutdown: &Shutdown, number: usize, told: Told) {
    let mut command = Command::Do(Box::new(move |gateway: &mut Gateway, cx: &mut shard::Cx| {
        gateway.fix_told(cx, number, told);
    }));
    while let Err(back) = gateway.send(command) {
        if shutdown.phase() == Phase::Stopping {
            return;
        }
        command = back;
        tokio::time::sleep(PAUSE).await;
    }
}

impl Desk {
    fn new(settings: JetStreamSettings, session_bytes_max: usize, owner: String) -> Self {
        let (connection, outages) = (OnceCell::new(), RefCell::default());
        Self { settings, session_bytes_max, owner, connection, outages, clock: Clock::start() }
    }

    /// Does it; of a batch with a reset that was kept, says where it is.
    async fn do_job(&self, job: Job) -> (usize, Told, Option<(Arc<str>, u64)>) {
        match job {
            Job::Claim { number, subject, known } => {
                (number, Told::Claimed(self.claim(&subject, known).await), None)
            }
            Job::Look { number, subject } => (number, Told::Looked(self.look(&subject).await), None),
            Job::Keep { number, subject, after, batch, away } => {
                let kept = self.keep(&subject, after, &batch, away).await;
                let reset = kept.ok().filter(|_| batch.reset).map(|sequence| (subject, sequence));
                (number, Told::Kept(kept), reset)
            }
        }
    }

    async fn connection(&self) -> Result<&Connection, StoreError> {
        self.bounded("connect", self.connection.get_or_try_init(|| connect(&self.settings))).await
    }

    /// A connection over which servers can be asked now.
    async fn connected(&self) -> Result<&Connection, StoreError> {
        let connection = self.connection().await?;
        // What is published without servers would leave when they are back, long after it was given up.
        if connection.client.connection_state() == async_nats::connection::State::Connected {
            self.answered("reach");
            Ok(connection)
        } else {
            Err(self.unreachable("reach", "not connected"))
        }
    }

    /// Takes a session: with what is known of it where nobody else had it since, and what the stream has else.
    async fn claim(&self, subject: &str, known: Option<u64>) -> Result<Claimed, StoreError> {
        if let Some(last) = known {
            match self.publish(subject, self.mark(), Some(last)).await {
                Ok(sequence) => return Ok(Claimed { sequence, store: None, away_ns: 0 }),
                Err(StoreError::Taken) => {}
                Err(error) => return Err(error),
            }
        }
        let sequence = self.publish(subject, self.mark(), None).await?;
        let (store, away_ns) = self.read(subject, sequence).await?;
        Ok(Claimed { sequence, store: Some(store), away_ns })
    }

    /// Marks a session as this gateway's still: [`StoreError::Taken`] where it is another one's. It takes the mark to know: a server
    /// that was cut off from the others, and has not noticed, tells what was.
    async fn look(&self, subject: &str) -> Result<Still, StoreError> {
        for _ in 0..LOOKS {
            let behind = self.last_of_ours(subject).await?;
            match self.publish(subject, self.mark(), Some(behind)).await {
                Ok(sequence) => {
                    self.answered("mark");
                    return Ok(Still { behind, sequence });
                }
                Err(StoreError::Taken) => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.unreachable("mark", "the session's last message changes"))
    }

    /// The sequence of a session's last message, if this gateway wrote it; 0 where there is none, so that it is nobody's.
    async fn last_of_ours(&self, subject: &str) -> Result<u64, StoreError> {
        let stream = &self.connected().await?.stream;
        let last = self.bounded("look", async {
            match stream.get_last_raw_message_by_subject(subject).await {
                Ok(last) => Ok(Some(last)),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(error),
            }
        });
        let Some(last) = last.await? else { return Ok(0) };
        let ours = last.headers.get(OWNER_HEADER).is_some_and(|owner| owner.as_str() == self.owner);
        ours.then_some(last.sequence).ok_or(StoreError::Taken)
    }

    async fn keep(&self, subject: &str, after: u64, batch: &Batch, away: bool) -> Result<u64, StoreError> {
        let message = self.message([&[BATCH], &batch.records[..]].concat());
        let message = if away { message.header(AWAY_HEADER, "1") } else { message };
        self.publish(subject, message, Some(after)).await
    }

    fn mark(&self) -> PublishMessage {
        self.message(vec![OWNER])
    }

    fn message(&self, payload: Vec<u8>) -> PublishMessage {
        PublishMessage::build().payload(payload.into()).header(OWNER_HEADER, self.owner.as_str())
    }

    /// Publishes, behind this message of the subject and no other where it is named; returns the sequence.
    async fn publish(
        &self,
        subject: &str,
        mut message: PublishMessage,
        after: Option<u64>,
    ) -> Result<u64, StoreError> {
        let context = &self.connected().await?.context;
        if let Some(after) = after {
            message = message.expected_last_subject_sequence(after);
        }
        let sent = async {
            let ack = context.send_publish(subject.to_owned(), message).await?;
            ack.await
        };
        let taken = async {
            match sent.await {
                Ok(ack) => Ok(Some(ack.sequence)),
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.bounded("publish", taken).await?.ok_or(StoreError::Taken)
    }

    /// The session's memory as of a mark of it, and [`Claimed::away_ns`].
    async fn read(&self, subject: &str, until: u64) -> Result<(BatchStore, u64), StoreError> {
        let stream = &self.connection().await?.stream;
        let config = OrderedConfig {
            filter_subject: subject.to_owned(),
            deliver_policy: DeliverPolicy::All,
            ..OrderedConfig::default()
        };
        let begun = async {
            let consumer = stream.create_consumer(config).await?;
            Ok::<_, async_nats::Error>(consumer.messages().await?)
        };
        let mut messages = self.bounded("begin to read", begun).await?;
        let (mut store, mut absence) = (BatchStore::new(self.session_bytes_max), Absence::default());
        loop {
            let next = async { messages.next().await.transpose() };
            let message = self.bounded("read", next).await?.ok_or(StoreError::Unreachable)?;
            let info = message.info().map_err(|error| self.unreachable("read", error))?;
            let (sequence, at_ns) = (info.stream_sequence, info.published.unix_timestamp_nanos());
            match message.payload.split_first() {
                Some((&BATCH, records)) => {
                    store.restore(records)?;
                    let headers = message.headers.as_ref();
                    absence.batch(headers.is_some_and(|headers| headers.get(AWAY_HEADER).is_some()));
                }
                Some((&OWNER, _)) => absence.mark(at_ns),
                _ => return Err(StoreError::Format),
            }
            if sequence >= until {
                return Ok((store, absence.ns(at_ns)));
            }
        }
    }

    /// What is before a reset is read by nobody any more. Where this fails it takes room, and nothing else.
    async fn purge(&self, subject: &str, sequence: u64) {
        let purged = Box::pin(async {
            let stream = &self.connection().await?.stream;
            let purge = async { stream.purge().filter(subject).sequence(sequence).await };
            self.bounded("purge", purge).await
        });
        if purged.await.is_err() {
            tracing::warn!(subject, "what was before a reset is still in the stream");
        }
    }

    /// An exchange, within the time of one, twice that for an answer which the client waits for by itself.
    async fn bounded<T, E: Display>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.settings.timeout * 2, work).await {
            Ok(Ok(answer)) => {
                self.answered(what);
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.unreachable(what, error)),
            Err(_) => Err(self.unreachable(what, "no answer in time")),
        }
    }

    /// An exchange has come to something.
    fn answered(&self, what: &'static str) {
        if self.outages.borrow_mut().remove(what).is_some() {
            tracing::info!(what, at = self.settings.place(), "the store of the FIX sessions answers again");
        }
    }

    /// Says what went wrong where, where the log has not told the same of late, and makes it the one error that the session gets.
    fn unreachable(&self, what: &'static str, error: impl Display) -> StoreError {
        let (now_ns, error) = (self.clock.now_ns(), error.to_string());
        let tries = self.outages.borrow_mut().entry(what).or_default().failed(now_ns, &error);
        if let Some(tries) = tries {
            let at = self.settings.place();
            tracing::warn!(what, at, tries, error, "the store of the FIX sessions does not answer");
        }
        StoreError::Unreachable
    }
}

/// Since when a session is claimed and its client not let in, by its messages in order: nanoseconds since 1970, by the servers' clocks.
#[derive(Default)]
struct Absence {
    since_ns: Option<i128>,
}

impl Absence {
    fn mark(&mut self, at_ns: i128) {
        self.since_ns.get_or_insert(at_ns);
    }

    fn batch(&mut self, away: bool) {
        if !away {
            self.since_ns = None;
        }
    }

    /// How long that was at this time, nanoseconds.
    fn ns(&self, at_ns: i128) -> u64 {
        self.since_ns.and_then(|since_ns| u64::try_from(at_ns - since_ns).ok()).unwrap_or(0)
    }
}

async fn connect(settings: &JetStreamSettings) -> Result<Connection, async_nats::Error> {
    let options = async_nats::ConnectOptions::new()
        .name("tongdao gateway, FIX sessions")
        .connection_timeout(settings.timeout)
        .request_timeout(Some(settings.timeout));
    let client = options.connect(settings.servers.as_slice()).await?;
    let mut context = async_nats::jetstream::new(client.clone());
    context.set_timeout(settings.timeout);
    let stream = Config {
        name: settings.stream.clone(),
        subjects: vec![format!("{}.>", settings.stream)],
        num_replicas: settings.replicas,
        storage: StorageType::File,
        ..Config::default()
    };
    let stream = context.get_or_create_stream(stream).await?;
    Ok(Connection { client, context, stream })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_subjects_of_their_own() {
        let subject = |client: &str| subject("fix", client.parse().unwrap(), "US".parse().unwrap());
        assert_eq!(&*subject("client-1"), "fix.client-1.US");
        assert_eq!(&*subject("a.b>*"), "fix.a%2eb%3e%2a.US");
        assert_ne!(subject("a.b"), subject("a%2eb"));
    }

    #[test]
    fn exchanges_that_fail_are_one_outage_until_one_comes_to_something() {
        let settings = JetStreamSettings {
            servers: vec!["nats://[".to_owned()], // No address: nobody is dialled.
            stream: "fix".to_owned(),
            replicas: 1,
            timeout: Duration::from_secs(60),
        };
        let desk = Desk::new(settings, 0, "gateway".to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tried = || runtime.block_on(desk.connection()).err();
        let tries = |reason: &str| desk.outages.borrow_mut().entry("connect").or_default().failed(0, reason);
        assert_eq!([tried(), tried()], [Some(StoreError::Unreachable); 2]);
        assert_eq!(tries("another reason"), Some(3), "all of one outage, which decides what is told");
        assert_eq!(tries("another reason"), None);
        let came = desk.bounded("connect", std::future::ready(Ok::<_, StoreError>(7)));
        assert_eq!(runtime.block_on(came), Ok(7));
        assert_eq!(tries("another reason"), Some(1), "the next outage is another one");
    }

    #[test]
    fn an_absence_begins_with_the_first_claim_since_the_client_was_logged_on() {
        let mut absence = Absence::default();
        absence.mark(10);
        absence.batch(false);
        assert_eq!(absence.ns(15), 0, "let in");
        absence.mark(20);
        absence.batch(true);
        absence.mark(50);
        assert_eq!(absence.ns(50), 30, "whichever gateways it tried");
        assert_eq!(absence.ns(19), 0, "by another server's clock");
        absence.batch(false);
        absence.mark(90);
        assert_eq!(absence.ns(90), 0);
    }
}
