//! Devices: where layers are computed, chosen at run time.

use crate::{ModelError, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A device by name: `flex` (CPU), `vulkan`, `wgpu`, `cuda:N`.
#[derive(Debug, Clone)]
pub struct Device {
    name: String,
    /// Where burn's tensors are stored; `None` for native code on the CPU.
    #[cfg(feature = "burn")]
    inner: burn_tensor::Device,
}

/// What `vulkan` requests from burn: Vulkan with SPIR-V if that is compiled in; else whatever API the
/// adapter has, which was found through Vulkan.
#[cfg(feature = "wgpu")]
const VULKAN: burn_tensor::wgpu::WgpuBackend = if cfg!(feature = "vulkan") {
    burn_tensor::wgpu::WgpuBackend::Vulkan
} else {
    burn_tensor::wgpu::WgpuBackend::Auto
};

impl Device {
    /// The CPU, always there.
    #[must_use]
    pub fn flex() -> Self {
        Self {
            name: "flex".into(),
            #[cfg(feature = "burn")]
            inner: burn_tensor::Device::flex(),
        }
    }

    /// The device called `name`; `auto` takes a real GPU if there is one and `flex` otherwise,
    /// never a software driver.
    ///
    /// # Errors
    /// [`ModelError::Device`] for an unknown name, a backend that is not compiled in, or an
    /// adapter that does not exist.
    pub fn open(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::real_gpu().unwrap_or_else(Self::flex)),
            "flex" | "cpu" => Ok(Self::flex()),
            "vulkan" | "wgpu" => Self::wgpu(name),
            _ => match name.strip_prefix("cuda").map(|rest| rest.strip_prefix(':').unwrap_or(rest)) {
                Some("") => Self::cuda(name, 0),
                Some(index) if index.parse::<usize>().is_ok() => Self::cuda(name, index.parse().unwrap_or(0)),
                _ => {
                    Err(ModelError::device(name, "unknown; known are auto, flex, vulkan, wgpu, cuda, cuda:N"))
                }
            },
        }
    }

    /// The name, with the adapter's if there is one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is the CPU, where native code replaces burn.
    pub(crate) fn is_flex(&self) -> bool {
        self.name == "flex"
    }

    /// Runs work whose tensors are on this device. A device that fails during the work (a lost driver, memory
    /// that is full) is an error that names it, whether burn reports it as an error or panics.
    pub(crate) fn guard<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.is_flex() {
            return work();
        }
        let failed = |told: &str| {
            Err(ModelError::device(
                &self.name,
                format!(
                    "failed in the middle; what stands in the last checkpoint resumes when it is back \
                     ({told})"
                ),
            ))
        };
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Err(ModelError::Device { device, reason })) if device.is_empty() => failed(&reason),
            Ok(outcome) => outcome,
            Err(panic) => {
                let told = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                failed(told.unwrap_or("no reason given"))
            }
        }
    }

    #[cfg(feature = "burn")]
    pub(crate) fn burn(&self) -> &burn_tensor::Device {
        &self.inner
    }

    #[cfg(feature = "wgpu")]
    fn wgpu(name: &str) -> Result<Self> {
        use burn_tensor::DeviceKind;
        use burn_tensor::wgpu::WgpuBackend;
        // A real GPU first; a software driver only if it was requested by name.
        match adapters::all().into_iter().next() {
            Some(adapter) => Self::init(
                name,
                adapter.kind,
                if name == "vulkan" { VULKAN } else { WgpuBackend::Auto },
                &adapter.name,
            ),
            None if name == "vulkan" => Err(ModelError::device(
                name,
                "there is no Vulkan driver with an adapter; take the device flex, or install a driver",
            )),
            None => Self::init(name, DeviceKind::DefaultDevice, WgpuBackend::Auto, ""),
        }
    }

    #[cfg(feature = "wgpu")]
    fn init(
        name: &str,
        kind: burn_tensor::DeviceKind,
        api: burn_tensor::wgpu::WgpuBackend,
        adapter: &str,
    ) -> Result<Self> {
        use std::sync::Mutex;
        // A selector can be initialized once in a process; later calls get the same device.
        static OPENED: Mutex<Vec<(String, burn_tensor::Device)>> = Mutex::new(Vec::new());
        let mut opened = OPENED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let inner = if let Some((_, device)) = opened.iter().find(|(known, _)| known == name) {
            device.clone()
        } else {
            let device =
                burn_tensor::Device::wgpu_options().device_kind(kind).graphics_api(api).init().map_err(
                    |e| {
                        ModelError::device(
                            name,
                            format!("{e}; without a GPU and its driver take the device flex"),
                        )
                    },
                )?;
            opened.push((name.to_owned(), device.clone()));
            device
        };
        let adapter = if adapter.is_empty() {
            inner.identity().map_or_else(String::new, |i| i.name)
        } else {
            adapter.to_owned()
        };
        Ok(Self { name: format!("{name} ({adapter})"), inner })
    }

    #[cfg(not(feature = "wgpu"))]
    fn wgpu(name: &str) -> Result<Self> {
        Err(ModelError::device(name, "not compiled in; build with the feature wgpu"))
    }

    #[cfg(feature = "wgpu")]
    fn real_gpu() -> Option<Self> {
        let adapter = adapters::all().into_iter().find(|a| !a.software)?;
        Self::init("vulkan", adapter.kind, VULKAN, &adapter.name).ok()
    }

    #[cfg(not(feature = "wgpu"))]
    fn real_gpu() -> Option<Self> {
        None
    }

    #[cfg(feature = "cuda")]
    fn cuda(name: &str, index: usize) -> Result<Self> {
        let found = burn_tensor::Device::enumerate(burn_tensor::DeviceType::Cuda).len();
        if index >= found {
            return Err(ModelError::device(name, format!("not there; {found} CUDA devices were found")));
        }
        Ok(Self { name: format!("cuda:{index}"), inner: burn_tensor::Device::cuda(index) })
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda(name: &str, _: usize) -> Result<Self> {
        Err(ModelError::device(name, "not compiled in; build with the feature cuda"))
    }
}

#[cfg(feature = "wgpu")]
mod adapters {
    //! The Vulkan adapters, in burn's own numbering: each kind from 0.

    use burn_tensor::DeviceKind;
    use burn_tensor::wgpu::wgpu::{Backends, DeviceType, Instance, InstanceDescriptor};

    pub struct Adapter {
        pub kind: DeviceKind,
        pub name: String,
        pub software: bool,
    }

    /// Real GPUs first, discrete before integrated before virtual; software drivers last.
    pub fn all() -> Vec<Adapter> {
        let instance = Instance::new(InstanceDescriptor {
            backends: Backends::VULKAN,
            ..InstanceDescriptor::new_without_display_handle()
        });
        let (mut discrete, mut integrated, mut virtual_gpus) = (0, 0, 0);
        let count = |n: &mut usize| {
            *n += 1;
            *n - 1
        };
        let mut found: Vec<(u8, Adapter)> =
            burn_tensor::read_sync(instance.enumerate_adapters(Backends::VULKAN))
                .iter()
                .filter_map(|adapter| {
                    let info = adapter.get_info();
                    let (order, kind) = match info.device_type {
                        DeviceType::DiscreteGpu => (0, DeviceKind::DiscreteGpu(count(&mut discrete))),
                        DeviceType::IntegratedGpu => (1, DeviceKind::IntegratedGpu(count(&mut integrated))),
                        DeviceType::VirtualGpu => (2, DeviceKind::VirtualGpu(count(&mut virtual_gpus))),
                        DeviceType::Cpu => (3, DeviceKind::Cpu),
                        DeviceType::Other => return None,
                    };
                    Some((order, Adapter { kind, name: info.name, software: order == 3 }))
                })
                .collect();
        found.sort_by_key(|(order, _)| *order);
        found.into_iter().map(|(_, adapter)| adapter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Device {
        /// The device that CI names for parity tests, if any: CI provides a software Vulkan driver.
        #[cfg(feature = "wgpu")]
        pub(crate) fn for_parity() -> Option<Self> {
            let Ok(name) = std::env::var("FORETASTE_PARITY_DEVICE") else {
                assert!(std::env::var_os("CI").is_none(), "CI must name a FORETASTE_PARITY_DEVICE");
                eprintln!("skipped: FORETASTE_PARITY_DEVICE names no device");
                return None;
            };
            Some(Self::open(&name).unwrap())
        }
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(Device::open("flex").unwrap().name(), "flex");
        for unknown in ["gpu", "cuda:x", ""] {
            assert!(Device::open(unknown).unwrap_err().to_string().contains("known are"), "{unknown}");
        }
    }

    #[test]
    fn a_device_that_fails_is_named() {
        let device = Device { name: "gpu".into(), ..Device::flex() };
        let told = |work: fn() -> Result<()>| device.guard(work).unwrap_err().to_string();
        let panicked = told(|| panic!("out of memory"));
        assert!(
            panicked.starts_with("device gpu: failed in the middle") && panicked.contains("out of memory"),
            "{panicked}"
        );
        assert!(told(|| Err(ModelError::device("", "gone"))).starts_with("device gpu: failed in the middle"));
        assert_eq!(told(|| Err(ModelError::Interrupted)), "interrupted");
    }

    #[test]
    fn auto_never_takes_a_software_driver() {
        let name = Device::open("auto").unwrap().name().to_lowercase();
        assert!(!["swiftshader", "llvmpipe", "lavapipe"].iter().any(|s| name.contains(s)), "{name}");
    }

    /// Matrix products of many shapes agree with the CPU backend: `SwiftShader` once computed zeros for
    /// all of them, through burn's SPIR-V compiler, without any error. Runs as `wgpu_parity` does.
    #[cfg(feature = "wgpu")]
    #[test]
    fn matrix_products_parity() {
        use burn_tensor::{Tensor, TensorData};
        let Some(other) = Device::for_parity() else { return };
        for (m, k, n) in [
            (2, 3, 3),
            (4, 4, 4),
            (12, 6, 3),
            (16, 16, 16),
            (64, 32, 96),
            (64, 64, 1),
            (64, 1, 64),
            (2048, 66, 64),
            (300, 64, 33),
        ] {
            let product = |device: &Device| {
                let wave = |rows: usize, columns: usize, step: f32| -> Tensor<2> {
                    let values: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * step).sin()).collect();
                    Tensor::from_data(TensorData::new(values, [rows, columns]), device.burn())
                };
                wave(m, k, 0.31).matmul(wave(k, n, 0.17)).try_into_vec_as::<f32>().unwrap()
            };
            let worst = product(&Device::flex())
                .iter()
                .zip(product(&other))
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(worst < 1e-4, "{m} x {k} x {n}: off by {worst}");
        }
    }
}
