//! `recommend`: the best items for users of a log, from any system that ranks.

mod lists;

use super::{search, use_threads};
use crate::arguments::Recommend as Arguments;
use crate::output::{self, note};
use crate::{CliError, Result};
use foretaste_bench::dataset::{self, Dataset};
use foretaste_bench::systems::{self, System};
use foretaste_data::{EventTypes, Histories, History, Vocabulary};
use foretaste_models::{
    Allowed, Asked, Device, Facts, Filter, FitContext, ModelError, Recommend, Recommended, Trained, load,
    sims,
};
use lists::{List, Lists, Of};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Users whose lists are in memory at once.
const TOGETHER: usize = 4096;

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    use_threads(arguments.common.threads)?;
    let reading = &arguments.common.reading;
    reading.no_range("recommend")?;
    let filter: Option<Filter> = arguments.filter.as_deref().map(str::parse).transpose().map_err(usage)?;
    let values = filter_values(filter.as_ref(), &arguments.filter_value)?;
    let system =
        systems::select(std::slice::from_ref(&arguments.model), systems::DEFAULT, &arguments.set)?.remove(0);
    if arguments.user.is_empty() && arguments.item.is_empty() && arguments.users_file.is_none() {
        return Err(CliError::Usage(
            "for whom? --user ID recommends to a user (--user all to everyone), --item ID (with --model \
             sims) names what goes with an item"
                .into(),
        ));
    }
    contradictions(arguments, filter.as_ref())?;
    let mut data = search::load(&arguments.dataset, arguments.data.as_deref(), reading, false)?;
    if let Some(out) = &arguments.out {
        let log = arguments.data.as_deref().unwrap_or(Path::new(&arguments.dataset));
        let tables = data.tables.files.iter().map(PathBuf::as_path);
        if arguments.common.reading.rejects.as_deref() == Some(out) {
            return Err(CliError::Usage("--out and --rejects name the same file".into()));
        }
        [log]
            .into_iter()
            .chain(arguments.from.as_deref())
            .chain(arguments.users_file.as_deref())
            .chain(tables)
            .try_for_each(|input| output::not_the_input(input, out))?;
    }
    let saved = arguments
        .from
        .as_deref()
        .map(|folder| Ok::<_, CliError>(load(&model_folder(folder)?)?))
        .transpose()?;
    if let Some(saved) = &saved {
        data = dataset::in_terms_of(data, saved)?;
    }
    data.remarks.iter().for_each(|remark| note(remark));
    let users = users_asked(arguments, &data)?;
    let items = parts(&arguments.item, &data.table.item_ids);
    let items = indices(&items, &data.table.item_ids, "item", &data)?;

    let device = Device::open(&arguments.device)?;
    let context = FitContext {
        user_attributes: data.user_attributes.as_ref(),
        item_attributes: data.item_attributes.as_ref(),
        ..FitContext::new(arguments.seed, &device)
    };
    let histories = data.table.histories();
    let event_names: Vec<&str> =
        data.table.event_types.as_ref().map(|types| types.names.iter().collect()).unwrap_or_default();
    let (of_users, of_items) =
        if filter.is_some() { data.tables.facts(&data.table) } else { Default::default() };
    let facts = Facts { items: of_items.as_ref(), users: of_users.as_ref(), events: &event_names };
    let allowed = filter.map(|filter| filter.with(facts, &values)).transpose().map_err(usage)?;
    if let Some(allowed) = &allowed {
        allowed.unknown().iter().for_each(|value| note(&format!("filter: {value}")));
    }
    let mut lists = Lists::new(arguments.out.as_deref(), arguments.common.json, &data)?;
    if !items.is_empty() {
        similar(arguments, &system, &histories, &context, allowed.as_ref(), &items, &mut lists)?;
    }
    if !users.is_empty() {
        let model = match saved {
            Some(saved) => saved.model,
            None => system.settings.fit(&histories, None, &context)?.model,
        };
        let why = arguments
            .why
            .then(|| sims::train(&sims::Settings::default(), &histories, &context))
            .transpose()?;
        for_users(
            arguments,
            &Source { data: &data, histories: &histories, allowed: allowed.as_ref(), why: why.as_ref() },
            model.as_ref(),
            &users,
            &mut lists,
        )?;
    }
    lists.finish()
}

/// Indices of the users that lists are asked for.
fn users_asked(arguments: &Arguments, data: &Dataset) -> Result<Vec<u32>> {
    if arguments.user.iter().any(|user| user == "all") {
        return Ok((0..data.table.n_users() as u32).collect());
    }
    let mut names = parts(&arguments.user, &data.table.user_ids);
    if let Some(file) = &arguments.users_file {
        names.extend(listed_users(file)?);
    }
    indices(&names, &data.table.user_ids, "user", data)
}

/// The folder of a saved model: the one named, or `model` in it, where a run keeps its winner.
fn model_folder(folder: &Path) -> Result<PathBuf> {
    let is_model = |folder: &Path| folder.join("weights.safetensors").is_file();
    let inner = folder.join("model");
    if is_model(folder) || !is_model(&inner) && !folder.join("models").is_dir() {
        return Ok(folder.to_owned());
    }
    if is_model(&inner) {
        return Ok(inner);
    }
    // `reproduce --save-models` keeps one of each system and seed.
    let entries = std::fs::read_dir(folder.join("models")).map_err(CliError::io(folder, "list"))?;
    let mut names: Vec<String> = entries.flatten().map(|e| e.path().display().to_string()).collect();
    names.sort();
    Err(CliError::Usage(format!(
        "{} holds several models\n  help: name one with --from: {}",
        folder.display(),
        names.iter().take(12).map(String::as_str).collect::<Vec<_>>().join(", ")
    )))
}

/// Refuses what would do nothing, or what no list can answer.
fn contradictions(arguments: &Arguments, filter: Option<&Filter>) -> Result<()> {
    let (users, items) =
        (!arguments.user.is_empty() || arguments.users_file.is_some(), !arguments.item.is_empty());
    let asks = filter.map(Filter::asks_for).unwrap_or_default();
    let table = arguments
        .out
        .as_ref()
        .is_some_and(|out| out.extension().is_some_and(|end| end == "csv" || end == "parquet"));
    let rules = [
        (items && arguments.seen, "--seen is about what a user has; --item asks about an item"),
        (items && arguments.why, "--why names items of a user's history; --item asks about an item"),
        (table && arguments.why, "--why is told on the terminal, with --json, and in files of JSON Lines"),
        (table && users && items, "one table for --user and --item: write one file for each"),
        (items && (asks.user || asks.interactions), "the filter asks for a user, and --item has none"),
        (users && asks.item, "the filter asks for CurrentItem, and --user has none"),
    ];
    match rules.iter().find(|(broken, _)| *broken) {
        Some((_, told)) => Err(CliError::Usage((*told).into())),
        None => Ok(()),
    }
}

/// The ids of a file, one a line, with or without quotes.
fn listed_users(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(CliError::io(file, "read"))?;
    let unquoted = |line: &str| match line.strip_prefix('"').and_then(|line| line.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => line.to_owned(),
    };
    let text = text.trim_start_matches('\u{feff}');
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(unquoted).collect();
    if names.is_empty() {
        return Err(CliError::Usage(format!("--users-file {}: it names nobody", file.display())));
    }
    Ok(names)
}

/// Values of a filter's parameters, as `GENRE="Horror","War"`.
fn filter_values(filter: Option<&Filter>, given: &[String]) -> Result<HashMap<String, Vec<String>>> {
    let mut values = HashMap::new();
    for text in given {
        let Some((name, list)) = text.split_once('=') else {
            return Err(CliError::Usage(format!(
                "--filter-value {text}: write NAME=VALUE, or NAME=\"A\",\"B\" for several"
            )));
        };
        let name = name.trim().trim_start_matches('$').to_owned();
        if !filter.is_some_and(|filter| filter.parameters().contains(&name.as_str())) {
            let known = filter.map(|filter| filter.parameters().join(", ")).unwrap_or_default();
            return Err(CliError::Usage(format!(
                "--filter-value {name}: the filter has no ${name}{}",
                if known.is_empty() { String::new() } else { format!("; it has {known}") }
            )));
        }
        values.insert(name, listed(list));
    }
    Ok(values)
}

/// `"A","B, C"` or `A,B` as a list.
fn listed(text: &str) -> Vec<String> {
    let (mut values, mut value, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => values.push(std::mem::take(&mut value).trim().to_owned()),
            c => value.push(c),
        }
    }
    values.push(value.trim().to_owned());
    values
}

/// What lists are made from.
struct Source<'a> {
    data: &'a Dataset,
    histories: &'a Histories,
    allowed: Option<&'a Allowed<'a>>,
    why: Option<&'a sims::Model>,
}

/// Items that go with items.
fn similar(
    arguments: &Arguments,
    system: &System,
    histories: &Histories,
    context: &FitContext,
    allowed: Option<&Allowed>,
    items: &[u32],
    lists: &mut Lists,
) -> Result<()> {
    let Some(settings) = system.settings.of::<sims::Settings>() else {
        let reason = format!("{} knows no items that go with an item; --model sims does", system.name);
        let model = system.settings.kind().name();
        return Err(ModelError::Setting { model, setting: "item".into(), reason }.into());
    };
    let model = sims::train(settings, histories, context)?;
    lists.explain("score: similarity, from how often two items are had by the same people");
    for item in items {
        let among = allowed.map(|allowed| {
            allowed.items(histories.n_items(), &Asked { item: Some(*item), ..Asked::default() })
        });
        let may = |item: u32| among.as_ref().is_none_or(|among| among[item as usize]);
        let best = model.similar(*item).filter(|(item, _)| may(*item)).take(arguments.top);
        let list: Vec<Recommended> = best.map(|(item, score)| Recommended { item, score }).collect();
        lists.take(&List { of: Of::Item(*item), items: &list, deviations: &[], why: &[] })?;
    }
    Ok(())
}

/// The best items for users.
fn for_users(
    arguments: &Arguments,
    source: &Source,
    model: &dyn Trained,
    users: &[u32],
    lists: &mut Lists,
) -> Result<()> {
    let Source { data, histories, allowed, why } = source;
    let table = &data.table;
    // "Now" is the moment after the log's last row.
    let now = table.span().map_or(0, |(_, newest)| newest + 1);
    let rates = model.as_rating().is_some() && model.as_recommender().is_none();
    let known = table.values.iter().filter(|v| v.is_finite());
    let ends = known.fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    let scale = rates.then(|| data.scale.unwrap_or(ends)).filter(|(low, high)| low <= high);
    let sure = model
        .as_rating()
        .filter(|_| rates)
        .filter(|model| model.variance(&model.start(u32::MAX, History::default()), 0, now).is_some());
    lists.explain(if sure.is_some() {
        "score: the rating that the model expects, ± the deviation that it expects of it"
    } else if rates {
        "score: the rating that the model expects"
    } else {
        "score: the model's own; it orders the items of one list and means nothing beyond"
    });
    let base = || Recommend::new(model, table.n_items()).top(arguments.top).with_seen(arguments.seen);
    let mut give = |user: u32, mut list: Vec<Recommended>| -> Result<()> {
        if let Some((low, high)) = scale {
            list.iter_mut().for_each(|best| best.score = best.score.clamp(low, high));
        }
        let deviations: Vec<f32> = sure
            .map(|model| {
                let state = model.start(user, histories.user(user));
                let of = |best: &Recommended| model.variance(&state, best.item, now).map(f32::sqrt);
                list.iter().filter_map(of).collect()
            })
            .unwrap_or_default();
        let reasons: Vec<Vec<u32>> = why
            .map(|sims| list.iter().map(|best| nearest(sims, best.item, histories, user)).collect())
            .unwrap_or_default();
        lists.take(&List { of: Of::User(user), items: &list, deviations: &deviations, why: &reasons })
    };
    let offsets = table.user_offsets();
    for block in users.chunks(TOGETHER) {
        if let Some(allowed) = allowed {
            for user in block {
                let rows = offsets[*user as usize]..offsets[*user as usize + 1];
                let event = |row: usize| {
                    table
                        .event_types
                        .as_ref()
                        .filter(|types| types.codes[row] != EventTypes::NULL)
                        .map_or("", |types| types.names.name(types.codes[row]))
                };
                let events: Vec<(u32, &str)> = rows.map(|row| (table.items[row], event(row))).collect();
                let asked = Asked { user: Some(*user), item: None, events: &events };
                let among = allowed.items(table.n_items(), &asked);
                give(*user, base().among(&among).for_user(*user, histories.user(*user), now))?;
            }
        } else if let [user] = block {
            give(*user, base().for_user(*user, histories.user(*user), now))?;
        } else {
            let asked: Vec<(u32, i64)> = block.iter().map(|user| (*user, now)).collect();
            let mut outcome = Ok(());
            base().for_users(histories, &asked, |user, list| {
                if outcome.is_ok() {
                    outcome = give(user, list);
                }
            });
            outcome?;
        }
    }
    Ok(())
}

/// The user's own items that an item goes with most, at most two.
fn nearest(sims: &sims::Model, item: u32, histories: &Histories, user: u32) -> Vec<u32> {
    let own = histories.user(user).items;
    sims.similar(item).map(|(other, _)| other).filter(|other| own.contains(other)).take(2).collect()
}

fn usage(error: impl std::fmt::Display) -> CliError {
    CliError::Usage(error.to_string())
}

/// The ids of arguments: each is an id, or several with commas between them.
fn parts(arguments: &[String], ids: &Vocabulary) -> Vec<String> {
    let of = |name: &String| match ids.index(name) {
        Some(_) => vec![name.clone()],
        None => name.split(',').map(|part| part.trim().to_owned()).collect(),
    };
    arguments.iter().flat_map(of).collect()
}

/// Indices of ids; unknown ones among known ones are told and left out.
fn indices(names: &[String], ids: &Vocabulary, what: &str, data: &Dataset) -> Result<Vec<u32>> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for name in names {
        match ids.index(name) {
            Some(index) => known.push(index),
            None => unknown.push(name.clone()),
        }
    }
    // A list each, however often somebody is named.
    let mut once = std::collections::HashSet::new();
    known.retain(|index| once.insert(*index));
    if unknown.is_empty() {
        return Ok(known);
    }
    let told = |names: &[String]| {
        let more = if names.len() > 10 { format!(" and {} more", names.len() - 10) } else { String::new() };
        format!("{}{more}", names.iter().take(10).map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", "))
    };
    if known.is_empty() {
        return Err(CliError::Usage(format!("{} has no {what} {}", data.name, told(&unknown))));
    }
    note(&format!("{} has no {what} {}; left out", data.name, told(&unknown)));
    Ok(known)
}
