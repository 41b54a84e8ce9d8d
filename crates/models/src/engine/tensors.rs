//! Named tensors and their safetensors file.

use crate::{ModelError, Result};
use foretaste_data::{DataError, atomic, hex};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

/// A dense `f32` tensor with a name: the form in which weights leave a model.
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
    /// A tensor of `shape` with the values `data`, row-major.
    ///
    /// # Panics
    /// In debug builds, where the sizes do not multiply to the number of values.
    #[must_use]
    pub fn new(name: impl Into<String>, shape: &[usize], data: Vec<f32>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Self { name: name.into(), shape: shape.to_vec(), data }
    }

    /// One value, of the shape `[1]`.
    #[must_use]
    pub fn scalar(name: &str, value: f32) -> Self {
        Self::new(name, &[1], vec![value])
    }

    /// Integers up to 2^46, exact: two numbers each.
    #[must_use]
    pub fn integers(name: &str, values: impl Iterator<Item = i64>) -> Self {
        let data: Vec<f32> = values.flat_map(|v| [(v >> 23) as f32, (v & 0x7f_ffff) as f32]).collect();
        Self::new(name, &[data.len() / 2, 2], data)
    }

    /// Doubles, exact: three numbers each, which add up to it.
    #[must_use]
    pub fn doubles(name: &str, values: &[f64]) -> Self {
        let parts = |v: &f64| {
            let high = *v as f32;
            let middle = (v - f64::from(high)) as f32;
            [high, middle, (v - f64::from(high) - f64::from(middle)) as f32]
        };
        Self::new(name, &[values.len(), 3], values.iter().flat_map(parts).collect())
    }
}

/// Tensors by name, as read from a file.
pub struct Tensors {
    path: String,
    map: BTreeMap<String, NamedTensor>,
}

impl Tensors {
    /// Whether there is a tensor `name`.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// The tensor `name`, which must have the shape `shape` (`None` lets a size be anything).
    ///
    /// # Errors
    /// [`ModelError::Saved`] for a missing tensor or another shape.
    pub fn get(&self, name: &str, shape: &[Option<usize>]) -> Result<&NamedTensor> {
        let fail = |reason: String| ModelError::Saved { path: self.path.clone(), reason };
        let tensor = self.map.get(name).ok_or_else(|| fail(format!("has no tensor {name:?}")))?;
        let fits = tensor.shape.len() == shape.len()
            && tensor.shape.iter().zip(shape).all(|(s, want)| want.is_none_or(|w| w == *s));
        if fits {
            return Ok(tensor);
        }
        let wanted: Vec<String> = shape.iter().map(|s| s.map_or("any".into(), |s| s.to_string())).collect();
        Err(fail(format!(
            "tensor {name:?} has the shape {:?}, expected [{}]",
            tensor.shape,
            wanted.join(", ")
        )))
    }

    /// The tensors whose names begin with `prefix`, under the rest of their names.
    #[must_use]
    pub fn under(&self, prefix: &str) -> Self {
        let named = self
            .map
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())));
        Self { path: self.path.clone(), map: named.collect() }
    }

    /// Reads what [`NamedTensor::integers`] wrote.
    ///
    /// # Errors
    /// [`ModelError::Saved`] for a missing tensor or another shape.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        Ok(self
            .get(name, &[None, Some(2)])?
            .data
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[high, low]| (*high as i64) << 23 | *low as i64)
            .collect())
    }

    /// Reads what [`NamedTensor::doubles`] wrote: `n` numbers.
    ///
    /// # Errors
    /// [`ModelError::Saved`] for a missing tensor or another shape.
    pub fn doubles(&self, name: &str, n: usize) -> Result<Vec<f64>> {
        Ok(self
            .get(name, &[Some(n), Some(3)])?
            .data
            .as_chunks::<3>()
            .0
            .iter()
            .map(|parts| parts.iter().map(|p| f64::from(*p)).sum())
            .collect())
    }

    /// The file that they were read from.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of a tensor of the shape `[1]`.
    ///
    /// # Errors
    /// [`ModelError::Saved`] where there is none.
    pub fn scalar(&self, name: &str) -> Result<f32> {
        Ok(self.get(name, &[Some(1)])?.data[0])
    }

    /// The values of the tensor `name`, which must have the shape `shape`.
    ///
    /// # Errors
    /// [`ModelError::Saved`] for a missing tensor or another shape.
    pub fn values(&self, name: &str, shape: &[Option<usize>]) -> Result<Vec<f32>> {
        Ok(self.get(name, shape)?.data.clone())
    }
}

/// Writes the tensors as a safetensors file; equal tensors give equal bytes. A complete copy is never
/// made: at 98 million ratings a model is most of a gigabyte.
pub(crate) fn write(tensors: &[NamedTensor], file: &mut impl Write) -> std::io::Result<()> {
    let mut tensors: Vec<&NamedTensor> = tensors.iter().collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += 4 * tensor.data.len();
        (
            tensor.name.clone(),
            TensorInfo { dtype: Dtype::F32, shape: tensor.shape.clone(), data_offsets: (start, end) },
        )
    });
    let metadata = Metadata::new(None, infos.collect())
        .unwrap_or_else(|e| unreachable!("the shapes are the data's: {e}"));
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    let mut bytes = Vec::new();
    for values in tensors.iter().flat_map(|tensor| tensor.data.chunks(BUFFER)) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        file.write_all(&bytes)?;
    }
    Ok(())
}

/// Number of values converted to bytes, or back, at a time.
const BUFFER: usize = 1 << 14;

/// Computes the SHA-256 of everything written through it to `to`.
pub(crate) struct Hashing<W> {
    to: W,
    hasher: Sha256,
}

impl<W> Hashing<W> {
    pub fn new(to: W) -> Self {
        Self { to, hasher: Sha256::new() }
    }

    /// The hash, in hexadecimal digits.
    pub fn finish(self) -> String {
        hex(&self.hasher.finalize())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// Writes the file `path` atomically; returns its hash.
pub(crate) fn write_file(tensors: &[NamedTensor], path: &Path) -> Result<String> {
    let written = atomic::write_with(path, |file| {
        let mut file = Hashing::new(file);
        write(tensors, &mut file).map_err(|e| DataError::Io {
            path: path.display().to_string(),
            action: "write",
            source: e,
        })?;
        Ok(file.finish())
    });
    Ok(written?)
}

/// The hash of a file.
pub(crate) fn hash_file(path: &Path) -> std::io::Result<String> {
    let mut hashing = Hashing::new(std::io::sink());
    std::io::copy(&mut File::open(path)?, &mut hashing)?;
    Ok(hashing.finish())
}

pub(crate) fn read(path: &Path) -> Result<Tensors> {
    let io = |e: std::io::Error| ModelError::saved(path, format!("cannot read: {e}"));
    let broken =
        |e: &dyn std::fmt::Display| ModelError::saved(path, format!("is no whole safetensors file ({e})"));
    let size = std::fs::metadata(path).map_err(io)?.len();
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(io)?);
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|e| broken(&e))?;
    let length = u64::from_le_bytes(length);
    if length > size {
        return Err(broken(&"its header is longer than the file"));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(|e| broken(&e))?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| broken(&e))?;
    if size != 8 + length + metadata.data_len() as u64 {
        return Err(broken(&"its header states another length"));
    }
    let mut map = BTreeMap::new();
    let mut bytes = vec![0; 4 * BUFFER];
    for name in metadata.offset_keys() {
        let info = metadata.info(&name).unwrap_or_else(|| unreachable!("a name of its own"));
        if info.dtype != Dtype::F32 {
            return Err(ModelError::saved(path, format!("tensor {name:?} is not f32")));
        }
        let n = info.shape.iter().product::<usize>();
        let mut data = Vec::with_capacity(n);
        while data.len() < n {
            let bytes = &mut bytes[..4 * BUFFER.min(n - data.len())];
            file.read_exact(bytes).map_err(io)?;
            data.extend(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)));
        }
        map.insert(name.clone(), NamedTensor { name, shape: info.shape.clone(), data });
    }
    Ok(Tensors { path: path.display().to_string(), map })
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn tensors() -> Vec<NamedTensor> {
        let long: Vec<f32> = (0..2 * BUFFER + 3).map(|i| i as f32 * 0.5).collect();
        vec![
            NamedTensor::new("z", &[2, 2], vec![1.0, -2.0, f32::MIN_POSITIVE, 4.0]),
            NamedTensor::new("a", &[long.len()], long),
            NamedTensor::new("empty", &[0, 3], Vec::new()),
        ]
    }

    /// The file is that of the format's own library, and is read back.
    #[test]
    fn files_are_those_of_safetensors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let tensors = tensors();
        let hash = write_file(&tensors, &path).unwrap();
        let raw: Vec<(&NamedTensor, Vec<u8>)> =
            tensors.iter().map(|t| (t, t.data.iter().flat_map(|v| v.to_le_bytes()).collect())).collect();
        let views = raw.iter().map(|(t, bytes)| {
            (t.name.as_str(), TensorView::new(Dtype::F32, t.shape.clone(), bytes).unwrap())
        });
        let expected = safetensors::serialize(views, None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        assert_eq!(hash, hex(&Sha256::digest(&expected)));
        assert_eq!(hash_file(&path).unwrap(), hash);
        let found = read(&path).unwrap();
        assert!(tensors.iter().all(|tensor| &found.map[&tensor.name] == tensor));
    }

    #[test]
    fn cut_and_foreign_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        write_file(&tensors(), &path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for bytes in [
            &whole[..4],
            &whole[..40],
            &whole[..whole.len() - 1],
            b"PK\x03\x04 no safetensors at all",
            &[&whole[..], b"more"].concat(),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let told = read(&path).map(|_| ()).unwrap_err().to_string();
            assert!(told.contains("is no whole safetensors file"), "{told}");
        }
    }
}
