//! Constraints between settings: two sums and a comparison, as in `depth * size <= 1024`.

use super::Configuration;
use crate::{HpoError, Result};
use std::fmt;
use std::str::FromStr;

/// A comparison that must hold where all its settings exist.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    text: String,
    left: Term,
    compare: Compare,
    right: Term,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Compare {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    NotEqual,
}

#[derive(Debug, Clone, PartialEq)]
enum Term {
    Number(f64),
    Setting(String),
    Two(Box<Self>, char, Box<Self>),
}

impl Constraint {
    /// The settings it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut names = Vec::new();
        self.left.names(&mut names);
        self.right.names(&mut names);
        names.into_iter()
    }

    /// Whether it holds; it does if a setting it names does not exist or is not a number.
    #[must_use]
    pub fn holds(&self, configuration: &Configuration) -> bool {
        let (Some(left), Some(right)) = (self.left.value(configuration), self.right.value(configuration))
        else {
            return true;
        };
        match self.compare {
            Compare::Less => left < right,
            Compare::AtMost => left <= right,
            Compare::Greater => left > right,
            Compare::AtLeast => left >= right,
            Compare::Equal => left == right,
            Compare::NotEqual => left != right,
        }
    }
}

impl Term {
    fn names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Number(_) => {}
            Self::Setting(name) => names.push(name),
            Self::Two(left, _, right) => {
                left.names(names);
                right.names(names);
            }
        }
    }

    fn value(&self, configuration: &Configuration) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Setting(name) => configuration.get(name)?.number(),
            Self::Two(left, sign, right) => {
                let (left, right) = (left.value(configuration)?, right.value(configuration)?);
                Some(match sign {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                })
            }
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Constraint {
    type Err = HpoError;

    fn from_str(text: &str) -> Result<Self> {
        let mut reader = Reader { text, at: 0 };
        let left = reader.sum()?;
        let compare = reader.compare()?;
        let right = reader.sum()?;
        if !reader.rest().is_empty() {
            return Err(reader.wrong("the end"));
        }
        Ok(Self { text: text.trim().to_owned(), left, compare, right })
    }
}

/// Reads a constraint from left to right.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn wrong(&mut self, wanted: &str) -> HpoError {
        let found = self.rest().chars().next().map_or("the end".to_owned(), |c| format!("{c:?}"));
        let place = self.text[..self.at].chars().count() + 1;
        HpoError::Space(format!(
            "constraint {:?}: {wanted} was expected at character {place}, not {found}",
            self.text
        ))
    }

    fn take(&mut self, signs: &[char]) -> Option<char> {
        let sign = self.rest().chars().next().filter(|c| signs.contains(c))?;
        self.at += sign.len_utf8();
        Some(sign)
    }

    fn compare(&mut self) -> Result<Compare> {
        let words = [
            ("<=", Compare::AtMost),
            (">=", Compare::AtLeast),
            ("==", Compare::Equal),
            ("!=", Compare::NotEqual),
            ("<", Compare::Less),
            (">", Compare::Greater),
        ];
        let rest = self.rest();
        let found = words.iter().find(|(word, _)| rest.starts_with(word));
        let (word, compare) = found.ok_or_else(|| self.wrong("one of <= >= < > == !="))?;
        self.at += word.len();
        Ok(*compare)
    }

    fn sum(&mut self) -> Result<Term> {
        let mut left = self.product()?;
        while let Some(sign) = self.take(&['+', '-']) {
            left = Term::Two(Box::new(left), sign, Box::new(self.product()?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Term> {
        let mut left = self.atom()?;
        while let Some(sign) = self.take(&['*', '/']) {
            left = Term::Two(Box::new(left), sign, Box::new(self.atom()?));
        }
        Ok(left)
    }

    fn atom(&mut self) -> Result<Term> {
        if self.take(&['(']).is_some() {
            let inner = self.sum()?;
            return self.take(&[')']).map(|_| inner).ok_or_else(|| self.wrong("\")\""));
        }
        let rest = self.rest();
        let word: &str = &rest
            [..rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len())];
        let term = match word.chars().next() {
            None => return Err(self.wrong("a number or a setting")),
            Some(first) if first.is_ascii_digit() || first == '.' => {
                Term::Number(word.parse().map_err(|_| self.wrong("a number"))?)
            }
            Some(_) => Term::Setting(word.to_owned()),
        };
        self.at += word.len();
        Ok(term)
    }
}
