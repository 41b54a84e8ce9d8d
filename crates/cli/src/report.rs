//! The report: one HTML file with tables, charts, settings and machine; needs no network.

use crate::page::{Best, Page};
use std::fmt::Write;

/// One section of the report.
pub struct Section<'a> {
    /// The table with its headings and notes.
    pub page: &'a Page,
    /// SVG texts of its charts.
    pub charts: &'a [String],
}

const STYLE: &str = "
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #263238; background: #fff;
       margin: 2rem auto; max-width: 86rem; padding: 0 1rem; }
h1 { font-weight: 300; margin-bottom: 0; }
h2 { font-weight: 400; margin-top: 2.5rem; border-bottom: 1px solid #dee2e6; }
p.protocol { color: #546e7a; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap;
        font-size: 0.88rem; display: block; overflow-x: auto; }
th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid #dee2e6; text-align: right; }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left; }
td.best { font-weight: 700; }
td.failed { color: #a33; white-space: normal; }
svg { max-width: 100%; height: auto; }
pre { background: #f6f8fa; padding: 1rem; overflow-x: auto; font-size: 0.82rem; }
details { margin: 1rem 0; } summary { cursor: pointer; }
";

/// A page with a body of its own.
#[must_use]
pub fn page(title: &str, command: &str, body: &str) -> String {
    format!("{}{body}</body>\n</html>\n", head(title, command))
}

/// The page's head, down to the command that made the page.
fn head(title: &str, command: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{0}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<h1>{0}</h1>\n<p class=\"protocol\"><code>{1}</code></p>\n",
        escape(title),
        escape(command)
    )
}

/// Builds the report. `manifest` is shown verbatim, `remarks` are printed under the title.
#[must_use]
pub fn html(title: &str, command: &str, remarks: &[String], sections: &[Section], manifest: &str) -> String {
    let mut page = head(title, command);
    for remark in remarks {
        let _ = writeln!(page, "<p>{}</p>", escape(remark));
    }
    for section in sections {
        let shown = section.page;
        let _ = write!(
            page,
            "<h2>{}</h2>\n<p class=\"protocol\">{}</p>\n",
            escape(&shown.heading),
            escape(&shown.protocol)
        );
        page.push_str(&table(shown));
        for note in &shown.notes {
            let _ = writeln!(page, "<p class=\"protocol\">{}</p>", escape(note));
        }
        for chart in section.charts.iter().filter(|c| !c.is_empty()) {
            let _ = writeln!(page, "<figure>{}</figure>", chart.trim_start());
        }
        for (title, head, lines) in &shown.details {
            let _ = write!(
                page,
                "<p class=\"protocol\">{}</p>\n{}",
                escape(title),
                plain_table(head, lines, |_, _| false)
            );
        }
        if !shown.published.is_empty() {
            page.push_str(
                "<details open><summary>Published test RMSE on this split, read frozen</summary>\n<ul>\n",
            );
            for p in &shown.published {
                let note = if p.note.is_empty() { String::new() } else { format!(" ({})", p.note) };
                let _ = writeln!(
                    page,
                    "<li>{} {}: {}</li>",
                    escape(&p.title),
                    p.rmse,
                    escape(&format!("{}{note}", p.source))
                );
            }
            page.push_str("</ul>\n</details>\n");
        }
    }
    let _ = write!(
        page,
        "<details><summary>Settings, data and \
         machine</summary>\n<pre>{}</pre>\n</details>\n</body>\n</html>\n",
        escape(manifest)
    );
    page
}

/// The table, with the best figure of each column of figures marked.
fn table(page: &Page) -> String {
    let number = |cell: &str| cell.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    let best_of = |(column, best): (usize, &Option<Best>)| {
        let figures =
            page.lines.iter().filter_map(|line| Some((number(&line[column])?, line[column].clone())));
        let better = |a: &(f64, String), b: &(f64, String)| {
            if *best == Some(Best::Highest) { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) }
        };
        best.and_then(|_| figures.min_by(better)).map(|(_, cell)| cell)
    };
    let best: Vec<Option<String>> = page.best.iter().enumerate().map(best_of).collect();
    let table = plain_table(&page.head, &page.lines, |column, cell| best[column].as_deref() == Some(cell));
    let failed = page.failed.iter().fold(String::new(), |mut rows, (title, reason)| {
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td class=\"failed\" colspan=\"{}\">failed: {}</td></tr>",
            escape(title),
            page.head.len() - 1,
            escape(reason)
        );
        rows
    });
    table.replace("</table></div>", &format!("{failed}</table></div>"))
}

/// A table of text; `marked(column, cell)` says which cells are highlighted.
fn plain_table(head: &[String], lines: &[Vec<String>], marked: impl Fn(usize, &str) -> bool) -> String {
    let mut text = String::from("<div class=\"scroll\"><table>\n<tr>");
    for name in head {
        let _ = write!(text, "<th>{}</th>", escape(name));
    }
    text.push_str("</tr>\n");
    for line in lines {
        text.push_str("<tr>");
        for (column, cell) in line.iter().enumerate() {
            let class = if marked(column, cell) { " class=\"best\"" } else { "" };
            let _ = write!(text, "<td{class}>{}</td>", escape(cell));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</table></div>\n");
    text
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
