//! Dialects of delimited text: what stands between fields, how fields are quoted, where a record ends.

use std::borrow::Cow;

/// How fields are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quoting {
    /// Not at all: a quote is a character like any other.
    None,
    /// `"a ""b"" c"`: a quote within a quoted field is doubled (RFC 4180).
    Double,
    /// `"a \"b\" c"`: a quote within a quoted field follows a backslash, and so does a backslash.
    Backslash,
    /// As `Backslash`, and so in fields without quotes, where a delimiter may follow a backslash, too.
    Escaped,
}

impl std::str::FromStr for Quoting {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "none" => Ok(Self::None),
            "double" => Ok(Self::Double),
            "backslash" => Ok(Self::Backslash),
            "escaped" => Ok(Self::Escaped),
            _ => Err(format!("unknown quoting {name:?}; known are none, double, backslash, escaped")),
        }
    }
}

/// What stands between fields, and how they are quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// A single blank means any run of blanks.
    pub delimiter: Vec<u8>,
    pub quoting: Quoting,
}

/// What is wrong with a record's quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadQuotes {
    /// A quoted field never ends.
    Open,
    /// Text stands behind a closing quote.
    Behind,
}

/// The fields of one record as ranges; the buffers are reused from record to record.
#[derive(Default)]
pub(crate) struct Row {
    pub ranges: Vec<(usize, usize)>,
    /// The unquoted fields' text, where the record had quotes.
    unquoted: Vec<u8>,
    quoted: bool,
}

impl Row {
    pub fn field<'a>(&'a self, record: &'a [u8], index: usize) -> &'a [u8] {
        let (start, end) = self.ranges[index];
        if self.quoted { &self.unquoted[start..end] } else { &record[start..end] }
    }

    /// All fields as text.
    pub fn texts(&self, record: &[u8]) -> Vec<String> {
        let text = |index| String::from_utf8_lossy(self.field(record, index)).trim().to_owned();
        (0..self.ranges.len()).map(text).collect()
    }
}

impl Dialect {
    pub fn new(delimiter: &str, quoting: Quoting) -> Self {
        Self { delimiter: delimiter.as_bytes().to_vec(), quoting }
    }

    /// Whether a record with this text may hold quoted fields.
    fn quotes(&self, text: &[u8]) -> bool {
        self.quoting != Quoting::None && memchr::memchr(b'"', text).is_some()
    }

    /// Whether a record's fields may differ from what stands there.
    fn rewrites(&self, record: &[u8]) -> bool {
        self.quotes(record) || self.quoting == Quoting::Escaped && memchr::memchr(b'\\', record).is_some()
    }

    /// The dialect that cuts these records: where a text has no quotes, nothing looks for them.
    pub fn within(&self, text: &[u8]) -> Self {
        let quoting = if self.rewrites(text) { self.quoting } else { Quoting::None };
        Self { delimiter: self.delimiter.clone(), quoting }
    }

    /// Cuts a record into fields.
    pub fn split(&self, record: &[u8], row: &mut Row) -> Result<(), BadQuotes> {
        row.ranges.clear();
        row.quoted = self.rewrites(record);
        if row.quoted {
            return self.split_quoted(record, row);
        }
        if self.delimiter == b" " {
            split_at_blanks(record, row);
            return Ok(());
        }
        let (mut start, mut from) = (0, 0);
        while let Some(at) = next_of(self.delimiter[0], &record[from..]) {
            let at = from + at;
            if self.delimiter.len() == 1 || record[at..].starts_with(&self.delimiter) {
                row.ranges.push((start, at));
                start = at + self.delimiter.len();
                from = start;
            } else {
                from = at + 1;
            }
        }
        row.ranges.push((start, record.len()));
        Ok(())
    }

    fn split_quoted(&self, record: &[u8], row: &mut Row) -> Result<(), BadQuotes> {
        row.unquoted.clear();
        let mut rest = record;
        loop {
            let start = row.unquoted.len();
            let opened = without_blanks(rest);
            if opened.first() == Some(&b'"') {
                let length =
                    self.quoted_field(&opened[1..], Some(&mut row.unquoted)).ok_or(BadQuotes::Open)?;
                rest = without_blanks(&opened[1 + length..]);
                if self.delimiter == b" " && rest.len() < opened[1 + length..].len() && !rest.is_empty() {
                    row.ranges.push((start, row.unquoted.len()));
                    continue;
                }
            } else {
                let end = if self.quoting == Quoting::Escaped {
                    self.escaped_field(rest, &mut row.unquoted)
                } else {
                    let end = memchr::memmem::find(rest, &self.delimiter).unwrap_or(rest.len());
                    row.unquoted.extend_from_slice(&rest[..end]);
                    end
                };
                rest = &rest[end..];
            }
            row.ranges.push((start, row.unquoted.len()));
            match rest.strip_prefix(self.delimiter.as_slice()) {
                Some(next) => rest = next,
                None if rest.is_empty() => return Ok(()),
                None => return Err(BadQuotes::Behind),
            }
        }
    }

    /// The length of a quoted field behind its opening quote, its closing quote included; `None` if it does
    /// not close. Its text goes `into` a buffer.
    fn quoted_field(&self, text: &[u8], mut into: Option<&mut Vec<u8>>) -> Option<usize> {
        let mut at = 0;
        let mut put = |part: &[u8]| {
            if let Some(into) = &mut into {
                into.extend_from_slice(part);
            }
        };
        loop {
            let next = match self.quoting {
                Quoting::Backslash | Quoting::Escaped => memchr::memchr2(b'"', b'\\', &text[at..]),
                _ => memchr::memchr(b'"', &text[at..]),
            };
            let end = at + next?;
            put(&text[at..end]);
            match (text[end], text.get(end + 1)) {
                (b'\\', Some(&escaped)) => {
                    // Only a quote and a backslash are escaped; before anything else it is a backslash.
                    if !matches!(escaped, b'"' | b'\\') {
                        put(b"\\");
                    }
                    put(&[escaped]);
                    at = end + 2;
                }
                (b'\\', None) => return None,
                (_, Some(b'"')) => {
                    put(b"\"");
                    at = end + 2;
                }
                _ => return Some(end + 1),
            }
        }
    }

    /// The length of a field without quotes in which a backslash stands before quotes, backslashes and
    /// delimiters. Its text goes `into` a buffer.
    fn escaped_field(&self, text: &[u8], into: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while at < text.len() && !text[at..].starts_with(&self.delimiter) {
            let behind = &text[at + 1..];
            let escaped = match behind.first() {
                _ if text[at] != b'\\' => 0,
                Some(b'"' | b'\\') => 1,
                _ if behind.starts_with(&self.delimiter) => self.delimiter.len(),
                _ => 0,
            };
            into.extend_from_slice(if escaped == 0 { &text[at..=at] } else { &behind[..escaped] });
            at += 1 + escaped;
        }
        at
    }

    /// The length of the record that `text` begins with, its line end included, and whether it is whole: a
    /// line end within a quoted field ends no record.
    pub fn record(&self, text: &[u8]) -> (usize, bool) {
        let Some(end) = memchr::memchr(b'\n', text) else { return (text.len(), false) };
        if !self.quotes(&text[..end]) {
            return (end + 1, true);
        }
        let mut at = 0;
        loop {
            let opened = without_blanks(&text[at..]);
            if opened.first() == Some(&b'"') {
                let begin = text.len() - opened.len() + 1;
                match self.quoted_field(&text[begin..], None) {
                    Some(length) => at = begin + length,
                    None => return (text.len(), false),
                }
            }
            // Behind the field, whatever stands there: the next delimiter or line end.
            let line = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |end| at + end);
            match memchr::memmem::find(&text[at..line], &self.delimiter) {
                Some(delimiter) => at += delimiter + self.delimiter.len(),
                None if line == text.len() => return (text.len(), false),
                None => return (line + 1, true),
            }
        }
    }

    /// The length of the whole records that `text` begins with; `None` without any.
    pub fn whole_records(&self, text: &[u8]) -> Option<usize> {
        if !self.quotes(text) {
            return memchr::memrchr(b'\n', text).map(|at| at + 1);
        }
        let mut end = 0;
        while end < text.len() {
            match self.record(&text[end..]) {
                (length, true) => end += length,
                (_, false) => break,
            }
        }
        (end > 0).then_some(end)
    }

    /// Visits the records of `text` with the number of their first line, from 0, without line ends; blank
    /// ones are skipped. Returns the number of lines.
    pub fn records<'a>(&self, text: &'a [u8], mut visit: impl FnMut(u64, &'a [u8])) -> u64 {
        if !self.quotes(text) {
            return super::blocks::lines(text, visit);
        }
        let (mut number, mut start) = (0, 0);
        while start < text.len() {
            let (length, _) = self.record(&text[start..]);
            let record = &text[start..start + length];
            let bare = record.strip_suffix(b"\n").unwrap_or(record);
            let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
            if !bare.iter().all(u8::is_ascii_whitespace) {
                visit(number, bare);
            }
            let ends = memchr::memchr_iter(b'\n', record).count() as u64;
            number += ends + u64::from(!record.ends_with(b"\n"));
            start += length;
        }
        number
    }

    /// The dialect in words.
    pub fn told(&self) -> String {
        let delimiter: Cow<str> = match self.delimiter.as_slice() {
            b"\t" => "tabs".into(),
            b" " => "blanks".into(),
            other => format!("{:?}", String::from_utf8_lossy(other)).into(),
        };
        let quoting = match self.quoting {
            Quoting::None => "quotes are part of the text",
            Quoting::Double => "fields may be quoted",
            Quoting::Backslash => "fields may be quoted, with a backslash before a quote",
            Quoting::Escaped => "fields may be quoted, a backslash is before quotes, backslashes, delimiters",
        };
        format!("fields are divided by {delimiter}, {quoting}")
    }
}

/// Where a byte is next. Most fields are shorter than what the start of a search costs.
fn next_of(byte: u8, text: &[u8]) -> Option<usize> {
    let (near, far) = text.split_at(text.len().min(16));
    near.iter().position(|other| *other == byte).or_else(|| Some(16 + memchr::memchr(byte, far)?))
}

fn split_at_blanks(record: &[u8], row: &mut Row) {
    let mut at = 0;
    while at < record.len() {
        let blanks = record[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let start = at + blanks;
        let field = record[start..].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
        if field > 0 {
            row.ranges.push((start, start + field));
        }
        at = start + field;
    }
}

/// `text` behind leading blanks, which may stand around quoted fields.
fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| **byte == b' ').count();
    &text[blanks..]
}

/// Delimiters that are tried, the likelier first.
const DELIMITERS: [&str; 6] = ["\t", ",", ";", "|", "::", " "];

/// How well a dialect suits `sample`, a file's first whole records: whether all have the same number of
/// fields, of which there are at least two, and that number.
fn suits(dialect: &Dialect, sample: &[u8]) -> (bool, usize) {
    let (mut row, mut fields, mut even) = (Row::default(), None, true);
    dialect.records(sample, |_, record| {
        let whole = dialect.split(record, &mut row).is_ok();
        let count = row.ranges.len();
        even &= whole && fields.is_none_or(|first| first == count);
        fields.get_or_insert(count);
    });
    let fields = fields.unwrap_or(0);
    (even && fields >= 2, fields)
}

/// Whether `sample` itself speaks against a quoting that one odd quote in it would bring: one bad row must
/// not change how all others are read.
fn contradicted(dialect: &Dialect, sample: &[u8]) -> bool {
    let has = |text: &[u8], part: &[u8]| memchr::memmem::find(text, part).is_some();
    match dialect.quoting {
        Quoting::Double | Quoting::Escaped => false,
        // Pairs of backslashes would become one each.
        Quoting::Backslash => has(sample, b"\\\\"),
        // Fields that can only be quoted: they hold delimiters, line ends or doubled quotes.
        Quoting::None => {
            let double = Dialect { quoting: Quoting::Double, ..dialect.clone() };
            let (mut row, mut quoted) = (Row::default(), false);
            double.records(sample, |_, record| {
                quoted |= double.split(record, &mut row).is_ok()
                    && (0..row.ranges.len()).any(|at| {
                        let text = row.field(record, at);
                        has(text, &dialect.delimiter)
                            || has(text, b"\n")
                            || has(text, b"\"") && has(record, b"\"\"")
                    });
            });
            quoted
        }
    }
}

/// The dialect of a file that begins with the whole records `sample`: the given delimiter and quoting, or
/// those under which its records have equally many fields, or else those that its first line suggests.
pub(crate) fn guess(sample: &[u8], delimiter: Option<&str>, quoting: Option<Quoting>, tabs: bool) -> Dialect {
    let quotings = quoting.map_or(vec![Quoting::Double, Quoting::Backslash, Quoting::None], |one| vec![one]);
    let first_line = &sample[..memchr::memchr(b'\n', sample).unwrap_or(sample.len())];
    let there = |delimiter: &&str| memchr::memmem::find(first_line, delimiter.as_bytes()).is_some();
    let candidates: Vec<&str> =
        delimiter.map_or_else(|| DELIMITERS.iter().copied().filter(there).collect(), |one| vec![one]);
    // The likelier quoting first: quotes that do not fit `Double` in the first rows fit it nowhere.
    for one in &quotings {
        let suiting = candidates.iter().filter_map(|delimiter| {
            let dialect = Dialect::new(delimiter, *one);
            let (even, fields) = suits(&dialect, sample);
            let fits = even && (quoting.is_some() || !contradicted(&dialect, sample));
            fits.then_some((dialect, fields))
        });
        // Lists within fields have bars, and texts blanks: these divide where nothing else does.
        let usual = |dialect: &Dialect| matches!(dialect.delimiter.as_slice(), b"\t" | b"," | b";");
        let best = suiting.reduce(|best, next| {
            let better = usual(&best.0) && usual(&next.0) && next.1 > best.1;
            if better { next } else { best }
        });
        if let Some((dialect, _)) = best {
            return dialect;
        }
    }
    let fallback = if tabs { "\t" } else { "," };
    Dialect::new(candidates.first().copied().unwrap_or(fallback), quotings[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(line: &str, delimiter: &str, quoting: Quoting) -> Result<Vec<String>, BadQuotes> {
        let mut row = Row::default();
        Dialect::new(delimiter, quoting).split(line.as_bytes(), &mut row)?;
        let text = |i| String::from_utf8_lossy(row.field(line.as_bytes(), i)).into_owned();
        Ok((0..row.ranges.len()).map(text).collect())
    }

    #[test]
    fn splits() {
        let double = |line, delimiter| fields(line, delimiter, Quoting::Double).unwrap();
        assert_eq!(double("1::a:b::c", "::"), ["1", "a:b", "c"]);
        assert_eq!(double("1,\"a, \"\"b\"\"\",", ","), ["1", "a, \"b\"", ""]);
        assert_eq!(double(",,", ","), ["", "", ""]);
        assert_eq!(double("1, \"a, b\" ,3", ","), ["1", "a, b", "3"]);
        assert_eq!(double("5\" disk,x", ","), ["5\" disk", "x"]);
        assert_eq!(double(" 1  2 3 ", " "), ["1", "2", "3"]);
        assert_eq!(double("\"a b\" 2", " "), ["a b", "2"]);
        assert_eq!(double("1,\"two\nlines\",3", ","), ["1", "two\nlines", "3"]);
        let backslash = fields(r#"1,"say \"hi\", \\ and \n",3"#, ",", Quoting::Backslash).unwrap();
        assert_eq!(backslash, ["1", r#"say "hi", \ and \n"#, "3"]);
        assert_eq!(fields("\"Weird Al\" Yankovic\t5", "\t", Quoting::Double), Err(BadQuotes::Behind));
        assert_eq!(fields("1,\"two,3", ",", Quoting::Double), Err(BadQuotes::Open));
        let none = fields("\"Weird Al\" Yankovic\t5", "\t", Quoting::None).unwrap();
        assert_eq!(none, ["\"Weird Al\" Yankovic", "5"]);
    }

    #[test]
    fn records_end_outside_of_quotes() {
        let dialect = Dialect::new(",", Quoting::Double);
        let text = b"a,b\n1,\"two\nlines\"\n\n2,\"x\"\"\n\",\r\n3,\"open\nnever\n";
        let mut seen = Vec::new();
        let lines = dialect.records(text, |number, record| {
            seen.push((number, String::from_utf8_lossy(record).into_owned()));
        });
        let expected = ["a,b", "1,\"two\nlines\"", "2,\"x\"\"\n\",", "3,\"open\nnever\n"];
        assert_eq!(
            seen.iter().map(|(_, record)| record.trim_end()).collect::<Vec<_>>(),
            [expected[0], expected[1], expected[2], expected[3].trim_end()]
        );
        assert_eq!(seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 4, 6]);
        assert_eq!(lines, 8);
        let whole = dialect.whole_records(text).unwrap();
        assert_eq!(&text[whole..], b"3,\"open\nnever\n");
    }

    #[test]
    fn dialects_are_guessed() {
        let of = |text: &str| guess(text.as_bytes(), None, None, false);
        assert_eq!(of("user,item\n1,\"a;b\"\n"), Dialect::new(",", Quoting::Double));
        assert_eq!(of("\"u\";\"i\"\n\"1\";\"a,b\"\n"), Dialect::new(";", Quoting::Double));
        assert_eq!(of("u|i|r\n1|2|3\n"), Dialect::new("|", Quoting::Double));
        assert_eq!(of("1 2 3\n4 5 6\n"), Dialect::new(" ", Quoting::Double));
        assert_eq!(of("u\ti\n1\t\"Weird Al\" Yankovic\n"), Dialect::new("\t", Quoting::None));
        assert_eq!(of("u,i,t\n1,\"say \\\"hi\\\", you\",5\n"), Dialect::new(",", Quoting::Backslash));
        assert_eq!(of("id,genres\n1,a|b\n2,a|b|c\n"), Dialect::new(",", Quoting::Double));
        assert_eq!(of("u;i;r\n1;2;3,5\n"), Dialect::new(";", Quoting::Double));
        assert_eq!(of("1::2::3\n"), Dialect::new("::", Quoting::Double));
        // One odd quote among fields that are quoted for sure is an odd quote.
        assert_eq!(of("u,i\n1,\"a\"\"b\"\n2,\"a\"b\n"), Dialect::new(",", Quoting::Double));
        assert_eq!(of("u,i\n1,\"a\\\\b,\"\n2,\"a\\\",b\"\n"), Dialect::new(",", Quoting::Double));
    }

    proptest! {
        /// What the `csv` crate writes, we read, line ends within fields included.
        #[test]
        fn agrees_with_the_csv_crate(rows in proptest::collection::vec(
            proptest::collection::vec("[a-z,\"\n ]{0,6}", 2..5), 1..5)) {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            let rows: Vec<Vec<String>> = rows
                .into_iter()
                // Blank lines are skipped, and blanks around fields are trimmed by readers of fields.
                .map(|row| row.into_iter().map(|field| format!("x{field}x")).collect())
                .collect();
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let dialect = Dialect::new(",", Quoting::Double);
            let (mut row, mut read) = (Row::default(), Vec::new());
            dialect.records(&text, |_, record| {
                dialect.split(record, &mut row).unwrap();
                read.push(row.texts(record));
            });
            prop_assert_eq!(read, rows);
            prop_assert_eq!(dialect.whole_records(&text), Some(text.len()));
        }
    }
}
