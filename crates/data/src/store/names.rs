//! Ids in Arrow's form: a dictionary of names, and one code per row.

use crate::{EventTypes, Vocabulary};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use parquet::errors::ParquetError;
use std::collections::HashMap;
use std::sync::Arc;

/// Largest number of bytes in an Arrow string array, by its offsets.
pub(super) const MOST_BYTES: usize = i32::MAX as usize;

/// Names of one column.
pub(super) enum Names<'a> {
    /// All of them as one array, shared by all row groups.
    Whole(ArrayRef),
    /// More bytes than an array can hold: each row group gets the names that it needs.
    Apart(&'a Vocabulary, usize),
}

impl<'a> Names<'a> {
    /// The names of a vocabulary, empty without one; an array holds at most `most` bytes.
    pub fn new(vocabulary: Option<&'a Vocabulary>, most: usize) -> Self {
        match vocabulary {
            None => Self::Whole(Arc::new(StringArray::new_null(0))),
            Some(vocabulary) if vocabulary.iter().map(str::len).sum::<usize>() > most => {
                Self::Apart(vocabulary, most)
            }
            Some(vocabulary) => Self::Whole(Arc::new(StringArray::from_iter_values(vocabulary.iter()))),
        }
    }

    /// The column of `codes`; [`EventTypes::NULL`] has no name.
    pub fn of(&self, codes: &[u32]) -> Result<ArrayRef, ParquetError> {
        match self {
            Self::Whole(names) => column(codes, |code| code as i32, names.clone()),
            Self::Apart(vocabulary, most) => {
                let mut places: HashMap<u32, i32> = HashMap::new();
                let mut own = Vec::new();
                for code in codes.iter().filter(|code| **code != EventTypes::NULL) {
                    places.entry(*code).or_insert_with(|| {
                        own.push(vocabulary.name(*code));
                        own.len() as i32 - 1
                    });
                }
                let bytes: usize = own.iter().map(|name| name.len()).sum();
                if bytes > *most {
                    return Err(ParquetError::General(format!(
                        "the names of {} rows have {bytes} bytes; at most {most} fit",
                        codes.len()
                    )));
                }
                column(codes, |code| places[&code], Arc::new(StringArray::from_iter_values(own)))
            }
        }
    }
}

fn column(codes: &[u32], place: impl Fn(u32) -> i32, names: ArrayRef) -> Result<ArrayRef, ParquetError> {
    let null = |code: &u32| *code == EventTypes::NULL;
    let nulls = codes.iter().any(null).then(|| codes.iter().map(|code| !null(code)).collect::<NullBuffer>());
    let keys: ScalarBuffer<i32> =
        codes.iter().map(|code| if null(code) { 0 } else { place(*code) }).collect();
    // An empty dictionary has no entry 0, not even under a null.
    if names.is_empty() {
        return match nulls {
            Some(nulls) if nulls.null_count() == codes.len() => {
                Ok(Arc::new(StringArray::new_null(codes.len())))
            }
            None if codes.is_empty() => Ok(Arc::new(StringArray::new_null(0))),
            _ => Err(ParquetError::General("rows have ids, but there are no names".into())),
        };
    }
    let array = DictionaryArray::<Int32Type>::try_new(Int32Array::new(keys, nulls), names)?;
    Ok(Arc::new(array))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;

    fn texts(array: &ArrayRef) -> Vec<Option<String>> {
        let dictionary = array.as_dictionary::<Int32Type>();
        let names = dictionary.values().as_string::<i32>();
        let of = |key: Option<i32>| key.map(|key| names.value(key as usize).to_owned());
        dictionary.keys().iter().map(of).collect()
    }

    /// Beyond the limit of an array, here lowered, a column is the same.
    #[test]
    fn names_beyond_an_array_are_the_same_column() {
        let vocabulary: Vocabulary = ["alpha", "beta", "gamma", "delta"].into_iter().collect();
        let codes = [3, 1, EventTypes::NULL, 3, 0];
        let whole = Names::new(Some(&vocabulary), MOST_BYTES);
        let apart = Names::new(Some(&vocabulary), 15);
        assert!(matches!((&whole, &apart), (Names::Whole(_), Names::Apart(..))));
        let expected: Vec<Option<String>> = [Some("delta"), Some("beta"), None, Some("delta"), Some("alpha")]
            .map(|n| n.map(str::to_owned))
            .into();
        assert_eq!(texts(&whole.of(&codes).unwrap()), expected);
        assert_eq!(texts(&apart.of(&codes).unwrap()), expected);
        let many = apart.of(&[0, 1, 2, 3]).unwrap_err().to_string();
        assert!(many.contains("19 bytes") && many.contains("15"), "{many}");
    }

    #[test]
    fn an_impossible_code_is_an_error() {
        let vocabulary: Vocabulary = ["alpha"].into_iter().collect();
        assert!(Names::new(Some(&vocabulary), MOST_BYTES).of(&[0, 7]).is_err());
        assert!(Names::new(None, MOST_BYTES).of(&[0]).is_err());
        assert_eq!(Names::new(None, MOST_BYTES).of(&[EventTypes::NULL]).unwrap().null_count(), 1);
    }
}
