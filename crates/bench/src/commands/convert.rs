//! `import` and `sessions`: a log in, Parquet out.

use super::use_threads;
use crate::cli::{Conversion, Import, Sessions};
use crate::{Result, machine, output};
use foretaste_data::{IdleGaps, Interactions, LoadReport, format_date, store};
use std::path::Path;
use std::time::Instant;

pub(super) fn import(arguments: &Import) -> Result<()> {
    convert(&arguments.conversion, &arguments.out, |table| store::write_interactions(table, &arguments.out))
}

pub(super) fn sessions(arguments: &Sessions) -> Result<()> {
    let gaps: IdleGaps = arguments.gaps.parse()?;
    convert(&arguments.conversion, &arguments.out, |table| store::write_sessions(table, &gaps, &arguments.out))
}

fn convert(arguments: &Conversion, out: &Path, write: impl FnOnce(&Interactions) -> foretaste_data::Result<()>) -> Result<()> {
    use_threads(arguments.threads)?;
    let options = arguments.reading.options()?;
    let clock = Instant::now();
    let (table, report) = foretaste_data::read(&arguments.input, &options)?;
    write(&table)?;
    let seconds = clock.elapsed().as_secs_f64();
    output::print(&if arguments.json { machine_readable(&report, seconds, out) } else { told(&table, &report, out) });
    Ok(())
}

fn machine_readable(report: &LoadReport, seconds: f64, out: &Path) -> String {
    serde_json::json!({ "report": report, "seconds": seconds, "peak_memory_mb": machine::peak_memory_mb(), "out": out }).to_string()
}

fn told(table: &Interactions, report: &LoadReport, out: &Path) -> String {
    let dates = table.timestamps.iter().min().zip(table.timestamps.iter().max());
    let span = dates.map_or(String::new(), |(first, last)| format!(", {} to {}", format_date(*first), format_date(*last)));
    let mut text = format!("{}: {} interactions, {} users, {} items{span}", out.display(), report.rows, report.users, report.items);
    if report.duplicates > 0 {
        text.push_str(&format!("\n{} rows were dropped for a later one with the same user, item and time stamp", report.duplicates));
    }
    if let Some(rejects) = &report.rejects {
        text.push_str(&format!("\n{} bad lines were left out; they stand in {}", report.rejected, rejects.display()));
    }
    text
}
