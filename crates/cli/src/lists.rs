//! The ranking table.

use crate::chart::{self, Point};
use crate::page::{Best, Page, compared, spread, thousands};
use crate::views::View;
use foretaste_bench::compare::{DRAWS, best_against_each};
use foretaste_bench::ranking::HEADLINE;
use foretaste_bench::results::Row;
use foretaste_models::Reading;

/// Next items, as session-based recommenders report them.
const STREAMING: [&str; 6] = ["NDCG@10", "recall@5", "recall@20", "MRR@5", "MRR@20", "coverage@10"];

/// One list per user, as Amazon Personalize reports them, with more metrics.
const FROZEN: [&str; 12] = [
    "NDCG@5",
    "NDCG@10",
    "NDCG@25",
    "MRR@25",
    "precision@5",
    "precision@10",
    "precision@25",
    "recall@20",
    "MAP@10",
    "coverage@10",
    "Gini@10",
    "novelty@10",
];

fn figures(row: &Row, reading: Reading, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| spread(row.figure(reading, name), row.cells.len())).collect()
}

/// The page of a view of ranked lists.
pub(crate) fn page(view: &View) -> Page {
    let measured = ["train s", "lists/s", "parameters", "peak MB", "device"];
    let head: Vec<String> =
        ["system"].iter().chain(&STREAMING).chain(&measured).map(|s| (*s).to_owned()).collect();
    let line = |row: &Row| {
        let mut line = vec![view.title(&row.first().system)];
        line.extend(figures(row, Reading::Streaming, &STREAMING));
        line.push(format!("{:.2}", row.measured(|m| m.train_seconds)));
        line.push(thousands(row.measured(|m| m.lists_per_second.unwrap_or(0.0)) as u64));
        line.push(thousands(row.first().parameters as u64));
        line.push(row.peak_memory_mb().map_or("-".into(), thousands));
        line.push(row.cells[0].measured.device.clone());
        line
    };
    let mut details = Vec::new();
    let head_frozen = ["system"].iter().chain(&FROZEN).map(|s| (*s).to_owned()).collect();
    let frozen = view.rows.iter().map(|row| {
        std::iter::once(view.title(&row.first().system))
            .chain(figures(row, Reading::Frozen, &FROZEN))
            .collect()
    });
    details.push((
        "One list per user, at the time of the first test row, against all of the user's test items (frozen)"
            .to_owned(),
        head_frozen,
        frozen.collect(),
    ));
    if let [Some((frozen, a)), Some((streaming, b))] =
        Reading::ALL.map(|reading| best_against_each(&view.rows, reading))
    {
        let title = format!(
            "{} less that of the best system (frozen: {}, streaming: {}), with 95 % of {DRAWS} draws of \
             users (paired bootstrap)",
            HEADLINE.name(),
            view.title(&frozen),
            view.title(&streaming)
        );
        let lines = view.rows.iter().map(|row| row.first().system.as_str());
        let lines = lines
            .map(|system| vec![view.title(system), compared(&a, system), compared(&b, system)])
            .collect();
        details.push((title, ["system", "frozen", "streaming"].map(str::to_owned).to_vec(), lines));
    }
    Page {
        heading: format!("{}: next items (streaming)", view.heading),
        protocol: view.protocol.clone(),
        best: head.iter().map(|name| STREAMING.contains(&name.as_str()).then_some(Best::Highest)).collect(),
        lines: view.rows.iter().map(line).collect(),
        head,
        failed: view.failed(),
        notes: view.side_by_side().into_iter().chain(view.failure_notes()).collect(),
        details,
        published: Vec::new(),
    }
}

/// Accuracy against coverage, and against speed.
///
/// # Errors
/// Those of drawing.
pub(crate) fn charts(view: &View, folder: &std::path::Path, stem: &str) -> crate::Result<Vec<String>> {
    let value =
        |row: &Row, name: &str| row.figure(Reading::Streaming, name).map_or(f64::NAN, |figure| figure.0);
    let accuracy = HEADLINE.name();
    let points = |x: &dyn Fn(&Row) -> f64| -> Vec<Point> {
        view.rows
            .iter()
            .map(|row| Point { name: view.title(&row.first().system), x: x(row), y: value(row, &accuracy) })
            .collect()
    };
    let title = |against: &str| format!("{}: {accuracy} against {against}", view.heading);
    let coverage = points(&|row| value(row, "coverage@10"));
    let speed = points(&|row| row.measured(|m| m.lists_per_second.unwrap_or(f64::NAN)).max(1.0).log10());
    Ok(vec![
        chart::scatter(
            &title("coverage"),
            "share of the catalogue recommended to anyone (coverage@10)",
            &accuracy,
            &coverage,
            folder,
            &format!("coverage-{stem}"),
        )?,
        chart::scatter(
            &title("speed"),
            "lists per second, log10",
            &accuracy,
            &speed,
            folder,
            &format!("speed-{stem}"),
        )?,
    ])
}
