//! `simulate`: a log of a published data set's size and shape, whose lowest reachable error is known.

use crate::arguments::Simulate;
use crate::output::{note, print};
use crate::page::thousands;
use crate::{Result, progress};
use foretaste_data::simulate::{self, Effects, Layout, Shape, World};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

pub(super) fn run(arguments: &Simulate) -> Result<()> {
    progress::stop_on_ctrl_c();
    super::use_threads(arguments.threads)?;
    let (shape, own) = match arguments.shape.as_str() {
        "netflix" => (Shape::netflix(arguments.scale)?, Layout::Netflix),
        _ => (Shape::movielens_20m(arguments.scale)?, Layout::MovieLens),
    };
    let layout = if arguments.parquet { Layout::Parquet } else { own };
    let effects = Effects::without(&arguments.without)?;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("simulated-{}-{}", arguments.shape, arguments.scale)));
    note(&format!(
        "{} ratings by {} users of {} items",
        thousands(shape.ratings as u64),
        thousands(shape.users as u64),
        thousands(shape.items as u64)
    ));
    let bar = ProgressBar::new(shape.users as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:24} {human_pos}/{human_len} users  {elapsed}  {eta} left")
    {
        bar.set_style(style);
    }
    let world = World::new(shape, effects, arguments.seed);
    let written = simulate::write(&world, layout, &out, |users| {
        bar.set_position(users as u64);
        !progress::stopping()
    });
    bar.finish_and_clear();
    let statistics = written?;
    let published = &world.shape.published;
    let rows = statistics.table(published);
    if arguments.json {
        let table: Vec<_> = rows
            .iter()
            .map(|[what, ours, theirs]| {
                serde_json::json!({ "what": what,
            "simulated": ours, "published": theirs })
            })
            .collect();
        let told = serde_json::json!({ "out": out, "seed": arguments.seed, "effects": effects,
            "lowest_rmse": statistics.lowest_rmse(), "table": table });
        print(&told.to_string());
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED).set_header([
        "",
        "simulated",
        published.title,
    ]);
    table.add_rows(rows);
    print(&format!("{table}\npublished: {}", published.source));
    print(&format!(
        "lowest RMSE that any model can expect over all ratings: {:.4} ({} holds each rating's \
         expectation)\n{}",
        statistics.lowest_rmse(),
        simulate::TRUTH,
        out.display()
    ));
    Ok(())
}
