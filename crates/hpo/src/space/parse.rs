//! Search spaces as TOML: one table per setting.
//!
//! ```toml
//! constraints = ["size_2 <= size_1"]
//! depth = { type = "integer", low = 1, high = 3 }
//! size_1 = { type = "integer", low = 16, high = 512, log = true }
//! size_2 = { type = "integer", low = 16, high = 512, log = true, when = { depth = { at_least = 2 } } }
//! solver = { type = "categorical", choices = ["sgd", "als"] }
//! rate = { type = "float", low = 0.001, high = 0.1, log = true, when = { solver = "sgd" } }
//! half_life = { type = "rate", low = 1.0, high = 1000.0 }     # days; 0 for no decay
//! ```

use super::{Condition, Configuration, Constraint, Domain, Parameter, Space, Test, Value};
use crate::{HpoError, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::str::FromStr;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Entry {
    Float {
        low: f64,
        high: f64,
        #[serde(default)]
        log: bool,
        step: Option<f64>,
        #[serde(default)]
        when: BTreeMap<String, Asked>,
    },
    Integer {
        low: i64,
        high: i64,
        #[serde(default)]
        log: bool,
        #[serde(default = "one")]
        step: i64,
        #[serde(default)]
        when: BTreeMap<String, Asked>,
    },
    Rate {
        low: f64,
        high: f64,
        #[serde(default)]
        whole: bool,
        #[serde(default)]
        when: BTreeMap<String, Asked>,
    },
    Categorical {
        choices: Vec<Value>,
        #[serde(default)]
        when: BTreeMap<String, Asked>,
    },
    Bool {
        #[serde(default)]
        when: BTreeMap<String, Asked>,
    },
}

fn one() -> i64 {
    1
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Bound(Bound),
    Several(Vec<Value>),
    Value(Value),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    at_least: Option<f64>,
    at_most: Option<f64>,
}

impl FromStr for Space {
    type Err = HpoError;

    /// Reads a space from TOML.
    fn from_str(text: &str) -> Result<Self> {
        let (parameters, constraints) = read(text)?;
        Self::new(parameters, constraints)
    }
}

impl Space {
    /// Reads a space from TOML whose conditions may name settings that are not searched but `fixed`: what
    /// these rule out is left out. `None` where nothing is left to search.
    ///
    /// # Errors
    /// [`HpoError::Space`], as when parsing a text.
    pub fn given(text: &str, fixed: &Configuration) -> Result<Option<Self>> {
        let (mut parameters, constraints) = read(text)?;
        // What is fixed at a value outside of its range was put there on purpose.
        parameters.retain(|p| fixed.get(&p.name).is_none_or(|value| p.domain.encode(value).is_some()));
        let searched: Vec<String> = parameters.iter().map(|p| p.name.clone()).collect();
        let decided = |condition: &Condition| {
            if searched.contains(&condition.parameter) { None } else { fixed.get(&condition.parameter) }
        };
        parameters.retain(|p| p.when.iter().all(|c| decided(c).is_none_or(|value| c.test.holds(value))));
        let open = |c: &Condition| searched.contains(&c.parameter) || !fixed.contains_key(&c.parameter);
        parameters.iter_mut().for_each(|p| p.when.retain(|c| open(c)));
        if parameters.is_empty() { Ok(None) } else { Self::new(parameters, constraints).map(Some) }
    }
}

fn read(text: &str) -> Result<(Vec<Parameter>, Vec<Constraint>)> {
    let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| HpoError::Space(e.to_string()))?;
    let mut constraints = Vec::new();
    if let Some(listed) = table.remove("constraints") {
        let listed: Vec<String> = listed
            .try_into()
            .map_err(|_| HpoError::Space("constraints is a list of texts such as \"a <= b\"".into()))?;
        constraints = listed.iter().map(|text| text.parse::<Constraint>()).collect::<Result<_>>()?;
    }
    let mut parameters = Vec::new();
    for (name, entry) in table {
        let entry: Entry = entry
            .try_into()
            .map_err(|e: toml::de::Error| HpoError::Space(format!("{name}: {}", e.message())))?;
        let (domain, when) = match entry {
            Entry::Float { low, high, log, step, when } => (Domain::Float { low, high, log, step }, when),
            Entry::Integer { low, high, log, step, when } => (Domain::Integer { low, high, log, step }, when),
            Entry::Rate { low, high, whole, when } => (Domain::Rate { low, high, whole }, when),
            Entry::Categorical { choices, when } => (Domain::Categorical(choices), when),
            Entry::Bool { when } => (Domain::Categorical(vec![Value::Flag(false), Value::Flag(true)]), when),
        };
        let mut conditions = Vec::new();
        for (parameter, asked) in when {
            let mut add = |test| conditions.push(Condition { parameter: parameter.clone(), test });
            match asked {
                Asked::Value(value) => add(Test::In(vec![value])),
                Asked::Several(values) => add(Test::In(values)),
                Asked::Bound(Bound { at_least, at_most }) => {
                    at_least.into_iter().for_each(|low| add(Test::AtLeast(low)));
                    at_most.into_iter().for_each(|high| add(Test::AtMost(high)));
                }
            }
        }
        parameters.push(Parameter { name, domain, when: conditions });
    }
    Ok((parameters, constraints))
}
