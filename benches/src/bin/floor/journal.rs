//! Records that are made durable in groups: by the system calls alone, by the journal, by JetStream.
//!
//! Closed loop, for what is asked is what a disk or a cluster does, not how long somebody waits for it: the next group begins when the one
//! before it is durable.

use anyhow::{Context, bail};
use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, StorageType};
use journal::{Limits, Writer};
use loadgen::recorder::histogram;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;
use transport::Clock;

const NS_PER_S: u64 = 1_000_000_000;
/// Length of the file that is written beforehand; then from its beginning again.
const PREWRITTEN_BYTES: u64 = 64 << 20;
const STREAM: &str = "journal";
/// A cluster needs so long at most until it has a leader.
const READY: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// write(2) at the end of a file, fdatasync(2)
    Growing,
    /// The same within a file that was written before
    Prewritten,
    /// The journal of gateway and core
    Journal,
    /// A stream of NATS
    Jetstream,
}

/// Makes records durable in groups, and tells how many a second and how long a group took
#[derive(clap::Args)]
pub(crate) struct Args {
    /// By what
    kind: Kind,
    /// A folder for the files
    #[arg(long, default_value = ".")]
    directory: PathBuf,
    /// A server of the cluster
    #[arg(long, default_value = "nats://127.0.0.1:4222")]
    nats: String,
    /// Nodes that keep a copy
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Records of a group
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=16_384))]
    group: u64,
    /// Bytes of a record
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    size: u64,
    /// How long it goes on, seconds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Write the result as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

enum Place {
    /// A file, how long it is, and where the next group goes.
    File {
        file: File,
        len: u64,
        at: u64,
    },
    Journal(Writer),
    JetStream {
        runtime: Runtime,
        context: jetstream::Context,
    },
}

impl Place {
    fn open(args: &Args) -> anyhow::Result<Self> {
        Ok(match args.kind {
            Kind::Growing => Self::File { file: new_file(&args.directory)?, len: u64::MAX, at: 0 },
            Kind::Prewritten => {
                let file = new_file(&args.directory)?;
                let zeros = vec![0; 1 << 20];
                for at in (0..PREWRITTEN_BYTES).step_by(zeros.len()) {
                    file.write_all_at(&zeros, at)?;
                }
                file.sync_all()?;
                Self::File { file, len: PREWRITTEN_BYTES, at: 0 }
            }
            Kind::Journal => {
                Self::Journal(Writer::open(&args.directory.join("journal"), Limits::default())?.0)
            }
            Kind::Jetstream => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let context = runtime
                    .block_on(async { tokio::time::timeout(READY, stream(&args.nats, args.replicas)).await });
                Self::JetStream { runtime, context: context.context("no JetStream in time")?? }
            }
        })
    }

    /// Makes a group durable.
    fn keep(&mut self, group: &[u8], size: usize) -> anyhow::Result<()> {
        match self {
            Self::File { file, len, at } => {
                if *at + group.len() as u64 > *len {
                    *at = 0;
                }
                file.write_all_at(group, *at)?;
                file.sync_data()?;
                *at += group.len() as u64;
            }
            Self::Journal(writer) => {
                for record in group.chunks(size) {
                    writer.append(1, 0, &[record])?;
                }
                writer.write()?;
                writer.sync()?;
            }
            Self::JetStream { runtime, context } => runtime.block_on(async {
                let mut acks = Vec::with_capacity(group.len() / size);
                for record in group.chunks(size) {
                    acks.push(context.publish(STREAM, record.to_vec().into()).await?);
                }
                for ack in acks {
                    ack.await?;
                }
                anyhow::Ok(())
            })?,
        }
        Ok(())
    }
}

fn new_file(directory: &Path) -> anyhow::Result<File> {
    let path = directory.join("floor");
    OpenOptions::new().write(true).create(true).truncate(true).open(&path).context(path.display().to_string())
}

async fn stream(address: &str, num_replicas: usize) -> anyhow::Result<jetstream::Context> {
    loop {
        let tried = async {
            let context = jetstream::new(async_nats::connect(address).await?);
            let config = Config {
                name: STREAM.to_owned(),
                subjects: vec![STREAM.to_owned()],
                num_replicas,
                storage: StorageType::File,
                ..Config::default()
            };
            context.get_or_create_stream(config).await?;
            anyhow::Ok(context)
        };
        match tried.await {
            Ok(context) => return Ok(context),
            // It has no leader yet.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let mut place = Place::open(args)?;
    let group = vec![b'.'; (args.size * args.group) as usize];
    let (clock, mut latency_ns, mut groups) = (Clock::start(), histogram(), 0);
    let (start_ns, mut now_ns) = (clock.now_ns(), clock.now_ns());
    while now_ns < start_ns + args.seconds * NS_PER_S {
        place.keep(&group, args.size as usize)?;
        let begun_ns = std::mem::replace(&mut now_ns, clock.now_ns());
        latency_ns.record(now_ns - begun_ns)?;
        groups += 1;
    }
    if groups == 0 {
        bail!("nothing was kept");
    }
    let us = |quantile| latency_ns.value_at_quantile(quantile) as f64 / 1e3;
    let result = serde_json::json!({
        "records_per_s": (groups * args.group) as f64 * NS_PER_S as f64 / (now_ns - start_ns) as f64,
        "p50_us": us(0.5),
        "p99_us": us(0.99),
        "p999_us": us(0.999),
    });
    println!("{result}");
    if let Some(path) = &args.json {
        std::fs::write(path, result.to_string()).with_context(|| path.display().to_string())?;
    }
    Ok(true)
}
