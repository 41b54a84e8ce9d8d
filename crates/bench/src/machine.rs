//! The machine, and the memory used on it.

use serde::Serialize;

/// The machine, as manifests record it.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub platform: String,
    /// Processor model, if the system reports it.
    pub processor: Option<String>,
    /// Logical processors.
    pub cores: usize,
    /// Main memory in MB, if the system reports it.
    pub memory_mb: Option<u64>,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        let field = |file: &str, key: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        Self {
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mb: field("/proc/meminfo", "MemTotal")
                .and_then(|kb| kb.split(' ').next()?.parse::<u64>().ok())
                .map(|kb| kb / 1024),
        }
    }
}

/// Returns freed memory to the system where the allocator (glibc's) would keep it.
fn hand_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointer, and frees only unused memory.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Resets the peak, where the system can (Linux), and frees memory of earlier work. Returns whether
/// it could.
#[must_use]
pub fn reset_peak_memory() -> bool {
    hand_back();
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Peak resident memory of this process in MB since the last reset; `None` if the system does not report it.
#[must_use]
pub fn peak_memory_mb() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn a_peak_is_forgotten() {
        if !reset_peak_memory() {
            return;
        }
        // Small pieces, which the allocator would keep.
        drop((0..400_000).map(|n| vec![n as u8; 500]).collect::<Vec<_>>());
        let high = peak_memory_mb().unwrap();
        assert!(reset_peak_memory());
        let low = peak_memory_mb().unwrap();
        assert!(low + 100 < high, "{low} of {high} MB");
    }
}
