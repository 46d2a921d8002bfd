//! Reads a gateway's audit: prints it, and says whether all of it is there.

use anyhow::Context;
use clap::{Parser, Subcommand};
use gateway::audit::{Kept, Outcome, Record};
use gateway::refused::By;
use journal::Reader;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use wire::szse::trading::{
    BusinessReject, CancelReject, NewOrder, OrderCancelRequest, OrderReport, TradeReport,
};
use wire::szse::{Message, Timestamp, frame};

/// Reads a gateway's audit journal; the gateway may be running.
#[derive(Parser)]
#[command(name = "gateway-audit", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints records, one JSON object a line. Exit code 3 where none is what was asked for, 1 where the audit cannot be read
    Print {
        /// The directory of `[audit]`
        directory: PathBuf,
        /// The first record; left out, the oldest that is there
        #[arg(long)]
        from: Option<u64>,
        /// Only what concerns this account
        #[arg(long)]
        account: Option<String>,
        /// Only what concerns this ClOrdID, cancels of the order among it
        #[arg(long)]
        cl_ord_id: Option<String>,
    },
    /// Reads all of it: every record is whole, and no report is missing, doubled or out of order. Exit code 1 otherwise, and
    /// where there is no audit
    Verify {
        /// The directory of `[audit]`
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(manual::parse::<Cli>().command) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway-audit: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Who reads has seen enough: `gateway-audit print … | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let code = match command {
        Command::Print { directory, from, account, cl_ord_id } => {
            print(Reader::existing(&directory, from)?, &Wanted { account, cl_ord_id }, &mut out)?
        }
        Command::Verify { directory } => verify(Reader::existing(&directory, None)?, &mut out)?,
    };
    out.flush()?;
    Ok(code)
}

/// Which records are asked for.
struct Wanted {
    account: Option<String>,
    cl_ord_id: Option<String>,
}

impl Wanted {
    fn is(&self, record: &Value) -> bool {
        let is = |keys: &[&str], wanted: &Option<String>| {
            let Some(wanted) = wanted else { return true };
            keys.iter().any(|key| record[*key].as_str() == Some(wanted.as_str()))
        };
        is(&["account"], &self.account) && is(&["cl_ord_id", "orig_cl_ord_id"], &self.cl_ord_id)
    }

    /// In words; `None` where all are.
    fn told(&self) -> Option<String> {
        let of = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
        let told: Vec<String> =
            [of("account", &self.account), of("ClOrdID", &self.cl_ord_id)].into_iter().flatten().collect();
        (!told.is_empty()).then(|| told.join(" and "))
    }
}

/// No record is what was asked for; 1 says that the audit cannot be read, 2 that the command line cannot.
const NONE_FOUND: u8 = 3;

fn print(mut reader: Reader, wanted: &Wanted, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let (first, mut found) = (reader.next_number(), false);
    while let Some(record) = reader.next()? {
        let told = Record::parse(record.kind, record.payload)
            .with_context(|| format!("record {}", record.number))?;
        let mut told = json_of(&told);
        told["number"] = json!(record.number);
        told["time"] = json!(Timestamp::from_unix_ns(record.unix_ns).to_string());
        if wanted.is(&told) {
            writeln!(out, "{told}")?;
            found = true;
        }
    }
    match wanted.told() {
        Some(wanted) if !found => {
            eprintln!("gateway-audit: no record has {wanted} ({})", span(first, reader.next_number() - 1));
            Ok(ExitCode::from(NONE_FOUND))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// What was read.
fn span(first: u64, last: u64) -> String {
    if last < first { "no record".to_owned() } else { format!("records {first} to {last}") }
}

fn json_of(record: &Record<'_>) -> Value {
    match record {
        Record::Request { comp_id, outcome, frame } => {
            let mut told = json_of_frame(frame);
            told["record"] = json!("request");
            told["comp_id"] = json!(comp_id.to_string());
            match outcome {
                Outcome::Forwarded(core) => told["forwarded_to"] = json!(core.name()),
                Outcome::Refused(code, text) => {
                    told["refused"] = json!(text);
                    told["code"] = json!(code);
                }
            }
            told
        }
        Record::Report { partition_no, report_index, account_id, frame } => {
            let mut told = json_of_frame(frame);
            told["record"] = json!("report");
            told["partition_no"] = json!(partition_no);
            told["report_index"] = json!(report_index);
            told["account"] = json!(account_id.to_string());
            told
        }
        Record::Session { comp_id, peer, what, why, cl_ord_id } => {
            let comp_id = comp_id.to_string();
            let mut told =
                json!({ "record": "session", "comp_id": comp_id, "peer": peer, "what": what, "why": why });
            if !cl_ord_id.is_empty() {
                told["cl_ord_id"] = json!(cl_ord_id);
            }
            told
        }
        Record::Operator(what) => json!({ "record": "operator", "what": what }),
        Record::Reject { by, core, account_id, frame } => {
            let mut told = json_of_frame(frame);
            told["record"] = json!("reject");
            told["by"] = json!(match by {
                By::Core => "core",
                By::Gateway => "gateway",
            });
            told["core"] = json!(core.name());
            told["account"] = json!(account_id.to_string());
            told
        }
    }
}

/// The fields that matter of a request or a report.
fn json_of_frame(bytes: &[u8]) -> Value {
    let Ok(Some(frame)) = frame::decode(bytes, frame::BODY_LEN_MAX) else { return json!({}) };
    match frame.msg_type {
        NewOrder::MSG_TYPE => frame.view::<NewOrder>().map(|order| {
            json!({
                "message": "NewOrder", "account": order.account_id.to_string(),
                "cl_ord_id": order.cl_ord_id.to_string(), "security": order.base.security_id.to_string(),
                "side": char::from(order.side.raw()).to_string(), "price": order.price.to_string(),
                "quantity": order.order_qty.to_string(),
                "cash_margin": char::from(order.ext.cash_margin.raw()).to_string(),
            })
        }),
        OrderCancelRequest::MSG_TYPE => frame.view::<OrderCancelRequest>().map(|cancel| {
            json!({
                "message": "OrderCancelRequest", "cl_ord_id": cancel.cl_ord_id.to_string(),
                "orig_cl_ord_id": cancel.orig_cl_ord_id.to_string(), "order_id": cancel.order_id.to_string(),
                "security": cancel.base.security_id.to_string(),
            })
        }),
        OrderReport::MSG_TYPE => frame.view::<OrderReport>().map(|report| {
            json!({
                "message": "ExecutionReport", "cl_ord_id": report.cl_ord_id.to_string(),
                "orig_cl_ord_id": report.orig_cl_ord_id.to_string(), "order_id": report.order_id.to_string(),
                "exec_type": char::from(report.exec_type.raw()).to_string(),
                "leaves": report.leaves_qty.to_string(), "reason": report.ord_rej_reason.raw(),
            })
        }),
        TradeReport::MSG_TYPE => frame.view::<TradeReport>().map(|report| {
            json!({
                "message": "Trade", "cl_ord_id": report.cl_ord_id.to_string(),
                "order_id": report.order_id.to_string(), "price": report.last_px.to_string(),
                "quantity": report.last_qty.to_string(), "leaves": report.leaves_qty.to_string(),
            })
        }),
        CancelReject::MSG_TYPE => frame.view::<CancelReject>().map(|report| {
            json!({
                "message": "CancelReject", "cl_ord_id": report.cl_ord_id.to_string(),
                "orig_cl_ord_id": report.orig_cl_ord_id.to_string(), "order_id": report.order_id.to_string(),
            })
        }),
        BusinessReject::MSG_TYPE => frame.view::<BusinessReject>().map(|reject| {
            json!({
                "message": "BusinessReject", "cl_ord_id": reject.business_reject_ref_id.to_string(),
                "of": reject.ref_msg_type.get(), "code": reject.business_reject_reason.raw(),
                "text": reject.business_reject_text.to_string(),
            })
        }),
        other => Ok(json!({ "message": other })),
    }
    .unwrap_or_else(|_| json!({ "message": "malformed" }))
}

fn verify(mut reader: Reader, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let first = reader.next_number();
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    // Of each partition the day of its flow's first report, and the highest ReportIndex. A client's reports are some of a partition's, so
    // numbers leave others out; none may come twice, or behind a later one, but those of a later day.
    let mut flows: HashMap<u16, (u64, u64)> = HashMap::new();
    let mut wrong = 0_u64;
    let end = loop {
        let (number, kind, record) = match reader.next() {
            Ok(Some(record)) => (
                record.number,
                record.kind,
                Record::parse(record.kind, record.payload).map(|of| match of {
                    Record::Request { .. } => ("request", None),
                    Record::Report { partition_no, report_index, frame, .. } => {
                        ("report", Some(Kept::new(partition_no, report_index, record.unix_ns, frame)))
                    }
                    Record::Session { .. } => ("session", None),
                    Record::Operator(_) => ("operator", None),
                    Record::Reject { .. } => ("reject", None),
                }),
            ),
            Ok(None) => break None,
            Err(error) => break Some(error),
        };
        let Ok((name, report)) = record else {
            writeln!(out, "record {number}: kind {kind} is not a record of the audit")?;
            wrong += 1;
            continue;
        };
        *kinds.entry(name).or_default() += 1;
        if let Some(report) = report {
            let (partition, index, day) = (report.partition_no, report.report_index, report.day());
            let flow = flows.entry(partition).or_insert((day, 0));
            let (begun, before) = *flow;
            if index > before {
                flow.1 = index;
            } else {
                *flow = (day, index);
                if day <= begun {
                    writeln!(
                        out,
                        "record {number}: report {index} of partition {partition} comes behind {before}"
                    )?;
                    wrong += 1;
                }
            }
        }
    };
    writeln!(out, "{}", span(first, reader.next_number() - 1))?;
    for (name, count) in kinds {
        writeln!(out, "  {name}: {count}")?;
    }
    if let Some(error) = end {
        writeln!(out, "{error}")?;
        wrong += 1;
    }
    Ok(ExitCode::from(u8::from(wrong > 0)))
}
