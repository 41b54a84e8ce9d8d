//! Named tensors and their safetensors file.

use crate::{ModelError, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// A dense `f32` tensor with a name: how weights leave a model.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Name, unique within a model.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub data: Vec<f32>,
}

impl NamedTensor {
    pub(crate) fn new(name: impl Into<String>, shape: &[usize], data: Vec<f32>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Self { name: name.into(), shape: shape.to_vec(), data }
    }

    pub(crate) fn scalar(name: &str, value: f32) -> Self {
        Self::new(name, &[1], vec![value])
    }

    /// Integers up to 2^46, exact: two numbers each.
    pub(crate) fn integers(name: &str, values: impl Iterator<Item = i64>) -> Self {
        let data: Vec<f32> = values.flat_map(|v| [(v >> 23) as f32, (v & 0x7f_ffff) as f32]).collect();
        Self::new(name, &[data.len() / 2, 2], data)
    }

    /// Doubles, exact: three numbers each, of which it is the sum.
    pub(crate) fn doubles(name: &str, values: &[f64]) -> Self {
        let parts = |v: &f64| {
            let high = *v as f32;
            let middle = (v - f64::from(high)) as f32;
            [high, middle, (v - f64::from(high) - f64::from(middle)) as f32]
        };
        Self::new(name, &[values.len(), 3], values.iter().flat_map(parts).collect())
    }
}

/// Tensors by name, as read from a file.
pub(crate) struct Tensors {
    path: String,
    map: BTreeMap<String, NamedTensor>,
}

impl Tensors {
    /// The tensor `name`, which must have the shape `shape` (`None` lets a size be anything).
    pub fn get(&self, name: &str, shape: &[Option<usize>]) -> Result<&NamedTensor> {
        let fail = |reason: String| ModelError::Saved { path: self.path.clone(), reason };
        let tensor = self.map.get(name).ok_or_else(|| fail(format!("has no tensor {name:?}")))?;
        let fits = tensor.shape.len() == shape.len() && tensor.shape.iter().zip(shape).all(|(s, want)| want.is_none_or(|w| w == *s));
        if fits {
            return Ok(tensor);
        }
        let wanted: Vec<String> = shape.iter().map(|s| s.map_or("any".into(), |s| s.to_string())).collect();
        Err(fail(format!("tensor {name:?} has the shape {:?}, expected [{}]", tensor.shape, wanted.join(", "))))
    }

    /// The tensors whose names begin with `prefix`, under the rest of their names.
    pub fn under(&self, prefix: &str) -> Self {
        let named = self.map.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())));
        Self { path: self.path.clone(), map: named.collect() }
    }

    /// What [`NamedTensor::integers`] wrote.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        Ok(self.get(name, &[None, Some(2)])?.data.as_chunks::<2>().0.iter().map(|[high, low]| (*high as i64) << 23 | *low as i64).collect())
    }

    /// What [`NamedTensor::doubles`] wrote.
    pub fn doubles(&self, name: &str, n: usize) -> Result<Vec<f64>> {
        Ok(self.get(name, &[Some(n), Some(3)])?.data.as_chunks::<3>().0.iter().map(|parts| parts.iter().map(|p| f64::from(*p)).sum()).collect())
    }

    /// The file they were read from.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn scalar(&self, name: &str) -> Result<f32> {
        Ok(self.get(name, &[Some(1)])?.data[0])
    }

    pub fn values(&self, name: &str, shape: &[Option<usize>]) -> Result<Vec<f32>> {
        Ok(self.get(name, shape)?.data.clone())
    }
}

/// The tensors as the bytes of a safetensors file; equal tensors give equal bytes.
pub(crate) fn to_bytes(tensors: &[NamedTensor]) -> Vec<u8> {
    let raw: Vec<(&str, Vec<u8>, &[usize])> =
        tensors.iter().map(|t| (t.name.as_str(), t.data.iter().flat_map(|v| v.to_le_bytes()).collect(), t.shape.as_slice())).collect();
    let views = raw.iter().map(|(name, bytes, shape)| match TensorView::new(Dtype::F32, shape.to_vec(), bytes) {
        Ok(view) => (*name, view),
        Err(e) => unreachable!("the shape is the data's: {e}"),
    });
    safetensors::serialize(views, None).unwrap_or_else(|e| unreachable!("plain tensors always serialize: {e}"))
}

pub(crate) fn read(path: &Path) -> Result<Tensors> {
    let bytes = std::fs::read(path).map_err(|e| ModelError::saved(path, format!("cannot read: {e}")))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| ModelError::saved(path, format!("is no whole safetensors file ({e})")))?;
    let mut map = BTreeMap::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(ModelError::saved(path, format!("tensor {name:?} is not f32")));
        }
        let data = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        map.insert(name.clone(), NamedTensor { name, shape: view.shape().to_vec(), data });
    }
    Ok(Tensors { path: path.display().to_string(), map })
}
