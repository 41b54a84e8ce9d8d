//! A user's state as a value that can be kept, copied, sent to other threads, stored as bytes and restored.

use crate::{ModelError, Result};
use foretaste_data::History;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::any::Any;

/// What a model knows of one user at one moment. It holds no reference to the model; the caller must
/// pass it to the model it came from (or to one with equal weights).
pub struct UserState(Box<dyn AnyState>);

trait AnyState: Any + Send + Sync {
    fn copy(&self) -> Box<dyn AnyState>;
    fn type_name(&self) -> &'static str;
}

impl<S: Clone + Send + Sync + 'static> AnyState for S {
    fn copy(&self) -> Box<dyn AnyState> {
        Box::new(self.clone())
    }

    fn type_name(&self) -> &'static str {
        std::any::type_name::<S>()
    }
}

impl Clone for UserState {
    fn clone(&self) -> Self {
        Self(self.0.as_ref().copy())
    }
}

impl std::fmt::Debug for UserState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserState({})", self.0.as_ref().type_name())
    }
}

impl UserState {
    pub(crate) fn new<S: Clone + Send + Sync + 'static>(state: S) -> Self {
        Self(Box::new(state))
    }

    /// The state with its type.
    ///
    /// # Panics
    /// If it belongs to another model.
    pub(crate) fn get<S: 'static>(&self) -> &S {
        let state: &dyn Any = self.0.as_ref();
        state.downcast_ref().unwrap_or_else(|| panic!("{self:?} was handed to a model of another kind"))
    }

    /// As [`get`](Self::get), mutable.
    pub(crate) fn get_mut<S: 'static>(&mut self) -> &mut S {
        let name = self.0.as_ref().type_name();
        let state: &mut dyn Any = self.0.as_mut();
        state
            .downcast_mut()
            .unwrap_or_else(|| panic!("UserState({name}) was handed to a model of another kind"))
    }
}

/// First bytes of every stored state; the last is the format's version.
const MAGIC: [u8; 4] = *b"FTS\x01";

/// The header before a state's own bytes: [`MAGIC`], the length of the model's name, the name.
pub(crate) fn header(model: &str) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(model.len() as u8);
    bytes.extend(model.as_bytes());
    bytes
}

/// A state's own bytes.
pub(crate) fn body<'a>(model: &str, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let fail = |reason: String| Err(ModelError::State(reason));
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else {
        return fail("is too short to be a stored state".into());
    };
    if magic[..3] != MAGIC[..3] {
        return fail("is no stored state (it does not begin with \"FTS\")".into());
    }
    if magic[3] != MAGIC[3] {
        let (found, known) = (magic[3], MAGIC[3]);
        return fail(format!(
            "has the format version {found}; this build reads {known}. Start the user again"
        ));
    }
    let name = rest.split_first().and_then(|(n, rest)| rest.split_at_checked(usize::from(*n)));
    let Some((name, body)) = name else { return fail("is cut short".into()) };
    if name != model.as_bytes() {
        let name = String::from_utf8_lossy(name);
        return fail(format!("is of the model {name:?}, not of {model:?}"));
    }
    Ok(body)
}

/// A state as bytes: postcard, numbers of fixed width little-endian.
#[must_use]
pub fn to_bytes<S: Serialize>(state: &S) -> Vec<u8> {
    postcard::to_allocvec(state).unwrap_or_else(|e| unreachable!("states are plain: {e}"))
}

/// A state from [`to_bytes`]'s bytes; `None` if they are of another shape, too few, or too many.
#[must_use]
pub fn from_bytes<S: DeserializeOwned>(bytes: &[u8]) -> Option<S> {
    postcard::take_from_bytes(bytes).ok().and_then(|(state, rest)| rest.is_empty().then_some(state))
}

/// A user's rows, unchanged: the state of models whose scores depend on a history alone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Rows {
    /// User index.
    pub user: u32,
    items: Vec<u32>,
    values: Vec<f32>,
    timestamps: Vec<i64>,
}

impl Rows {
    /// The rows `known` of `user`.
    #[must_use]
    pub fn new(user: u32, known: History<'_>) -> Self {
        Self {
            user,
            items: known.items.to_vec(),
            values: known.values.to_vec(),
            timestamps: known.timestamps.to_vec(),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, item: u32, value: f32, timestamp: i64) {
        self.items.push(item);
        self.values.push(value);
        self.timestamps.push(timestamp);
    }

    /// All rows, in order of arrival.
    #[must_use]
    pub fn history(&self) -> History<'_> {
        History {
            items: &self.items,
            values: self.values.as_slice().into(),
            timestamps: self.timestamps.as_slice().into(),
        }
    }

    /// Rows from bytes; `None` if the columns differ in length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rows: Self = from_bytes(bytes)?;
        let n = rows.items.len();
        (rows.values.len() == n && rows.timestamps.len() == n).then_some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_told_apart() {
        let bytes = [header("pmf"), vec![7]].concat();
        assert_eq!(body("pmf", &bytes).unwrap(), [7]);
        let refused = |bytes: &[u8]| body("pmf", bytes).unwrap_err().to_string();
        assert!(refused(&[header("fm"), vec![7]].concat()).contains("of the model \"fm\", not of \"pmf\""));
        assert!(refused(b"FTS\x09\x03pmf").contains("version 9"));
        assert!(refused(b"PAR1\x03pmf").contains("no stored state"));
        assert!(refused(b"FTS\x01\x09pmf").contains("cut short"));
        assert!(refused(b"FT").contains("too short"));
    }

    #[test]
    fn rows_of_unequal_columns_are_refused() {
        let whole = Rows { user: 1, items: vec![2], values: vec![3.0], timestamps: vec![4] };
        assert_eq!(Rows::from_bytes(&to_bytes(&whole)).unwrap(), whole);
        let bytes = to_bytes(&Rows { values: vec![], ..whole.clone() });
        assert!(Rows::from_bytes(&bytes).is_none());
        assert!(Rows::from_bytes(&to_bytes(&whole)[..3]).is_none());
    }
}
