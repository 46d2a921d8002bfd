use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use service::prometheus::IntCounter;

use super::*;
use crate::capped::Capped;
use crate::limit::Limit;

const LONG: Duration = Duration::from_secs(3600);

mod splicing;

impl Carrier for DuplexStream {
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

struct Counters {
    inward: Tally,
    outward: Tally,
    held: IntGauge,
    spliced: IntCounter,
    no_pipe: IntCounter,
}

impl Counters {
    fn new() -> Self {
        let counter = || IntCounter::new("c", "c").unwrap();
        Self {
            inward: Tally::new(counter()),
            outward: Tally::new(counter()),
            held: IntGauge::new("g", "g").unwrap(),
            spliced: counter(),
            no_pipe: counter(),
        }
    }

    fn lend(&self) -> Counts<'_> {
        let Self { inward, outward, held, spliced, no_pipe } = self;
        Counts { inward, outward, held, spliced, no_pipe }
    }
}

/// The far ends of a client and a backend whose near ends are being pumped.
async fn pumped<T>(
    pipe_bytes: usize,
    scratch: &Scratch,
    counters: &Counters,
    idle_timeout: Duration,
    far_ends: impl AsyncFnOnce(DuplexStream, DuplexStream) -> T,
) -> (End, T) {
    let (client, mut near_client) = duplex(pipe_bytes);
    let (backend, mut near_backend) = duplex(pipe_bytes);
    let near = async {
        let counts = counters.lend();
        let end = pump(&mut near_client, &mut near_backend, scratch, counts, idle_timeout, true).await;
        drop((near_client, near_backend));
        end
    };
    tokio::join!(near, far_ends(client, backend))
}

/// A client that asks and closes its half, and a backend that answers then.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut client: S, mut backend: S) -> String {
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = String::new();
    backend.read_to_string(&mut question).await.unwrap();
    assert_eq!(question, "question");
    backend.write_all(b"a rather long answer").await.unwrap();
    drop(backend);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_client_that_closes_its_half_still_gets_the_answer() {
    let (scratch, counters) = (Scratch::new(16), Counters::new());
    let (end, answer) = pumped(64, &scratch, &counters, LONG, ask).await;
    assert_eq!((end, answer.as_str()), (End::Done, "a rather long answer"));
    assert_eq!((counters.inward.get(), counters.outward.get(), counters.held.get()), (8, 20, 0));
}

#[tokio::test]
async fn a_slow_reader_holds_one_read_and_its_sender_waits() {
    let (scratch, counters) = (Scratch::new(1000), Counters::new());
    let sent = vec![7; 100_000];
    let (end, received) = pumped(100, &scratch, &counters, LONG, async |mut client, mut backend| {
        let mut first = [0; 1];
        let writing = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            client
        };
        let reading = async {
            backend.read_exact(&mut first).await.unwrap();
            // The sender gets as far as the pipes and one read go, and no further.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
                assert!(counters.held.get() <= 1000 && counters.inward.get() <= 1300);
            }
            assert!(counters.held.get() > 0);
            let mut rest = Vec::new();
            backend.read_to_end(&mut rest).await.unwrap();
            rest.len() + first.len()
        };
        tokio::join!(writing, reading).1
    })
    .await;
    assert_eq!((end, received, counters.held.get()), (End::Done, sent.len(), 0));
}

#[tokio::test]
async fn reads_grow_with_what_the_receiver_takes_and_shrink_with_it() {
    const FIRST: usize = READ_BYTES_FIRST;
    let (counters, mut scratch) = (Counters::new(), vec![0; 5 * FIRST]);
    let mut direction = Direction::new(&counters.inward, &counters.lend(), None);
    let (mut far_source, mut source) = duplex(100 * FIRST);
    let (mut sink, mut far_sink) = duplex(12 * FIRST);
    far_source.write_all(&vec![1; 30 * FIRST]).await.unwrap();
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut read = |direction: &mut Direction<'_>, sink: &mut DuplexStream| {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match direction.read_and_write(&mut context, &mut source, sink, &mut scratch) {
            Poll::Ready(read) => read.unwrap() / FIRST,
            Poll::Pending => panic!("there is something to read"),
        }
    };
    let growing = [1, 2, 4, 5].map(|_| read(&mut direction, &mut sink));
    assert_eq!(growing, [1, 2, 4, 5], "doubling, up to the buffer");
    assert_eq!(read(&mut direction, &mut sink), 5, "and the receiver has no room for any of it");
    assert_eq!(counters.held.get() as usize, 5 * FIRST);
    far_sink.read_exact(&mut vec![0; 12 * FIRST]).await.unwrap();
    assert!(direction.write_held(&mut context, &mut sink).is_ready());
    assert_eq!(counters.held.get(), 0);
    let again = [1, 2].map(|_| read(&mut direction, &mut sink));
    assert_eq!(again, [1, 2], "from the beginning");
}

#[tokio::test]
async fn when_one_side_breaks_off_the_other_is_closed() {
    let (scratch, counters) = (Scratch::new(64), Counters::new());
    let (end, rest) = pumped(64, &scratch, &counters, LONG, async |mut client, backend| {
        drop(backend);
        let mut rest = Vec::new();
        // The near end has no reader left: this write cannot be handed on.
        client.write_all(b"lost").await.unwrap();
        client.read_to_end(&mut rest).await.unwrap();
        rest.len()
    })
    .await;
    assert_eq!((end, rest), (End::BackendReset, 0));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection_and_bytes_put_that_off() {
    let (scratch, counters) = (Scratch::new(64), Counters::new());
    let started = Instant::now();
    let idle = Duration::from_secs(10);
    let (end, _far_ends) = pumped(64, &scratch, &counters, idle, async |mut client, mut backend| {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(9)).await; // The clock is paused: no one waits.
            client.write_all(b"x").await.unwrap();
            backend.read_exact(&mut [0]).await.unwrap();
        }
        (client, backend)
    })
    .await;
    assert_eq!((end, started.elapsed().as_secs()), (End::Idle { held: false }, 5 * 9 + 10));
}

#[tokio::test(start_paused = true)]
async fn silence_with_bytes_that_nobody_took_is_told_apart() {
    let (scratch, counters, idle) = (Scratch::new(64), Counters::new(), Duration::from_secs(10));
    let (end, _far_ends) = pumped(16, &scratch, &counters, idle, async |mut client, backend| {
        client.write_all(&[7; 40]).await.unwrap();
        (client, backend)
    })
    .await;
    assert_eq!(end, End::Idle { held: true }, "the backend does not read");

    let limit = Limit::new(1);
    // Others have spent what there is for longer than the silence may last.
    limit.queue(1_000, Instant::now());
    let ((mut far_client, client), (_far_backend, backend)) = (duplex(64), duplex(64));
    far_client.write_all(b"late").await.unwrap();
    let (mut client, mut backend) = (Capped::new(client, &limit), Capped::new(backend, &limit));
    let end = pump(&mut client, &mut backend, &scratch, counters.lend(), idle, true).await;
    assert_eq!(end, End::Idle { held: true }, "they wait for their turn");
}

proptest! {
    #[test]
    fn whatever_the_sizes_every_byte_arrives_in_order(
        chunks in prop::collection::vec(1usize..300, 0..40),
        pipe_bytes in 1usize..200,
        read_bytes in 1usize..200,
    ) {
        let total = chunks.iter().sum::<usize>();
        let sent: Vec<u8> = (0..total).map(|at| at as u8).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (scratch, counters) = (Scratch::new(read_bytes), Counters::new());
        let (end, received) = runtime.block_on(pumped(pipe_bytes, &scratch, &counters, LONG, async |client, backend| {
            let (mut from_client, mut to_client) = tokio::io::split(client);
            let (mut from_backend, mut to_backend) = tokio::io::split(backend);
            let sending = async {
                let mut rest = &sent[..];
                for &chunk in &chunks {
                    let (now, later) = rest.split_at(chunk);
                    to_client.write_all(now).await.unwrap();
                    rest = later;
                }
                to_client.shutdown().await.unwrap();
            };
            let echoing = async {
                tokio::io::copy(&mut from_backend, &mut to_backend).await.unwrap();
                to_backend.shutdown().await.unwrap();
            };
            let mut received = Vec::new();
            let (.., read) = tokio::join!(sending, echoing, from_client.read_to_end(&mut received));
            read.unwrap();
            received
        }));
        prop_assert_eq!(end, End::Done);
        prop_assert_eq!(received, sent);
        prop_assert_eq!(counters.held.get(), 0);
    }
}
