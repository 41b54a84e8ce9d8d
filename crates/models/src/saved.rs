//! A model as a folder: `manifest.json`, `settings.toml`, `weights.safetensors`, `vocabulary.parquet`.

use crate::engine::tensors::{self, Hashing};
use crate::{Kind, ModelError, Result, Trained};
use foretaste_data::{Vocabulary, atomic, store};
use serde::{Deserialize, Serialize};
use std::path::Path;

const FORMAT: &str = "foretaste-model/1";

#[derive(Serialize, Deserialize)]
struct ModelManifest {
    format: String,
    kind: String,
    version: String,
    users: usize,
    items: usize,
    parameters: usize,
    weights_sha256: String,
}

/// A model read from a folder, with the names of its users and items.
pub struct SavedModel {
    /// The model.
    pub model: Box<dyn Trained>,
    /// External ids behind the user indices.
    pub user_ids: Vocabulary,
    /// External ids behind the item indices.
    pub item_ids: Vocabulary,
}

/// SHA-256 of a model's weights; equal models have equal hashes.
#[must_use]
pub fn weights_hash(model: &dyn Trained) -> String {
    let mut hashing = Hashing::new(std::io::sink());
    tensors::write(&model.tensors(), &mut hashing)
        .unwrap_or_else(|e| unreachable!("nothing is written: {e}"));
    hashing.finish()
}

/// Saves `model` as the folder `path`. The folder is written atomically; an older saved model
/// of that name is replaced, anything else there is an error and is kept. Leftovers of killed
/// saves of the name are removed, or put back if they are the only copy.
///
/// # Errors
/// [`ModelError::Saved`] when `path` exists and is not a saved model, or cannot be written.
pub fn save(model: &dyn Trained, user_ids: &Vocabulary, item_ids: &Vocabulary, path: &Path) -> Result<()> {
    let (parent, name) = place(path)?;
    recover(path)?;
    if path.exists() && manifest_of(path).is_none() {
        return Err(ModelError::saved(path, "exists and is no saved model; name a new folder"));
    }
    let fail = |e: std::io::Error| ModelError::saved(path, format!("cannot write: {e}"));
    std::fs::create_dir_all(parent).map_err(fail)?;
    let fresh = parent.join(format!(".writing-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&fresh).map_err(fail)?;
    // Locked, so that other saves do not take it for a leftover, where folders can be locked.
    let held = std::fs::File::open(&fresh);
    let _ = held.as_ref().map(std::fs::File::lock);
    let outcome = fill(model, user_ids, item_ids, &fresh).and_then(|()| {
        atomic::sync_folder(&fresh);
        let old = parent.join(format!(".old-{name}-{}", std::process::id()));
        // Locked, so that no other process recovers it.
        let older = std::fs::File::open(path);
        let _ = older.as_ref().map(std::fs::File::lock);
        if path.exists() {
            std::fs::rename(path, &old).map_err(fail)?;
        }
        std::fs::rename(&fresh, path).map_err(|e| {
            let _ = std::fs::rename(&old, path);
            fail(e)
        })?;
        atomic::sync_folder(parent);
        let _ = std::fs::remove_dir_all(&old);
        ["writing", "old"].iter().for_each(|what| atomic::clear(parent, &format!(".{what}-{name}-")));
        Ok(())
    });
    if outcome.is_err() {
        let _ = std::fs::remove_dir_all(&fresh);
    }
    outcome
}

/// The folder that `path` lies in, and its name.
fn place(path: &Path) -> Result<(&Path, String)> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let name = path.file_name().ok_or_else(|| ModelError::saved(path, "names no folder"))?;
    Ok((parent, name.to_string_lossy().into_owned()))
}

/// The manifest of a folder that is a saved model of some version.
fn manifest_of(folder: &Path) -> Option<ModelManifest> {
    let manifest = std::fs::read(folder.join("manifest.json")).ok()?;
    let manifest: ModelManifest = serde_json::from_slice(&manifest).ok()?;
    manifest.format.starts_with("foretaste-model/").then_some(manifest)
}

/// Puts the older model back where a save was killed after it had moved it aside and before the new one was
/// in its place. One that a living save holds is left to it.
fn recover(path: &Path) -> Result<()> {
    let (parent, name) = place(path)?;
    if path.exists() {
        return Ok(());
    }
    let prefix = format!(".old-{name}-");
    let Ok(entries) = std::fs::read_dir(parent) else { return Ok(()) };
    let old = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    for folder in old.map(|entry| entry.path()).filter(|folder| manifest_of(folder).is_some()) {
        let Ok(held) = std::fs::File::open(&folder) else { continue };
        // A living save is done in a moment; after that the path is there.
        let _ = held.lock();
        if !path.exists() && folder.exists() {
            tracing::warn!("{}: a save was killed; the older model is back in its place", path.display());
            return std::fs::rename(&folder, path)
                .map_err(|e| ModelError::saved(path, format!("cannot put {} back: {e}", folder.display())));
        }
    }
    Ok(())
}

fn fill(model: &dyn Trained, user_ids: &Vocabulary, item_ids: &Vocabulary, folder: &Path) -> Result<()> {
    let settings = model.settings();
    let weights_sha256 = tensors::write_file(&model.tensors(), &folder.join("weights.safetensors"))?;
    let manifest = ModelManifest {
        format: FORMAT.into(),
        kind: settings.kind().name().into(),
        version: env!("CARGO_PKG_VERSION").into(),
        users: user_ids.len(),
        items: item_ids.len(),
        parameters: model.parameters(),
        weights_sha256,
    };
    let manifest =
        serde_json::to_vec_pretty(&manifest).map_err(|e| ModelError::saved(folder, e.to_string()))?;
    atomic::write(&folder.join("settings.toml"), settings.to_toml().as_bytes())?;
    store::write_vocabulary(&folder.join("vocabulary.parquet"), user_ids, item_ids)?;
    atomic::write(&folder.join("manifest.json"), &manifest)?;
    Ok(())
}

/// Loads a model saved by [`save`].
///
/// # Errors
/// [`ModelError::Saved`] for a folder without a manifest, another format version, weights that do
/// not match the manifest's hash, or shapes that do not fit the settings and vocabulary.
pub fn load(path: &Path) -> Result<SavedModel> {
    recover(path)?;
    let text = std::fs::read(path.join("manifest.json"))
        .map_err(|e| ModelError::saved(path, format!("is no saved model (manifest.json: {e})")))?;
    let manifest: ModelManifest = serde_json::from_slice(&text)
        .map_err(|e| ModelError::saved(&path.join("manifest.json"), format!("does not parse: {e}")))?;
    if manifest.format != FORMAT {
        return Err(ModelError::saved(
            path,
            format!("has the format {}; this build reads {FORMAT}. Train the model again", manifest.format),
        ));
    }
    let kind: Kind = manifest.kind.parse().map_err(|e: String| ModelError::saved(path, e))?;
    let settings_path = path.join("settings.toml");
    let table = std::fs::read_to_string(&settings_path)
        .map_err(|e| ModelError::saved(&settings_path, format!("cannot read: {e}")))?;
    let settings = kind.settings(
        table.parse().map_err(|e: toml::de::Error| ModelError::saved(&settings_path, e.to_string()))?,
    )?;
    let weights_path = path.join("weights.safetensors");
    let hash = tensors::hash_file(&weights_path)
        .map_err(|e| ModelError::saved(&weights_path, format!("cannot read: {e}")))?;
    if hash != manifest.weights_sha256 {
        return Err(ModelError::saved(&weights_path, "is damaged: its hash is not the manifest's"));
    }
    let model = settings.restore(&tensors::read(&weights_path)?)?;
    let (user_ids, item_ids) = store::read_vocabulary(&path.join("vocabulary.parquet"))?;
    if user_ids.len() != manifest.users
        || item_ids.len() != manifest.items
        || model.parameters() != manifest.parameters
    {
        return Err(ModelError::saved(
            path,
            "is inconsistent: vocabulary or weights have other sizes than its manifest says",
        ));
    }
    Ok(SavedModel { model, user_ids, item_ids })
}
