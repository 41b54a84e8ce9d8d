//! The grammar of filters.

use super::{Clause, Condition, Filter, FilterError, Part, Table, Test, Value};

/// The rest of a text.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

pub(super) fn filter(text: &str) -> Result<Filter, FilterError> {
    let mut parser = Parser { text, at: 0 };
    let mut parts = vec![parser.part()?];
    while parser.rest().starts_with('|') {
        parser.at += 1;
        parts.push(parser.part()?);
    }
    if !parser.rest().is_empty() {
        return Err(parser.fail(parser.at, "nothing may follow here but IF, or | and another filter"));
    }
    Ok(Filter { text: text.to_owned(), parts })
}

impl<'a> Parser<'a> {
    /// One expression of a chain.
    fn part(&mut self) -> Result<Part, FilterError> {
        let include = match self.word().to_ascii_uppercase().as_str() {
            "INCLUDE" => true,
            "EXCLUDE" => false,
            _ => return Err(self.fail_before("a filter begins with INCLUDE or EXCLUDE")),
        };
        self.keyword("ItemID")?;
        self.keyword("WHERE")?;
        let condition = self.condition()?;
        let only_if = if self.takes("IF") { Some(self.condition()?) } else { None };
        let of_catalogue = |clause: &&Clause| matches!(clause.table, Table::Items | Table::Interactions);
        if let Some(clause) = only_if.iter().flatten().flatten().find(of_catalogue) {
            return Err(
                self.fail(clause.position, "after IF, conditions are on CurrentUser or CurrentItem alone")
            );
        }
        Ok(Part { include, condition, only_if })
    }

    fn fail(&self, position: usize, reason: &str) -> FilterError {
        FilterError { text: self.text.to_owned(), position, reason: reason.to_owned() }
    }

    /// An error at the last word.
    fn fail_before(&self, reason: &str) -> FilterError {
        let taken = &self.text[..self.at];
        self.fail(taken.rfind(char::is_whitespace).map_or(0, |at| at + 1).min(self.at), reason)
    }

    /// The text from the next character that is no blank.
    fn rest(&mut self) -> &'a str {
        let left = &self.text[self.at..];
        self.at += left.len() - left.trim_start().len();
        &self.text[self.at..]
    }

    /// Takes a name: letters, digits, `_`.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Whether a keyword comes next; consumes it if so.
    fn takes(&mut self, keyword: &str) -> bool {
        self.rest();
        let before = self.at;
        let found = self.word().eq_ignore_ascii_case(keyword);
        if !found {
            self.at = before;
        }
        found
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), FilterError> {
        if self.takes(keyword) {
            Ok(())
        } else {
            Err(self.fail(self.at, &format!("{keyword} is expected here")))
        }
    }

    fn sign(&mut self, sign: &str) -> Result<(), FilterError> {
        if !self.rest().starts_with(sign) {
            return Err(self.fail(self.at, &format!("{sign} is expected here")));
        }
        self.at += sign.len();
        Ok(())
    }

    fn condition(&mut self) -> Result<Condition, FilterError> {
        let mut condition = vec![vec![self.clause()?]];
        loop {
            if self.takes("AND") {
                let clause = self.clause()?;
                if let Some(all) = condition.last_mut() {
                    all.push(clause);
                }
            } else if self.takes("OR") {
                condition.push(vec![self.clause()?]);
            } else {
                return Ok(condition);
            }
        }
    }

    fn clause(&mut self) -> Result<Clause, FilterError> {
        self.rest();
        let position = self.at;
        let name = self.word();
        let Some(table) = Table::ALL.into_iter().find(|table| table.name().eq_ignore_ascii_case(name)) else {
            return Err(self.fail(
                position,
                "a condition begins with Items., Interactions., CurrentUser. or CurrentItem.",
            ));
        };
        self.sign(".")?;
        let field = self.word().to_owned();
        if field.is_empty() {
            return Err(self.fail(self.at, "the name of a field is expected here"));
        }
        let negated = self.takes("NOT");
        if negated || self.takes("IN") {
            if negated {
                self.keyword("IN")?;
            }
            self.sign("(")?;
            let mut values = vec![self.value()?];
            while self.rest().starts_with(',') {
                self.at += 1;
                values.push(self.value()?);
            }
            self.sign(")")?;
            return Ok(Clause {
                table,
                field,
                test: if negated { Test::NotIn } else { Test::In },
                values,
                position,
            });
        }
        let rest = self.rest();
        let Some((test, sign)) = Test::COMPARISONS.into_iter().find(|(_, sign)| rest.starts_with(sign))
        else {
            return Err(
                self.fail(self.at, "IN, NOT IN or a comparison (=, !=, <, <=, >, >=) is expected here")
            );
        };
        self.at += sign.len();
        Ok(Clause { table, field, test, values: vec![self.value()?], position })
    }

    fn value(&mut self) -> Result<Value, FilterError> {
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix('"') {
            let (mut text, mut escaped) = (String::new(), false);
            for (at, c) in quoted.char_indices() {
                match c {
                    _ if escaped => {
                        text.push(c);
                        escaped = false;
                    }
                    '\\' => escaped = true,
                    '"' => {
                        self.at += at + 2;
                        return Ok(Value::Text(text));
                    }
                    _ => text.push(c),
                }
            }
            return Err(self.fail(self.at, "the text that begins here has no end"));
        }
        if rest.starts_with('$') {
            self.at += 1;
            let name = self.word();
            return if name.is_empty() {
                Err(self.fail(self.at, "the name of a parameter is expected here"))
            } else {
                Ok(Value::Parameter(name.to_owned()))
            };
        }
        for table in [Table::CurrentUser, Table::CurrentItem] {
            let before = self.at;
            if self.takes(table.name()) && self.text[self.at..].starts_with('.') {
                self.at += 1;
                let field = self.word();
                if field.is_empty() {
                    return Err(self.fail(self.at, "the name of a field is expected here"));
                }
                return Ok(Value::Field(table, field.to_owned()));
            }
            self.at = before;
        }
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+')))
            .unwrap_or(rest.len());
        match rest[..end].parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.at += end;
                Ok(Value::Number(number))
            }
            _ => Err(self.fail(
                self.at,
                "a value is expected here: \"text\", a number, $parameter, \
                CurrentUser.FIELD or CurrentItem.FIELD",
            )),
        }
    }
}
