//! The slowest tests of a run, from the report that nextest writes (`.config/nextest.toml`).

use std::path::Path;

/// The report's path in the checkout: nextest stores its reports there, wherever the build folder is.
pub const REPORT: &str = "target/nextest/default/tests.xml";
/// Number of tests that are printed.
const NAMED: usize = 10;

/// Prints the slowest tests; nothing if there is no report.
#[allow(clippy::print_stderr)]
pub fn tell(report: &Path) {
    let Ok(report) = std::fs::read_to_string(report) else { return };
    eprintln!("slowest tests:");
    for (seconds, name) in slowest(&report) {
        eprintln!("{seconds:9.1} s  {name}");
    }
}

/// Seconds and names, slowest first.
fn slowest(report: &str) -> Vec<(f64, String)> {
    let attribute =
        |tag: &str, name: &str| Some(tag.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0.to_owned());
    let test = |tag: &str| {
        Some((
            attribute(tag, "time")?.parse().ok()?,
            format!("{} {}", attribute(tag, "classname")?, attribute(tag, "name")?),
        ))
    };
    let mut tests: Vec<(f64, String)> =
        report.split("<testcase").skip(1).filter_map(|rest| test(rest.split('>').next()?)).collect();
    tests.sort_by(|a, b| b.0.total_cmp(&a.0));
    tests.truncate(NAMED);
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_come_first() {
        let case = |n: usize| {
            format!(
                "<testcase name=\"t::{n}\" classname=\"crate\" timestamp=\"x\" time=\"{n}.5\">\n</testcase>"
            )
        };
        let report = format!(
            "<testsuites name=\"run\" time=\"99\">{}</testsuites>",
            (0..12).map(case).collect::<String>()
        );
        let found = slowest(&report);
        assert_eq!((found.len(), found[0].clone()), (NAMED, (11.5, "crate t::11".to_owned())));
        assert!(slowest("no report").is_empty());
    }
}
