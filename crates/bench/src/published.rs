//! Published figures, shown only if data set, regime, split and reading match the table's.

use foretaste_data::Regime;
use serde::Deserialize;

const PUBLISHED: &str = include_str!("../published.toml");

/// One published test RMSE, read frozen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Data set, by manifest name.
    pub dataset: String,
    /// Regime.
    pub regime: Regime,
    /// Split, as named by [`foretaste_data::SplitRule::name`]; folds are `N folds`.
    pub split: String,
    /// System; equal to a name in `systems.toml` where the project has that system.
    pub system: String,
    /// The system's name in its paper.
    pub title: String,
    /// The figure.
    pub rmse: f64,
    /// Its source.
    pub source: String,
    /// Further remarks.
    #[serde(default)]
    pub note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    result: Vec<Published>,
}

/// All published figures of one data set, regime and split, best first.
///
/// # Panics
/// Never: a test parses the file that is compiled in.
#[must_use]
pub fn matching(dataset: &str, regime: Regime, split: &str) -> Vec<Published> {
    let file: File =
        toml::from_str(PUBLISHED).unwrap_or_else(|e| panic!("published.toml is compiled in: {e}"));
    let mut found: Vec<Published> = file
        .result
        .into_iter()
        .filter(|p| p.dataset == dataset && p.regime == regime && p.split == split)
        .collect();
    found.sort_by(|a, b| a.rmse.total_cmp(&b.rmse));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_match_their_own_split_only() {
        let ml1m = matching("ml-1m", Regime::Random, "90/10");
        assert!(ml1m.iter().any(|p| p.system == "biased-mf" && p.rmse == 0.845));
        assert!(ml1m.iter().all(|p| !p.source.is_empty()));
        assert!(matching("ml-1m", Regime::Future, "last 10 %").is_empty());
        assert!(matching("ml-latest-small", Regime::Random, "90/10").is_empty());
        // RRN's figure printed under "6 months" belongs to the 3-month window.
        assert!(matching("netflix", Regime::Future, "netflix-6-months").iter().all(|p| p.system != "rrn"));
        assert!(
            matching("netflix", Regime::Future, "netflix-3-months")
                .iter()
                .any(|p| p.system == "rrn" && p.rmse == 0.9427)
        );
    }
}
