//! Sampled negatives for next items: drawn by popularity, shared by all entries of a window.

use super::{Loss, Settings};
use foretaste_data::{Histories, rng, stream_seed};
use rand::RngExt;

/// Samples items with probability proportional to their number of training rows to the power `alpha`.
#[derive(Debug, Clone)]
pub(super) struct Negatives {
    /// Items with training rows.
    items: Vec<u32>,
    /// Running sums of the items' weights.
    sums: Vec<f64>,
    /// Number of samples; all items, each once, if that many or more were requested.
    n: usize,
    /// For each item the logarithm of how often a window draws it.
    corrections: Vec<f32>,
}

impl Negatives {
    /// A sampler over the rows of `users`.
    pub fn new(settings: &Settings, train: &Histories, users: &[u32]) -> Self {
        let mut counts = vec![0_u32; train.n_items()];
        users.iter().flat_map(|user| train.user(*user).items).for_each(|item| counts[*item as usize] += 1);
        let items: Vec<u32> = (0..counts.len() as u32).filter(|item| counts[*item as usize] > 0).collect();
        let mut total = 0.0;
        let weight = |item: &u32| f64::from(counts[*item as usize]).powf(f64::from(settings.negatives_alpha));
        let sums: Vec<f64> = items.iter().map(|item| (total += weight(item), total).1).collect();
        let n = settings.negatives.min(items.len());
        let mut corrections = vec![0.0; counts.len()];
        if settings.loss == Loss::Softmax && n < items.len() {
            items
                .iter()
                .for_each(|item| corrections[*item as usize] = (n as f64 * weight(item) / total).ln() as f32);
        }
        Self { items, sums, n, corrections }
    }

    /// The negatives of the window number `window` of an epoch with this seed.
    pub fn draw(&self, seed: u64, window: u64, out: &mut Vec<u32>) {
        out.clear();
        if self.n == self.items.len() {
            out.extend_from_slice(&self.items);
            return;
        }
        let mut random = rng(stream_seed(seed, &format!("window {window}")), "negatives");
        let total = self.sums.last().copied().unwrap_or(0.0);
        out.extend((0..self.n).map(|_| {
            let at = random.random_range(0.0..total);
            self.items[self.sums.partition_point(|sum| *sum <= at).min(self.items.len() - 1)]
        }));
    }

    /// The correction of an item's score: sampled softmax (Bengio and Senecal 2008) takes the logarithm of
    /// the number of times a window is expected to draw the item from the score; 0 if every item is
    /// included or the loss is another.
    pub fn correction(&self, item: u32) -> f32 {
        self.corrections[item as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popular_items_are_drawn_more_often() {
        let train = Histories::new(
            vec![0, 17],
            (0..16).map(|_| 2).chain([0]).collect(),
            vec![1.0; 17],
            (0..17).collect::<Vec<_>>(),
            4,
        );
        let settings = Settings { negatives: 1, negatives_alpha: 0.5, ..Settings::default() };
        let negatives = Negatives::new(&settings, &train, &[0]);
        let mut drawn = Vec::new();
        let mut counts = [0; 4];
        for window in 0..2000 {
            negatives.draw(3, window, &mut drawn);
            drawn.iter().for_each(|item| counts[*item as usize] += 1);
        }
        // Weights 4 to 1 for 16 rows to 1.
        assert_eq!(counts[1] + counts[3], 0);
        assert!((f64::from(counts[2]) / 2000.0 - 0.8).abs() < 0.03, "{counts:?}");
        assert!((negatives.correction(2) - 0.8_f32.ln()).abs() < 1e-6);
        let all = Negatives::new(&Settings { negatives: 9, ..settings }, &train, &[0]);
        all.draw(3, 0, &mut drawn);
        assert_eq!((drawn.as_slice(), all.correction(2)), ([0, 2].as_slice(), 0.0));
    }
}
