//! Points of the unit cube as vectors whose Euclidean distances the kernel takes.

use crate::Space;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Column {
    /// The coordinate itself; the middle where the setting does not exist.
    Number,
    /// One half where the setting exists.
    Exists,
    /// The root of one half where the setting has this choice: any two choices have a distance of 1.
    Choice(usize, usize),
}

/// How a space is embedded.
pub(super) struct Features {
    columns: Vec<(usize, Column)>,
    parameters: usize,
}

impl Features {
    pub fn new(space: &Space) -> Self {
        let mut columns = Vec::new();
        for (index, parameter) in space.parameters().iter().enumerate() {
            match parameter.domain.cells().filter(|_| parameter.domain.is_categorical()) {
                Some(choices) => {
                    columns.extend((0..choices).map(|choice| (index, Column::Choice(choice, choices))));
                }
                None => columns.push((index, Column::Number)),
            }
            if !parameter.when.is_empty() {
                columns.push((index, Column::Exists));
            }
        }
        Self { columns, parameters: space.len() }
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Number of settings, each with a length scale.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The setting of each column.
    pub fn owners(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(|(owner, _)| *owner)
    }

    /// The columns (`[width]`) of a point.
    pub fn embed(&self, point: &[f64]) -> Vec<f64> {
        let value = |(owner, column): &(usize, Column)| match (point[*owner], column) {
            (x, Column::Number) => {
                if x.is_nan() {
                    0.5
                } else {
                    x
                }
            }
            (x, Column::Exists) => {
                if x.is_nan() {
                    0.0
                } else {
                    0.5
                }
            }
            (x, Column::Choice(choice, choices))
                if !x.is_nan() && (x * *choices as f64) as usize == *choice =>
            {
                std::f64::consts::FRAC_1_SQRT_2
            }
            _ => 0.0,
        };
        self.columns.iter().map(value).collect()
    }

    /// The column that holds a setting's coordinate unchanged, if there is one.
    pub fn number_column(&self, setting: usize) -> Option<usize> {
        self.columns.iter().position(|(owner, column)| *owner == setting && *column == Column::Number)
    }
}
