//! Trains an HRNN on your own Parquet file (columns of users, items and times; ratings if
//! there are any) and predicts the next items of one user:
//!
//! `cargo run --release -p foretaste-models --example next_items -- interactions.parquet USER [EPOCHS]`

use foretaste_data::{ReadOptions, read};
use foretaste_models::{Device, EpochReport, FitContext, Kind, Progress, Recommend};
use std::path::Path;

/// Prints each epoch's loss.
struct Shown;

impl Progress for Shown {
    #[allow(clippy::print_stderr)]
    fn epoch(&self, _: &'static str, report: &EpochReport) {
        eprintln!("epoch {} of {}: loss {:.4}", report.epoch, report.epochs, report.train_error);
    }

    fn cancelled(&self) -> bool {
        false
    }
}

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, name, epochs @ ..] = &words[..] else {
        return Err("usage: next_items FILE USER [EPOCHS]".into());
    };
    let epochs = epochs.first().map_or(Ok(5), |word| word.parse())?;

    // Read and check the file: rows come out sorted by user and time.
    let (table, _) = read(Path::new(file), &ReadOptions::default())?;
    let user = table.user_ids.index(name).ok_or_else(|| format!("{file} has no user {name}"))?;

    // Two levels of sessions, half an hour and a day of idleness apart; next items as the objective.
    let settings =
        "objective = \"next-item\"\nheight = 2\nsessions = [1800, 86400]\nsize = 64\nitem_factors = 64";
    let settings = Kind::HRNN_GRU.settings(settings.parse()?)?.with_epochs(epochs);
    let histories = table.histories();
    let device = Device::open("auto")?;
    let fitted =
        settings.fit(&histories, None, &FitContext { progress: &Shown, ..FitContext::new(0, &device) })?;

    // Ten items the user has not had, an hour after the last one.
    let known = histories.user(user);
    let now = known.timestamps.iter().next_back().map_or(0, |last| last + 3600);
    for (place, best) in
        Recommend::new(fitted.model.as_ref(), table.n_items()).for_user(user, known, now).iter().enumerate()
    {
        println!("{:>2}. {} ({:.2})", place + 1, table.item_ids.name(best.item), best.score);
    }
    Ok(())
}
