//! `foretaste-cluster`: sessions of logs of any size on DataFusion or Ballista, and a small Ballista cluster.

use arrow::record_batch::RecordBatch;
use clap::{Args, Parser, Subcommand, ValueEnum};
use datafusion::prelude::DataFrame;
use foretaste_cluster::{ClusterError, Cut, Engine, Input, Result, sessions, split, vocabulary};
use foretaste_data::{ColumnMapping, DataError, IdleGaps, TimeUnit, store};
use futures::StreamExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
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
    Sessions(Sessions),
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
    /// A Parquet or CSV file or a folder of them: a path, or an address (s3://bucket/folder/).
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
    /// The Ballista scheduler, df://HOST:PORT.
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
    /// Time stamps that are numbers count milliseconds.
    #[arg(long)]
    milliseconds: bool,
}

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = Runtime::new().map_err(|e| ClusterError::Usage(format!("no threads: {e}"))).and_then(|runtime| match cli.command {
        Command::Sessions(arguments) => build(&runtime, &arguments),
        #[cfg(feature = "ballista")]
        Command::Scheduler { address, patience } => runtime.block_on(foretaste_cluster::cluster::scheduler(address, std::time::Duration::from_secs(patience))),
        #[cfg(feature = "ballista")]
        Command::Executor { scheduler, port, task_port, threads, memory, folder } => {
            runtime.block_on(foretaste_cluster::cluster::executor(scheduler, [port, task_port], threads, memory, &folder))
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
    let bad = || ClusterError::Usage(format!("--split {text}: write leave-last:N or newest:SHARE, as leave-last:1 or newest:0.1"));
    let (name, number) = text.split_once(':').ok_or_else(bad)?;
    match name {
        "leave-last" => number.parse().ok().filter(|n| *n > 0).map(Cut::LeaveLast).ok_or_else(bad),
        "newest" => number.parse().ok().filter(|share| *share > 0.0 && *share < 1.0).map(Cut::Newest).ok_or_else(bad),
        _ => Err(bad()),
    }
}

#[allow(clippy::print_stdout)]
fn build(runtime: &Runtime, arguments: &Sessions) -> Result<()> {
    let clock = Instant::now();
    let cut = arguments.split.as_deref().map(rule).transpose()?;
    let engine = match arguments.engine {
        Where::Local => Engine::Local { memory: arguments.memory, threads: arguments.partitions },
        Where::Ballista => Engine::Ballista { scheduler: arguments.scheduler.clone(), partitions: arguments.partitions },
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
    let context = runtime.block_on(engine.context())?;
    let arrived = runtime.block_on(input.arrive(&context))?;
    let rows = write(runtime, runtime.block_on(sessions(&context, &arguments.gaps))?, &arguments.gaps, &arguments.out)?;
    println!("{}: {rows} rows of {} in {} files, {:.1} s", arguments.out.display(), arrived.rows, arrived.files, clock.elapsed().as_secs_f64());
    if let Some(cut) = cut {
        let parts = runtime.block_on(split(&context, &arguments.gaps, cut))?;
        for (part, name) in parts.into_iter().zip(["train", "test"]) {
            let out = arguments.out.with_extension(format!("{name}.parquet"));
            let rows = write(runtime, part, &arguments.gaps, &out)?;
            println!("{}: {rows} rows", out.display());
        }
    }
    if let Some(out) = &arguments.vocabulary {
        let [users, items] = runtime.block_on(vocabulary(&context))?;
        store::write_vocabulary(out, &users, &items)?;
        println!("{}: {} users, {} items", out.display(), users.len(), items.len());
    }
    Ok(())
}

/// Streams a plan's rows into a sessions file, whole or not at all.
fn write(runtime: &Runtime, rows: DataFrame, gaps: &IdleGaps, out: &Path) -> Result<u64> {
    let mut stream = runtime.block_on(rows.execute_stream())?;
    let failed = |e: datafusion::error::DataFusionError| {
        DataError::file(out.display(), format!("was not written: the engine failed: {e}"), "mend the cause and run the command again")
    };
    let mut next = || -> foretaste_data::Result<Option<RecordBatch>> { runtime.block_on(stream.next()).transpose().map_err(failed) };
    Ok(store::write_session_batches(out, gaps, &mut next)?)
}
