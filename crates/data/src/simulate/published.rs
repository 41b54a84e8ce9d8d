//! Published statistics of the data sets whose shape is simulated.

/// Counts of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Its name in tables.
    pub title: &'static str,
    /// Source of the figures.
    pub source: &'static str,
    /// Users with ratings.
    pub users: usize,
    /// Items with ratings.
    pub items: usize,
    /// Number of ratings by stars, from the fewest stars.
    pub stars: &'static [(f32, u64)],
    /// Median number of ratings per user; `None` where it is not published.
    pub user_median: Option<f64>,
    /// The fewest ratings of a user.
    pub user_least: u64,
    /// Median number of ratings per item.
    pub item_median: Option<f64>,
    /// The most ratings of a user and of an item.
    pub most: (u64, u64),
}

impl Published {
    /// All ratings.
    #[must_use]
    pub fn ratings(&self) -> u64 {
        self.stars.iter().map(|(_, n)| n).sum()
    }

    /// Mean rating.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.stars.iter().map(|(star, n)| f64::from(*star) * *n as f64).sum::<f64>() / self.ratings() as f64
    }
}

/// The training set of the Netflix Prize.
pub(super) const NETFLIX: Published = Published {
    title: "Netflix Prize",
    source: "Bennett and Lanning 2007, The Netflix Prize; counts of its training_set files",
    users: 480_189,
    items: 17_770,
    stars: &[(1.0, 4_617_990), (2.0, 10_132_080), (3.0, 28_811_247), (4.0, 33_750_958), (5.0, 23_168_232)],
    user_median: Some(96.0),
    user_least: 1,
    item_median: Some(561.0),
    most: (17_653, 232_944),
};

/// `MovieLens` 20M.
pub(super) const MOVIELENS_20M: Published = Published {
    title: "MovieLens 20M",
    source: "Harper and Konstan 2015, The MovieLens Datasets; counts of its ratings.csv",
    users: 138_493,
    items: 26_744,
    stars: &[
        (0.5, 239_125),
        (1.0, 680_732),
        (1.5, 279_252),
        (2.0, 1_430_997),
        (2.5, 883_398),
        (3.0, 4_291_193),
        (3.5, 2_200_156),
        (4.0, 5_561_926),
        (4.5, 1_534_824),
        (5.0, 2_898_660),
    ],
    user_median: Some(68.0),
    user_least: 20,
    item_median: Some(18.0),
    most: (9_254, 67_310),
};
