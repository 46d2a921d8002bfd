//! Reads what the audit of a gateway holds.

use std::path::Path;

use anyhow::{Context, bail};
use gateway::audit::{Outcome, Record};
use journal::Reader;
use wire::szse::Message;
use wire::szse::frame::{self, BODY_LEN_MAX};
use wire::szse::trading::NewOrder;

use super::evidence::{Passed, Report, Trail};

/// All of it, from the first record on.
pub(super) fn read(gateway: &'static str, directory: &Path) -> anyhow::Result<Trail> {
    let context = || format!("the audit of gateway {gateway}");
    let mut reader = Reader::open(directory, 1).with_context(context)?;
    let mut trail = Trail { gateway, ..Trail::default() };
    while let Some(record) = reader.next().with_context(context)? {
        trail.records += 1;
        take(&mut trail, record.kind, record.payload)
            .with_context(|| format!("{}: record {}", context(), record.number))?;
    }
    Ok(trail)
}

fn take(trail: &mut Trail, kind: u16, payload: &[u8]) -> anyhow::Result<()> {
    match Record::parse(kind, payload)? {
        Record::Request { outcome: Outcome::Forwarded(core), frame, .. } => {
            let Some(frame) = frame::decode(frame, BODY_LEN_MAX)? else { bail!("not a whole request") };
            if frame.msg_type == NewOrder::MSG_TYPE {
                trail.orders.push(Passed::of(core.name(), frame.view()?));
            }
        }
        Record::Report { partition_no, report_index, frame, .. } => {
            let Some(frame) = frame::decode(frame, BODY_LEN_MAX)? else { bail!("not a whole report") };
            let Some(report) = Report::of(&frame)? else { bail!("message {} as a report", frame.msg_type) };
            let stated = (i32::from(partition_no), report_index.cast_signed());
            if stated != (report.place.partition, report.place.index) {
                bail!(
                    "kept as report {report_index} of partition {partition_no}, but it is {}",
                    report.place
                );
            }
            trail.reports.push((report.place, report.digest));
        }
        Record::Request { outcome: Outcome::Refused(..), .. }
        | Record::Session { .. }
        | Record::Operator(_)
        | Record::Reject { .. } => {}
    }
    Ok(())
}
