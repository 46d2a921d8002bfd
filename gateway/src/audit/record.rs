//! The records of the audit. Integers are little-endian; the journal adds number, kind, time and checksum.
//!
//! | kind | payload |
//! |---|---|
//! | 1 request | outcome `u16` (0 forwarded, else the code of the refusal), core `u8` (0 cash, 1 margin, 255 none), CompID 20, length `u8` and text of the refusal, then the request as the core gets it (TGW frame) |
//! | 2 report | PartitionNo as clients see it `u16`, ReportIndex `u64`, AccountID 12, then the report as clients get it (TGW frame) |
//! | 3 session | CompID 20, then as text: peer, what, why, each ended by a line feed; of a FIX request that was refused a fourth line, its ClOrdID |
//! | 4 operator | text |
//! | 5 reject | by `u8` (0 the core, 1 the gateway), core `u8`, AccountID 12 (blank where a core's word does not tell whose the request was), then the BusinessReject (TGW frame) |

use crate::check::Refusal;
use crate::past::{day_of, flow_of};
use crate::refused::By;
use crate::route::Core;
use std::io::Write;
use std::net::SocketAddr;
use wire::szse::trading::{CancelReject, OrderReport, ReportBase, TradeReport};
use wire::szse::{DecodeError, Message, Text, Timestamp, frame};

/// What a record is about: the journal's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Kind {
    /// A request of a client.
    Request = 1,
    /// A report of a core.
    Report = 2,
    /// A client came or went.
    Session = 3,
    /// An operator did something.
    Operator = 4,
    /// A request that was forwarded, or held to be, ended without a report.
    Reject = 5,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Request, Self::Report, Self::Session, Self::Operator, Self::Reject];

    /// Its name in metrics and in print.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Report => "report",
            Self::Session => "session",
            Self::Operator => "operator",
            Self::Reject => "reject",
        }
    }

    /// The kind with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == number)
    }
}

/// What stands before a payload in the hot thread's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) unix_ns: u64,
}

/// Bytes of a [`Head`].
const HEAD_BYTES: usize = 10;

impl Head {
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.kind as u16).to_le_bytes());
        out.extend_from_slice(&self.unix_ns.to_le_bytes());
    }

    /// The head and the payload of an entry.
    pub(crate) fn split(entry: &[u8]) -> Option<(Self, &[u8])> {
        let (head, payload) = entry.split_at_checked(HEAD_BYTES)?;
        let kind = Kind::from_number(u16::from_le_bytes([head[0], head[1]]))?;
        let unix_ns = u64::from_le_bytes(head[2..].try_into().ok()?);
        Some((Self { kind, unix_ns }, payload))
    }
}

/// No core.
const NO_CORE: u8 = u8::MAX;

#[inline]
pub(crate) fn put_request(
    out: &mut Vec<u8>,
    comp_id: Text<20>,
    core: Option<Core>,
    outcome: Result<(), Refusal>,
) {
    // Refusals that have no code of a rule have that of their BusinessRejectReason, which may be 0: told apart by the text.
    let (code, text) = outcome.err().map_or((0, ""), |refusal| (refusal.reason().raw(), refusal.text()));
    out.extend_from_slice(&code.to_le_bytes());
    out.push(core.map_or(NO_CORE, |core| core as u8));
    out.extend_from_slice(comp_id.as_bytes());
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// What stands before a report's frame.
pub(crate) fn report_head(lane: u16, number: u64, account: Text<12>) -> [u8; 22] {
    let mut head = [0; 22];
    head[..2].copy_from_slice(&lane.to_le_bytes());
    head[2..10].copy_from_slice(&number.to_le_bytes());
    head[10..].copy_from_slice(account.as_bytes());
    head
}

/// What stands before a BusinessReject's frame.
pub(crate) fn reject_head((by, core, account): (By, Core, Text<12>)) -> [u8; 14] {
    let mut head = [by as u8, core as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    head[2..].copy_from_slice(account.as_bytes());
    head
}

pub(crate) fn put_session(out: &mut Vec<u8>, comp_id: Text<20>, peer: SocketAddr, what: (&str, &str)) {
    out.extend_from_slice(comp_id.as_bytes());
    writeln!(out, "{peer}\n{}\n{}", what.0, what.1).expect("invariant: memory takes it");
}

/// What is said of a FIX request that there is no frame of.
const REQUEST_UNFIT: &str = "FIX request refused";

pub(crate) fn put_request_unfit(
    out: &mut Vec<u8>,
    comp_id: Text<20>,
    peer: SocketAddr,
    (why, cl_ord_id): (&str, &str),
) {
    put_session(out, comp_id, peer, (REQUEST_UNFIT, why));
    writeln!(out, "{cl_ord_id}").expect("invariant: memory takes it");
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It went to the core.
    Forwarded(Core),
    /// It was refused, with this code and text.
    Refused(u16, String),
}

/// A record, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A request of a client.
    Request {
        /// Whose session.
        comp_id: Text<20>,
        /// What became of it.
        outcome: Outcome,
        /// The request as the core gets it.
        frame: &'a [u8],
    },
    /// A report of a core.
    Report {
        /// PartitionNo as clients see it.
        partition_no: u16,
        /// ReportIndex.
        report_index: u64,
        /// Whose order it is about.
        account_id: Text<12>,
        /// The report as clients get it.
        frame: &'a [u8],
    },
    /// A client came or went.
    Session {
        /// Who; blank where it did not get so far.
        comp_id: Text<20>,
        /// Its address.
        peer: &'a str,
        /// What happened.
        what: &'a str,
        /// Why.
        why: &'a str,
        /// ClOrdID of a FIX request that was refused, as `escape_ascii` writes it; blank where it had none, and for all else that happens.
        cl_ord_id: &'a str,
    },
    /// An operator did something.
    Operator(&'a str),
    /// A request that was forwarded, or held to be, ended without a report.
    Reject {
        /// Who says so.
        by: By,
        /// The core that it was for.
        core: Core,
        /// Whose it was; blank where a core's word does not tell.
        account_id: Text<12>,
        /// The BusinessReject.
        frame: &'a [u8],
    },
}

/// A report that a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// PartitionNo as clients see it.
    pub partition_no: u16,
    /// ReportIndex.
    pub report_index: u64,
    /// When the store was given it, nanoseconds since 1970.
    pub unix_ns: u64,
    /// TransactTime, by which a report is told from another one of the same number; [`Timestamp::ZERO`] where it is not known.
    pub transact_time: Timestamp,
}

impl Kept {
    /// What is kept with this report, whole as clients get it.
    pub fn new(partition_no: u16, report_index: u64, unix_ns: u64, report: &[u8]) -> Self {
        Self { partition_no, report_index, unix_ns, transact_time: transact_time(report) }
    }

    /// The exchange's day (UTC+8) that it is of, as YYYYMMDD: by its TransactTime, without one by when the store was given it.
    pub fn day(&self) -> u64 {
        day_of(flow_of(self.transact_time, self.unix_ns.cast_signed()))
    }
}

/// TransactTime of a report.
fn transact_time(report: &[u8]) -> Timestamp {
    let Ok(Some(frame)) = frame::decode(report, frame::BODY_LEN_MAX) else { return Timestamp::ZERO };
    let base: Result<&ReportBase, DecodeError> = match frame.msg_type {
        OrderReport::MSG_TYPE => frame.view::<OrderReport>().map(|report| &report.base),
        TradeReport::MSG_TYPE => frame.view::<TradeReport>().map(|report| &report.base),
        CancelReject::MSG_TYPE => frame.view::<CancelReject>().map(|report| &report.base),
        _ => return Timestamp::ZERO,
    };
    base.map_or(Timestamp::ZERO, |base| base.transact_time)
}

/// A payload that is no record of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record of the audit")]
pub struct RecordError;

impl<'a> Record<'a> {
    /// Takes a journal's record apart.
    ///
    /// # Errors
    /// It was not written by an audit.
    pub fn parse(kind: u16, payload: &'a [u8]) -> Result<Self, RecordError> {
        match Kind::from_number(kind).ok_or(RecordError)? {
            Kind::Request => request(payload),
            Kind::Report => report(payload),
            Kind::Session => session(payload),
            Kind::Operator => std::str::from_utf8(payload).map(Self::Operator).ok(),
            Kind::Reject => reject(payload),
        }
        .ok_or(RecordError)
    }
}

fn text<const N: usize>(bytes: &[u8]) -> Option<Text<N>> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn request(payload: &[u8]) -> Option<Record<'_>> {
    let (head, rest) = payload.split_at_checked(24)?;
    let (why, frame) = rest.split_at_checked(usize::from(head[23]))?;
    let why = std::str::from_utf8(why).ok()?;
    let outcome = match Core::ALL.get(usize::from(head[2])) {
        Some(core) if why.is_empty() => Outcome::Forwarded(*core),
        _ => Outcome::Refused(u16::from_le_bytes([head[0], head[1]]), why.to_owned()),
    };
    Some(Record::Request { comp_id: text(&head[3..23])?, outcome, frame })
}

fn report(payload: &[u8]) -> Option<Record<'_>> {
    let (head, frame) = payload.split_at_checked(22)?;
    Some(Record::Report {
        partition_no: u16::from_le_bytes([head[0], head[1]]),
        report_index: u64::from_le_bytes(head[2..10].try_into().ok()?),
        account_id: text(&head[10..])?,
        frame,
    })
}

fn reject(payload: &[u8]) -> Option<Record<'_>> {
    let (head, frame) = payload.split_at_checked(14)?;
    let by = [By::Core, By::Gateway].into_iter().find(|by| *by as u8 == head[0])?;
    let core = *Core::ALL.get(usize::from(head[1]))?;
    Some(Record::Reject { by, core, account_id: text(&head[2..])?, frame })
}

fn session(payload: &[u8]) -> Option<Record<'_>> {
    let (comp_id, rest) = payload.split_at_checked(20)?;
    let mut lines = std::str::from_utf8(rest).ok()?.lines();
    let (peer, what, why) = (lines.next()?, lines.next()?, lines.next().unwrap_or_default());
    let cl_ord_id = match lines.next() {
        Some(cl_ord_id) => cl_ord_id,
        None if what == REQUEST_UNFIT => worded_cl_ord_id(why),
        None => "",
    };
    Some(Record::Session { comp_id: text(comp_id)?, peer, what, why, cl_ord_id })
}

/// Records of before there was a line for it have the ClOrdID in their words alone, `35=D 11=x1: ...`: up to the first colon.
fn worded_cl_ord_id(why: &str) -> &str {
    let named = why.split_once(" 11=").and_then(|(_, rest)| rest.split_once(": "));
    named.map_or("", |(cl_ord_id, _)| cl_ord_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_comes_back_as_it_went_in() {
        let comp_id: Text<20> = "client".parse().unwrap();
        let mut out = Vec::new();
        put_request(&mut out, comp_id, Some(Core::Margin), Ok(()));
        out.extend_from_slice(b"frame");
        let outcome = Outcome::Forwarded(Core::Margin);
        assert_eq!(Record::parse(1, &out), Ok(Record::Request { comp_id, outcome, frame: b"frame" }));
        out.clear();
        put_request(&mut out, comp_id, None, Err(Refusal::Duplicate));
        let refused = Refusal::Duplicate;
        let outcome = Outcome::Refused(refused.reason().raw(), refused.text().to_owned());
        assert_eq!(Record::parse(1, &out), Ok(Record::Request { comp_id, outcome, frame: b"" }));
        out.clear();
        let account_id = "a".parse().unwrap();
        out.extend_from_slice(&report_head(7, 8, account_id));
        out.extend_from_slice(b"frame");
        let report = Record::Report { partition_no: 7, report_index: 8, account_id, frame: b"frame" };
        assert_eq!(Record::parse(2, &out), Ok(report));
        out.clear();
        put_session(&mut out, comp_id, "127.0.0.1:9".parse().unwrap(), ("ended", "logged out"));
        let (peer, what, why) = ("127.0.0.1:9", "ended", "logged out");
        let session = Record::Session { comp_id, peer, what, why, cl_ord_id: "" };
        assert_eq!(Record::parse(3, &out), Ok(session));
        assert_eq!(Record::parse(4, b"kill"), Ok(Record::Operator("kill")));
        out.clear();
        out.extend_from_slice(&reject_head((By::Gateway, Core::Margin, account_id)));
        out.extend_from_slice(b"frame");
        let reject = Record::Reject { by: By::Gateway, core: Core::Margin, account_id, frame: b"frame" };
        assert_eq!(Record::parse(5, &out), Ok(reject));
    }

    #[test]
    fn the_cl_ord_id_of_a_fix_request_that_was_refused_is_a_field_and_in_older_records_words() {
        let comp_id: Text<20> = "client".parse().unwrap();
        let (peer, what) = ("127.0.0.1:9", "FIX request refused");
        let of = |why, cl_ord_id| Ok(Record::Session { comp_id, peer, what, why, cl_ord_id });
        for (why, cl_ord_id) in [
            ("35=D 11=x 11=y: z: too long", "x 11=y: z"),
            ("35=D 11=x1: missing 44 Price", "x1"),
            ("35=D 11=: Required tag missing: 11 ClOrdID", ""),
        ] {
            let mut out = Vec::new();
            put_request_unfit(&mut out, comp_id, peer.parse().unwrap(), (why, cl_ord_id));
            assert_eq!(Record::parse(3, &out), of(why, cl_ord_id));
        }
        for (why, cl_ord_id) in [
            ("35=D 11=x1: Required tag missing: 38 OrderQty", "x1"),
            ("35=D 11=: missing 44 Price", ""),
            ("no ClOrdID", ""),
        ] {
            let mut out = Vec::new();
            put_session(&mut out, comp_id, peer.parse().unwrap(), (what, why));
            assert_eq!(Record::parse(3, &out), of(why, cl_ord_id));
        }
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        for kind in 0..6 {
            for len in 0..30 {
                if kind != 4 {
                    assert_eq!(Record::parse(kind, &vec![0xff; len]), Err(RecordError), "{kind} {len}");
                }
            }
        }
    }
}
