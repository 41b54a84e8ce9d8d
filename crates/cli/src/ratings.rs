//! The RMSE table.

use crate::page::{Best, Page, compared, spread, thousands};
use crate::views::View;
use foretaste_bench::compare::{DRAWS, best_against_each};
use foretaste_bench::results::{ACTIVITY, Row};
use foretaste_models::Reading;

/// The page of a view of predicted ratings.
pub(crate) fn page(view: &View) -> Page {
    let (head, lines) = cells(view);
    let lowest =
        |name: &String| (name.starts_with("RMSE") || name.starts_with("MAE")).then_some(Best::Lowest);
    Page {
        heading: view.heading.clone(),
        protocol: view.protocol.clone(),
        best: head.iter().map(lowest).collect(),
        head,
        lines,
        failed: view.failed(),
        notes: notes(view),
        details: if view.rows.is_empty() { Vec::new() } else { details(view) },
        published: view.published.clone(),
    }
}

/// Column heads, and one line of cells per system.
fn cells(view: &View) -> (Vec<String>, Vec<Vec<String>>) {
    let mut head = vec!["system".to_owned()];
    for reading in Reading::ALL {
        head.push(format!("RMSE {}", reading.name()));
        head.push(format!("MAE {}", reading.name()));
    }
    let simulated = lowest(view).is_some();
    if simulated {
        head.extend(Reading::ALL.map(|reading| format!("above lowest {}", reading.name())));
    }
    head.extend(
        ["published RMSE", "train s", "events/s", "parameters", "peak MB", "device"].map(str::to_owned),
    );
    let lines = view
        .rows
        .iter()
        .map(|row| {
            let mut line = vec![view.title(&row.first().system)];
            for reading in Reading::ALL {
                line.push(spread(row.errors(reading, |e| e.rmse), row.cells.len()));
                line.push(spread(row.errors(reading, |e| e.mae), row.cells.len()));
            }
            if simulated {
                let above = |reading: Reading| {
                    row.errors(reading, |e| e.rmse)
                        .zip(row.lowest_rmse())
                        .map_or("-".into(), |((rmse, _), lowest)| format!("{:.4}", rmse - lowest))
                };
                line.extend(Reading::ALL.map(above));
            }
            line.push(
                view.published
                    .iter()
                    .find(|p| p.system == row.first().system)
                    .map_or("-".into(), |p| p.rmse.to_string()),
            );
            line.push(format!("{:.2}", row.measured(|m| m.train_seconds)));
            line.push(thousands(row.measured(|m| m.events_per_second) as u64));
            line.push(thousands(row.first().parameters as u64));
            line.push(row.peak_memory_mb().map_or("-".into(), thousands));
            line.push(row.cells[0].measured.device.clone());
            line
        })
        .collect();
    (head, lines)
}

/// RMSE by the user's activity, and the best system against each: a title, a head and lines each.
/// Empty tables are left out.
fn details(view: &View) -> Vec<(String, Vec<String>, Vec<Vec<String>>)> {
    let mut details = Vec::new();
    let present: Vec<usize> =
        (0..ACTIVITY.len()).filter(|group| view.rows[0].first().activity_rows[*group] > 0).collect();
    let mut head = vec!["system".to_owned()];
    for reading in Reading::ALL {
        head.extend(present.iter().map(|group| format!("{} {}", ACTIVITY[*group].0, reading.name())));
    }
    let lines = view.rows.iter().map(|row| {
        let mut line = vec![view.title(&row.first().system)];
        for reading in Reading::ALL {
            line.extend(present.iter().map(|group| {
                match row.errors(reading, |e| e.by_activity[*group].unwrap_or(f64::NAN)) {
                    Some((mean, _)) if mean.is_finite() => format!("{mean:.4}"),
                    _ => "-".into(),
                }
            }));
        }
        line
    });
    let groups: Vec<String> = present
        .iter()
        .map(|group| {
            let (name, low, high) = ACTIVITY[*group];
            let range =
                if high == usize::MAX { format!("{low} or more") } else { format!("{low} to {high}") };
            format!("{name}: {range} ({} test ratings)", view.rows[0].first().activity_rows[*group])
        })
        .collect();
    details.push((
        format!("RMSE by the user's number of training ratings; {}", groups.join(", ")),
        head,
        lines.collect(),
    ));

    let best = Reading::ALL.map(|reading| best_against_each(&view.rows, reading));
    if let [Some((frozen, a)), Some((streaming, b))] = best {
        let title = format!(
            "RMSE less that of the best system (frozen: {}, streaming: {}), with 95 % of {DRAWS} draws of \
             users (paired bootstrap)",
            view.title(&frozen),
            view.title(&streaming)
        );
        let head = ["system", "frozen", "streaming"].map(str::to_owned).to_vec();
        let lines = view
            .rows
            .iter()
            .map(|row| row.first().system.as_str())
            .map(|system| vec![view.title(system), compared(&a, system), compared(&b, system)]);
        details.push((title, head, lines.collect()));
    }
    details
}

/// Further remarks for the reader.
fn notes(view: &View) -> Vec<String> {
    let lowest = lowest(view).map(|lowest| {
        format!(
            "Simulated: no model can expect a lower RMSE than {lowest:.4} (each rating's expectation, \
            given all but its own noise); \"above lowest\" is the distance to it."
        )
    });
    lowest.into_iter().chain(view.leaks()).chain(view.side_by_side()).chain(view.failure_notes()).collect()
}

/// The lowest RMSE that any model can expect, of a simulated log.
fn lowest(view: &View) -> Option<f64> {
    view.rows.first().and_then(Row::lowest_rmse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::views;
    use foretaste_bench::grid::{Cause, Failure, Run};
    use foretaste_bench::results::sample_cell as cell;
    use foretaste_data::Regime;

    fn titles() -> [(String, String); 2] {
        [("pmf".to_owned(), "PMF".to_owned()), ("fm".to_owned(), "FM, transductive bags".to_owned())]
    }

    #[test]
    fn golden_table() {
        let cells =
            vec![cell("pmf", 0, 0.88), cell("fm", 0, 0.845), cell("pmf", 1, 0.882), cell("fm", 1, 0.8454)];
        let run = Run { cells, failures: Vec::new() };
        assert!(
            views(&run, &titles(), &[], true)[0].published.is_empty(),
            "a part of a data set has no published figures"
        );
        let views = views(&run, &titles(), &["ml-1m"], true);
        assert_eq!(views.len(), 1);
        insta::assert_snapshot!(page(&views[0]).terminal());
        insta::assert_snapshot!(page(&views[0]).markdown());
    }

    /// A system without a figure has a row that says why, one without some seeds a note, a split without any
    /// system a table of failures.
    #[test]
    fn golden_failures() {
        let failure = |system: &str, title: &str, regime, seed| Failure {
            dataset: "ml-1m".into(),
            regime,
            split: "90/10".into(),
            system: system.into(),
            title: title.into(),
            seed,
            cause: Cause::Unserved,
            reason: "user_attributes are set, and the data set has no table of users; set user_attributes = \
                     false"
                .into(),
        };
        let run = Run {
            cells: vec![cell("pmf", 0, 0.88), cell("pmf", 1, 0.882), cell("fm", 0, 0.845)],
            failures: vec![
                failure("fm", "FM, transductive bags", Regime::Random, 1),
                failure("fm-sgd", "FM, by gradient descent", Regime::Random, 0),
                failure("fm-sgd", "FM, by gradient descent", Regime::Random, 1),
                failure("pmf", "PMF", Regime::Future, 0),
            ],
        };
        let views = views(&run, &titles(), &[], true);
        insta::assert_snapshot!(page(&views[0]).terminal());
        insta::assert_snapshot!(page(&views[1]).markdown());
    }

    #[test]
    fn thousands_by_hand() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
