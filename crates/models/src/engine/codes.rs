//! Attribute codes as models store them.

use foretaste_data::Attributes;

/// Attribute codes of users or items.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Codes {
    /// First code of each user or item, and the total.
    pub offsets: Vec<usize>,
    /// The codes, one user or item after the other.
    pub ids: Vec<u32>,
    /// Number of codes.
    pub n: usize,
}

impl Codes {
    /// The codes of the first `n` users or items; empty without attributes.
    pub fn new(attributes: Option<&Attributes>, n: usize) -> Self {
        let Some(attributes) = attributes else { return Self::default() };
        let mut codes = Self { offsets: vec![0], ids: Vec::new(), n: attributes.n_codes() };
        for index in 0..n as u32 {
            codes.ids.extend_from_slice(attributes.of(index));
            codes.offsets.push(codes.ids.len());
        }
        codes
    }

    /// Codes of one user or item; empty for an index out of range.
    pub fn of(&self, index: usize) -> &[u32] {
        if index + 1 < self.offsets.len() {
            &self.ids[self.offsets[index]..self.offsets[index + 1]]
        } else {
            &[]
        }
    }
}
