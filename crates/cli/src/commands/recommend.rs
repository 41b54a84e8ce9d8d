//! `recommend`: the best items for users of a log, from any system that ranks.

use super::{search, use_threads};
use crate::arguments::Recommend as Arguments;
use crate::{CliError, Result, output};
use foretaste_bench::dataset::{self, Dataset};
use foretaste_bench::systems;
use foretaste_data::{EventTypes, Vocabulary};
use foretaste_models::{Device, Facts, Filter, FitContext, ModelError, Recommend, Recommended, load, sims};
use serde_json::json;
use std::collections::HashMap;

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    use_threads(arguments.common.threads)?;
    let filter: Option<Filter> = arguments.filter.as_deref().map(str::parse).transpose().map_err(usage)?;
    let system =
        systems::select(std::slice::from_ref(&arguments.model), systems::DEFAULT, &arguments.set)?.remove(0);
    let mut data =
        search::load(&arguments.dataset, arguments.data.as_deref(), &arguments.common.reading, false)?;
    let saved = arguments.from.as_deref().map(load).transpose()?;
    if let Some(saved) = &saved {
        data = dataset::in_terms_of(data, saved)?;
    }
    data.remarks.iter().for_each(|remark| output::note(remark));
    let users = indices(&arguments.user, &data.table.user_ids, "user", &data)?;
    let items = indices(&arguments.item, &data.table.item_ids, "item", &data)?;
    if users.is_empty() && items.is_empty() {
        return Err(CliError::Usage(
            "for whom? --user ID recommends to a user, --item ID (with --model sims) \
            names what goes with an item"
                .into(),
        ));
    }
    let device = Device::open(&arguments.device)?;
    let context = FitContext {
        user_attributes: data.user_attributes.as_ref(),
        item_attributes: data.item_attributes.as_ref(),
        ..FitContext::new(arguments.seed, &device)
    };
    let histories = data.table.histories();
    let printer = Printer { json: arguments.common.json, ids: &data.table.item_ids };
    if !items.is_empty() {
        let Some(settings) = system.settings.of::<sims::Settings>() else {
            let reason = format!("{} knows no items that go with an item; --model sims does", system.name);
            return Err(ModelError::Setting {
                model: system.settings.kind().name(),
                setting: "item".into(),
                reason,
            }
            .into());
        };
        let model = sims::train(settings, &histories, &context)?;
        for (item, name) in items.iter().zip(&arguments.item) {
            let similar =
                model.similar(*item).take(arguments.top).map(|(item, score)| Recommended { item, score });
            printer.list("item", name, &similar.collect::<Vec<_>>());
        }
    }
    if users.is_empty() {
        return Ok(());
    }
    let model = match saved {
        Some(saved) => saved.model,
        None => system.settings.fit(&histories, None, &context)?.model,
    };
    let facts = Facts { items: data.item_attributes.as_ref(), users: data.user_attributes.as_ref() };
    let allowed = filter.map(|filter| filter.with(facts, &HashMap::new())).transpose().map_err(usage)?;
    // "Now" is the moment after the log's last row.
    let now = data.table.timestamps.iter().max().map_or(0, |newest| newest + 1);
    let offsets = data.table.user_offsets();
    for (user, name) in users.iter().zip(&arguments.user) {
        let types = data.table.event_types.as_ref();
        let event = |row: usize| {
            types
                .filter(|types| types.codes[row] != EventTypes::NULL)
                .map_or("", |types| types.names.name(types.codes[row]))
        };
        let rows = offsets[*user as usize]..offsets[*user as usize + 1];
        let events: Vec<(u32, &str)> = rows.map(|row| (data.table.items[row], event(row))).collect();
        let among = allowed.as_ref().map(|allowed| allowed.items(data.table.n_items(), *user, &events));
        let mut asked =
            Recommend::new(model.as_ref(), data.table.n_items()).top(arguments.top).with_seen(arguments.seen);
        if let Some(among) = &among {
            asked = asked.among(among);
        }
        printer.list("user", name, &asked.for_user(*user, histories.user(*user), now));
    }
    Ok(())
}

fn usage(error: impl std::fmt::Display) -> CliError {
    CliError::Usage(error.to_string())
}

/// Indices of ids, all of which must be known.
fn indices(names: &[String], ids: &Vocabulary, what: &str, data: &Dataset) -> Result<Vec<u32>> {
    let index = |name: &String| {
        ids.index(name).ok_or_else(|| CliError::Usage(format!("{} has no {what} {name:?}", data.name)))
    };
    names.iter().map(index).collect()
}

/// How lists are printed.
struct Printer<'a> {
    json: bool,
    ids: &'a Vocabulary,
}

impl Printer<'_> {
    fn list(&self, of: &str, name: &str, list: &[Recommended]) {
        let id = |best: &Recommended| self.ids.name(best.item);
        if self.json {
            let items: Vec<_> =
                list.iter().map(|best| json!({ "item": id(best), "score": best.score })).collect();
            output::print(&json!({ of: name, "items": items }).to_string());
        } else {
            let lines: Vec<String> =
                list.iter().map(|best| format!("  {} ({:.4})", id(best), best.score)).collect();
            let none = if lines.is_empty() { "\n  nothing" } else { "" };
            let word = if of == "user" { "for" } else { "like" };
            output::print(format!("{word} {of} {name}:{none}\n{}", lines.join("\n")).trim_end());
        }
    }
}
