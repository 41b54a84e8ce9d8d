//! A Vulkan driver in software, for machines without a GPU: `SwiftShader` from Debian's Chromium
//! package (Debian 12's lavapipe crashes under burn), and the Vulkan loader.
//!
//! Packages are downloaded and unpacked into the build folder; nothing is installed.

use crate::builds;
use std::path::{Path, PathBuf};
use xshell::{PushEnv, Shell, cmd};

/// Folder of the driver's parts.
struct Driver {
    /// The file that points the loader to the driver.
    icd: PathBuf,
    /// Folder of the loader's and the driver's libraries.
    libraries: String,
    /// A folder the loader may use.
    runtime: PathBuf,
}

/// The environment of tests that compare a GPU backend with the CPU's, as long as the returned value lives.
pub fn in_use(sh: &Shell) -> Result<Vec<PushEnv<'_>>, Box<dyn std::error::Error>> {
    let driver = software_vulkan(sh)?;
    Ok(vec![
        sh.push_env("VK_ICD_FILENAMES", &driver.icd),
        sh.push_env("LD_LIBRARY_PATH", &driver.libraries),
        sh.push_env("XDG_RUNTIME_DIR", &driver.runtime),
        sh.push_env("FORETASTE_PARITY_DEVICE", "vulkan"),
    ])
}

/// Finds the driver, or fetches it with `apt-get download`.
fn software_vulkan(sh: &Shell) -> Result<Driver, Box<dyn std::error::Error>> {
    let folder = builds(sh, "").join("software-vulkan");
    let icd = folder.join("usr/lib/chromium/vk_swiftshader_icd.json");
    let loader = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"].map(|lib| folder.join(lib));
    if !icd.is_file() || !loader.iter().any(|lib| lib.join("libvulkan.so.1").exists()) {
        fetch(sh, &folder).map_err(|e| {
            format!(
                "no software Vulkan driver: {e}\n  help: on Debian or Ubuntu `apt-get update` may be \
                needed first; elsewhere set VK_ICD_FILENAMES to your driver and \
                FORETASTE_PARITY_DEVICE=vulkan, and run `cargo test --release -p foretaste-models parity`"
            )
        })?;
    }
    let runtime = folder.join("runtime");
    sh.create_dir(&runtime)?;
    let mut libraries: Vec<String> = loader.iter().map(|lib| lib.display().to_string()).collect();
    libraries.extend(std::env::var("LD_LIBRARY_PATH"));
    Ok(Driver { icd, libraries: libraries.join(":"), runtime })
}

fn fetch(sh: &Shell, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    sh.create_dir(folder)?;
    let _inside = sh.push_dir(folder);
    for package in ["chromium-common", "libvulkan1"] {
        if cmd!(sh, "apt-get download {package}").run().is_err() {
            // A fresh machine has no package lists yet.
            cmd!(sh, "apt-get update --quiet").run()?;
            cmd!(sh, "apt-get download {package}").run()?;
        }
    }
    for file in sh.read_dir(folder)?.into_iter().filter(|f| f.extension().is_some_and(|e| e == "deb")) {
        cmd!(sh, "dpkg -x {file} .").run()?;
        sh.remove_path(&file)?;
    }
    Ok(())
}
