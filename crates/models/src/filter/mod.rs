//! Filters: which items may be recommended, in the syntax of Amazon Personalize.
//!
//! ```text
//! filter     = ("INCLUDE" | "EXCLUDE") "ItemID" "WHERE" condition ["IF" condition]
//! condition  = clause { ("AND" | "OR") clause }                  AND binds closer than OR
//! clause     = table "." field ( ["NOT"] "IN" "(" value { "," value } ")" | comparison value )
//! comparison = "=" | "!=" | "<" | "<=" | ">" | ">="
//! table      = "Items" | "Interactions" | "CurrentUser"
//! value      = "text" | number | $parameter | "*"
//! ```
//!
//! Keywords, tables and fields are read without regard to case; text is compared exactly, numbers as numbers.
//! A clause holds for an item (or user) if any of its values of that field does; `NOT IN` and `!=` hold if
//! none does. `Interactions.EVENT_TYPE` is what the user did with the item (`IN ("*")`: anything). `IF`
//! is about `CurrentUser` alone: if it does not hold, the filter keeps all items.
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
use std::collections::HashMap;
use std::fmt;

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter, column {}: {reason}\n  {text}\n  {}^", column(text, *position), " ".repeat(column(text,
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
fn column(text: &str, position: usize) -> usize {
    text.get(..position).map_or(0, |before| before.chars().count()) + 1
}

/// The table of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Items,
    Interactions,
    CurrentUser,
}

impl Table {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Items, "Items"), (Self::Interactions, "Interactions"), (Self::CurrentUser, "CurrentUser")];
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

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    text: String,
    include: bool,
    condition: Condition,
    only_if: Option<Condition>,
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
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = Table::ALL.iter().find(|(table, _)| *table == self.table).map_or("", |(_, name)| name);
        write!(f, "{table}.{} ", self.field)?;
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

impl fmt::Display for Filter {
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

/// The attributes that filters can use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Of items.
    pub items: Option<&'a Attributes>,
    /// Of users.
    pub users: Option<&'a Attributes>,
}

/// A clause with resolved values.
#[derive(Debug)]
struct Ready {
    table: Table,
    /// Attribute codes (or, of interactions, event types) for which the comparison holds.
    codes: Vec<bool>,
    events: Vec<String>,
    negated: bool,
}

/// A filter prepared for a catalogue.
#[derive(Debug)]
pub struct Allowed<'a> {
    facts: Facts<'a>,
    include: bool,
    condition: Vec<Vec<Ready>>,
    only_if: Vec<Vec<Ready>>,
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
        let ready = |condition: &Condition| -> Result<Vec<Vec<Ready>>, FilterError> {
            condition
                .iter()
                .map(|clauses| clauses.iter().map(|clause| self.ready(clause, facts, parameters)).collect())
                .collect()
        };
        let only_if = self.only_if.as_ref().map_or(Ok(Vec::new()), ready)?;
        Ok(Allowed { facts, include: self.include, condition: ready(&self.condition)?, only_if })
    }

    fn ready(
        &self,
        clause: &Clause,
        facts: Facts,
        parameters: &HashMap<String, Vec<String>>,
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
                    values.extend(given.iter().map(|value| {
                        value.parse().map_or_else(|_| Value::Text(value.clone()), Value::Number)
                    }));
                }
                value => values.push(value.clone()),
            }
        }
        let any = |holds: &dyn Fn(&Value) -> bool| values.iter().any(holds);
        // Whether a field's value compares as asked with any of the values; `!=` and `NOT IN` are
        // negated later.
        let holds = |own: &str| {
            any(&|value| match (clause.test, value) {
                (Test::In | Test::NotIn, Value::Text(text)) if text == "*" => true,
                (Test::In | Test::NotIn | Test::Equal | Test::NotEqual, Value::Text(text)) => own == text,
                (_, Value::Text(_) | Value::Parameter(_)) => false,
                (test, Value::Number(number)) => own.parse::<f64>().is_ok_and(|own| match test {
                    Test::In | Test::NotIn | Test::Equal | Test::NotEqual => own == *number,
                    Test::Less => own < *number,
                    Test::LessOrEqual => own <= *number,
                    Test::Greater => own > *number,
                    Test::GreaterOrEqual => own >= *number,
                }),
            })
        };
        let negated = matches!(clause.test, Test::NotIn | Test::NotEqual);
        let attributes = match clause.table {
            Table::Interactions if clause.field.eq_ignore_ascii_case("event_type") => {
                let events = values
                    .iter()
                    .map(|value| if let Value::Text(text) = value { text.clone() } else { value.to_string() })
                    .collect();
                return Ok(Ready { table: clause.table, codes: Vec::new(), events, negated });
            }
            Table::Interactions => {
                return Err(fail(format!(
                    "interactions have no field {}; known is EVENT_TYPE",
                    clause.field
                )));
            }
            Table::Items => facts.items,
            Table::CurrentUser => facts.users,
        };
        let name = if clause.table == Table::Items { "items" } else { "users" };
        let attributes = attributes.ok_or_else(|| {
            fail(format!("nothing is known of {name}: provide a table of their attributes"))
        })?;
        let parts: Vec<(&str, &str)> =
            attributes.names().iter().filter_map(|name| name.split_once('=')).collect();
        let mine = |column: &str| column.eq_ignore_ascii_case(&clause.field);
        if !parts.iter().any(|(column, _)| mine(column)) {
            let mut known: Vec<&str> = parts.iter().map(|(column, _)| *column).collect();
            known.dedup();
            return Err(fail(format!(
                "{name} have no field {}; known are {}",
                clause.field,
                known.join(", ")
            )));
        }
        Ok(Ready {
            table: clause.table,
            codes: parts.iter().map(|(column, value)| mine(column) && holds(value)).collect(),
            events: Vec::new(),
            negated,
        })
    }
}

impl Allowed<'_> {
    /// For each of `n_items` items whether `user` may be recommended it. `events` are the user's items with
    /// the types of what the user did.
    #[must_use]
    pub fn items(&self, n_items: usize, user: u32, events: &[(u32, &str)]) -> Vec<bool> {
        let of_user = self.facts.users.map_or(&[][..], |users| users.of(user));
        let holds = |ready: &Ready, item: Option<u32>| {
            let found = match ready.table {
                Table::CurrentUser => of_user.iter().any(|code| ready.codes[*code as usize]),
                Table::Items => item.zip(self.facts.items).is_some_and(|(item, items)| {
                    items.of(item).iter().any(|code| ready.codes[*code as usize])
                }),
                Table::Interactions => events.iter().any(|(own, event)| {
                    Some(*own) == item && ready.events.iter().any(|e| e == "*" || e == event)
                }),
            };
            found != ready.negated
        };
        let meets = |condition: &[Vec<Ready>], item: Option<u32>| {
            condition.iter().any(|all| all.iter().all(|ready| holds(ready, item)))
        };
        if !self.only_if.is_empty() && !meets(&self.only_if, None) {
            return vec![true; n_items];
        }
        (0..n_items as u32).map(|item| meets(&self.condition, Some(item)) == self.include).collect()
    }
}

#[cfg(test)]
mod tests;
