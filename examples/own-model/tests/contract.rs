//! The model keeps the contract of all models.

use foretaste_models::contract::Case;
use foretaste_models::{rating_contract, register};

fn mood() -> Case {
    // Saved models are loaded by name.
    register::<own_model::Settings>().unwrap();
    Case { settings: own_model::Settings::default().into(), refused: "half_life = 0.0", random: false }
}

rating_contract!(mood);
