//! The way back: a source whose quotes are on the bus. What did not come by itself is asked for over the bus.

use super::{Bus, runtime};
use crate::door::{Inlet, Over, Source, Wanted};
use crate::metrics::Metrics;
use async_nats::{Client, Event, Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use transport::Clock;
use wire::szse::code::{ResendStatus, ResendType};
use wire::szse::market::Resend;
use wire::szse::{I64, U16, frame};

/// Between two looks at what the feed wants.
const LOOK: Duration = Duration::from_millis(20);
/// Who publishes says something each second; silent for so long it is not there.
const SILENT_NS: u64 = 5_000_000_000;
/// Messages that may wait for this thread; what is beyond is dropped by the client, and shows as a gap.
const WAITING_MAX: usize = 65_536;
/// Messages that are taken before what they bring is handed over, at most.
const AT_ONCE: usize = 512;

/// A source that reads the bus.
pub(crate) struct Back {
    bus: Bus,
    metrics: Metrics,
}

impl Back {
    pub(crate) fn new(bus: Bus, metrics: Metrics) -> Self {
        Self { bus, metrics }
    }
}

impl Source for Back {
    fn run(&mut self, inlet: &mut Inlet) -> Result<(), Over> {
        runtime().map_err(failed)?.block_on(self.read(inlet))
    }
}

/// What the bus brings.
struct Line {
    client: Client,
    quotes: Subscriber,
    /// Numbers that were asked for.
    answers: Subscriber,
    inbox: String,
    lost: Arc<AtomicBool>,
}

impl Back {
    async fn read(&self, inlet: &mut Inlet) -> Result<(), Over> {
        let mut line = tokio::time::timeout(self.bus.timeout(), self.connect())
            .await
            .map_err(|_| failed("the bus does not answer"))?
            .map_err(failed)?;
        inlet.up()?;
        let clock = Clock::start();
        let mut heard_ns = clock.now_ns();
        loop {
            while let Some(wanted) = inlet.wanted()? {
                self.ask(&line, wanted).await?;
            }
            let first = tokio::select! {
                quote = line.quotes.next() => Some(quote),
                answer = line.answers.next() => Some(answer),
                () = tokio::time::sleep(LOOK) => None,
            };
            if let Some(message) = first {
                let message = message.ok_or_else(|| failed("the subscription has ended"))?;
                let mut alive = self.bring(inlet, &message)?;
                for _ in 0..AT_ONCE {
                    let Some(Some(message)) = line.quotes.next().now_or_never() else { break };
                    alive |= self.bring(inlet, &message)?;
                }
                if alive {
                    heard_ns = clock.now_ns();
                    inlet.alive()?;
                } else {
                    inlet.flush()?;
                }
            }
            if line.lost.load(Ordering::Acquire) {
                return Err(failed("the connection to the bus is lost"));
            }
            if clock.now_ns() - heard_ns > SILENT_NS {
                return Err(failed("nobody publishes on the bus"));
            }
        }
    }

    async fn connect(&self) -> Result<Line, async_nats::Error> {
        let lost = Arc::new(AtomicBool::new(false));
        let (of_events, dropped) = (lost.clone(), self.metrics.bus_dropped.clone());
        let options = self.bus.options("tongdao feed, back").subscription_capacity(WAITING_MAX);
        let options = options.event_callback(move |event| {
            match event {
                // What was said meanwhile is not here: who reads again asks for it.
                Event::Disconnected | Event::Closed => of_events.store(true, Ordering::Release),
                Event::SlowConsumer(_) => dropped.inc(),
                _ => {}
            }
            std::future::ready(())
        });
        let client = options.connect(self.bus.servers.as_slice()).await?;
        let quotes = client.subscribe(format!("{}.>", self.bus.prefix)).await?;
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await?;
        client.flush().await?;
        Ok(Line { client, quotes, answers, inbox, lost })
    }

    async fn ask(&self, line: &Line, Wanted { channel, begin, end }: Wanted) -> Result<(), Over> {
        let request = Resend {
            resend_type: ResendType::TICKS,
            channel_no: U16::new(channel),
            appl_beg_seq_num: I64::new(begin as i64),
            appl_end_seq_num: I64::new(end as i64),
            resend_status: ResendStatus::NONE,
            ..Resend::default()
        };
        let mut bytes = Vec::new();
        frame::encode(&request, &mut bytes);
        let asked = line.client.publish_with_reply(self.bus.resend(), line.inbox.clone(), bytes.into());
        tokio::time::timeout(self.bus.timeout(), asked).await.map_err(failed)?.map_err(failed)
    }

    /// The frames of a message, and whether who publishes has said it. Questions are those of other readers, or our own, and what has a
    /// status is the server's: nobody is there to answer one. What is no frame is nobody's quote: counted, and left.
    fn bring(&self, inlet: &mut Inlet, message: &Message) -> Result<bool, Over> {
        if message.status.is_some() || message.subject.as_str() == self.bus.resend() {
            return Ok(false);
        }
        let mut bytes = &message.payload[..];
        while !bytes.is_empty() {
            let Ok(Some(frame)) = frame::decode(bytes, frame::BODY_LEN_MAX) else {
                self.metrics.bus_bad.inc();
                return Ok(false);
            };
            inlet.push(frame.bytes)?;
            bytes = &bytes[frame.bytes.len()..];
        }
        Ok(true)
    }
}

fn failed(why: impl ToString) -> Over {
    Over::Failed(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_nats::StatusCode;
    use service::Shutdown;
    use shard::{Handle, Limits};

    #[test]
    fn that_somebody_asks_or_that_nobody_answers_is_no_sign_of_who_publishes() {
        let registry = service::prometheus::Registry::new();
        let back = Back::new(Bus::new(vec![]), Metrics::register(&registry).unwrap());
        let (mut inlet, _way) = Inlet::new(0, Handle::new(&Limits::default()), Shutdown::default());
        let mut is_sign = |subject: &str, status, payload: &'static [u8]| {
            let message = Message {
                subject: subject.into(),
                reply: None,
                payload: payload.into(),
                headers: None,
                status,
                description: None,
                length: payload.len(),
            };
            back.bring(&mut inlet, &message).unwrap()
        };
        assert!(is_sign("tongdao.alive", None, b""));
        assert!(!is_sign("tongdao.resend", None, b"what?"));
        assert!(!is_sign("_INBOX.1", Some(StatusCode::NO_RESPONDERS), b""));
        assert!(!is_sign("tongdao.102.000001.order", None, b"buy!"));
    }
}
