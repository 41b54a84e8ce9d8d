//! Domains: the values a setting may have, and their positions between 0 and 1.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A flag.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A word.
    Text(String),
}

impl Value {
    /// The value as a number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(i) => Some(*i as f64),
            Self::Float(f) => Some(*f),
            Self::Flag(_) | Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Integer(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The values a setting may have.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// Numbers from `low` to `high`, both included.
    Float {
        /// Smallest.
        low: f64,
        /// Largest.
        high: f64,
        /// Whether ratios count, not differences.
        log: bool,
        /// Step between values, from `low` on; `None` allows all.
        step: Option<f64>,
    },
    /// Whole numbers from `low` to `high`, both included.
    Integer {
        /// Smallest.
        low: i64,
        /// Largest.
        high: i64,
        /// Whether ratios count, not differences.
        log: bool,
        /// Step between values, from `low` on.
        step: i64,
    },
    /// A length such as a half-life or a window, of which 0 stands for no limit: searched by its rate, the
    /// reciprocal, so that no limit lies beside the longest lengths and not beside the shortest.
    Rate {
        /// Shortest.
        low: f64,
        /// From here on longer lengths are ever closer to no limit.
        high: f64,
        /// Whether lengths are whole numbers.
        whole: bool,
    },
    /// One of several values without order.
    Categorical(Vec<Value>),
}

/// Beyond so many times `high` a length has no limit.
const ENDLESS: f64 = 1000.0;

impl Domain {
    /// Checks that the domain is consistent and holds a value.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Float { low, high, log, step } => {
                if !(low.is_finite() && high.is_finite() && low <= high) {
                    return Err(format!("low {low} and high {high} are no range"));
                }
                if *log && *low <= 0.0 {
                    return Err(format!("a log scale needs low above 0, not {low}"));
                }
                if *log && step.is_some() {
                    return Err("a log scale has no steps".into());
                }
                if step.is_some_and(|s| !(s > 0.0 && s.is_finite())) {
                    return Err("step must be above 0".into());
                }
                Ok(())
            }
            Self::Integer { low, high, log, step } => {
                if low > high {
                    return Err(format!("low {low} and high {high} are no range"));
                }
                if *log && *low < 1 {
                    return Err(format!("a log scale needs low of at least 1, not {low}"));
                }
                if *log && *step != 1 {
                    return Err("a log scale has no steps".into());
                }
                if *step < 1 {
                    return Err("step must be at least 1".into());
                }
                Ok(())
            }
            Self::Rate { low, high, whole } => {
                if !(*low > 0.0 && high.is_finite() && low < high) {
                    return Err(format!("a rate needs low above 0 and below high, not {low} and {high}"));
                }
                if *whole && (low.fract() != 0.0 || high.fract() != 0.0) {
                    return Err(format!("{low} and {high} are no whole numbers"));
                }
                Ok(())
            }
            Self::Categorical(choices) if choices.is_empty() => Err("choices are empty".into()),
            Self::Categorical(choices) => {
                match choices.iter().enumerate().find(|(i, c)| choices[..*i].contains(c)) {
                    Some((_, twice)) => Err(format!("choice {twice} is there twice")),
                    None => Ok(()),
                }
            }
        }
    }

    /// Number of values; `None` if there are infinitely many.
    #[must_use]
    pub fn cells(&self) -> Option<usize> {
        match self {
            Self::Float { low, high, step: Some(step), .. } => {
                Some(((high - low) / step + 1e-9).floor() as usize + 1)
            }
            Self::Float { low, high, .. } => (low == high).then_some(1),
            Self::Integer { low, high, step, .. } => Some(((high - low) / step) as usize + 1),
            Self::Rate { .. } => None,
            Self::Categorical(choices) => Some(choices.len()),
        }
    }

    /// Whether the values have no order.
    #[must_use]
    pub fn is_categorical(&self) -> bool {
        matches!(self, Self::Categorical(_))
    }

    /// The value at a position between 0 and 1; every value has a cell as wide as its share.
    #[must_use]
    pub fn decode(&self, unit: f64) -> Value {
        let cell = |cells: usize| ((unit * cells as f64) as usize).min(cells - 1);
        match self {
            Self::Float { low, step: Some(step), .. } => {
                Value::Float(low + cell(self.cells().unwrap_or(1)) as f64 * step)
            }
            Self::Float { low, high, log: true, .. } => {
                Value::Float((low.ln() + unit * (high.ln() - low.ln())).exp().clamp(*low, *high))
            }
            Self::Float { low, high, .. } => Value::Float((low + unit * (high - low)).clamp(*low, *high)),
            Self::Integer { low, high, log: true, .. } => {
                let (from, to) = ((*low as f64 - 0.5).ln(), (*high as f64 + 0.5).ln());
                Value::Integer(((from + unit * (to - from)).exp().round() as i64).clamp(*low, *high))
            }
            Self::Integer { low, step, .. } => {
                Value::Integer(low + cell(self.cells().unwrap_or(1)) as i64 * step)
            }
            Self::Rate { low, high, whole } => {
                // The rate as a share of the highest: 0 at 0, and nearly even in the logarithm from `high`
                // on.
                let ratio = high / low;
                let length = low * (ratio - 1.0) / (ratio.powf(unit) - 1.0);
                let length = if length > ENDLESS * high { 0.0 } else { length.max(*low) };
                if *whole { Value::Integer(length.round() as i64) } else { Value::Float(length) }
            }
            Self::Categorical(choices) => choices[cell(choices.len())].clone(),
        }
    }

    /// The position of a value between 0 and 1 (the middle of its cell); `None` for a value outside.
    #[must_use]
    pub fn encode(&self, value: &Value) -> Option<f64> {
        let middle = |cell: f64, cells: usize| (cell + 0.5) / cells as f64;
        match self {
            Self::Float { low, high, log, step } => {
                let value = value.number().filter(|v| (*low..=*high).contains(v))?;
                if let Some(step) = step {
                    let cell = ((value - low) / step).round();
                    return ((low + cell * step - value).abs() < 1e-6 * step)
                        .then(|| middle(cell, self.cells().unwrap_or(1)));
                }
                let share = if *log {
                    (value.ln() - low.ln()) / (high.ln() - low.ln())
                } else {
                    (value - low) / (high - low)
                };
                Some(if low == high { 0.5 } else { share })
            }
            Self::Integer { low, high, log, step } => {
                let Value::Integer(value) = value else { return None };
                if !(*low..=*high).contains(value) || (value - low) % step != 0 {
                    return None;
                }
                if *log {
                    let (from, to) = ((*low as f64 - 0.5).ln(), (*high as f64 + 0.5).ln());
                    return Some(((*value as f64).ln() - from) / (to - from));
                }
                Some(middle(((value - low) / step) as f64, self.cells().unwrap_or(1)))
            }
            Self::Rate { low, high, whole } => {
                let length = value.number().filter(|v| *v == 0.0 || (v >= low && v.is_finite()))?;
                if *whole != matches!(value, Value::Integer(_)) {
                    return None;
                }
                let share = if length == 0.0 { 0.0 } else { low / length };
                Some((share * (high / low - 1.0)).ln_1p() / (high / low).ln())
            }
            Self::Categorical(choices) => {
                choices.iter().position(|c| c == value).map(|cell| middle(cell as f64, choices.len()))
            }
        }
    }

    /// The positions of all values, if they are few enough to list; empty if there are infinitely many.
    #[must_use]
    pub fn places(&self) -> Vec<f64> {
        let Some(cells) = self.cells() else { return Vec::new() };
        match self {
            Self::Integer { low, step, .. } => {
                (0..cells as i64).filter_map(|cell| self.encode(&Value::Integer(low + cell * step))).collect()
            }
            _ => (0..cells).map(|cell| (cell as f64 + 0.5) / cells as f64).collect(),
        }
    }

    /// The cell of a position between 0 and 1, as the bounds of all positions that decode to the same value.
    pub(crate) fn cell(&self, unit: f64) -> Option<(f64, f64)> {
        if let (Self::Integer { low, high, log: true, .. }, Value::Integer(value)) = (self, self.decode(unit))
        {
            let (from, to) = ((*low as f64 - 0.5).ln(), (*high as f64 + 0.5).ln());
            let place = |edge: f64| (edge.ln() - from) / (to - from);
            return Some((place(value as f64 - 0.5), place(value as f64 + 0.5)));
        }
        let cells = self.cells()? as f64;
        let cell = (unit * cells).floor().min(cells - 1.0);
        Some((cell / cells, (cell + 1.0) / cells))
    }

    /// A domain of the same kind with other bounds: `LOW..HIGH`, `VALUE`, or `A|B|C`.
    pub(super) fn narrowed(&self, text: &str) -> Result<Self, String> {
        let ends = text.split_once("..").unwrap_or((text, text));
        let bad = |_| format!("{text} is no range of numbers");
        match self {
            Self::Float { log, step, .. } => Ok(Self::Float {
                low: ends.0.trim().parse().map_err(bad)?,
                high: ends.1.trim().parse().map_err(bad)?,
                log: *log,
                step: *step,
            }),
            Self::Integer { log, step, .. } => {
                let bad = |_| format!("{text} is no range of whole numbers");
                Ok(Self::Integer {
                    low: ends.0.trim().parse().map_err(bad)?,
                    high: ends.1.trim().parse().map_err(bad)?,
                    log: *log,
                    step: *step,
                })
            }
            Self::Rate { whole, .. } => Ok(Self::Rate {
                low: ends.0.trim().parse().map_err(bad)?,
                high: ends.1.trim().parse().map_err(bad)?,
                whole: *whole,
            }),
            Self::Categorical(choices) => {
                let find = |word: &str| {
                    choices
                        .iter()
                        .find(|c| c.to_string() == word.trim())
                        .cloned()
                        .ok_or_else(|| format!("{word} is not in {self}"))
                };
                Ok(Self::Categorical(text.split('|').map(find).collect::<Result<_, _>>()?))
            }
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float { low, high, step: Some(step), .. } => {
                write!(f, "[{low}, {high}] in steps of {step}")
            }
            Self::Float { low, high, log, .. } => {
                write!(f, "[{low}, {high}]{}", if *log { " (log)" } else { "" })
            }
            Self::Integer { low, high, step, log } => {
                write!(
                    f,
                    "[{low}, {high}] in whole {}",
                    if *log {
                        "numbers (log)".into()
                    } else if *step == 1 {
                        "numbers".into()
                    } else {
                        format!("steps of {step}")
                    }
                )
            }
            Self::Rate { low, high, .. } => write!(f, "[{low}, {high}] and no limit (by rate)"),
            Self::Categorical(choices) => {
                write!(f, "{{{}}}", choices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
        }
    }
}
