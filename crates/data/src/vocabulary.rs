//! External ids and their `u32` indices.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::sync::OnceLock;

/// The external ids of users, items or event types: index to name and back.
///
/// Names lie in one byte buffer with one end offset each; the table that finds a name is built at
/// the first look-up.
#[derive(Debug, Default)]
pub struct Vocabulary {
    bytes: Vec<u8>,
    ends: Vec<u64>,
    table: OnceLock<HashTable<u32>>,
}

impl Clone for Vocabulary {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), ends: self.ends.clone(), table: OnceLock::new() }
    }
}

impl PartialEq for Vocabulary {
    fn eq(&self, other: &Self) -> bool {
        self.ends == other.ends && self.bytes == other.bytes
    }
}

fn hash(name: &[u8]) -> u64 {
    FixedState::with_seed(0x5eed).hash_one(name)
}

fn slice<'a>(bytes: &'a [u8], ends: &[u64], index: u32) -> &'a [u8] {
    let index = index as usize;
    let start = if index == 0 { 0 } else { ends[index - 1] as usize };
    &bytes[start..ends[index] as usize]
}

impl Vocabulary {
    /// Number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The name at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    #[must_use]
    pub fn name(&self, index: u32) -> &str {
        // Every way in checks UTF-8 (or ASCII), so this never replaces anything.
        std::str::from_utf8(slice(&self.bytes, &self.ends, index)).unwrap_or("\u{fffd}")
    }

    /// The index of `name`, or `None` for an unknown one.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<u32> {
        let table = self.table.get_or_init(|| {
            let mut table = HashTable::with_capacity(self.len());
            for index in 0..self.len() as u32 {
                let key = hash(slice(&self.bytes, &self.ends, index));
                table.insert_unique(key, index, |i| hash(slice(&self.bytes, &self.ends, *i)));
            }
            table
        });
        table.find(hash(name.as_bytes()), |i| slice(&self.bytes, &self.ends, *i) == name.as_bytes()).copied()
    }

    /// All names in the order of their indices.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len() as u32).map(|index| self.name(index))
    }
}

impl<'a> FromIterator<&'a str> for Vocabulary {
    /// Collects names; a repeated name gets one index.
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut builder = VocabularyBuilder::default();
        for name in names {
            builder.intern(name.as_bytes());
        }
        builder.finish()
    }
}

/// Assigns indices to names in order of first occurrence.
#[derive(Debug, Default)]
pub(crate) struct VocabularyBuilder {
    bytes: Vec<u8>,
    ends: Vec<u64>,
    table: HashTable<u32>,
    last: u32,
    numbers: Numbers,
}

/// How small whole numbers are handled.
#[derive(Debug, Default, PartialEq)]
enum Numbers {
    /// They are ordinary names.
    #[default]
    Names,
    /// They are found by value: the index of each, or [`u32::MAX`].
    Found(Vec<u32>),
    /// They are their own indices; indices of other names begin after them.
    Themselves,
}

/// Whole numbers below this are small.
const SMALL: u32 = 1 << 22;

/// The value of a small whole number, written as one writes it.
fn small_number(name: &[u8]) -> Option<u32> {
    if name.is_empty() || name.len() > 7 || (name[0] == b'0' && name.len() > 1) {
        return None;
    }
    let digit = |value: u32, byte: &u8| byte.is_ascii_digit().then(|| 10 * value + u32::from(byte - b'0'));
    name.iter().try_fold(0, digit).filter(|value| *value < SMALL)
}

impl VocabularyBuilder {
    /// A builder that finds small whole numbers, which most ids are, by value: a look-up is one access to
    /// memory. It takes up to 16 MB.
    pub(crate) fn of_numbers() -> Self {
        Self { numbers: Numbers::Found(Vec::new()), ..Self::default() }
    }

    /// A builder for part of a log: small whole numbers are their own indices, which costs nothing.
    /// [`take`](Self::take) merges it into another builder.
    pub(crate) fn of_part() -> Self {
        Self { numbers: Numbers::Themselves, ..Self::default() }
    }

    /// Merges the names of `part`, and returns the indices that its `codes` have here.
    pub(crate) fn take<'a>(
        &'a mut self,
        part: &Self,
        codes: &'a [u32],
    ) -> impl ExactSizeIterator<Item = u32> + 'a {
        let names: Vec<u32> = part.names().map(|name| self.intern(name)).collect();
        let first = if part.numbers == Numbers::Themselves { SMALL } else { 0 };
        codes
            .iter()
            .map(move |code| if *code < first { self.number(*code) } else { names[(*code - first) as usize] })
    }

    /// The index of a small whole number.
    fn number(&mut self, value: u32) -> u32 {
        match &self.numbers {
            Numbers::Found(known) if known.get(value as usize).is_some_and(|index| *index != u32::MAX) => {
                known[value as usize]
            }
            _ => self.intern(value.to_string().as_bytes()),
        }
    }

    /// Assigns the next index to a name.
    fn add(&mut self, name: &[u8]) -> u32 {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len() as u64);
        self.ends.len() as u32 - 1
    }

    /// The index of `name`, a new one if it is new. Runs of one name cost one comparison.
    pub(crate) fn intern(&mut self, name: &[u8]) -> u32 {
        if self.numbers == Numbers::Themselves
            && let Some(value) = small_number(name)
        {
            return value;
        }
        self.index_of(name) + if self.numbers == Numbers::Themselves { SMALL } else { 0 }
    }

    fn index_of(&mut self, name: &[u8]) -> u32 {
        if (self.last as usize) < self.ends.len() && slice(&self.bytes, &self.ends, self.last) == name {
            return self.last;
        }
        self.last = if let (Numbers::Found(known), Some(value)) = (&mut self.numbers, small_number(name)) {
            let value = value as usize;
            if known.len() <= value {
                known.resize((value + 1).next_power_of_two(), u32::MAX);
            }
            if known[value] == u32::MAX {
                known[value] = self.ends.len() as u32;
                self.add(name)
            } else {
                known[value]
            }
        } else {
            let key = hash(name);
            let found = self.table.find(key, |i| slice(&self.bytes, &self.ends, *i) == name).copied();
            found.unwrap_or_else(|| {
                let index = self.add(name);
                self.table.insert_unique(key, index, |i| hash(slice(&self.bytes, &self.ends, *i)));
                index
            })
        };
        self.last
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len() as u32).map(|i| slice(&self.bytes, &self.ends, i))
    }

    /// The vocabulary in order of arrival.
    pub(crate) fn finish(self) -> Vocabulary {
        Vocabulary { bytes: self.bytes, ends: self.ends, table: OnceLock::new() }
    }

    /// The vocabulary in canonical order ([`compare_names`]) and, for each index assigned so far,
    /// its new one: indices then depend on the names alone, not on the order of rows or files.
    pub(crate) fn finish_sorted(self) -> (Vocabulary, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.ends.len() as u32).collect();
        order.sort_unstable_by(|a, b| {
            compare_names(slice(&self.bytes, &self.ends, *a), slice(&self.bytes, &self.ends, *b))
        });
        let mut rank = vec![0; order.len()];
        let mut sorted = Vocabulary {
            bytes: Vec::with_capacity(self.bytes.len()),
            ends: Vec::with_capacity(order.len()),
            table: OnceLock::new(),
        };
        for (new, &old) in order.iter().enumerate() {
            rank[old as usize] = new as u32;
            sorted.bytes.extend_from_slice(slice(&self.bytes, &self.ends, old));
            sorted.ends.push(sorted.bytes.len() as u64);
        }
        (sorted, rank)
    }
}

/// The canonical order of ids: whole numbers by value, before all other names, those byte by byte.
pub(crate) fn compare_names(a: &[u8], b: &[u8]) -> Ordering {
    let canonical =
        |s: &[u8]| !s.is_empty() && s.iter().all(u8::is_ascii_digit) && (s.len() == 1 || s[0] != b'0');
    match (canonical(a), canonical(b)) {
        (true, true) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_names() {
        let (mut plain, mut numbers) = (VocabularyBuilder::default(), VocabularyBuilder::of_numbers());
        for name in [
            "7", "07", "4194303", "4194304", "x", "0", "00", "", "7", "12345678", "4194303", "-1", "07", "x",
            "\u{661}",
        ] {
            assert_eq!(plain.intern(name.as_bytes()), numbers.intern(name.as_bytes()), "{name:?}");
        }
        assert!(plain.names().eq(numbers.names()));
        // A part hands its names on, and its numbers.
        let (mut all, mut part) = (VocabularyBuilder::of_numbers(), VocabularyBuilder::of_part());
        let given = ["x", "7", "y", "4194304", "7", "3", "x"];
        all.intern(b"3");
        let codes: Vec<u32> = given.iter().map(|name| part.intern(name.as_bytes())).collect();
        let taken: Vec<u32> = all.take(&part, &codes).collect();
        assert!(
            taken
                .iter()
                .zip(given)
                .all(|(index, name)| all.names().nth(*index as usize) == Some(name.as_bytes())),
            "{taken:?}"
        );
        assert_eq!(all.len(), 5);
        assert_eq!(plain.finish_sorted(), numbers.finish_sorted());
        assert_eq!(small_number(b"4194303").zip(small_number(b"0")), Some((4_194_303, 0)));
        assert_eq!([&b"4194304"[..], b"07", b"", b"1a"].map(small_number), [None; 4]);
    }

    #[test]
    fn order_is_numeric_first() {
        let mut builder = VocabularyBuilder::default();
        for name in ["b", "10", "9", "a", "007", "9", "100"] {
            builder.intern(name.as_bytes());
        }
        let (sorted, rank) = builder.finish_sorted();
        assert_eq!(sorted.iter().collect::<Vec<_>>(), ["9", "10", "100", "007", "a", "b"]);
        assert_eq!(rank, [5, 1, 0, 4, 3, 2]);
    }

    proptest! {
        #[test]
        fn every_name_is_found_and_no_other(names in proptest::collection::vec("[a-z0-9]{0,5}", 0..60)) {
            let vocabulary: Vocabulary = names.iter().map(String::as_str).collect();
            for name in &names {
                let index = vocabulary.index(name);
                prop_assert_eq!(index.map(|i| vocabulary.name(i)), Some(name.as_str()));
            }
            prop_assert_eq!(vocabulary.index("not there"), None);
        }
    }
}
