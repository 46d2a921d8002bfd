//! A stream that reads no faster than its listener may: what is more waits in the kernel, whose window then
//! holds the sender back.
//!
//! The connections of a listener stand in one line (`Limit::queue`). What was read waits here for its turn; then the next
//! piece is read, and stands behind those of all others. So all that have enough to read get the same, whoever asks first
//! or most often.
//!
//! The runtime wakes on whole milliseconds, and then one after the other. If the line were over by then, who is woken first
//! would get all that has become free since. So one round of all who wait lasts for [`ROUND`] at least: where their pieces are
//! less than that, who had its turn has the rest of its share at once, and pays for it. Its next turn comes after all that
//! was paid, not after the time at which it was woken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::limit::{Limit, Turn, Waits};
use crate::proxy::Carrier;

/// One piece is what the limit gives in this part of a second, within these bounds: of a packet, so that a low limit costs
/// no call for a few bytes, and of a read.
const PIECES_A_SECOND: u64 = 1_000;
const PIECE_BYTES_MIN: u64 = 1_460;
const PIECE_BYTES_MAX: u64 = 64 * 1024;
/// A wake-up is late by less than half of it: where two wait, that is what the line is still long when the other's turn has come.
const ROUND: Duration = Duration::from_millis(1_000 / ROUNDS_A_SECOND);
const ROUNDS_A_SECOND: u64 = 200;
/// How often who waits looks whether the limit has changed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Capped<'a, S> {
    stream: S,
    limit: &'a Limit,
    waiting: Option<Piece<'a>>,
    share: Share,
    /// Until it may go.
    pause: Pin<Box<Sleep>>,
}

/// What was read and waits for its turn.
struct Piece<'a> {
    bytes: Vec<u8>,
    gone: usize,
    turn: Turn,
    /// Until its turn has come.
    waits: Option<Waits<'a>>,
}

/// What is left of a connection's share of a round. It is for now: of who has nothing to read it is the others'.
struct Share {
    bytes: usize,
    until: Instant,
}

impl Share {
    fn left_bytes(&self, now: Instant) -> usize {
        if now < self.until { self.bytes } else { 0 }
    }
}

impl<'a, S> Capped<'a, S> {
    pub(crate) fn new(stream: S, limit: &'a Limit) -> Self {
        let now = Instant::now();
        let pause = Box::pin(tokio::time::sleep_until(now));
        Self { stream, limit, waiting: None, share: Share { bytes: 0, until: now }, pause }
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

    /// What is left of the share of who has had its turn for so many bytes.
    fn share_after(&self, bytes: usize) -> Share {
        let all = self.limit.waiting() as u64 + 1;
        let share = self.limit.per_s() / ROUNDS_A_SECOND / all;
        Share { bytes: (share as usize).saturating_sub(bytes), until: Instant::now() + ROUND }
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
            let now = Instant::now();
            let share_bytes = this.share.left_bytes(now);
            let most = if share_bytes > 0 { share_bytes } else { this.piece_bytes() };
            let room = buffer.remaining().min(most);
            let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(room));
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
            let read = piece.filled().len();
            let turn = this.limit.queue(read as u64, now);
            if read == 0 || share_bytes > 0 || this.limit.has_come(&turn, now) {
                this.share.bytes = share_bytes - read.min(share_bytes);
                buffer.advance(read);
                return Poll::Ready(Ok(()));
            }
            let (bytes, waits) = (piece.filled().to_vec(), Some(this.limit.wait()));
            this.waiting = Some(Piece { bytes, gone: 0, turn, waits });
        }
        let turn = this.waiting.as_ref().expect("invariant: it was there or was put there").turn;
        ready!(this.poll_turn(context, &turn, Instant::now()));
        let mut piece = this.waiting.take().expect("invariant: as above");
        if let Some(waits) = piece.waits.take() {
            drop(waits);
            this.share = this.share_after(piece.bytes.len());
        }
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

impl<S: AsyncRead + AsyncWrite + Unpin> Carrier for Capped<'_, S> {
    /// None: each byte waits here for its turn.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }

    fn holds_bytes(&self) -> bool {
        self.waiting.is_some()
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
            2 => {
                let (a, b) = tokio::join!(read(0), read(1));
                vec![a, b]
            }
            _ => vec![read(0).await],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_have_enough_to_read_get_the_same_and_together_no_more_than_the_limit() {
        let low = [(20_000, 4, 10), (1_000_000, 4, 10), (60_000_000, 4, 4), (60_000_000, 2, 2)];
        let high = [(200_000_000, 4, 2), (1_000_000_000, 2, 1), (1_000_000_000, 4, 1)];
        for (per_s, streams, seconds) in low.into_iter().chain(high) {
            let limit = Limit::new(per_s);
            // A full bucket is whoever comes first's.
            limit.queue(per_s / 10, Instant::now());
            let read = read_in(&limit, streams, seconds).await;
            let (sum, all) = (read.iter().sum::<usize>() as u64, per_s * seconds);
            let ahead = per_s / ROUNDS_A_SECOND + streams as u64 * PIECE_BYTES_MAX;
            assert!((all * 97 / 100..=all + ahead).contains(&sum), "{read:?} of {per_s}");
            let fair = all / streams as u64;
            let is_fair = |&read: &usize| (read as u64).abs_diff(fair) <= fair / 20;
            assert!(read.iter().all(is_fair), "{read:?} of {fair}");
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
