//! Every model of the crate fulfils the contract.

use foretaste_models::contract::Case;
use foretaste_models::{Kind, ranking_contract, rating_contract};

fn case(kind: Kind, settings: &str, refused: &'static str, random: bool) -> Case {
    Case { settings: kind.settings(settings.parse().unwrap()).unwrap(), refused, random }
}

/// Each model of the crate has its module below.
#[test]
fn every_model_is_held_to_the_contract() {
    let (ratings, others): (Vec<Kind>, Vec<Kind>) =
        Kind::BUILT_IN.iter().copied().partition(|kind| kind.defaults().predicts_ratings());
    assert_eq!(ratings, ratings::ALL);
    assert!(others.iter().all(|kind| ranking::ALL.contains(kind)), "{others:?}");
}

mod ratings {
    use super::*;

    pub const ALL: &[Kind] = &[
        Kind::ROLLING_AVERAGE,
        Kind::BIASES,
        Kind::PMF,
        Kind::TSVD,
        Kind::FM,
        Kind::AUTOREC,
        Kind::DEEPREC,
        Kind::DEEPFM,
        Kind::RRN,
        Kind::RNN,
        Kind::HRNN_GRU,
        Kind::HRNN,
        Kind::ENSEMBLE,
    ];

    mod rolling_average {
        use super::*;

        rating_contract!(|| case(Kind::ROLLING_AVERAGE, "", "user_shrinkage = 0.0", false));
    }

    mod biases {
        use super::*;

        rating_contract!(|| case(Kind::BIASES, "", "sweeps = 0", false));
    }

    mod pmf {
        use super::*;

        rating_contract!(|| case(
            Kind::PMF,
            "factors = 8\nepochs = 12\nlearning_rate = 0.02",
            "learning_rate = 7.0",
            true
        ));
    }

    mod tsvd {
        use super::*;

        rating_contract!(|| case(Kind::TSVD, "factors = 8\nepochs = 8", "item_bins = 0", true));
    }

    mod fm {
        use super::*;

        rating_contract!(|| case(
            Kind::FM,
            "factors = 4\nchains = 2\niterations = 30\nburn_in = 5\nkept = 20",
            "kept = 0",
            true
        ));
    }

    mod autorec {
        use super::*;

        rating_contract!(|| case(
            Kind::AUTOREC,
            "size = 10\nepochs = 20\nbatch = 64\nlearning_rate = 0.01",
            "side = \"both\"",
            true
        ));
    }

    mod deeprec {
        use super::*;

        rating_contract!(|| case(
            Kind::DEEPREC,
            "layers = [12, 8]\ndropout = 0.5\nepochs = 40\nbatch = 8\nlearning_rate = 0.02\nweight_decay = \
             0.003\ncenter = true",
            "layers = []",
            true
        ));
    }

    mod deepfm {
        use super::*;

        rating_contract!(|| case(
            Kind::DEEPFM,
            "factors = 6\nsize = 12\nepochs = 5\nbatch = 64\nlearning_rate = 0.01\nweight_decay = \
             4.0\nrecent = 3",
            "depth = 33",
            true
        ));
    }

    mod rrn {
        use super::*;

        rating_contract!(|| case(
            Kind::RRN,
            "size = 8\nembedding = 6\ndynamic_factors = 4\nstationary_factors = 4\nepochs = 3\nuser_days = \
             30\nitem_days = 365",
            "item_days = 0",
            true
        ));
    }

    mod rnn {
        use super::*;

        rating_contract!(|| case(
            Kind::RNN,
            "size = 12\nitem_factors = 6\nepochs = 6\nrows = 16\nwindow = 16\nlearning_rate = 0.004",
            "window = 0",
            true
        ));
    }

    mod hrnn {
        use super::*;

        rating_contract!(|| case(
            Kind::HRNN,
            "size = 6\nraters = 6\nbag = 6\nepochs = 4\nsteps = 16",
            "height = 5",
            true
        ));
    }

    mod hrnn_with_free_vectors {
        use super::*;

        rating_contract!(|| case(
            Kind::HRNN,
            "items = \"free\"\nitem_bins = 4\nsize = 6\nbag = 6\nepochs = 4\nsteps = 16",
            "gaps = [60, 5]",
            true
        ));
    }

    mod hrnn_gru {
        use super::*;

        rating_contract!(|| case(
            Kind::HRNN_GRU,
            "size = 12\nitem_factors = 6\nepochs = 3\nrows = 16\nbptt = 16\nfm_factors = 4\nfm_iterations = \
             24\nfm_folds = 2",
            "height = 4",
            true
        ));
    }

    mod ensemble {
        use super::*;

        rating_contract!(|| case(
            Kind::ENSEMBLE,
            r#"[[members]]
model = "biases"
weight = 0.4

[[members]]
model = "pmf"
weight = 0.6
settings = { factors = 4, epochs = 8, learning_rate = 0.02 }"#,
            "members = []",
            true
        ));
    }
}

mod ranking {
    use super::*;

    pub const ALL: &[Kind] = &[
        Kind::DEEPFM,
        Kind::HRNN_GRU,
        Kind::HRNN,
        Kind::POPULARITY,
        Kind::SIMS,
        Kind::USER_KNN,
        Kind::SESSION_KNN,
        Kind::IALS,
        Kind::EASE,
        Kind::ENSEMBLE,
    ];

    mod deepfm {
        use super::*;

        ranking_contract!(|| case(
            Kind::DEEPFM,
            r#"objective = "click"
threshold = 0.0
negatives = 4
factors = 8
size = 16
epochs = 6
batch = 256
learning_rate = 0.01
recent = 5"#,
            "objective = \"next\"",
            true
        ));
    }

    mod hrnn_gru {
        use super::*;

        ranking_contract!(|| case(
            Kind::HRNN_GRU,
            r#"objective = "next-item"
size = 12
item_factors = 12
epochs = 4
rows = 16
bptt = 16
negatives = 64
learning_rate = 0.01
decay = 0.9
memories = false"#,
            "objective = \"next\"",
            true
        ));
    }

    mod popularity {
        use super::*;

        ranking_contract!(|| case(Kind::POPULARITY, "", "half_life = -1.0", false));
    }

    mod sims {
        use super::*;

        ranking_contract!(|| case(
            Kind::SIMS,
            "min_cointeraction_count = 1\nmax_item_interaction_count_percentile = 1.0\nhistory = 5",
            "min_cointeraction_count = 11",
            false
        ));
    }

    mod user_knn {
        use super::*;

        ranking_contract!(|| case(Kind::USER_KNN, "", "neighbours = 0", false));
    }

    mod session_knn {
        use super::*;

        ranking_contract!(|| case(Kind::SESSION_KNN, "", "idle = 0", false));
    }

    mod ials {
        use super::*;

        ranking_contract!(|| case(Kind::IALS, "factors = 8\nepochs = 4", "exponent = 2.0", true));
    }

    mod ease {
        use super::*;

        ranking_contract!(|| case(Kind::EASE, "", "regularization = 0.0", false));
    }

    mod ensemble {
        use super::*;

        ranking_contract!(|| case(
            Kind::ENSEMBLE,
            r#"by = "ranks"

[[members]]
model = "popularity"
weight = 0.4

[[members]]
model = "ease"
weight = 0.6"#,
            "members = []",
            false
        ));
    }
}
