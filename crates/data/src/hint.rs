//! What a user can set to get past an error, named without a program's words.

/// An option or action that an error's help speaks of. The library's texts name it as it stands in Rust; a
/// program shows its own flag instead ([`DataError::spoken`](crate::DataError::spoken)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// The format of a file.
    Format,
    /// What stands between columns.
    Delimiter,
    /// How fields are quoted.
    Quoting,
    /// The encoding of a text file.
    Encoding,
    /// That a file has no header.
    NoHeader,
    /// Whether the day or the month comes first.
    DateOrder,
    /// The unit of time stamps.
    TimeUnit,
    /// How many bad rows may be left out.
    SkipBadRows,
    /// Names of the columns of a file without a header.
    Columns,
    /// That further columns are left out.
    NoFurther,
    /// The column of users.
    User,
    /// The column of items.
    Item,
    /// The column of time stamps.
    Timestamp,
    /// The column of ratings.
    Value,
    /// The column of event types.
    EventType,
    /// The list of known data sets.
    DataSets,
    /// Bringing a known data set.
    Fetch,
    /// The folder of a known data set.
    Folder,
}

impl Hint {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Format,
        Self::Delimiter,
        Self::Quoting,
        Self::Encoding,
        Self::NoHeader,
        Self::DateOrder,
        Self::TimeUnit,
        Self::SkipBadRows,
        Self::Columns,
        Self::NoFurther,
        Self::User,
        Self::Item,
        Self::Timestamp,
        Self::Value,
        Self::EventType,
        Self::DataSets,
        Self::Fetch,
        Self::Folder,
    ];

    /// Its place in a text of this crate.
    pub(crate) fn token(self) -> &'static str {
        match self {
            Self::Format => "<format>",
            Self::Delimiter => "<delimiter>",
            Self::Quoting => "<quoting>",
            Self::Encoding => "<encoding>",
            Self::NoHeader => "<no_header>",
            Self::DateOrder => "<date_order>",
            Self::TimeUnit => "<time_unit>",
            Self::SkipBadRows => "<skip_bad_rows>",
            Self::Columns => "<names>",
            Self::NoFurther => "<no_further>",
            Self::User => "<user>",
            Self::Item => "<item>",
            Self::Timestamp => "<timestamp>",
            Self::Value => "<value>",
            Self::EventType => "<event_type>",
            Self::DataSets => "<data_sets>",
            Self::Fetch => "<fetch>",
            Self::Folder => "<folder>",
        }
    }

    /// Its name in this crate: a field, a function.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Format => "ReadOptions::format",
            Self::Delimiter => "ReadOptions::delimiter",
            Self::Quoting => "ReadOptions::quoting",
            Self::Encoding => "ReadOptions::encoding",
            Self::NoHeader => "ReadOptions::no_header",
            Self::DateOrder => "ReadOptions::date_order",
            Self::TimeUnit => "ReadOptions::time_unit",
            Self::SkipBadRows => "ReadOptions::skip_bad_rows",
            Self::Columns => "ReadOptions::names",
            Self::NoFurther => "ReadOptions::no_further",
            Self::User => "ColumnMapping::user",
            Self::Item => "ColumnMapping::item",
            Self::Timestamp => "ColumnMapping::timestamp",
            Self::Value => "ColumnMapping::value",
            Self::EventType => "ColumnMapping::event_type",
            Self::DataSets => "Manifest::all",
            Self::Fetch => "Manifest::archive",
            Self::Folder => "Manifest::locate",
        }
    }
}

/// `text` with every hint under the name that `name` gives it.
pub(crate) fn fill(text: &str, name: &dyn Fn(Hint) -> String) -> String {
    Hint::ALL.iter().fold(text.to_owned(), |text, hint| {
        if text.contains(hint.token()) { text.replace(hint.token(), &name(*hint)) } else { text }
    })
}

#[cfg(test)]
mod tests {
    use crate::DataError;

    #[test]
    fn errors_speak_the_librarys_words_or_a_programs() {
        let error = DataError::file("x.csv", "is of no known format", "set <format>, or <skip_bad_rows>");
        assert!(error.to_string().ends_with("set ReadOptions::format, or ReadOptions::skip_bad_rows"));
        let spoken = error.spoken(&|hint| format!("--{}", hint.token().trim_matches(['<', '>'])));
        assert!(spoken.ends_with("set --format, or --skip_bad_rows"), "{spoken}");
    }
}
