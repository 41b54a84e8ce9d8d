//! Chooses the program's backend: one for GPUs doubles the build, so it is used only for training, and
//! only if the system lists a GPU before anything is built.

use std::path::{Path, PathBuf};

/// Tasks that train models; the others read, write or draw.
const TRAINING: [&str; 4] = ["reproduce", "tune", "automl", "recommend"];

/// Tasks that neither train nor fetch: their program is built without TLS and databases.
const READING: [&str; 4] = ["datasets", "import", "sessions", "simulate"];

/// Features that `task` does not need are left out, those of `backend` are included: arguments for
/// cargo.
pub fn features(task: &str, backend: &str) -> Vec<String> {
    let alone = READING.contains(&task) && backend.is_empty();
    let features = if alone { "ml-latest-small" } else { backend };
    let default = alone.then(|| "--no-default-features".to_owned());
    default.into_iter().chain(["--features".to_owned(), features.to_owned()]).collect()
}

/// Driver manifests of hardware by the maker's number on the PCI bus; software drivers have other names.
const DRIVERS: [(&str, &[&str]); 3] =
    [("0x10de", &["nvidia", "nouveau"]), ("0x1002", &["radeon", "amd"]), ("0x8086", &["intel"])];

/// Features to build with and, if they were chosen automatically, the reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// In the format of `--features`.
    pub features: String,
    /// What was chosen, why, and how to override it.
    pub said: Option<String>,
}

/// Chooses for `task` with its arguments. `wish` is `FORETASTE_FEATURES`; `gpu` looks for a GPU.
pub fn choose(
    task: &str,
    arguments: &[String],
    wish: Option<String>,
    gpu: impl FnOnce() -> Result<String, String>,
) -> Choice {
    let silent = |features: &str| Choice { features: features.to_owned(), said: None };
    if let Some(wish) = wish {
        return silent(if wish == "none" { "" } else { &wish });
    }
    let helps = |argument: &String| argument == "--help" || argument == "-h";
    if !TRAINING.contains(&task) || arguments.iter().any(helps) {
        return silent("");
    }
    match device(arguments) {
        Some("flex" | "cpu") => return silent(""),
        Some(name) if name.starts_with("cuda") => return silent("cuda"),
        Some("vulkan" | "wgpu") => return silent("wgpu"),
        _ => {}
    }
    match gpu() {
        Ok(found) => Choice {
            features: "wgpu".into(),
            said: Some(format!(
                "backend: wgpu, for {found} (FORETASTE_FEATURES=none builds for the CPU alone, in half the \
                 time)"
            )),
        },
        Err(reason) => Choice {
            features: String::new(),
            said: Some(format!(
                "backend: CPU, because {reason} (FORETASTE_FEATURES=wgpu builds for a GPU all the same)"
            )),
        },
    }
}

/// The device that the arguments name.
fn device(arguments: &[String]) -> Option<&str> {
    let at =
        arguments.iter().position(|argument| argument == "--device" || argument.starts_with("--device="))?;
    arguments[at].strip_prefix("--device=").or_else(|| arguments.get(at + 1).map(String::as_str))
}

/// A description of a GPU that the backend can use; else what is missing.
pub fn gpu() -> Result<String, String> {
    match std::env::consts::OS {
        "macos" => Ok("Metal".into()),
        "windows" => windows(),
        _ => linux(Path::new("/"), &driver_folders()),
    }
}

/// Every Windows has Direct3D; what matters is whether a vendor's driver is behind it.
fn windows() -> Result<String, String> {
    let query = "(Get-CimInstance Win32_VideoController).Name";
    let output = std::process::Command::new("powershell").args(["-NoProfile", "-Command", query]).output();
    let names = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let real = |name: &&str| {
        !name.trim().is_empty()
            && !["Microsoft Basic", "Microsoft Remote", "Hyper-V"].iter().any(|s| name.contains(s))
    };
    names
        .lines()
        .find(real)
        .map(|name| format!("{} through Direct3D", name.trim()))
        .ok_or_else(|| "no GPU's driver is installed".into())
}

/// Where Vulkan's loader looks for driver manifests.
fn driver_folders() -> Vec<PathBuf> {
    let listed = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].iter().find_map(std::env::var_os);
    if let Some(files) = listed {
        return std::env::split_paths(&files).collect();
    }
    let data = std::env::var_os("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    std::env::split_paths(&data)
        .chain([PathBuf::from("/etc")])
        .map(|folder| folder.join("vulkan/icd.d"))
        .collect()
}

/// A GPU on the bus of the system under `root`, and its maker's Vulkan driver in one of `drivers` (folders or
/// files).
fn linux(root: &Path, drivers: &[PathBuf]) -> Result<String, String> {
    let entries = |folder: &Path| {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect::<Vec<_>>()
    };
    let named =
        |path: &Path| path.file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase());
    let render =
        entries(&root.join("sys/class/drm")).into_iter().filter(|path| named(path).starts_with("renderd"));
    let mut makers: Vec<String> = render
        .filter_map(|path| std::fs::read_to_string(path.join("device/vendor")).ok())
        .map(|v| v.trim().to_owned())
        .collect();
    // A container may see the GPU and not its node of the display system.
    if !entries(&root.join("proc/driver/nvidia/gpus")).is_empty() {
        makers.push("0x10de".into());
    }
    if makers.is_empty() {
        return Err("no GPU was found".into());
    }
    let manifests: Vec<String> = drivers
        .iter()
        .flat_map(|place| if place.is_dir() { entries(place) } else { vec![place.clone()] })
        .map(|p| named(&p))
        .collect();
    let known = DRIVERS.iter().filter(|(maker, _)| makers.iter().any(|found| found == maker));
    let driver = known
        .flat_map(|(_, names)| names.iter())
        .find(|name| manifests.iter().any(|manifest| manifest.contains(*name)));
    driver
        .map(|name| format!("a GPU with the Vulkan driver {name}"))
        .ok_or_else(|| "the GPU has no Vulkan driver here".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(words: &str, wish: Option<&str>, gpu: Result<&str, &str>) -> Choice {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        choose(&words[0], &words[1..], wish.map(str::to_owned), || {
            gpu.map(str::to_owned).map_err(str::to_owned)
        })
    }

    #[test]
    fn only_training_on_a_gpu_builds_for_one() {
        let features = |words, gpu| chosen(words, None, gpu).features;
        for reading in [
            "datasets",
            "import log.csv",
            "sessions log.csv",
            "simulate netflix",
            "fetch ml-1m",
            "reproduce --help",
            "tune -h",
        ] {
            assert_eq!(
                chosen(reading, None, Ok("a GPU")),
                Choice { features: String::new(), said: None },
                "{reading}"
            );
        }
        for training in ["reproduce", "tune pmf", "automl", "recommend --user 4"] {
            assert_eq!(features(training, Ok("a GPU")), "wgpu", "{training}");
            assert_eq!(features(training, Err("no GPU")), "", "{training}");
        }
        assert!(
            chosen("reproduce", None, Err("no GPU was found"))
                .said
                .unwrap()
                .contains("FORETASTE_FEATURES=wgpu")
        );
        assert!(chosen("reproduce", None, Ok("Metal")).said.unwrap().contains("FORETASTE_FEATURES=none"));
    }

    #[test]
    fn a_wish_and_a_named_device_decide() {
        assert_eq!(chosen("datasets", Some("vulkan"), Err("none")).features, "vulkan");
        assert_eq!(chosen("reproduce", Some("none"), Ok("a GPU")).features, "");
        assert_eq!(chosen("reproduce --device flex", None, Ok("a GPU")).features, "");
        assert_eq!(chosen("reproduce --device=vulkan", None, Err("none")).features, "wgpu");
        assert_eq!(chosen("tune rnn --device cuda:1", None, Err("none")).features, "cuda");
        assert_eq!(chosen("reproduce --device auto", None, Ok("a GPU")).features, "wgpu");
    }

    #[test]
    fn reading_needs_no_network() {
        assert_eq!(features("datasets", ""), ["--no-default-features", "--features", "ml-latest-small"]);
        assert_eq!(features("datasets", "wgpu"), ["--features", "wgpu"]);
        assert_eq!(features("fetch", ""), ["--features", ""]);
        assert_eq!(features("reproduce", "wgpu"), ["--features", "wgpu"]);
    }

    #[test]
    fn a_gpu_is_a_card_and_its_makers_driver() {
        let root = std::env::temp_dir().join(format!("foretaste-xtask-{}", std::process::id()));
        let (card, icd) = (root.join("sys/class/drm/renderD128/device"), root.join("icd"));
        std::fs::create_dir_all(&icd).unwrap();
        let found = || linux(&root, std::slice::from_ref(&icd));
        std::fs::write(icd.join("lvp_icd.x86_64.json"), "{}").unwrap();
        assert!(found().unwrap_err().contains("no GPU"));
        std::fs::create_dir_all(&card).unwrap();
        std::fs::write(card.join("vendor"), "0x1002\n").unwrap();
        std::fs::write(icd.join("intel_icd.x86_64.json"), "{}").unwrap();
        assert!(
            found().unwrap_err().contains("no Vulkan driver"),
            "a software driver and another vendor's do not count"
        );
        std::fs::write(icd.join("radeon_icd.x86_64.json"), "{}").unwrap();
        assert!(found().unwrap().contains("radeon"));
        std::fs::remove_dir_all(root).unwrap();
    }
}
