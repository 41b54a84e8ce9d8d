//! Progress on standard error: bars for people, JSON lines for programs, and Ctrl-C.

use crate::CliError;
use crate::output::{note, raw};
use crate::page::spread;
use foretaste_bench::grid::{Cause, Failure};
use foretaste_bench::ranking;
use foretaste_bench::results::{Cell, Row};
use foretaste_bench::{BenchError, RunProgress};
use foretaste_models::{EpochReport, Progress, Reading};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

static STOP: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C request a stop at the next step, and a second Ctrl-C end the program at once.
pub fn stop_on_ctrl_c() {
    let handler = || {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        note("stopping after this step (Ctrl-C again stops at once; files stay intact either way)");
    };
    // Fails only where a handler is set already, as in tests that run several commands.
    let _ = ctrlc::set_handler(handler);
}

/// Whether Ctrl-C was pressed.
#[must_use]
pub fn stopping() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// How long a run may say nothing where there is no bar.
const SILENCE: Duration = Duration::from_mins(1);
/// A training that may take longer is announced.
const LONG: Duration = Duration::from_mins(5);

/// Reports the progress of a run.
pub struct Bars {
    bar: ProgressBar,
    json: bool,
    /// The failures told.
    told: Mutex<HashSet<String>>,
    /// The last epoch of each model, and when it ended.
    pace: Mutex<HashMap<&'static str, (usize, Instant)>>,
    /// When the last line was written, and what is being done.
    now: Arc<Mutex<(Instant, String)>>,
    /// Ends the thread that breaks a silence.
    _alive: Option<Sender<()>>,
}

impl Bars {
    /// Progress over `cells` cells.
    #[must_use]
    pub fn new(cells: usize, json: bool) -> Self {
        let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(cells as u64), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} cells  {elapsed}  {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let now = Arc::new(Mutex::new((Instant::now(), String::new())));
        let alive = (bar.is_hidden() && !json).then(|| break_silences(now.clone()));
        Self { bar, json, told: Mutex::default(), pace: Mutex::default(), now, _alive: alive }
    }

    /// Prints a line that stays, above the bar if there is one.
    fn line(&self, text: &str) {
        locked(&self.now).0 = Instant::now();
        if self.bar.is_hidden() {
            note(text);
        } else {
            self.bar.println(text);
        }
    }

    /// Says what is being done: in the bar, or to be told after a long silence.
    fn doing(&self, text: String) {
        locked(&self.now).1.clone_from(&text);
        self.bar.set_message(text);
    }

    /// Announces a training whose epochs may take long.
    fn expect(&self, model: &'static str, report: &EpochReport) {
        let ended = Instant::now();
        let Some((epoch, began)) = locked(&self.pace).insert(model, (report.epoch, ended)) else { return };
        let each = ended - began;
        let whole = each * u32::try_from(report.epochs).unwrap_or(u32::MAX);
        if epoch + 1 == report.epoch && whole > LONG && locked(&self.told).insert(model.to_owned()) {
            self.line(&format!(
                "{model}: {:.0} s an epoch, {} epochs at most: a training may take {:.0} min (most end \
                 early, when the validation error no longer falls; --models chooses among systems)",
                each.as_secs_f64(),
                report.epochs,
                whole.as_secs_f64() / 60.0
            ));
        }
    }

    /// The run is over.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl RunProgress for Bars {
    fn begin(&self, cell: &str) {
        self.doing(cell.to_owned());
        if self.json {
            raw(&serde_json::json!({ "event": "cell", "cell": cell }).to_string());
        }
    }

    fn done(&self, cell: &str, headline: &str) {
        self.bar.inc(1);
        if self.json {
            raw(&serde_json::json!({ "event": "done", "cell": cell, "headline": headline }).to_string());
        } else {
            self.line(&format!("{cell}: {headline}"));
        }
    }

    fn failed(&self, failure: &Failure) {
        self.bar.inc(1);
        if self.json {
            raw(&serde_json::json!({ "event": "failed", "failure": failure }).to_string());
        } else {
            let Failure { dataset, regime, split, title, seed, reason, .. } = failure;
            let place = match failure.cause {
                Cause::Split => format!("{dataset} · {regime} {split}"),
                _ => format!("{dataset} · {regime} {split} · {title} · seed {seed}"),
            };
            let line = format!("{place}: failed: {reason}");
            // A split fails for all of its systems and seeds; once is enough.
            if locked(&self.told).insert(line.clone()) {
                self.line(&line);
            }
        }
    }

    fn words(&self, error: BenchError) -> String {
        CliError::from(error).to_string()
    }

    fn row(&self, name: &str, cells: &[&Cell]) {
        let [first, _, ..] = cells else { return };
        let row = Row { cells: cells.to_vec() };
        let figures = Reading::ALL.iter().filter_map(|reading| {
            let (what, figure) = if first.outcome.figures.is_empty() {
                ("RMSE".to_owned(), row.errors(*reading, |e| e.rmse))
            } else {
                (ranking::HEADLINE.name(), row.figure(*reading, &ranking::HEADLINE.name()))
            };
            figure.map(|figure| format!("{what} {} {}", spread(Some(figure), cells.len()), reading.name()))
        });
        let figures = figures.collect::<Vec<_>>().join(", ");
        if self.json {
            raw(&serde_json::json!({ "event": "row", "row": name, "headline": figures }).to_string());
        } else {
            self.line(&format!("{name}: {figures}"));
        }
    }
}

impl Progress for Bars {
    fn epoch(&self, model: &'static str, report: &EpochReport) {
        let validation = report.validation_error.map_or(String::new(), |v| format!(", validation {v:.4}"));
        let text = format!(
            "{model} epoch {}/{}: training {:.4}{validation}",
            report.epoch, report.epochs, report.train_error
        );
        if self.json {
            raw(&serde_json::json!({ "event": "epoch", "model": model, "report": report }).to_string());
        } else {
            tracing::debug!("{text}");
            self.expect(model, report);
            self.doing(text);
        }
    }

    fn cancelled(&self) -> bool {
        stopping()
    }
}

/// Tells what is being done whenever nothing was said for long, until the sender is dropped.
fn break_silences(now: Arc<Mutex<(Instant, String)>>) -> Sender<()> {
    let (alive, dropped) = channel();
    std::thread::spawn(move || {
        while dropped.recv_timeout(Duration::from_secs(5)) == Err(RecvTimeoutError::Timeout) {
            let mut now = locked(&now);
            if now.0.elapsed() > SILENCE && !now.1.is_empty() {
                now.0 = Instant::now();
                note(&format!("... {}", now.1));
            }
        }
    });
    alive
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
