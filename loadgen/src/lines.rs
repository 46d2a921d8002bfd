//! `loadgen lines`: what one leased line to a core must carry by itself (单线带宽评估).

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use wire::szse::frame::OVERHEAD;

use crate::admin;
use crate::figures::count;

/// What TLS 1.3 adds to a record: header 5, content type 1, tag 16. The worst case is one message a record.
pub const TLS_RECORD_BYTES: f64 = 22.0;
/// What TCP and IPv4 add to a segment: 20 each, and 12 for timestamps. The worst case is one message a segment.
pub const SEGMENT_BYTES: f64 = 52.0;
/// An acknowledgement that carries nothing. The worst case is one for each segment of the other direction.
pub const ACK_BYTES: f64 = 52.0;
/// The gateway takes no lower `bandwidth_bytes_per_s`.
const BANDWIDTH_MIN: u64 = 8_000;

/// What a line's messages go over
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// Plain TCP
    Tcp,
    /// TLS over TCP
    Tls,
}

/// What one line to a core must carry alone when the other one is dead: bytes a second from sizes and rates at the peak
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Orders a second at the peak, over both lines together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub peak_orders_per_s: u32,
    /// Admin port of a gateway that trades: what an order costs, cancels, reports and all, is then taken from what its lines
    /// have carried since its start, and not from the five figures below
    #[arg(long, value_name = "ADDRESS",
        conflicts_with_all = ["cancels_percent", "fills_per_order", "order_bytes", "cancel_bytes", "report_bytes"])]
    pub measured: Option<SocketAddr>,
    /// An operator's token for that admin port (role `read` is enough), in a file of its own
    #[arg(long, requires = "measured", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Cancels for a hundred orders
    #[arg(long, default_value_t = 20, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub cancels_percent: u32,
    /// Fills of an order, on average
    #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = fills)]
    pub fills_per_order: f64,
    /// Bytes of an order
    #[arg(long, default_value_t = 121, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub order_bytes: u32,
    /// Bytes of a cancel
    #[arg(long, default_value_t = 98, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub cancel_bytes: u32,
    /// Bytes of a report; the default is that of an acceptance, the longest of the usual ones
    #[arg(long, default_value_t = 211, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub report_bytes: u32,
    /// What the line's messages go over
    #[arg(long, value_enum, default_value_t = Carrier::Tls, value_name = "TRANSPORT")]
    pub transport: Carrier,
    /// Added to what is computed
    #[arg(long, default_value_t = 30, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub margin_percent: u32,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

fn fills(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number".to_string())?;
    if (0.0..=1_000.0).contains(&value) { Ok(value) } else { Err("expected 0 to 1000".to_string()) }
}

/// One direction of a line, at the peak.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Direction {
    /// Messages a second.
    pub messages_per_s: u64,
    /// Bytes of the protocol a second, as the gateway's metrics count them; without the margin.
    pub protocol_bytes_per_s: u64,
    /// Bytes a second on the line in the worst case, with the margin.
    pub line_bytes_per_s: u64,
    /// The same in megabits.
    pub line_mbit_per_s: f64,
}

/// What one line alone must carry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Need {
    /// What it is computed for.
    pub transport: Carrier,
    /// To the core.
    pub to_core: Direction,
    /// From the core.
    pub from_core: Direction,
    /// For `[[cores]]`: the busier direction in bytes of the protocol, with the margin.
    pub bandwidth_bytes_per_s: u64,
}

/// What an order brings about, itself and all that belongs to it: messages and bytes of the protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerOrder {
    /// To the core.
    pub sent: (f64, f64),
    /// From the core.
    pub received: (f64, f64),
}

impl PerOrder {
    /// From the sizes and rates of the arguments. A cancel has one report.
    #[must_use]
    pub fn told(args: &Args) -> Self {
        let cancels = f64::from(args.cancels_percent) / 100.0;
        let reports = 1.0 + args.fills_per_order + cancels;
        Self {
            sent: (1.0 + cancels, f64::from(args.order_bytes) + cancels * f64::from(args.cancel_bytes)),
            received: (reports, reports * f64::from(args.report_bytes)),
        }
    }

    /// From what a gateway's lines have carried so far, all cores together.
    ///
    /// # Errors
    /// It does not answer, wants a token that `token_file` does not have, or has forwarded no order yet.
    pub fn measured(gateway: SocketAddr, token_file: Option<&Path>) -> anyhow::Result<Self> {
        let token = token_file.map(token).transpose()?;
        let metrics = admin::get(gateway, "/metrics")?;
        let lines = match &token {
            Some(token) => admin::get_as(gateway, "/lines", token)?,
            None => admin::get(gateway, "/lines")
                .context("is `[control]` on there? then --token-file is wanted")?,
        };
        let lines = serde_json::from_str(&lines).context("what /lines says")?;
        Self::from_counters(&metrics, lines).with_context(|| format!("the gateway at {gateway}"))
    }

    fn from_counters(metrics: &str, lines: Vec<Carried>) -> anyhow::Result<Self> {
        let sum = |name: &str| admin::counted(metrics, name);
        let orders = sum("gateway_orders_total");
        ensure!(orders > 0.0, "it has forwarded no order since its start: there is nothing to measure");
        let of_an_order = |count: f64, bytes: f64| (count / orders, bytes / orders);
        let reports = ["", "_duplicate", "_repeated", "_unowned"];
        let reports = reports.map(|kind| sum(&format!("gateway_reports{kind}_total"))).iter().sum();
        let (sent, received) = lines.iter().fold((0.0, 0.0), |(sent, received), line| {
            (sent + line.sent_bytes as f64, received + line.received_bytes as f64)
        });
        Ok(Self {
            sent: of_an_order(orders + sum("gateway_cancels_total"), sent),
            received: of_an_order(reports, received),
        })
    }
}

/// The token in a file: its only line.
fn token(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let token = text.trim();
    let fit = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(fit, "{}: expected the token alone, in one line", path.display());
    Ok(token.to_owned())
}

/// Of `/lines`, what is needed here.
#[derive(Deserialize)]
struct Carried {
    sent_bytes: u64,
    received_bytes: u64,
}

/// Computes it. A heartbeat a second is counted in each direction.
///
/// # Errors
/// [`PerOrder::measured`], where that is asked for.
pub fn need(args: &Args) -> anyhow::Result<Need> {
    let measured = |gateway| PerOrder::measured(gateway, args.token_file.as_deref());
    let order = args.measured.map_or_else(|| Ok(PerOrder::told(args)), measured)?;
    let at_peak = |(messages, bytes): (f64, f64)| {
        let orders = f64::from(args.peak_orders_per_s);
        (orders * messages + 1.0, orders * bytes + OVERHEAD as f64)
    };
    let ((out, sent), (back, received)) = (at_peak(order.sent), at_peak(order.received));
    let margin = f64::from(100 + args.margin_percent) / 100.0;
    let record = if args.transport == Carrier::Tls { TLS_RECORD_BYTES } else { 0.0 };
    let direction = |messages: f64, bytes: f64, others: f64| {
        let line = (bytes + messages * (record + SEGMENT_BYTES) + others * ACK_BYTES) * margin;
        Direction {
            messages_per_s: messages.round() as u64,
            protocol_bytes_per_s: bytes.round() as u64,
            line_bytes_per_s: line.round() as u64,
            line_mbit_per_s: line * 8.0 / 1e6,
        }
    };
    Ok(Need {
        transport: args.transport,
        to_core: direction(out, sent, back),
        from_core: direction(back, received, out),
        bandwidth_bytes_per_s: ((sent.max(received) * margin).round() as u64).max(BANDWIDTH_MIN),
    })
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:>12} {:>16} {:>16} {:>10}",
            "direction", "messages/s", "protocol B/s", "line B/s", "Mbit/s"
        )?;
        for (name, way) in [("to core", &self.to_core), ("from core", &self.from_core)] {
            let (messages, protocol) = (count(way.messages_per_s), count(way.protocol_bytes_per_s));
            let line = count(way.line_bytes_per_s);
            writeln!(f, "{name:<10} {messages:>12} {protocol:>16} {line:>16} {:>10.2}", way.line_mbit_per_s)?;
        }
        writeln!(f, "bandwidth_bytes_per_s = {}", self.bandwidth_bytes_per_s)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn of(line: &str) -> Need {
        need(&Line::try_parse_from(std::iter::once("test").chain(line.split_whitespace())).unwrap().args)
            .unwrap()
    }

    #[test]
    fn both_directions_are_added_up_by_hand() {
        let need = of("--peak-orders-per-s 1000 --transport tcp --margin-percent 0");
        // 1000 orders, 200 cancels; 1000 acceptances, 1000 fills, 200 cancelled; a heartbeat each.
        assert_eq!((need.to_core.messages_per_s, need.from_core.messages_per_s), (1_201, 2_201));
        assert_eq!(need.to_core.protocol_bytes_per_s, 121_000 + 19_600 + 12);
        assert_eq!(need.from_core.protocol_bytes_per_s, 2_200 * 211 + 12);
        assert_eq!(need.to_core.line_bytes_per_s, 140_612 + 52 * (1_201 + 2_201));
        assert_eq!(need.from_core.line_bytes_per_s, 464_212 + 52 * (1_201 + 2_201));
        assert_eq!(need.bandwidth_bytes_per_s, 464_212);
    }

    #[test]
    fn what_a_gateway_counted_is_divided_among_its_orders() {
        let metrics = "# HELP gateway_orders_total Orders.\n# TYPE gateway_orders_total counter\n\
            gateway_orders_total{core=\"cash\"} 6\ngateway_orders_total{core=\"margin\"} 4\n\
            gateway_cancels_total{core=\"cash\"} 2\ngateway_reports_total{core=\"cash\"} 20\n\
            gateway_reports_unowned_total{core=\"cash\"} 1\ngateway_orders_known 10\n";
        let carried = |sent_bytes, received_bytes| Carried { sent_bytes, received_bytes };
        let order = PerOrder::from_counters(metrics, vec![carried(1_000, 4_000), carried(500, 0)]).unwrap();
        assert_eq!(order, PerOrder { sent: (1.2, 150.0), received: (2.1, 400.0) });
        let idle =
            PerOrder::from_counters("gateway_orders_total{core=\"cash\"} 0\n", Vec::new()).unwrap_err();
        assert!(idle.to_string().contains("no order"), "{idle}");
    }

    /// A server with a `[control]`: `/metrics` is free, `/lines` wants the token.
    fn guarded(listener: &std::net::TcpListener) {
        use std::io::{Read, Write};
        for _ in 0..2 {
            let mut stream = listener.accept().unwrap().0;
            let (mut asked, mut byte) = (String::new(), [0]);
            while !asked.ends_with("\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                asked.push(char::from(byte[0]));
            }
            let (status, body) = if asked.starts_with("GET /metrics ") {
                ("200 OK", "gateway_orders_total{core=\"cash\"} 10\n")
            } else if asked.contains("authorization: Bearer 0123456789abcdef\r\n") {
                ("200 OK", "[{\"sent_bytes\": 1210, \"received_bytes\": 2110}]")
            } else {
                ("401 Unauthorized", "a token is wanted")
            };
            write!(stream, "HTTP/1.1 {status}\r\n\r\n{body}").unwrap();
        }
    }

    #[test]
    fn a_gateway_with_tokens_is_measured_with_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || (0..2).for_each(|_| guarded(&listener)));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"0123456789abcdef\n").unwrap();
        let order = PerOrder::measured(at, Some(file.path())).unwrap();
        assert_eq!((order.sent.1, order.received.1), (121.0, 211.0));
        let error = format!("{:#}", PerOrder::measured(at, None).unwrap_err());
        assert!(error.contains("--token-file") && error.contains("a token is wanted"), "{error}");
        server.join().unwrap();
        std::io::Write::write_all(&mut file, b"another line\n").unwrap();
        let error = PerOrder::measured(at, Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("the token alone"), "{error}");
    }

    #[test]
    fn json_has_the_keys_that_the_docs_name() {
        let json = serde_json::to_value(of("--peak-orders-per-s 1000")).unwrap();
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&json), ["bandwidth_bytes_per_s", "from_core", "to_core", "transport"]);
        let direction = ["line_bytes_per_s", "line_mbit_per_s", "messages_per_s", "protocol_bytes_per_s"];
        assert_eq!(keys(&json["to_core"]), direction);
    }

    #[test]
    fn tls_adds_a_record_to_each_message_and_not_to_the_bandwidth() {
        let (tcp, tls) = ["tcp", "tls"]
            .map(|t| of(&format!("--peak-orders-per-s 1000 --margin-percent 0 --transport {t}")))
            .into();
        assert_eq!(tls.to_core.line_bytes_per_s - tcp.to_core.line_bytes_per_s, 22 * 1_201);
        assert_eq!(tls.bandwidth_bytes_per_s, tcp.bandwidth_bytes_per_s);
    }

    #[test]
    fn the_margin_counts_and_the_gateway_s_least_is_kept() {
        let need = of("--peak-orders-per-s 1000 --margin-percent 50");
        assert_eq!(need.bandwidth_bytes_per_s, 464_212 * 3 / 2);
        assert_eq!(of("--peak-orders-per-s 1").bandwidth_bytes_per_s, 8_000);
        let wrong = ["test", "--peak-orders-per-s", "1", "--fills-per-order", "NaN"];
        assert!(Line::try_parse_from(wrong).is_err());
    }
}
