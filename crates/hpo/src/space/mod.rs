//! Search spaces: which settings exist, between which bounds, and under which conditions.

mod constraint;
mod domain;
mod parse;
#[cfg(test)]
mod tests;

pub use constraint::Constraint;
pub use domain::{Domain, Value};

use crate::{HpoError, Result};
use rand::{Rng, RngExt};
use std::collections::BTreeMap;

/// Settings by name; those that do not exist under their conditions are absent.
pub type Configuration = BTreeMap<String, Value>;

/// How often a draw is repeated before the constraints are considered unsatisfiable.
const DRAWS: usize = 10_000;

/// A condition on another setting's value, under which a setting exists.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// One of these values.
    In(Vec<Value>),
    /// A number at least this large.
    AtLeast(f64),
    /// A number at most this large.
    AtMost(f64),
}

/// A condition on another setting, which must exist itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The other setting.
    pub parameter: String,
    /// What it must be.
    pub test: Test,
}

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// The values it may have.
    pub domain: Domain,
    /// When it exists: all must hold.
    pub when: Vec<Condition>,
}

/// The settings of a search; each comes after the settings it is conditional on.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    parameters: Vec<Parameter>,
    constraints: Vec<Constraint>,
    /// The conditions of each parameter, with the index of the setting they refer to.
    asks: Vec<Vec<(usize, Test)>>,
}

impl Space {
    /// A space of `parameters` under `constraints`.
    ///
    /// # Errors
    /// [`HpoError::Space`] for doubled names, empty ranges, conditions or constraints on unknown settings,
    /// and conditions that go in circles.
    pub fn new(mut parameters: Vec<Parameter>, constraints: Vec<Constraint>) -> Result<Self> {
        let fail = |reason: String| Err(HpoError::Space(reason));
        if parameters.is_empty() {
            return fail("holds no setting".into());
        }
        for parameter in &parameters {
            parameter
                .domain
                .check()
                .map_err(|reason| HpoError::Space(format!("{}: {reason}", parameter.name)))?;
        }
        // Settings that others depend on come first; otherwise the order is kept.
        let mut ordered: Vec<Parameter> = Vec::new();
        while !parameters.is_empty() {
            let known = |name: &str| ordered.iter().any(|p| p.name == name);
            let Some(next) = parameters.iter().position(|p| p.when.iter().all(|c| known(&c.parameter)))
            else {
                let (one, asked) = (&parameters[0].name, &parameters[0].when[0].parameter);
                let circle = parameters.iter().any(|p| p.name == *asked);
                return fail(if circle {
                    format!("the conditions of {one} go in a circle")
                } else {
                    format!("{one} asks {asked}, which is no setting")
                });
            };
            let next = parameters.remove(next);
            if ordered.iter().any(|p| p.name == next.name) {
                return fail(format!("{} is there twice", next.name));
            }
            ordered.push(next);
        }
        let at = |name: &str| ordered.iter().position(|p| p.name == name);
        for constraint in &constraints {
            if let Some(name) = constraint.names().find(|name| at(name).is_none()) {
                return fail(format!("constraint {constraint}: {name} is no setting"));
            }
        }
        let asks = ordered
            .iter()
            .map(|p| p.when.iter().filter_map(|c| Some((at(&c.parameter)?, c.test.clone()))).collect())
            .collect();
        Ok(Self { parameters: ordered, constraints, asks })
    }

    /// The settings; each comes after the settings it is conditional on.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Number of settings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Always `false`: a space without settings cannot be made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// Whether some settings exist only under conditions.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        self.parameters.iter().any(|p| !p.when.is_empty())
    }

    /// The configuration at a point of the unit cube (`[len]`): coordinates of settings that do not exist
    /// are not looked at.
    #[must_use]
    pub fn decode(&self, point: &[f64]) -> Configuration {
        let values = self.values(point);
        self.parameters
            .iter()
            .zip(values)
            .filter_map(|(p, value)| value.map(|value| (p.name.clone(), value)))
            .collect()
    }

    /// The point moved to the centres of its cells, NaN for settings that do not exist.
    #[must_use]
    pub fn snapped(&self, point: &[f64]) -> Vec<f64> {
        let values = self.values(point);
        self.parameters
            .iter()
            .zip(values)
            .map(|(p, value)| value.and_then(|value| p.domain.encode(&value)).unwrap_or(f64::NAN))
            .collect()
    }

    fn values(&self, point: &[f64]) -> Vec<Option<Value>> {
        let mut values: Vec<Option<Value>> = Vec::with_capacity(self.len());
        for (index, parameter) in self.parameters.iter().enumerate() {
            let exists = self.asks[index]
                .iter()
                .all(|(asked, test)| values[*asked].as_ref().is_some_and(|value| test.holds(value)));
            // A missing coordinate of a setting that has come to exist means the middle.
            let unit = if point[index].is_nan() { 0.5 } else { point[index].clamp(0.0, 1.0) };
            values.push(exists.then(|| parameter.domain.decode(unit)));
        }
        values
    }

    /// The point of a configuration in the unit cube (`[len]`); NaN for settings that do not exist.
    ///
    /// # Errors
    /// [`HpoError::Setting`] for an unknown setting, one out of its range or of another type, one that is
    /// missing, and one that is there against its conditions.
    pub fn encode(&self, configuration: &Configuration) -> Result<Vec<f64>> {
        let fail = |name: &str, reason: String| HpoError::Setting { name: name.to_owned(), reason };
        if let Some(name) =
            configuration.keys().find(|name| !self.parameters.iter().any(|p| p.name == **name))
        {
            let known: Vec<&str> = self.parameters.iter().map(|p| p.name.as_str()).collect();
            return Err(fail(name, format!("is not searched; searched are {}", known.join(", "))));
        }
        let mut point = Vec::with_capacity(self.len());
        for (index, parameter) in self.parameters.iter().enumerate() {
            let value = configuration.get(&parameter.name);
            let exists = self.asks[index].iter().all(|(asked, test)| {
                configuration.get(&self.parameters[*asked].name).is_some_and(|value| test.holds(value))
            });
            point.push(match (value, exists) {
                (Some(value), true) => parameter.domain.encode(value).ok_or_else(|| {
                    fail(&parameter.name, format!("{value} is not in {}", parameter.domain))
                })?,
                (None, false) => f64::NAN,
                (Some(_), false) => {
                    return Err(fail(&parameter.name, "does not exist beside the other settings".into()));
                }
                (None, true) => {
                    return Err(fail(
                        &parameter.name,
                        format!("is missing; it must be in {}", parameter.domain),
                    ));
                }
            });
        }
        Ok(point)
    }

    /// Whether the constraints hold; one that names a setting that does not exist holds.
    #[must_use]
    pub fn feasible(&self, configuration: &Configuration) -> bool {
        self.constraints.iter().all(|c| c.holds(configuration))
    }

    /// Checks a configuration against ranges, conditions and constraints, and returns its point.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and [`HpoError::Setting`] naming a constraint that is broken.
    pub fn check(&self, configuration: &Configuration) -> Result<Vec<f64>> {
        let point = self.encode(configuration)?;
        match self.constraints.iter().find(|c| !c.holds(configuration)) {
            None => Ok(point),
            Some(broken) => Err(HpoError::Setting {
                name: broken.names().next().unwrap_or_default().to_owned(),
                reason: format!("breaks the constraint {broken}"),
            }),
        }
    }

    /// The settings of `defaults` that exist in this space, for a trial of the defaults.
    #[must_use]
    pub fn default_configuration(&self, defaults: &Configuration) -> Configuration {
        let mut chosen = Configuration::new();
        for (index, parameter) in self.parameters.iter().enumerate() {
            let exists = self.asks[index].iter().all(|(asked, test)| {
                chosen.get(&self.parameters[*asked].name).is_some_and(|value| test.holds(value))
            });
            if let Some(value) = defaults.get(&parameter.name).filter(|_| exists) {
                chosen.insert(parameter.name.clone(), value.clone());
            }
        }
        chosen
    }

    /// A snapped point that the constraints allow, drawn evenly.
    ///
    /// # Errors
    /// [`HpoError::Space`] if none is found in ten thousand draws.
    pub fn draw(&self, rng: &mut impl Rng) -> Result<Vec<f64>> {
        for _ in 0..DRAWS {
            let point: Vec<f64> = (0..self.len()).map(|_| rng.random::<f64>()).collect();
            if self.constraints.is_empty() || self.feasible(&self.decode(&point)) {
                return Ok(self.snapped(&point));
            }
        }
        let all: Vec<String> = self.constraints.iter().map(ToString::to_string).collect();
        Err(HpoError::Space(format!("{DRAWS} draws met no configuration that keeps {}", all.join(" and "))))
    }

    /// Only the settings called `names`, with those they depend on; constraints that name others are left
    /// out.
    ///
    /// # Errors
    /// [`HpoError::Space`] for a name that is no setting, or one whose conditions name a setting that is not
    /// among them.
    pub fn only(&self, names: &[String]) -> Result<Self> {
        if let Some(name) = names.iter().find(|name| !self.parameters.iter().any(|p| p.name == **name)) {
            let known: Vec<&str> = self.parameters.iter().map(|p| p.name.as_str()).collect();
            return Err(HpoError::Space(format!("{name} is no setting; searched are {}", known.join(", "))));
        }
        let among = |name: &str| names.iter().any(|n| n == name);
        let parameters = self.parameters.iter().filter(|p| among(&p.name)).cloned().collect();
        Self::new(parameters, self.constraints.iter().filter(|c| c.names().all(among)).cloned().collect())
    }

    /// The space as text, one line per setting or constraint: what two workers must agree on.
    pub(crate) fn lines(&self) -> Vec<String> {
        let setting = |p: &Parameter| {
            format!(
                "{} in {}{}",
                p.name,
                p.domain,
                p.when.iter().map(|c| format!(", if {} {:?}", c.parameter, c.test)).collect::<String>()
            )
        };
        self.parameters.iter().map(setting).chain(self.constraints.iter().map(ToString::to_string)).collect()
    }

    /// The same space with other bounds of one setting, as in `size=16..512`, or one value, `size=64`.
    ///
    /// # Errors
    /// [`HpoError::Space`] for a malformed text, an unknown setting or invalid bounds.
    pub fn with_override(mut self, text: &str) -> Result<Self> {
        let fail = |reason: &str| HpoError::Space(format!("{text}: {reason}"));
        let (name, range) = text
            .split_once('=')
            .ok_or_else(|| fail("write SETTING=LOW..HIGH, SETTING=VALUE or SETTING=A|B|C"))?;
        let known: Vec<String> = self.parameters.iter().map(|p| p.name.clone()).collect();
        let parameter = self.parameters.iter_mut().find(|p| p.name == name.trim());
        let parameter =
            parameter.ok_or_else(|| fail(&format!("no such setting; searched are {}", known.join(", "))))?;
        parameter.domain = parameter.domain.narrowed(range.trim()).map_err(|reason| fail(&reason))?;
        Self::new(self.parameters, self.constraints)
    }
}

impl Test {
    /// Whether `value` satisfies the test.
    #[must_use]
    pub fn holds(&self, value: &Value) -> bool {
        match self {
            Self::In(values) => values.contains(value),
            Self::AtLeast(low) => value.number().is_some_and(|v| v >= *low),
            Self::AtMost(high) => value.number().is_some_and(|v| v <= *high),
        }
    }
}
