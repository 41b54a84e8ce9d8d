//! Progress on standard error: bars for people, JSON lines for programs, and Ctrl-C.

use crate::output::{note, raw};
use foretaste_models::{EpochReport, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C ask for a stop at the next occasion, and a second Ctrl-C end the program at once.
pub fn stop_on_ctrl_c() {
    let handler = || {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        note("stopping after this step (Ctrl-C again stops at once; files stay whole either way)");
    };
    // Fails only where a handler is set already, as in tests that run several commands.
    let _ = ctrlc::set_handler(handler);
}

/// Whether Ctrl-C was pressed.
#[must_use]
pub fn stopping() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// Tells how a run gets on.
pub struct RunProgress {
    bar: ProgressBar,
    json: bool,
}

impl RunProgress {
    /// Progress over `cells` cells.
    #[must_use]
    pub fn new(cells: usize, json: bool) -> Self {
        let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(cells as u64), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} cells  {elapsed}  {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Self { bar, json }
    }

    /// A cell begins.
    pub fn begin(&self, cell: &str) {
        self.bar.set_message(cell.to_owned());
        if self.json {
            raw(&serde_json::json!({ "event": "cell", "cell": cell }).to_string());
        }
    }

    /// A cell is done, with its headline.
    pub fn done(&self, cell: &str, headline: &str) {
        self.bar.inc(1);
        if self.json {
            raw(&serde_json::json!({ "event": "done", "cell": cell, "headline": headline }).to_string());
        } else if self.bar.is_hidden() {
            note(&format!("{cell}: {headline}"));
        } else {
            self.bar.println(format!("{cell}: {headline}"));
        }
    }

    /// The run is over.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for RunProgress {
    fn epoch(&self, model: &'static str, report: &EpochReport) {
        let validation = report.validation_error.map_or(String::new(), |v| format!(", validation {v:.4}"));
        let text = format!("{model} epoch {}/{}: training {:.4}{validation}", report.epoch, report.epochs, report.train_error);
        if self.json {
            raw(&serde_json::json!({ "event": "epoch", "model": model, "report": report }).to_string());
        } else {
            tracing::debug!("{text}");
            self.bar.set_message(text);
        }
    }

    fn cancelled(&self) -> bool {
        stopping()
    }
}
