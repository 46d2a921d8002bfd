//! Bytes that go through pipes, between sockets of the loopback address.

use tokio::net::{TcpListener, TcpStream};

use super::*;

const BUFFER_BYTES: usize = 1 << 20;
/// Nothing takes so long but a hang.
const GUARD: Duration = Duration::from_secs(60);

/// Everything goes through pipes, where it may.
fn all_spliced() -> Scratch {
    Scratch::with_pipes(BUFFER_BYTES, Pipes::new(0, 8))
}

fn in_use(scratch: &Scratch) -> usize {
    scratch.pipes.in_use_and_spare().0
}

async fn sockets() -> (TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (far, near) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (far.unwrap(), Stream::Tcp(near.unwrap().0))
}

/// As `super::pumped`, between sockets.
async fn pumped<T>(
    scratch: &Scratch,
    counters: &Counters,
    idle_timeout: Duration,
    far_ends: impl AsyncFnOnce(TcpStream, TcpStream) -> T,
) -> (End, T) {
    let ((client, mut near_client), (backend, mut near_backend)) = tokio::join!(sockets(), sockets());
    let near = async {
        let counts = counters.lend();
        let end = pump(&mut near_client, &mut near_backend, scratch, counts, idle_timeout, true).await;
        drop((near_client, near_backend));
        end
    };
    let both = async { tokio::join!(near, far_ends(client, backend)) };
    tokio::time::timeout(GUARD, both).await.expect("it hangs")
}

/// A sequence without end that is always the same, and a number from it that is too.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn up_to(&mut self, most: usize) -> usize {
        1 + (self.next() % most as u64) as usize
    }
}

/// What is sent, again and again: of a length that no read and no pipe has.
fn pattern(seed: u64) -> Vec<u8> {
    let mut noise = Noise(seed);
    (0..1_000_003).map(|_| noise.next() as u8).collect()
}

async fn send(mut to: impl AsyncWrite + Unpin, pattern: &[u8], bytes: usize, chunk_max: usize) {
    let (mut noise, mut sent) = (Noise(bytes as u64), 0);
    while sent < bytes {
        let rest = &pattern[sent % pattern.len()..];
        let chunk = noise.up_to(chunk_max).min(rest.len()).min(bytes - sent);
        to.write_all(&rest[..chunk]).await.unwrap();
        sent += chunk;
    }
    to.shutdown().await.unwrap();
}

/// Reads to the end, and holds it against what was sent; how much it was.
async fn receive(mut from: impl AsyncRead + Unpin, pattern: &[u8], chunk_max: usize) -> usize {
    let (mut noise, mut received) = (Noise(chunk_max as u64), 0);
    let mut buffer = vec![0; chunk_max];
    loop {
        let room = noise.up_to(chunk_max);
        let read = from.read(&mut buffer[..room]).await.unwrap();
        let mut got = &buffer[..read];
        if got.is_empty() {
            return received;
        }
        while !got.is_empty() {
            let expected = &pattern[received % pattern.len()..];
            let both = got.len().min(expected.len());
            assert!(got[..both] == expected[..both], "another byte within {both} after {received}");
            got = &got[both..];
            received += both;
        }
    }
}

/// Sends until the receiver takes no more, and a pipe waits for it.
async fn fill(to: &mut TcpStream, counters: &Counters) {
    let flood = async { while to.write_all(&[7; 1 << 16]).await.is_ok() {} };
    let held = async {
        while counters.held.get() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = flood => panic!("it was closed"),
        () = held => {}
    }
}

#[tokio::test]
async fn a_client_that_closes_its_half_still_gets_the_answer() {
    let (scratch, counters) = (all_spliced(), Counters::new());
    let (end, answer) = pumped(&scratch, &counters, LONG, ask).await;
    assert_eq!((end, answer.as_str()), (End::Done, "a rather long answer"));
    assert_eq!((counters.inward.get(), counters.outward.get(), counters.held.get()), (8, 20, 0));
    assert_eq!((counters.spliced.get(), counters.no_pipe.get(), in_use(&scratch)), (28, 0, 0));
}

#[tokio::test]
async fn bulk_both_ways_at_once_arrives_as_it_was_sent() {
    const BYTES: usize = 64 << 20;
    let (to_backend, to_client) = (pattern(1), pattern(2));
    for (scratch, all) in [(all_spliced(), true), (Scratch::new(BUFFER_BYTES), false)] {
        let counters = Counters::new();
        let (end, received) = pumped(&scratch, &counters, LONG, async |client, backend| {
            let (from_client, client) = client.into_split();
            let (from_backend, backend) = backend.into_split();
            let sent = async {
                tokio::join!(
                    send(client, &to_backend, BYTES, 300_000),
                    send(backend, &to_client, BYTES, 200_000)
                )
            };
            let received = async {
                tokio::join!(
                    receive(from_backend, &to_backend, 400_000),
                    receive(from_client, &to_client, 100_000)
                )
            };
            tokio::join!(sent, received).1
        })
        .await;
        assert_eq!((end, received), (End::Done, (BYTES, BYTES)));
        let both = (counters.inward.get(), counters.outward.get());
        assert_eq!((both, counters.held.get()), ((BYTES as u64, BYTES as u64), 0));
        assert_eq!((in_use(&scratch), counters.no_pipe.get()), (0, 0));
        let spliced = counters.spliced.get();
        if all {
            assert_eq!(spliced, 2 * BYTES as u64);
        } else {
            assert!((1..2 * BYTES as u64).contains(&spliced), "{spliced}: some of it, after a beginning");
        }
    }
}

#[tokio::test]
async fn a_reader_that_stops_holds_one_pipe_and_then_gets_everything() {
    const BYTES: usize = 64 << 20;
    let (scratch, counters, pattern) = (all_spliced(), Counters::new(), pattern(3));
    let (end, received) = pumped(&scratch, &counters, LONG, async |client, backend| {
        let stop_and_read = async {
            let (mut read, mut stood) = (0, 0);
            while stood < 1000 {
                tokio::task::yield_now().await;
                assert!(counters.held.get() <= BUFFER_BYTES as i64 && in_use(&scratch) <= 1);
                let stands = counters.held.get() > 0 && counters.inward.get() == read;
                stood = if stands { stood + 1 } else { 0 };
                read = counters.inward.get();
            }
            assert_eq!(in_use(&scratch), 1);
            assert!((1..BYTES as u64).contains(&read), "{read}");
            receive(backend, &pattern, 100_000).await
        };
        tokio::join!(send(client, &pattern, BYTES, 300_000), stop_and_read).1
    })
    .await;
    assert_eq!((end, received), (End::Done, BYTES));
    assert_eq!((counters.held.get(), in_use(&scratch)), (0, 0));
    assert_eq!(counters.spliced.get(), BYTES as u64);
}

#[tokio::test]
async fn a_receiver_that_breaks_off_leaves_nothing_of_it_in_a_pipe() {
    let (scratch, counters) = (all_spliced(), Counters::new());
    let (end, ()) = pumped(&scratch, &counters, LONG, async |mut client, backend| {
        fill(&mut client, &counters).await;
        assert_eq!(in_use(&scratch), 1);
        drop(backend); // With bytes that it has not read: that is a reset.
        while client.write_all(&[7; 1 << 16]).await.is_ok() {}
    })
    .await;
    assert_eq!((end, counters.held.get(), in_use(&scratch)), (End::BackendReset, 0, 0));
    // The next ones have pipes without a byte of it.
    for _ in 0..3 {
        let (end, answer) = pumped(&scratch, &Counters::new(), LONG, ask).await;
        assert_eq!((end, answer.as_str()), (End::Done, "a rather long answer"));
    }
}

#[tokio::test]
async fn a_sender_that_breaks_off_is_noticed_when_the_pipe_is_empty() {
    let (scratch, counters) = (all_spliced(), Counters::new());
    let (end, received) = pumped(&scratch, &counters, LONG, async |mut client, mut backend| {
        fill(&mut client, &counters).await;
        client.set_zero_linger().unwrap();
        drop(client);
        let (mut received, mut some) = (0, vec![0; 1 << 16]);
        while let Ok(read @ 1..) = backend.read(&mut some).await {
            received += read as u64;
        }
        received
    })
    .await;
    assert_eq!((end, counters.held.get(), in_use(&scratch)), (End::ClientReset, 0, 0));
    assert_eq!(received, counters.inward.get(), "all that was read before");
}

#[tokio::test]
async fn silence_ends_a_connection_with_bytes_in_a_pipe() {
    let (scratch, counters) = (all_spliced(), Counters::new());
    let idle = Duration::from_millis(50);
    let (end, _far_ends) = pumped(&scratch, &counters, idle, async |mut client, backend| {
        fill(&mut client, &counters).await;
        (client, backend)
    })
    .await;
    assert_eq!(end, End::Idle { held: true });
    assert_eq!((counters.held.get(), in_use(&scratch)), (0, 0));
}

#[tokio::test]
async fn short_messages_after_bulk_are_copied_again() {
    const BULK: usize = 32 << 20;
    let (scratch, counters) = (Scratch::new(BUFFER_BYTES), Counters::new());
    let (end, ()) = pumped(&scratch, &counters, LONG, async |mut client, mut backend| {
        let (bulk, mut received) = (vec![7; BULK], vec![0; BULK]);
        let (sent, read) = tokio::join!(client.write_all(&bulk), backend.read_exact(&mut received));
        sent.unwrap();
        read.unwrap();
        assert!(counters.spliced.get() > 0);
        let mut spliced = counters.spliced.get();
        for round in 0..20 {
            client.write_all(b"ping").await.unwrap();
            backend.read_exact(&mut [0; 4]).await.unwrap();
            backend.write_all(b"pong").await.unwrap();
            client.read_exact(&mut [0; 4]).await.unwrap();
            assert_eq!(in_use(&scratch), 0, "who keeps up keeps no pipe");
            if round < 6 {
                spliced = counters.spliced.get();
            }
        }
        assert_eq!(counters.spliced.get(), spliced, "the last rounds were copied");
    })
    .await;
    assert_eq!(end, End::Done);
}

#[tokio::test]
async fn without_a_pipe_bytes_are_copied_and_each_direction_counts_once() {
    let (scratch, counters) = (Scratch::with_pipes(BUFFER_BYTES, Pipes::new(0, 0)), Counters::new());
    let (end, answer) = pumped(&scratch, &counters, LONG, ask).await;
    assert_eq!((end, answer.as_str()), (End::Done, "a rather long answer"));
    assert_eq!((counters.inward.get(), counters.outward.get()), (8, 20));
    assert_eq!((counters.spliced.get(), counters.no_pipe.get()), (0, 2));
}

#[tokio::test]
async fn where_the_bandwidth_is_limited_nothing_goes_past_the_limit() {
    let (scratch, counters, limit) = (all_spliced(), Counters::new(), Limit::new(1_000_000_000_000));
    let ((client, near_client), (backend, near_backend)) = tokio::join!(sockets(), sockets());
    let near = async {
        let (mut client, mut backend) = (Capped::new(near_client, &limit), Capped::new(near_backend, &limit));
        pump(&mut client, &mut backend, &scratch, counters.lend(), LONG, true).await
    };
    let (end, answer) = tokio::join!(near, ask(client, backend));
    assert_eq!((end, answer.as_str()), (End::Done, "a rather long answer"));
    assert_eq!((counters.inward.get(), counters.outward.get()), (8, 20));
    assert_eq!((counters.spliced.get(), counters.no_pipe.get()), (0, 0));
}

#[test]
fn few_pipes_are_kept_and_no_more_made_than_may_be() {
    let pipes = Pipes::new(0, 6);
    let taken: Vec<_> = (0..6).map(|_| pipes.take().unwrap()).collect();
    assert_eq!(pipes.in_use_and_spare(), (6, 0));
    pipes.take().unwrap_err();
    drop(taken);
    assert_eq!(pipes.in_use_and_spare(), (0, 4));
    drop(pipes.take().unwrap());
    assert_eq!(pipes.in_use_and_spare(), (0, 4));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_the_sizes_every_byte_arrives_in_order(
        chunk_max in 1usize..100_000,
        read_max in 1usize..100_000,
        buffer_bytes in 1usize..200_000,
        bytes in 0usize..1_000_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let scratch = Scratch::with_pipes(buffer_bytes, Pipes::new(0, 8));
        let (counters, pattern) = (Counters::new(), pattern(4));
        // Each byte of a small buffer is a turn.
        let bytes = bytes.min(1_000 * buffer_bytes.min(chunk_max));
        let (end, received) = runtime.block_on(pumped(&scratch, &counters, LONG, async |client, backend| {
            tokio::join!(send(client, &pattern, bytes, chunk_max), receive(backend, &pattern, read_max)).1
        }));
        prop_assert_eq!((end, received), (End::Done, bytes));
        prop_assert_eq!((counters.held.get(), counters.spliced.get()), (0, bytes as u64));
    }
}
