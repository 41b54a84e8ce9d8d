//! Which columns of a file carry the interaction fields.

use super::ReadOptions;
use super::fields::{self, missing};
use super::layout::Format;
use crate::time::NoDate;
use crate::{DataError, Hint, Result};

/// The columns that carry the interaction fields, each by its name or, counted from 1, by its number; `None`
/// tries the usual names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnMapping {
    /// User id.
    pub user: Option<String>,
    /// Item id.
    pub item: Option<String>,
    /// Time stamp.
    pub timestamp: Option<String>,
    /// Rating or event value.
    pub value: Option<String>,
    /// Event type.
    pub event_type: Option<String>,
}

/// The usual names of each field, case-insensitive and without regard to `_`, `-` and blanks: ours,
/// Personalize's, `MovieLens`', `RecBole`'s, and those of the logs that people start with.
pub(crate) const USER: [&str; 9] =
    ["userid", "user", "uid", "customerid", "reviewerid", "visitorid", "memberid", "sessionid", "session"];
pub(crate) const ITEM: [&str; 17] = [
    "itemid",
    "movieid",
    "item",
    "productid",
    "parentasin",
    "asin",
    "isbn",
    "bookid",
    "articleid",
    "artistid",
    "videoid",
    "trackid",
    "songid",
    "gameid",
    "placeid",
    "businessid",
    "aid",
];
const TIME: [&str; 11] = [
    "timestamp",
    "time",
    "unixtimestamp",
    "unixreviewtime",
    "date",
    "eventtime",
    "datetime",
    "ts",
    "tdat",
    "eventdate",
    "createdat",
];
const VALUE: [&str; 8] =
    ["eventvalue", "rating", "value", "score", "bookrating", "overall", "stars", "watchratio"];
const EVENT: [&str; 4] = ["eventtype", "event", "type", "behavior"];

/// Positions of the interaction fields among a file's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// User id.
    pub user: usize,
    /// Item id.
    pub item: usize,
    /// Time stamp; `None` where the log has no times.
    pub timestamp: Option<usize>,
    /// Rating or event value.
    pub value: Option<usize>,
    /// Event type.
    pub event_type: Option<usize>,
}

impl Positions {
    /// The columns that carry a field.
    pub(super) fn used(&self) -> Vec<usize> {
        let optional = [self.timestamp, self.value, self.event_type];
        [self.user, self.item].into_iter().chain(optional.into_iter().flatten()).collect()
    }
}

/// The place of a column that is given by its number, counted from 1.
fn number(wanted: &str, columns: usize) -> Option<usize> {
    wanted.parse::<usize>().ok().filter(|n| (1..=columns).contains(n)).map(|n| n - 1)
}

/// A column's name as usual names are compared.
pub(crate) fn plain_name(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Names for a message: a file without line ends has a first line of megabytes.
pub(super) fn listed(names: &[String]) -> String {
    let mut list: Vec<String> = names.iter().take(30).map(|name| shown(name)).collect();
    if names.len() > 30 {
        list.push(format!("and {} more", names.len() - 30));
    }
    list.join(", ")
}

/// A text for a message, shortened.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

impl ColumnMapping {
    /// The given columns with their hints.
    fn given(&self) -> [(Option<&String>, Hint); 5] {
        [
            (self.user.as_ref(), Hint::User),
            (self.item.as_ref(), Hint::Item),
            (self.timestamp.as_ref(), Hint::Timestamp),
            (self.value.as_ref(), Hint::Value),
            (self.event_type.as_ref(), Hint::EventType),
        ]
    }

    /// Whether a column is given by its number among so many.
    fn by_number(&self, columns: usize) -> bool {
        self.given().iter().any(|(wanted, _)| wanted.is_some_and(|wanted| number(wanted, columns).is_some()))
    }

    /// Finds the fields among the columns `names` of a file.
    ///
    /// # Errors
    /// [`DataError::File`] naming `file` for a column that is missing or has two roles.
    pub fn find(&self, file: &str, names: &[String]) -> Result<Positions> {
        let locate = |wanted: Option<&String>, usual: &[&str], hint: Hint| -> Result<Option<usize>> {
            let Some(wanted) = wanted else {
                let place = |usual: &&str| names.iter().position(|name| plain_name(name) == **usual);
                return Ok(usual.iter().find_map(place));
            };
            let named = || names.iter().position(|name| name == wanted);
            match number(wanted, names.len()).or_else(named) {
                Some(at) => Ok(Some(at)),
                None => Err(DataError::file(
                    file,
                    format!("has no column {wanted:?}; it has {}", listed(names)),
                    format!("fix {}", hint.token()),
                )),
            }
        };
        let need = |found: Option<usize>, what: &str, hint: Hint| {
            found.ok_or_else(|| {
                DataError::file(
                    file,
                    format!("has no column known as {what}; it has {}", listed(names)),
                    format!(
                        "name it with {}; without a header, columns go by number: {} 1",
                        hint.token(),
                        Hint::User.token()
                    ),
                )
            })
        };
        let found = Positions {
            user: need(locate(self.user.as_ref(), &USER, Hint::User)?, "user id", Hint::User)?,
            item: need(locate(self.item.as_ref(), &ITEM, Hint::Item)?, "item id", Hint::Item)?,
            timestamp: locate(self.timestamp.as_ref(), &TIME, Hint::Timestamp)?,
            value: locate(self.value.as_ref(), &VALUE, Hint::Value)?,
            event_type: locate(self.event_type.as_ref(), &EVENT, Hint::EventType)?,
        };
        self.one_role_each(file, names, found)
    }

    /// A column that is named for one field serves no other: a usual name gives way, two given names do not.
    fn one_role_each(&self, file: &str, names: &[String], mut found: Positions) -> Result<Positions> {
        let given = self.given().map(|(wanted, _)| wanted.is_some());
        let taken = |at: usize, but: usize, found: &Positions| {
            let places = [Some(found.user), Some(found.item), found.timestamp, found.value, found.event_type];
            (0..5).any(|role| role != but && given[role] && places[role] == Some(at))
        };
        for (role, place) in [(2, found.timestamp), (3, found.value), (4, found.event_type)] {
            if let Some(at) = place.filter(|at| !given[role] && taken(*at, role, &found)) {
                debug_assert!(at < names.len());
                match role {
                    2 => found.timestamp = None,
                    3 => found.value = None,
                    _ => found.event_type = None,
                }
            }
        }
        let used = found.used();
        if let Some(at) = used.iter().enumerate().find(|(place, at)| used[..*place].contains(at)) {
            return Err(DataError::file(
                file,
                format!("column {:?} would be two things at once", shown(&names[*at.1])),
                "name another column for one of them",
            ));
        }
        Ok(found)
    }
}

/// A delimited file's columns, and whether its first line names them.
pub(super) struct Heading {
    pub names: Vec<String>,
    pub named: bool,
    pub positions: Positions,
}

impl Heading {
    /// From the first line's fields.
    pub fn settle(file: &str, format: &Format, first: &[String], options: &ReadOptions) -> Result<Self> {
        if let Some(names) = &options.names {
            if names.len() != first.len() {
                let reason = format!(
                    "has {} fields in its first line, and {} names were given",
                    first.len(),
                    names.len()
                );
                return Err(DataError::file(file, reason, "give as many names as there are columns"));
            }
            let positions = options.columns.find(file, names)?;
            return Ok(Self { names: names.clone(), named: false, positions });
        }
        let numbered: Vec<String> = (1..=first.len()).map(|n| format!("column_{n}")).collect();
        if options.no_header {
            let positions = options.columns.find(file, &numbered)?;
            return Ok(Self { names: numbered, named: false, positions });
        }
        // RecBole's header carries types: `user_id:token`.
        let untyped = |name: &String| match format {
            Format::RecBole => name.split(':').next().unwrap_or(name).to_owned(),
            _ => name.clone(),
        };
        let names: Vec<String> = first.iter().map(untyped).collect();
        let by_number = options.columns.by_number(names.len());
        let positions = options.columns.find(file, &names)?;
        let row = looks_like_a_row(first, &positions, options);
        let usual = || {
            let all = USER.iter().chain(&ITEM).chain(&TIME).chain(&VALUE);
            names.iter().any(|name| all.clone().any(|usual| plain_name(name) == **usual))
        };
        match (by_number, row) {
            (true, Some(true)) => Ok(Self { names: numbered, named: false, positions }),
            (true, None) if !usual() => Err(DataError::file(
                file,
                format!("may begin with a header or with a row: {}", listed(&names)),
                "if it is a row, set <no_header>; if it is a header, name the columns by it",
            )),
            (false, Some(true)) => Err(DataError::file(
                file,
                format!("begins with what looks like a row, not a header: {}", listed(&names)),
                format!(
                    "columns of a file without a header go by number: {} 1, {} 2",
                    Hint::User.token(),
                    Hint::Item.token()
                ),
            )),
            _ => Ok(Self { names, named: true, positions }),
        }
    }
}

/// Whether a first line's rating or time reads as one; `None` where neither column is known.
fn looks_like_a_row(first: &[String], positions: &Positions, options: &ReadOptions) -> Option<bool> {
    let value = positions.value.map(|at| fields::value(first[at].as_bytes()).is_some());
    let time = positions.timestamp.map(|at| {
        let unit = options.time_unit.per_second();
        fields::time(first[at].as_bytes(), unit, options.date_order) != Err(NoDate::Unknown)
    });
    let empty = positions.value.is_some_and(|at| missing(first[at].as_bytes()));
    match (value, time) {
        (None, None) => None,
        _ if value == Some(true) || time == Some(true) => Some(true),
        _ if empty => None,
        _ => Some(false),
    }
}
