//! The contract that every model keeps, one suite over all of them: those that predict ratings, and those
//! that rank items.

mod ranking;
mod ratings;

use foretaste_data::{Histories, Interactions, Parts, SplitRule, embedded};
use foretaste_models::{Device, EpochReport, FitContext, Fitted, Kind, ModelSettings, Progress};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The ratings of the first 150 users of the embedded data set.
fn data() -> &'static Interactions {
    static DATA: OnceLock<Interactions> = OnceLock::new();
    DATA.get_or_init(|| {
        let mut table = embedded::load().unwrap();
        let rows = table.users.partition_point(|u| *u < 150);
        table.users.truncate(rows);
        table.items.truncate(rows);
        table.timestamps.truncate(rows);
        table.values.truncate(rows);
        table
    })
}

fn parts(rule: &SplitRule) -> Parts {
    rule.split(data(), 1, 0.0).unwrap().parts(data())
}

const HOLD_OUT: SplitRule = SplitRule::HoldOut { test: 0.1 };

/// Settings small enough for a test.
fn small(kind: Kind) -> ModelSettings {
    let table = match kind {
        Kind::RollingAverage | Kind::Biases | Kind::Popularity | Kind::UserKnn | Kind::SessionKnn | Kind::Ease => "",
        Kind::Ials => "factors = 8\nepochs = 4",
        Kind::Sims => "min_cointeraction_count = 1\nmax_item_interaction_count_percentile = 1.0\nhistory = 5",
        Kind::Pmf => "factors = 8\nepochs = 12\nlearning_rate = 0.02",
        Kind::Tsvd => "factors = 8\nepochs = 8",
        Kind::Fm => "factors = 4\nchains = 2\niterations = 30\nburn_in = 5\nkept = 20",
        Kind::Autorec => "size = 10\nepochs = 20\nbatch = 64\nlearning_rate = 0.01",
        Kind::Deeprec => "layers = [12, 8]\ndropout = 0.5\nepochs = 40\nbatch = 8\nlearning_rate = 0.02\nweight_decay = 0.003\ncenter = true",
        Kind::Deepfm => "factors = 6\nsize = 12\nepochs = 5\nbatch = 64\nlearning_rate = 0.01\nweight_decay = 4.0\nrecent = 3",
        Kind::Rrn => "size = 8\nembedding = 6\ndynamic_factors = 4\nstationary_factors = 4\nepochs = 3\nuser_days = 30\nitem_days = 365",
        Kind::Hrnn => "size = 12\nitem_factors = 6\nepochs = 3\nrows = 16\nbptt = 16\nfm_factors = 4\nfm_iterations = 24\nfm_folds = 2",
        Kind::Ensemble => {
            "members = [{ model = \"biases\", weight = 0.4 }, { model = \"pmf\", weight = 0.6, settings = { factors = 4, epochs = 8, learning_rate = 0.02 } }]"
        }
        Kind::Rnn => "size = 12\nitem_factors = 6\nepochs = 6\nrows = 16\nwindow = 16\nlearning_rate = 0.004",
    };
    kind.settings(table.parse().unwrap()).unwrap()
}

fn fit(kind: Kind, train: &Histories, seed: u64) -> Fitted {
    let device = Device::flex();
    small(kind).fit(train, None, &FitContext::new(seed, &device)).unwrap()
}

/// Stops after so many epochs.
struct StopAfter(AtomicUsize, usize);

impl Progress for StopAfter {
    fn epoch(&self, _: &'static str, _: &EpochReport) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= self.1
    }
}
