//! Sparse features of many rows, in blocks of shared parts.
//!
//! A rating's features are those of its user, of its item and of its day, and rows of one user share
//! the first. A [`Block`] holds such shared parts once, with the part each row refers to (Rendle
//! 2013, *Scaling Factorization Machines to Relational Data*). Any sparse matrix is a block in which
//! each row refers to its own part.

use crate::{ModelError, Result};

/// One kind of shared parts: a sparse matrix of parts over the block's own features, and the part
/// of each row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Block {
    /// The part each row of the design refers to.
    pub rows: Vec<u32>,
    offsets: Vec<usize>,
    features: Vec<u32>,
    values: Vec<f32>,
    groups: Vec<u32>,
}

impl Block {
    /// A block without parts over features whose groups are `groups` (features of one group share
    /// their hyper-priors; groups of different blocks may be the same).
    #[must_use]
    pub fn new(groups: Vec<u32>) -> Self {
        Self { offsets: vec![0], groups, ..Self::default() }
    }

    /// Adds a part.
    ///
    /// # Panics
    /// When a feature is not one of the block's.
    pub fn push(&mut self, part: impl IntoIterator<Item = (u32, f32)>) {
        for (feature, value) in part {
            assert!((feature as usize) < self.groups.len(), "feature {feature} of {}", self.groups.len());
            self.features.push(feature);
            self.values.push(value);
        }
        self.offsets.push(self.features.len());
    }

    /// Number of parts.
    #[must_use]
    pub fn n_parts(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of features.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.groups.len()
    }

    /// Group of each feature.
    #[must_use]
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// Features and values of a part.
    pub fn part(&self, part: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        let range = self.offsets[part]..self.offsets[part + 1];
        self.features[range.clone()].iter().copied().zip(self.values[range].iter().copied())
    }

    /// The transposed matrix (by feature), without parts that no row refers to.
    pub(super) fn columns(&self) -> Columns {
        let mut used = vec![false; self.n_parts()];
        self.rows.iter().for_each(|part| used[*part as usize] = true);
        let parts = || (0..self.n_parts()).filter(|p| used[*p]);
        let mut offsets = vec![0_usize; self.n_features() + 1];
        for part in parts() {
            self.part(part).for_each(|(feature, _)| offsets[feature as usize + 1] += 1);
        }
        for feature in 0..self.n_features() {
            offsets[feature + 1] += offsets[feature];
        }
        let mut next = offsets.clone();
        let mut entries = vec![(0, 0.0); offsets[self.n_features()]];
        for part in parts() {
            for (feature, value) in self.part(part) {
                let at = &mut next[feature as usize];
                entries[*at] = (part as u32, value);
                *at += 1;
            }
        }
        Columns { offsets, entries }
    }
}

/// A sparse matrix by feature: for each the parts that have it, with its value there.
pub(super) struct Columns {
    offsets: Vec<usize>,
    entries: Vec<(u32, f32)>,
}

impl Columns {
    pub fn of(&self, feature: usize) -> &[(u32, f32)] {
        &self.entries[self.offsets[feature]..self.offsets[feature + 1]]
    }
}

/// Features of many rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    blocks: Vec<Block>,
    rows: usize,
    groups: usize,
}

/// Largest number of blocks of a design.
pub(super) const MOST_BLOCKS: usize = 6;

impl Design {
    /// Combines blocks into a design.
    ///
    /// # Errors
    /// [`ModelError::Training`] when the blocks differ in their rows, refer to parts that do not
    /// exist, or when there are none or too many.
    pub fn new(blocks: Vec<Block>) -> Result<Self> {
        let fail = |reason: String| Err(ModelError::Training { model: super::NAME, reason });
        if blocks.is_empty() || blocks.len() > MOST_BLOCKS {
            return fail(format!("a design has 1 to {MOST_BLOCKS} blocks, not {}", blocks.len()));
        }
        let rows = blocks[0].rows.len();
        for (place, block) in blocks.iter().enumerate() {
            if block.rows.len() != rows {
                return fail(format!("block {place} has {} rows, block 0 has {rows}", block.rows.len()));
            }
            if let Some(part) = block.rows.iter().find(|p| **p as usize >= block.n_parts()) {
                return fail(format!(
                    "block {place} has {} parts, a row refers to part {part}",
                    block.n_parts()
                ));
            }
        }
        let groups = blocks.iter().flat_map(|b| b.groups.iter()).max().map_or(0, |g| *g as usize + 1);
        Ok(Self { blocks, rows, groups })
    }

    /// The blocks.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Number of groups of features.
    #[must_use]
    pub fn n_groups(&self) -> usize {
        self.groups
    }
}
