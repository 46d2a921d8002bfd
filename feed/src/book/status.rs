//! What the operator's port shows of a book: GET `/book?security=600519`, as JSON.

use super::books::Books;
use super::depth::Side;
use super::security::Book;
use super::tally::Outcome;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, TrySendError};
use tokio::sync::oneshot;
use wire::szse::{Price, Qty, Timestamp};

/// Levels of each side that are shown, unless `?levels=` says otherwise, and at most.
const LEVELS_SHOWN: usize = 10;
const LEVELS_SHOWN_MAX: usize = 1_000;

/// What is asked for.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Wanted {
    /// SecurityID.
    security: String,
    /// SecurityIDSource, where the security is of more than one market.
    source: Option<String>,
    levels: Option<usize>,
}

/// A question to the thread of the books.
#[derive(Debug)]
pub(crate) struct Ask {
    wanted: Wanted,
    reply: oneshot::Sender<Option<BookStatus>>,
}

/// A book as the operator sees it.
#[derive(Debug, Serialize)]
pub(crate) struct BookStatus {
    security: String,
    source: String,
    /// `whole`, `healed`, `waiting`, or why it was given up.
    state: &'static str,
    /// Of its ticks; none so far: null.
    channel: Option<u16>,
    /// Number and time of the last tick, YYYYMMDDHHMMSSsss.
    tick: u64,
    time: i64,
    trades: i64,
    volume: String,
    last: String,
    /// Orders that rest.
    orders: usize,
    /// Levels of buys and of sells, of which the best are below; of a book that was healed those that are known.
    levels: [usize; 2],
    /// Quantity of all levels of buys and of sells.
    totals: [String; 2],
    /// Snapshots of the exchange by what came of holding them against the book.
    checks: BTreeMap<&'static str, u64>,
    bids: Vec<LevelStatus>,
    asks: Vec<LevelStatus>,
}

#[derive(Debug, Serialize)]
struct LevelStatus {
    price: String,
    quantity: String,
    orders: i64,
}

impl Ask {
    /// Answers it. Who asked may have gone meanwhile; then nobody wants the answer.
    pub(super) fn answer(self, books: &Books) {
        let Wanted { security, source, levels } = self.wanted;
        let is_it = |book: &&Book| {
            book.id.trimmed() == security.as_bytes()
                && source.as_ref().is_none_or(|source| book.source.trimmed() == source.as_bytes())
        };
        let levels = levels.unwrap_or(LEVELS_SHOWN).min(LEVELS_SHOWN_MAX);
        drop(self.reply.send(books.each().find(is_it).map(|book| BookStatus::of(book, levels))));
    }
}

impl BookStatus {
    fn of(book: &Book, count: usize) -> Self {
        let levels = |side| {
            let levels = book.known_levels(side).take(count);
            levels.map(|(price, level)| LevelStatus {
                price: Price::from_raw(price).to_string(),
                quantity: quantity(level.quantity),
                orders: level.orders,
            })
        };
        let checks = Outcome::ALL.map(|(outcome, name)| (name, book.outcomes[outcome as usize]));
        Self {
            security: book.id.to_string(),
            source: book.source.to_string(),
            state: book.state.name(),
            channel: book.channel,
            tick: book.at.number,
            time: Timestamp::raw(book.at.time),
            trades: book.traded.trades,
            volume: quantity(book.traded.quantity),
            last: Price::from_raw(book.prices.last).to_string(),
            orders: book.depth.orders(),
            levels: Side::BOTH.map(|side| book.depth.levels(side).count()),
            totals: Side::BOTH.map(|side| quantity(book.depth.total(side))),
            checks: checks.into_iter().collect(),
            bids: levels(Side::Buy).collect(),
            asks: levels(Side::Sell).collect(),
        }
    }
}

fn quantity(raw: i64) -> String {
    Qty::from_raw(raw).to_string()
}

/// What books add to the operator's port; without books it says so.
pub(crate) fn routes(books: Option<SyncSender<Ask>>) -> Router {
    Router::new().route("/book", get(book)).with_state(books)
}

async fn book(
    State(books): State<Option<SyncSender<Ask>>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<BookStatus>, (StatusCode, &'static str)> {
    let books = books.ok_or((StatusCode::NOT_FOUND, "no [book] in the configuration\n"))?;
    let (reply, answer) = oneshot::channel();
    books.try_send(Ask { wanted, reply }).map_err(|error| match error {
        TrySendError::Full(_) => (StatusCode::TOO_MANY_REQUESTS, "too many ask at a time\n"),
        TrySendError::Disconnected(_) => (StatusCode::SERVICE_UNAVAILABLE, "the feed ends\n"),
    })?;
    let found = answer.await.map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "the feed ends\n"))?;
    found.map(Json).ok_or((StatusCode::NOT_FOUND, "no book of this security\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::mpsc::sync_channel;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn who_gets_no_answer_is_told_why() {
        let (asks, asked) = sync_channel(1);
        let ask = || {
            let wanted = Wanted { security: "000001".to_owned(), source: None, levels: None };
            book(State(Some(asks.clone())), Query(wanted))
        };
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(ask());
        let second = pin!(ask());
        assert!(first.as_mut().poll(&mut context).is_pending(), "it waits");
        let told = |answer: Poll<Result<Json<BookStatus>, _>>| match answer {
            Poll::Ready(Err(told)) => told,
            _ => panic!("nobody has answered"),
        };
        let refused = (StatusCode::TOO_MANY_REQUESTS, "too many ask at a time\n");
        assert_eq!(told(second.poll(&mut context)), refused);
        let ending = (StatusCode::SERVICE_UNAVAILABLE, "the feed ends\n");
        drop(asked.recv().unwrap());
        assert_eq!(told(first.poll(&mut context)), ending, "the question was dropped");
        drop(asked);
        assert_eq!(told(pin!(ask()).poll(&mut context)), ending, "nobody asks the books any more");
    }
}
