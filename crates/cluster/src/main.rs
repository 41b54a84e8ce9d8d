//! `foretaste-cluster`: sessions of logs of any size on `DataFusion` or Ballista, and a small Ballista
//! cluster.

use arrow::record_batch::RecordBatch;
use clap::{Args, Parser, Subcommand, ValueEnum};
use datafusion::error::DataFusionError;
use datafusion::prelude::DataFrame;
use foretaste_cluster::{ClusterError, Cut, Engine, Input, Result, rows, sessions, split, vocabulary};
use foretaste_data::{ColumnMapping, DataError, IdleGaps, TimeUnit, store};
use futures::StreamExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

#[derive(Parser)]
#[command(name = "foretaste-cluster", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds sessions: the rows that `foretaste sessions` builds.
    Sessions(Box<Sessions>),
    /// Serves as the scheduler of a Ballista cluster.
    #[cfg(feature = "ballista")]
    Scheduler {
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:50050")]
        address: std::net::SocketAddr,
        /// Seconds of silence after which an executor counts as lost.
        #[arg(long, default_value_t = 30)]
        patience: u64,
    },
    /// Works in a Ballista cluster.
    #[cfg(feature = "ballista")]
    Executor {
        /// Where the scheduler listens.
        #[arg(long, default_value = "127.0.0.1:50050")]
        scheduler: std::net::SocketAddr,
        /// Port of results.
        #[arg(long, default_value_t = 50051)]
        port: u16,
        /// Port of tasks.
        #[arg(long, default_value_t = 50052)]
        task_port: u16,
        /// Tasks at a time.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Memory of sorts in bytes, before they spill.
        #[arg(long)]
        memory: Option<usize>,
        /// Folder of results.
        #[arg(long)]
        folder: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Where {
    /// This process.
    Local,
    /// A Ballista cluster.
    Ballista,
}

#[derive(Args)]
struct Sessions {
    /// A Parquet or CSV file or a folder of them: a path, or an address (`s3://bucket/folder/`).
    input: String,
    /// The Parquet file to write.
    #[arg(long)]
    out: PathBuf,
    /// Idle gaps, shortest first.
    #[arg(long, default_value = "60,86400,2592000")]
    gaps: IdleGaps,
    /// Where the plan runs.
    #[arg(long, value_enum, default_value = "local")]
    engine: Where,
    /// The Ballista scheduler, `df://HOST:PORT`.
    #[arg(long, default_value = "df://127.0.0.1:50050")]
    scheduler: String,
    /// Partitions of the plan.
    #[arg(long)]
    partitions: Option<usize>,
    /// Bytes that the local engine's sorts hold before they spill.
    #[arg(long)]
    memory: Option<usize>,
    /// Also the rows that train and those that test, beside OUT: leave-last:N or newest:SHARE.
    #[arg(long, value_name = "RULE")]
    split: Option<String>,
    /// Also the ids of users and items with their indices.
    #[arg(long, value_name = "FILE")]
    vocabulary: Option<PathBuf>,
    /// Column of user ids, where its name is not a usual one.
    #[arg(long)]
    user_column: Option<String>,
    /// Column of item ids.
    #[arg(long)]
    item_column: Option<String>,
    /// Column of time stamps.
    #[arg(long)]
    time_column: Option<String>,
    /// Column of ratings or other values.
    #[arg(long)]
    value_column: Option<String>,
    /// Column of event types.
    #[arg(long)]
    event_column: Option<String>,
    /// Seconds after which the work is given up: a cluster that lost its executors may never answer.
    #[arg(long, default_value_t = 86_400)]
    deadline: u64,
    /// Time stamps that are numbers count milliseconds.
    #[arg(long)]
    milliseconds: bool,
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome =
        Runtime::new().map_err(|e| ClusterError::Usage(format!("no threads: {e}"))).and_then(|runtime| {
            match cli.command {
                Command::Sessions(arguments) => build(&runtime, &arguments),
                #[cfg(feature = "ballista")]
                Command::Scheduler { address, patience } => runtime
                    .block_on(foretaste_cluster::cluster::scheduler(address, Duration::from_secs(patience))),
                #[cfg(feature = "ballista")]
                Command::Executor { scheduler, port, task_port, threads, memory, folder } => runtime
                    .block_on(foretaste_cluster::cluster::executor(
                        scheduler,
                        [port, task_port],
                        threads,
                        memory,
                        &folder,
                    )),
            }
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn rule(text: &str) -> Result<Cut> {
    let bad = || {
        ClusterError::Usage(format!(
            "--split {text}: write leave-last:N or newest:SHARE, as \
        leave-last:1 or newest:0.1"
        ))
    };
    let (name, number) = text.split_once(':').ok_or_else(bad)?;
    match name {
        "leave-last" => number.parse().ok().filter(|n| *n > 0).map(Cut::LeaveLast).ok_or_else(bad),
        "newest" => {
            number.parse().ok().filter(|share| *share > 0.0 && *share < 1.0).map(Cut::Newest).ok_or_else(bad)
        }
        _ => Err(bad()),
    }
}

/// Waits for the engine, until a moment.
struct Waiting<'a> {
    runtime: &'a Runtime,
    until: Instant,
}

impl Waiting<'_> {
    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let late = || {
            ClusterError::Engine(DataFusionError::Execution(
                "no answer before --deadline; were \
            executors lost?"
                    .into(),
            ))
        };
        // The timer belongs to the runtime: made within.
        self.runtime
            .block_on(async { tokio::time::timeout_at(self.until.into(), work).await })
            .map_err(|_| late())?
    }
}

#[allow(clippy::print_stdout)]
fn build(runtime: &Runtime, arguments: &Sessions) -> Result<()> {
    let clock = Instant::now();
    let waiting = Waiting { runtime, until: clock + Duration::from_secs(arguments.deadline) };
    let cut = arguments.split.as_deref().map(rule).transpose()?;
    let engine = match arguments.engine {
        Where::Local => Engine::Local { memory: arguments.memory, threads: arguments.partitions },
        Where::Ballista => {
            Engine::Ballista { scheduler: arguments.scheduler.clone(), partitions: arguments.partitions }
        }
    };
    let input = Input {
        address: arguments.input.clone(),
        columns: ColumnMapping {
            user: arguments.user_column.clone(),
            item: arguments.item_column.clone(),
            timestamp: arguments.time_column.clone(),
            value: arguments.value_column.clone(),
            event_type: arguments.event_column.clone(),
        },
        unit: if arguments.milliseconds { TimeUnit::Ms } else { TimeUnit::S },
    };
    let context = waiting.wait(engine.context())?;
    let arrived = waiting.wait(input.arrive(&context))?;
    let all = waiting.wait(rows(&context))?;
    write(
        &waiting,
        waiting.wait(sessions(&context, &arguments.gaps))?,
        &arguments.gaps,
        &arguments.out,
        Some(all),
    )?;
    println!(
        "{}: {all} rows of {} in {} files, {:.1} s",
        arguments.out.display(),
        arrived.rows,
        arrived.files,
        clock.elapsed().as_secs_f64()
    );
    if let Some(cut) = cut {
        let parts = waiting.wait(split(&context, &arguments.gaps, cut))?;
        let mut training = None;
        for (part, name) in parts.into_iter().zip(["train", "test"]) {
            let out = arguments.out.with_extension(format!("{name}.parquet"));
            let written =
                write(&waiting, part, &arguments.gaps, &out, training.map(|training| all - training))?;
            training = Some(written);
            println!("{}: {written} rows", out.display());
        }
    }
    if let Some(out) = &arguments.vocabulary {
        let [users, items] = waiting.wait(vocabulary(&context))?;
        store::write_vocabulary(out, &users, &items)?;
        println!("{}: {} users, {} items", out.display(), users.len(), items.len());
    }
    Ok(())
}

/// Streams a plan's rows, which should be `expected`, into a sessions file, whole or not at all.
fn write(
    waiting: &Waiting,
    rows: DataFrame,
    gaps: &IdleGaps,
    out: &Path,
    expected: Option<u64>,
) -> Result<u64> {
    let mut stream = waiting.wait(async { Ok(rows.execute_stream().await?) })?;
    let failed = |e: ClusterError| match e {
        ClusterError::Data(e) => e,
        ClusterError::Engine(e) => DataError::file(
            out.display(),
            format!("was not written: the engine failed: {e}"),
            "fix the cause and run the command again",
        ),
        ClusterError::Usage(e) => DataError::Setting(e),
    };
    let mut handed = 0;
    let mut next = || -> foretaste_data::Result<Option<RecordBatch>> {
        let batch = waiting.wait(async { Ok(stream.next().await.transpose()?) }).map_err(failed)?;
        handed += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        match expected {
            Some(expected) if batch.is_none() && handed != expected => {
                let reason = format!("was not written: the engine handed over {handed} rows of {expected}");
                Err(DataError::file(out.display(), reason, "was an executor lost? run the command again"))
            }
            _ => Ok(batch),
        }
    };
    Ok(store::write_session_batches(out, gaps, &mut next)?)
}
