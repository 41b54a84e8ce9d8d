//! Filters: which items may be recommended, in the syntax of Amazon Personalize.
//!
//! ```text
//! filter     = part { "|" part }                                   an item must pass every part
//! part       = ("INCLUDE" | "EXCLUDE") "ItemID" "WHERE" condition ["IF" condition]
//! condition  = clause { ("AND" | "OR") clause }                  AND binds closer than OR
//! clause     = table "." field ( ["NOT"] "IN" "(" value { "," value } ")" | comparison value )
//! comparison = "=" | "!=" | "<" | "<=" | ">" | ">="
//! table      = "Items" | "Interactions" | "CurrentUser" | "CurrentItem"
//! value      = "text" | number | $parameter | "*" | ("CurrentUser" | "CurrentItem") "." field
//! ```
//!
//! Keywords, tables, fields and event types are read without regard to case; other text is compared exactly,
//! numbers as numbers. A clause holds for an item (or user) if any of its values of that field does; `NOT IN`
//! and `!=` hold if none does. `Interactions.EVENT_TYPE` is what the user did with the item (`IN ("*")`:
//! anything). `IF` is about `CurrentUser` and `CurrentItem` (the item that similar ones are wanted for)
//! alone: if it does not hold, its part keeps all items. Source: Amazon Personalize, *Filter expressions*.
//!
//! ```
//! use foretaste_models::Filter;
//! let filter: Filter = r#"EXCLUDE ItemID WHERE Items.GENRES IN ("Horror", "War")"#.parse()?;
//! assert_eq!(filter.to_string(), r#"EXCLUDE ItemID WHERE Items.GENRES IN ("Horror", "War")"#);
//! let error = "EXCLUDE ItemID WHERE Items.GENRES IN (Horror)".parse::<Filter>().unwrap_err();
//! assert!(error.to_string().contains("column 39"));
//! # Ok::<(), foretaste_models::FilterError>(())
//! ```

mod parse;

use foretaste_data::Attributes;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter, column {}: {reason}\n  {text}\n  {}^", place(text, *position), " ".repeat(place(text,
    *position) - 1))]
pub struct FilterError {
    /// The filter's text.
    pub text: String,
    /// Byte at which it goes wrong.
    pub position: usize,
    /// What is wrong, and which names are known.
    pub reason: String,
}

/// Column of a byte, from 1.
fn place(text: &str, position: usize) -> usize {
    text.get(..position).map_or(0, |before| before.chars().count()) + 1
}

/// The table of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Items,
    Interactions,
    CurrentUser,
    CurrentItem,
}

impl Table {
    const ALL: [Self; 4] = [Self::Items, Self::Interactions, Self::CurrentUser, Self::CurrentItem];

    const fn name(self) -> &'static str {
        match self {
            Self::Items => "Items",
            Self::Interactions => "Interactions",
            Self::CurrentUser => "CurrentUser",
            Self::CurrentItem => "CurrentItem",
        }
    }
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    In,
    NotIn,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Test {
    const COMPARISONS: [(Self, &'static str); 6] = [
        (Self::NotEqual, "!="),
        (Self::LessOrEqual, "<="),
        (Self::GreaterOrEqual, ">="),
        (Self::Equal, "="),
        (Self::Less, "<"),
        (Self::Greater, ">"),
    ];
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(f64),
    Parameter(String),
    /// A field of the current user or item.
    Field(Table, String),
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Clause {
    table: Table,
    field: String,
    test: Test,
    values: Vec<Value>,
    /// Byte at which it stands.
    position: usize,
}

/// A disjunction of conjunctions of clauses.
pub(crate) type Condition = Vec<Vec<Clause>>;

/// One expression of a chain.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    include: bool,
    condition: Condition,
    only_if: Option<Condition>,
}

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    text: String,
    parts: Vec<Part>,
}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        parse::filter(text)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            Self::Number(number) => write!(f, "{number}"),
            Self::Parameter(name) => write!(f, "${name}"),
            Self::Field(table, field) => write!(f, "{}.{field}", table.name()),
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} ", self.table.name(), self.field)?;
        let list = || self.values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self.test {
            Test::In => write!(f, "IN ({})", list()),
            Test::NotIn => write!(f, "NOT IN ({})", list()),
            test => write!(
                f,
                "{} {}",
                Test::COMPARISONS.iter().find(|(t, _)| *t == test).map_or("", |(_, sign)| sign),
                list()
            ),
        }
    }
}

fn shown(condition: &Condition) -> String {
    let all =
        |clauses: &Vec<Clause>| clauses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" AND ");
    condition.iter().map(all).collect::<Vec<_>>().join(" OR ")
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ItemID WHERE {}",
            if self.include { "INCLUDE" } else { "EXCLUDE" },
            shown(&self.condition)
        )?;
        self.only_if.iter().try_for_each(|condition| write!(f, " IF {}", shown(condition)))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join(" | "))
    }
}

/// What filters can use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Attributes of items.
    pub items: Option<&'a Attributes>,
    /// Attributes of users.
    pub users: Option<&'a Attributes>,
    /// The log's event types, so that an unknown one is told.
    pub events: &'a [&'a str],
}

/// A clause with resolved values.
#[derive(Debug)]
struct Ready {
    table: Table,
    test: Test,
    /// Attribute codes for which the comparison holds, as far as it does not depend on the current user or
    /// item.
    codes: Vec<bool>,
    /// Event types of interactions.
    events: Vec<String>,
    /// Fields of the current user or item that the clause compares with: table and code by code whether it is
    /// of that field; and the clause's own values, by code.
    fields: Vec<(Table, Vec<bool>)>,
    own: Vec<(u32, String)>,
}

/// A part with resolved values.
#[derive(Debug)]
struct ReadyPart {
    include: bool,
    condition: Vec<Vec<Ready>>,
    only_if: Vec<Vec<Ready>>,
}

/// A filter prepared for a catalogue.
#[derive(Debug)]
pub struct Allowed<'a> {
    facts: Facts<'a>,
    parts: Vec<ReadyPart>,
    unknown: Vec<String>,
}

/// Whom or what a filter is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The user; `None` where similar items are wanted for nobody in particular.
    pub user: Option<u32>,
    /// The item that similar ones are wanted for.
    pub item: Option<u32>,
    /// The user's items with the types of what the user did.
    pub events: &'a [(u32, &'a str)],
}

/// Whether a field's value compares as asked with a value; `!=` and `NOT IN` are negated later.
fn compares(test: Test, own: &str, value: &Value) -> bool {
    let equality = matches!(test, Test::In | Test::NotIn | Test::Equal | Test::NotEqual);
    match value {
        Value::Text(text) if matches!(test, Test::In | Test::NotIn) && text == "*" => true,
        Value::Text(text) if equality => own == text,
        Value::Text(_) | Value::Parameter(_) | Value::Field(..) => false,
        Value::Number(number) => own.parse::<f64>().is_ok_and(|own| match test {
            Test::Less => own < *number,
            Test::LessOrEqual => own <= *number,
            Test::Greater => own > *number,
            Test::GreaterOrEqual => own >= *number,
            _ => own == *number,
        }),
    }
}

/// A value as written: a number where it is one.
fn read(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Number)
}

impl Filter {
    /// Resolves all fields and parameters.
    ///
    /// # Errors
    /// [`FilterError`] for a field or parameter that does not exist, naming those that do.
    pub fn with<'a>(
        &self,
        facts: Facts<'a>,
        parameters: &HashMap<String, Vec<String>>,
    ) -> Result<Allowed<'a>, FilterError> {
        let mut unknown = Vec::new();
        let mut ready = |condition: &Condition| -> Result<Vec<Vec<Ready>>, FilterError> {
            condition
                .iter()
                .map(|clauses| {
                    clauses.iter().map(|clause| self.ready(clause, facts, parameters, &mut unknown)).collect()
                })
                .collect()
        };
        let mut parts = Vec::new();
        for part in &self.parts {
            let only_if = part.only_if.as_ref().map_or(Ok(Vec::new()), &mut ready)?;
            parts.push(ReadyPart { include: part.include, condition: ready(&part.condition)?, only_if });
        }
        Ok(Allowed { facts, parts, unknown })
    }

    /// The names of its parameters, `$NAME`, in order of appearance.
    #[must_use]
    pub fn parameters(&self) -> Vec<&str> {
        let conditions = self.parts.iter().flat_map(|part| part.only_if.iter().chain([&part.condition]));
        let mut names = Vec::new();
        for value in conditions.flatten().flatten().flat_map(|clause| &clause.values) {
            if let Value::Parameter(name) = value
                && !names.contains(&name.as_str())
            {
                names.push(name.as_str());
            }
        }
        names
    }

    /// Which of the current user's and the current item's fields, and of the user's interactions, it asks
    /// for.
    #[must_use]
    pub fn asks_for(&self) -> Subjects {
        let mut subjects = Subjects::default();
        let mut ask = |table: Table| match table {
            Table::CurrentUser => subjects.user = true,
            Table::Interactions => subjects.interactions = true,
            Table::CurrentItem => subjects.item = true,
            Table::Items => {}
        };
        let conditions = self.parts.iter().flat_map(|part| part.only_if.iter().chain([&part.condition]));
        for clause in conditions.flatten().flatten() {
            ask(clause.table);
            clause.values.iter().for_each(|value| {
                if let Value::Field(table, _) = value {
                    ask(*table);
                }
            });
        }
        subjects
    }

    fn ready(
        &self,
        clause: &Clause,
        facts: Facts,
        parameters: &HashMap<String, Vec<String>>,
        unknown: &mut Vec<String>,
    ) -> Result<Ready, FilterError> {
        let fail =
            |reason: String| FilterError { text: self.text.clone(), position: clause.position, reason };
        let mut values: Vec<Value> = Vec::new();
        for value in &clause.values {
            match value {
                Value::Parameter(name) => {
                    let given = parameters
                        .get(name)
                        .ok_or_else(|| fail(format!("no value was given for the parameter ${name}")))?;
                    values.extend(given.iter().map(|value| read(value)));
                }
                value => values.push(value.clone()),
            }
            let compares =
                matches!(clause.test, Test::Less | Test::LessOrEqual | Test::Greater | Test::GreaterOrEqual);
            if let Some(Value::Text(text)) = values.iter().find(|v| compares && matches!(v, Value::Text(_))) {
                return Err(fail(format!("{text:?} is no number, and this comparison needs one")));
            }
        }
        if clause.table == Table::Interactions {
            return events_of(clause, &values, facts, unknown).map_err(fail);
        }
        let parts = column(clause.table, &clause.field, facts).map_err(fail)?;
        let own: Vec<(u32, String)> = parts
            .iter()
            .filter(|(_, mine, _)| *mine)
            .map(|(code, _, value)| (*code, (*value).to_owned()))
            .collect();
        let mut fields = Vec::new();
        for value in &values {
            if let Value::Field(table, field) = value {
                let parts = column(*table, field, facts).map_err(fail)?;
                fields.push((*table, parts.iter().map(|(_, mine, _)| *mine).collect()));
            }
        }
        let equality = matches!(clause.test, Test::In | Test::NotIn | Test::Equal | Test::NotEqual);
        for value in values.iter().filter(|value| equality && !matches!(value, Value::Field(..))) {
            if !own.iter().any(|(_, own)| compares(clause.test, own, value)) {
                let mut known: Vec<&str> = own.iter().map(|(_, value)| value.as_str()).take(12).collect();
                if own.len() > 12 {
                    known.push("...");
                }
                unknown.push(format!(
                    "no {}.{} is {value}; known are {}",
                    clause.table.name(),
                    clause.field,
                    known.join(", ")
                ));
            }
        }
        let holds = |own: &str| values.iter().any(|value| compares(clause.test, own, value));
        Ok(Ready {
            table: clause.table,
            test: clause.test,
            codes: parts.iter().map(|(_, mine, value)| *mine && holds(value)).collect(),
            events: Vec::new(),
            fields,
            own,
        })
    }
}

/// A clause on interactions.
fn events_of(
    clause: &Clause,
    values: &[Value],
    facts: Facts,
    unknown: &mut Vec<String>,
) -> Result<Ready, String> {
    if !clause.field.eq_ignore_ascii_case("event_type") {
        return Err(format!("interactions have no field {}; known is EVENT_TYPE", clause.field));
    }
    let text = |value: &Value| if let Value::Text(text) = value { text.clone() } else { value.to_string() };
    let events: Vec<String> = values.iter().map(text).collect();
    let known = |event: &str| event == "*" || facts.events.iter().any(|e| e.eq_ignore_ascii_case(event));
    for event in events.iter().filter(|event| !facts.events.is_empty() && !known(event)) {
        unknown.push(format!(
            "no Interactions.EVENT_TYPE is {event:?}; known are {}",
            facts.events.iter().take(12).copied().collect::<Vec<_>>().join(", ")
        ));
    }
    Ok(Ready {
        table: Table::Interactions,
        test: clause.test,
        codes: Vec::new(),
        events,
        fields: Vec::new(),
        own: Vec::new(),
    })
}

/// The codes of a table's attributes: code, whether it is of the column `field`, value.
fn column<'a>(table: Table, field: &str, facts: Facts<'a>) -> Result<Vec<(u32, bool, &'a str)>, String> {
    let (name, attributes) = match table {
        Table::CurrentUser => ("users", facts.users),
        _ => ("items", facts.items),
    };
    let attributes = attributes
        .ok_or_else(|| format!("nothing is known of {name}: provide a table of their attributes"))?;
    let parts: Vec<(&str, &str)> =
        attributes.names().iter().map(|name| name.split_once('=').unwrap_or((name, ""))).collect();
    if !parts.iter().any(|(column, _)| column.eq_ignore_ascii_case(field)) {
        let mut known: Vec<&str> = parts.iter().map(|(column, _)| *column).collect();
        known.dedup();
        return Err(format!("{name} have no field {field}; known are {}", known.join(", ")));
    }
    let part = |(code, (column, value)): (usize, &(&'a str, &'a str))| {
        (code as u32, column.eq_ignore_ascii_case(field), *value)
    };
    Ok(parts.iter().enumerate().map(part).collect())
}

/// What a filter asks for besides items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Subjects {
    /// The user that a list is for.
    pub user: bool,
    /// What that user did.
    pub interactions: bool,
    /// The item that a list is about.
    pub item: bool,
}

/// A clause, and for each code whether it holds for one user and item.
type Now<'a> = (&'a Ready, Cow<'a, [bool]>);

impl Allowed<'_> {
    /// Values of the filter that the catalogue does not have, each in a sentence: such a clause matches
    /// nothing.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// For each of `n_items` items whether it may be recommended to whom or for what is asked.
    #[must_use]
    pub fn items(&self, n_items: usize, asked: &Asked) -> Vec<bool> {
        let mut allowed = vec![true; n_items];
        for part in &self.parts {
            let (condition, only_if) = (self.now(&part.condition, asked), self.now(&part.only_if, asked));
            if !only_if.is_empty() && !self.meets(&only_if, None, asked) {
                continue;
            }
            for (item, allowed) in allowed.iter_mut().enumerate().filter(|(_, allowed)| **allowed) {
                *allowed = self.meets(&condition, Some(item as u32), asked) == part.include;
            }
        }
        allowed
    }

    /// The codes of the current user or item.
    fn current(&self, table: Table, asked: &Asked) -> &[u32] {
        match table {
            Table::CurrentUser => {
                asked.user.zip(self.facts.users).map_or(&[], |(user, users)| users.of(user))
            }
            _ => asked.item.zip(self.facts.items).map_or(&[], |(item, items)| items.of(item)),
        }
    }

    /// The clauses with the codes that hold for this user and item.
    fn now<'b>(&self, condition: &'b [Vec<Ready>], asked: &Asked) -> Vec<Vec<Now<'b>>> {
        let one = |ready: &'b Ready| {
            if ready.fields.is_empty() {
                return (ready, Cow::Borrowed(ready.codes.as_slice()));
            }
            let mut codes = ready.codes.clone();
            for (table, of_field) in &ready.fields {
                let attributes =
                    if *table == Table::CurrentUser { self.facts.users } else { self.facts.items };
                let values = self.current(*table, asked).iter().filter(|code| of_field[**code as usize]);
                let values: Vec<Value> = values
                    .filter_map(|code| attributes?.name(*code).split_once('='))
                    .flat_map(|(_, value)| [read(value), Value::Text(value.to_owned())])
                    .collect();
                for (code, own) in &ready.own {
                    codes[*code as usize] |= values.iter().any(|value| compares(ready.test, own, value));
                }
            }
            (ready, Cow::Owned(codes))
        };
        condition.iter().map(|clauses| clauses.iter().map(one).collect()).collect()
    }

    fn meets(&self, condition: &[Vec<Now>], item: Option<u32>, asked: &Asked) -> bool {
        let holds = |(ready, codes): &Now| {
            let any = |own: &[u32]| own.iter().any(|code| codes[*code as usize]);
            let found = match ready.table {
                Table::CurrentUser | Table::CurrentItem => any(self.current(ready.table, asked)),
                Table::Items => item.zip(self.facts.items).is_some_and(|(item, items)| any(items.of(item))),
                Table::Interactions => asked.events.iter().any(|(own, event)| {
                    let is = |e: &String| e == "*" || e.eq_ignore_ascii_case(event);
                    Some(*own) == item && ready.events.iter().any(is)
                }),
            };
            found != matches!(ready.test, Test::NotIn | Test::NotEqual)
        };
        condition.iter().any(|all| all.iter().all(holds))
    }
}

#[cfg(test)]
mod tests;
