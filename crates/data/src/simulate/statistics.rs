//! Statistics of a simulated log, beside the published ones.

use super::people::Event;
use super::published::Published;

/// Running counts over events.
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    ratings_of_users: Vec<u32>,
    ratings_of_items: Vec<u32>,
    stars: Vec<u64>,
    /// Seconds between two ratings of a user, in classes.
    gaps: [u64; GAPS.len() + 1],
    sum: f64,
    /// Squared distance of ratings to their expectations.
    squares: f64,
}

/// Upper ends of classes of gaps, in seconds, and their names.
const GAPS: [(i64, &str); 6] = [
    (0, "none"),
    (60, "to a minute"),
    (3_600, "to an hour"),
    (86_400, "to a day"),
    (7 * 86_400, "to a week"),
    (30 * 86_400, "to 30 days"),
];

impl Statistics {
    /// Empty statistics over this many items.
    #[must_use]
    pub fn new(items: usize, published: &Published) -> Self {
        Self { ratings_of_items: vec![0; items], stars: vec![0; published.stars.len()], ..Self::default() }
    }

    /// Adds a user.
    pub fn add(&mut self, events: &[Event], published: &Published) {
        self.ratings_of_users.push(events.len() as u32);
        for event in events {
            self.ratings_of_items[event.item as usize] += 1;
            let star = published.stars.iter().position(|(star, _)| *star == event.value);
            star.into_iter().for_each(|at| self.stars[at] += 1);
            self.sum += f64::from(event.value);
            self.squares += f64::from(event.value - event.expected).powi(2);
        }
        for pair in events.windows(2) {
            let gap = pair[1].timestamp - pair[0].timestamp;
            self.gaps[GAPS.iter().position(|(end, _)| gap <= *end).unwrap_or(GAPS.len())] += 1;
        }
    }

    /// Ratings so far.
    #[must_use]
    pub fn ratings(&self) -> u64 {
        self.stars.iter().sum()
    }

    /// The lowest RMSE that any model can expect over all ratings.
    #[must_use]
    pub fn lowest_rmse(&self) -> f64 {
        (self.squares / self.ratings().max(1) as f64).sqrt()
    }

    /// Rows of a table: the quantity, its simulated value, and its original value.
    #[must_use]
    pub fn table(&self, published: &Published) -> Vec<[String; 3]> {
        let sorted = |counts: &[u32]| {
            let mut counts: Vec<u32> = counts.iter().copied().filter(|n| *n > 0).collect();
            counts.sort_unstable();
            counts
        };
        let (users, items) = (sorted(&self.ratings_of_users), sorted(&self.ratings_of_items));
        let middle = |counts: &[u32]| f64::from(counts.get(counts.len() / 2).copied().unwrap_or(0));
        let last = |counts: &[u32]| counts.last().copied().unwrap_or(0).to_string();
        let n = self.ratings() as f64;
        let total = published.ratings() as f64;
        let share = |part: f64, whole: f64| format!("{:.4} %", 100.0 * part / whole.max(1.0));
        let optional = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.0}"));
        let mut rows = vec![
            ["ratings".to_owned(), self.ratings().to_string(), published.ratings().to_string()],
            ["users".into(), users.len().to_string(), published.users.to_string()],
            ["items".into(), items.len().to_string(), published.items.to_string()],
            [
                "filled cells".into(),
                share(n, (users.len() * items.len()) as f64),
                share(total, (published.users * published.items) as f64),
            ],
            [
                "ratings of a user, mean".into(),
                format!("{:.1}", n / users.len().max(1) as f64),
                format!("{:.1}", total / published.users as f64),
            ],
            [
                "ratings of a user, median".into(),
                format!("{:.0}", middle(&users)),
                optional(published.user_median),
            ],
            ["ratings of a user, most".into(), last(&users), published.most.0.to_string()],
            [
                "ratings of an item, mean".into(),
                format!("{:.1}", n / items.len().max(1) as f64),
                format!("{:.1}", total / published.items as f64),
            ],
            [
                "ratings of an item, median".into(),
                format!("{:.0}", middle(&items)),
                optional(published.item_median),
            ],
            ["ratings of an item, most".into(), last(&items), published.most.1.to_string()],
            [
                "mean rating".into(),
                format!("{:.4}", self.sum / n.max(1.0)),
                format!("{:.4}", published.mean()),
            ],
        ];
        rows.extend(published.stars.iter().zip(&self.stars).map(|((star, of), own)| {
            [format!("{star} stars"), share(*own as f64, n), share(*of as f64, total)]
        }));
        let gaps: u64 = self.gaps.iter().sum();
        let names = GAPS.iter().map(|(_, name)| *name).chain(["longer"]);
        rows.extend(
            names
                .zip(self.gaps)
                .map(|(name, count)| [format!("gap {name}"), share(count as f64, gaps as f64), "-".into()]),
        );
        rows
    }
}
