//! An audit store of a broker's own: JSON, a line each, in one file that other programs may follow (`tail -f`, a shipper of logs).
//!
//! A commit is one write and one fdatasync(2). What a crash left of a last line is cut when the file is opened again: it was
//! not committed, so nobody has relied on it.

use gateway::audit::{Kept, Kind, Outcome, Record, Store, StoreError};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use wire::szse::trading::{CancelReject, NewOrder, OrderCancelRequest, OrderReport, TradeReport};
use wire::szse::{Timestamp, frame};

/// Bytes that wait for a commit, at most.
const BUFFER_MAX: usize = 8 << 20;
/// The longest frame that a record has.
const FRAME_MAX: usize = 64 << 10;

/// The store.
#[derive(Debug)]
pub struct JsonLines {
    file: File,
    /// What is committed.
    end: u64,
    buffer: Vec<u8>,
    payload: Vec<u8>,
    /// A sync has failed: what the system could not write it may have dropped.
    broken: bool,
}

impl JsonLines {
    /// Opens the file, which is made if it is not there. One process has it at a time.
    ///
    /// # Errors
    /// What the system says; also when another process has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(io::Error::from)?;
        let end = whole_lines(&file)?;
        let unfinished = file.metadata()?.len() - end;
        if unfinished > 0 {
            tracing::warn!(bytes = unfinished, "audit: the unfinished end of the file was cut");
            file.set_len(end)?;
        }
        Ok(Self { file, end, buffer: Vec::new(), payload: Vec::new(), broken: false })
    }
}

/// Where the last whole line ends.
fn whole_lines(file: &File) -> io::Result<u64> {
    let (mut end, mut at) = (0, 0);
    let mut chunk = vec![0; 1 << 20];
    loop {
        let read = file.read_at(&mut chunk, at)?;
        if read == 0 {
            return Ok(end);
        }
        if let Some(last) = chunk[..read].iter().rposition(|byte| *byte == b'\n') {
            end = at + last as u64 + 1;
        }
        at += read as u64;
    }
}

impl Store for JsonLines {
    fn append(&mut self, kind: Kind, unix_ns: u64, parts: &[&[u8]]) -> Result<(), StoreError> {
        if self.buffer.len() >= BUFFER_MAX {
            return Err(StoreError::BufferFull);
        }
        self.payload.clear();
        parts.iter().for_each(|part| self.payload.extend_from_slice(part));
        let record = Record::parse(kind as u16, &self.payload);
        let record = record.map_err(|error| StoreError::Outside(error.to_string()))?;
        let mut line = json_of(&record);
        line["kind"] = kind.name().into();
        line["unix_ns"] = unix_ns.into();
        self.buffer.extend_from_slice(line.to_string().as_bytes());
        self.buffer.push(b'\n');
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let outside = |error: io::Error| StoreError::Outside(error.to_string());
        if self.broken {
            return Err(StoreError::Outside("an earlier sync has failed".to_owned()));
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        // What a call that failed has written is written again, at the same place.
        self.file.write_all_at(&self.buffer, self.end).map_err(outside)?;
        if let Err(error) = self.file.sync_data() {
            self.broken = true;
            return Err(outside(error));
        }
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn reports(&mut self, since_unix_ns: u64, see: &mut dyn FnMut(Kept)) -> Result<(), StoreError> {
        let outside = |error: io::Error| StoreError::Outside(error.to_string());
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(outside)?;
        for line in BufReader::new(file.take(self.end)).lines() {
            let line: Value = serde_json::from_str(&line.map_err(outside)?)
                .map_err(|error| StoreError::Outside(format!("not a line of ours: {error}")))?;
            let number = |key: &str| line[key].as_u64();
            let (Some(partition), Some(index)) = (number("partition_no"), number("report_index")) else {
                continue;
            };
            if number("unix_ns").is_some_and(|unix_ns| unix_ns >= since_unix_ns) {
                see(Kept {
                    partition_no: u16::try_from(partition).unwrap_or(u16::MAX),
                    report_index: index,
                    unix_ns: number("unix_ns").unwrap_or(0),
                    transact_time: Timestamp::from_raw(line["transact_time"].as_i64().unwrap_or(0)),
                });
            }
        }
        Ok(())
    }
}

fn json_of(record: &Record<'_>) -> Value {
    if let Record::Operator(what) = record {
        return json!({ "what": what });
    }
    match record {
        Record::Request { comp_id, outcome, frame } => {
            let (core, code, text) = match outcome {
                Outcome::Forwarded(core) => (Some(core.name()), None, None),
                Outcome::Refused(code, text) => (None, Some(*code), Some(text.as_str())),
            };
            json!({
                "comp_id": comp_id.to_string(), "forwarded_to": core,
                "code": code, "refused": text, "message": message(frame), "frame": hex(frame),
            })
        }
        Record::Report { partition_no, report_index, account_id, frame } => json!({
            "partition_no": partition_no, "report_index": report_index,
            "account_id": account_id.to_string(), "message": message(frame), "frame": hex(frame),
            "transact_time": Kept::new(*partition_no, *report_index, 0, frame).transact_time.raw(),
        }),
        Record::Session { comp_id, peer, what, why, cl_ord_id } => json!({
            "comp_id": comp_id.to_string(), "peer": peer, "what": what, "why": why, "cl_ord_id": cl_ord_id,
        }),
        // What a gateway keeps some day that this store has no words of its own for.
        other => json!({ "what": format!("{other:?}") }),
    }
}

/// What people look for; the whole message is in the frame.
fn message(bytes: &[u8]) -> Value {
    let Ok(Some(frame)) = frame::decode(bytes, FRAME_MAX) else { return Value::Null };
    if let Ok(order) = frame.view::<NewOrder>() {
        return json!({
            "cl_ord_id": order.cl_ord_id.to_string(), "account_id": order.account_id.to_string(),
            "branch_id": order.branch_id.to_string(), "security_id": order.base.security_id.to_string(),
            "side": format!("{:?}", order.side), "price": order.price.to_string(),
            "quantity": order.order_qty.to_string(),
        });
    }
    if let Ok(cancel) = frame.view::<OrderCancelRequest>() {
        let of = cancel.orig_cl_ord_id.to_string();
        return json!({ "cl_ord_id": cancel.cl_ord_id.to_string(), "orig_cl_ord_id": of });
    }
    if let Ok(report) = frame.view::<OrderReport>() {
        return json!({
            "cl_ord_id": report.cl_ord_id.to_string(), "order_id": report.order_id.to_string(),
            "exec_type": format!("{:?}", report.exec_type), "reason": report.ord_rej_reason.raw(),
        });
    }
    if let Ok(trade) = frame.view::<TradeReport>() {
        return json!({
            "cl_ord_id": trade.cl_ord_id.to_string(), "order_id": trade.order_id.to_string(),
            "price": trade.last_px.to_string(), "quantity": trade.last_qty.to_string(),
        });
    }
    if let Ok(reject) = frame.view::<CancelReject>() {
        let reason = reject.cxl_rej_reason.raw();
        return json!({ "cl_ord_id": reject.cl_ord_id.to_string(), "reason": reason });
    }
    json!({ "msg_type": frame.msg_type })
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of the kind operator: its payload is text.
    fn note(store: &mut JsonLines, what: &str) {
        store.append(Kind::Operator, 5, &[&what.as_bytes()[..1], &what.as_bytes()[1..]]).expect("taken");
    }

    #[test]
    fn what_is_committed_stays_and_what_was_being_written_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut store = JsonLines::open(&path).unwrap();
        note(&mut store, "first");
        store.commit().unwrap();
        note(&mut store, "never committed");
        assert!(JsonLines::open(&path).is_err(), "one at a time");
        drop(store);
        let whole = std::fs::read_to_string(&path).unwrap();
        assert_eq!(whole, "{\"kind\":\"operator\",\"unix_ns\":5,\"what\":\"first\"}\n");
        std::fs::write(&path, format!("{whole}{{\"kind\":\"oper")).unwrap();
        let mut store = JsonLines::open(&path).unwrap();
        note(&mut store, "second");
        store.commit().unwrap();
        let lines = std::fs::read_to_string(&path).unwrap();
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.ends_with("\"what\":\"second\"}\n"), "{lines}");
    }

    #[test]
    fn it_says_which_reports_of_a_day_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let line = |index: u64, unix_ns: u64| {
            json!({ "kind": "report", "partition_no": 2, "report_index": index, "unix_ns": unix_ns })
                .to_string()
        };
        std::fs::write(&path, format!("{}\n{}\n{}\n", line(9, 5), line(1, 10), line(2, 11))).unwrap();
        let mut seen = Vec::new();
        let mut see = |kept: Kept| seen.push((kept.partition_no, kept.report_index));
        JsonLines::open(&path).unwrap().reports(10, &mut see).unwrap();
        assert_eq!(seen, [(2, 1), (2, 2)]);
        std::fs::write(&path, "nonsense\n").unwrap();
        let error = JsonLines::open(&path).unwrap().reports(0, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("not a line of ours"), "{error}");
    }

    #[test]
    fn a_full_buffer_asks_for_a_commit_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = JsonLines::open(&folder.path().join("audit.jsonl")).unwrap();
        store.buffer = vec![b'\n'; BUFFER_MAX];
        assert!(matches!(store.append(Kind::Operator, 5, &[b"x"]), Err(StoreError::BufferFull)));
        store.commit().unwrap();
        note(&mut store, "x");
        assert!(matches!(store.append(Kind::Report, 5, &[b"x"]), Err(StoreError::Outside(_))), "no record");
    }
}
