//! A stream that reads no faster than its listener may: what is more waits in the kernel, whose window then
//! holds the sender back.
//!
//! The connections of a listener stand in one line (`Limit::queue`). What was read waits here for its turn; then the next
//! piece is read, and stands behind those of all others. So all that have enough to read get the same, whoever asks first
//! or most often. The runtime wakes on whole milliseconds: under a limit that gives more than a piece of the largest size in
//! one, several have their turn at once, and who is woken first may get up to twice as much as who is woken last.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limit::{Limit, Turn};

/// One piece is what the limit gives in this part of a second, within these bounds: of a packet, so that a low limit costs
/// no call for a few bytes, and of a read.
const PIECES_A_SECOND: u64 = 1_000;
const PIECE_BYTES_MIN: u64 = 1_460;
const PIECE_BYTES_MAX: u64 = 64 * 1024;
/// How often who waits looks whether the limit has changed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Capped<'a, S> {
    stream: S,
    limit: &'a Limit,
    waiting: Option<Piece>,
    /// Until it may go.
    pause: Pin<Box<Sleep>>,
}

/// What was read and waits for its turn.
struct Piece {
    bytes: Vec<u8>,
    gone: usize,
    turn: Turn,
}

impl<'a, S> Capped<'a, S> {
    pub(crate) fn new(stream: S, limit: &'a Limit) -> Self {
        let pause = Box::pin(tokio::time::sleep_until(Instant::now()));
        Self { stream, limit, waiting: None, pause }
    }

    fn poll_turn(&mut self, context: &mut Context<'_>, turn: &Turn, mut now: Instant) -> Poll<()> {
        while !self.limit.has_come(turn, now) {
            self.pause.as_mut().reset(turn.at.min(now + LOOK_AGAIN));
            ready!(self.pause.as_mut().poll(context));
            now = Instant::now();
        }
        Poll::Ready(())
    }

    fn piece_bytes(&self) -> usize {
        let bytes = match self.limit.per_s() {
            0 => PIECE_BYTES_MAX,
            per_s => (per_s / PIECES_A_SECOND).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX),
        };
        bytes as usize
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Capped<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.waiting.is_none() {
            let room = buffer.remaining().min(this.piece_bytes());
            let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(room));
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
            let (read, now) = (piece.filled().len(), Instant::now());
            let turn = this.limit.queue(read as u64, now);
            if read == 0 || this.limit.has_come(&turn, now) {
                buffer.advance(read);
                return Poll::Ready(Ok(()));
            }
            this.waiting = Some(Piece { bytes: piece.filled().to_vec(), gone: 0, turn });
        }
        let turn = this.waiting.as_ref().expect("invariant: it was there or was put there").turn;
        ready!(this.poll_turn(context, &turn, Instant::now()));
        let mut piece = this.waiting.take().expect("invariant: as above");
        let rest = &piece.bytes[piece.gone..];
        let goes = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..goes]);
        if goes < rest.len() {
            piece.gone += goes;
            this.waiting = Some(piece);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Capped<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What each of some streams with more than enough to read had in `seconds` under one limit.
    async fn read_in(limit: &Limit, streams: usize, seconds: u64) -> Vec<usize> {
        let until = Instant::now() + Duration::from_secs(seconds);
        let read = |at: usize| async move {
            let (mut far, near) = duplex(1 << 20);
            let mut capped = Capped::new(near, limit);
            let send = async { while far.write_all(&[1; 1 << 16]).await.is_ok() {} };
            let mut bytes = 0;
            let receive = async {
                // They ask with buffers of different sizes, as those that read more have larger ones.
                let mut buffer = vec![0; (1 << 16) << at];
                loop {
                    bytes += capped.read(&mut buffer).await.unwrap();
                }
            };
            tokio::select! {
                () = send => {}
                () = receive => {}
                () = tokio::time::sleep_until(until) => {}
            }
            bytes
        };
        match streams {
            4 => {
                let (a, b, c, d) = tokio::join!(read(0), read(1), read(2), read(3));
                vec![a, b, c, d]
            }
            _ => vec![read(0).await],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_have_enough_to_read_get_the_same_and_together_no_more_than_the_limit() {
        for (per_s, apart_percent) in [(20_000, 10), (1_000_000, 10), (60_000_000, 10), (200_000_000, 50)] {
            let limit = Limit::new(per_s);
            let read = read_in(&limit, 4, 10).await;
            let (sum, fair) = (read.iter().sum::<usize>() as u64, per_s * 10 / 4);
            assert!(sum <= per_s * 101 / 10 + 4 * PIECE_BYTES_MAX, "{read:?} of {per_s}");
            assert!(sum >= per_s * 97 / 10, "{read:?} of {per_s}");
            let apart = |&read: &usize| (read as u64).abs_diff(fair) < fair * apart_percent / 100;
            assert!(read.iter().all(apart), "{read:?} of {fair}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_limit_that_is_corrected_goes_on() {
        let limit = Limit::new(1);
        let started = Instant::now();
        let correct = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            limit.set(1_000_000);
        };
        let (read, ()) = tokio::join!(read_in(&limit, 1, 20), correct);
        assert!(read[0] > 10_000_000, "{read:?} after {:?}", started.elapsed());
    }

    #[tokio::test]
    async fn what_waited_comes_whole_into_smaller_buffers_too() {
        let limit = Limit::new(100_000);
        let (mut far, near) = duplex(1 << 20);
        let mut capped = Capped::new(near, &limit);
        let sent: Vec<u8> = (0..20_000_u32).map(|at| at as u8).collect();
        far.write_all(&sent).await.unwrap();
        drop(far);
        let mut received = Vec::new();
        let mut some = [0; 700];
        while let read @ 1.. = capped.read(&mut some).await.unwrap() {
            received.extend_from_slice(&some[..read]);
        }
        assert_eq!(received, sent);
    }
}
