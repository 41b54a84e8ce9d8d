//! From a CSV with columns of users, items and times: ten items for a user, and ten items like an item.
//!
//! `cargo run --release -p foretaste-models --example ten_items -- ratings.csv 42 7`

use foretaste_data::{ReadOptions, read};
use foretaste_models::{Device, FitContext, Kind, Recommend, sims};
use std::path::Path;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, user, item] = &words[..] else { return Err("usage: ten_items FILE USER ITEM".into()) };
    let (table, _) = read(Path::new(file), &ReadOptions::default())?;
    let user = table.user_ids.index(user).ok_or_else(|| format!("{file} has no user {user}"))?;
    let item = table.item_ids.index(item).ok_or_else(|| format!("{file} has no item {item}"))?;
    let (histories, device) = (table.histories(), Device::flex());
    let context = FitContext::new(0, &device);

    // From interactions: factors, and their inner products.
    let fitted = Kind::IALS.defaults().fit(&histories, None, &context)?;
    println!("for user {}:", table.user_ids.name(user));
    for best in Recommend::new(fitted.model.as_ref(), table.n_items()).for_user(user, histories.user(user), 0)
    {
        println!("  {} ({:.3})", table.item_ids.name(best.item), best.score);
    }

    // From co-occurrences. By default, as in Amazon Personalize, the most popular tenth of the items takes
    // no part.
    let settings = sims::Settings { max_item_interaction_count_percentile: 1.0, ..sims::Settings::default() };
    let model = sims::train(&settings, &histories, &context)?;
    println!("like item {}:", table.item_ids.name(item));
    for (other, similarity) in model.similar(item).take(10) {
        println!("  {} ({similarity:.3})", table.item_ids.name(other));
    }
    Ok(())
}
