//! `fetch` and `datasets`.

use crate::arguments::Fetch;
use crate::page::thousands;
use crate::{Result, output};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use foretaste_bench::dataset;
use foretaste_data::{Manifest, embedded};

pub(super) fn run(arguments: &Fetch) -> Result<()> {
    crate::progress::stop_on_ctrl_c();
    let manifest = Manifest::find(&arguments.name)?;
    let to = arguments.to.clone().unwrap_or_else(dataset::home);
    let folder = crate::fetch::fetch(
        &manifest,
        &to,
        arguments.accept_licence,
        arguments.package,
        arguments.url.as_deref(),
    )?;
    output::print(&format!("{} is in {}\ncite: {}", manifest.title, folder.display(), manifest.citation));
    Ok(())
}

pub(super) fn list() {
    let mut table = comfy_table::Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["name", "title", "ratings", "users", "items", "scale", "where"]);
    for m in Manifest::all() {
        let place = if m.name == embedded::NAME {
            "compiled in".to_owned()
        } else if dataset::home().join(&m.name).is_dir() {
            "fetched".to_owned()
        } else if m.archive.is_some() || m.package.is_some() {
            format!("{} fetch {}", output::program(), m.name)
        } else {
            "--data PATH".to_owned()
        };
        let counts = [m.counts.ratings, m.counts.users, m.counts.items].map(|n| thousands(n as u64));
        let [ratings, users, items] = counts;
        table.add_row([
            m.name,
            m.title,
            ratings,
            users,
            items,
            format!("{} to {}", m.scale.min, m.scale.max),
            place,
        ]);
    }
    output::print(&table.to_string());
}
