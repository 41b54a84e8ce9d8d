//! `import` and `sessions`: convert a log to Parquet.

use super::use_threads;
use crate::arguments::{Conversion, Import, Sessions};
use crate::input::Input;
use crate::{CliError, Result, output, progress};
use foretaste_bench::machine;
use foretaste_data::{IdleGaps, LoadReport, bounded, format_date, store};
use std::path::Path;
use std::time::Instant;

pub(super) fn import(arguments: &Import) -> Result<()> {
    convert(&arguments.conversion, None, &arguments.out)
}

pub(super) fn sessions(arguments: &Sessions) -> Result<()> {
    convert(&arguments.conversion, Some(&arguments.gaps.parse()?), &arguments.out)
}

/// Writes interactions, or sessions of `gaps`.
fn convert(arguments: &Conversion, gaps: Option<&IdleGaps>, out: &Path) -> Result<()> {
    use_threads(arguments.common.threads)?;
    let reading = &arguments.common.reading;
    if reading.items.is_some() || !reading.users.is_empty() {
        return Err(CliError::Usage(
            "--items and --users: a conversion holds interactions alone; name the tables where models are \
             trained"
                .into(),
        ));
    }
    output::not_the_input(&arguments.input, out)?;
    let ending = out.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
    if ["csv", "tsv", "txt", "json", "jsonl", "gz", "zst", "zip"].contains(&ending.as_str()) {
        return Err(CliError::Usage(format!(
            "--out {}: Parquet is written; name a file that ends in .parquet",
            out.display()
        )));
    }
    if reading.rejects.as_deref() == Some(out) {
        return Err(CliError::Usage("--out and --rejects name the same file".into()));
    }
    let options = reading.options()?;
    let input = Input::of(&arguments.input)?;
    let path = input.path();
    let clock = Instant::now();
    let (report, span) = if let Some(limit) = &arguments.memory_limit {
        progress::stop_on_ctrl_c();
        let mut go_on = |text: &str| {
            output::note(text);
            !progress::stopping()
        };
        (bounded::convert(path, &options, gaps, out, bytes(limit)?, &mut go_on)?, None)
    } else {
        let (table, report) = foretaste_data::read(path, &options)?;
        match gaps {
            None => store::write_interactions(&table, out)?,
            Some(gaps) => {
                table.require_times("a session")?;
                store::write_sessions(&table, gaps, out)?;
            }
        }
        (report, table.span())
    };
    let seconds = clock.elapsed().as_secs_f64();
    output::print(&if arguments.common.json {
        machine_readable(&report, seconds, out)
    } else {
        told(span, &report, out)
    });
    Ok(())
}

/// `512MB`, `2GB`, or bytes.
fn bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        _ => 0,
    };
    let parsed = digits.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|n| *n > 0);
    parsed.ok_or_else(|| {
        CliError::Usage(format!("--memory-limit {text}: write a size, for example 512MB or 2GB"))
    })
}

fn machine_readable(report: &LoadReport, seconds: f64, out: &Path) -> String {
    serde_json::json!({ "report": report, "seconds": seconds, "peak_memory_mb": machine::peak_memory_mb(),
        "out": out })
    .to_string()
}

fn told(span: Option<(i64, i64)>, report: &LoadReport, out: &Path) -> String {
    let span = span
        .filter(|(_, last)| *last > 0)
        .map_or(String::new(), |(first, last)| format!(", {} to {}", format_date(first), format_date(last)));
    let mut text = format!(
        "{}: {} interactions, {} users, {} items{span}",
        out.display(),
        report.rows,
        report.users,
        report.items
    );
    if report.duplicates > 0 {
        text.push_str(&format!(
            "\n{} rows were dropped for a later one with the same user, item, event type and time stamp ({} \
             of \
             them with another value)",
            report.duplicates, report.conflicting_duplicates
        ));
    }
    if let Some(rejects) = &report.rejects {
        text.push_str(&format!("\n{}; they are in {}", report.left_out(), rejects.display()));
    }
    for remark in &report.remarks {
        text.push_str(&format!("\n{remark}"));
    }
    text
}
