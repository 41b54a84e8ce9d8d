//! Where layers are computed: a choice made at run time.

use crate::{ModelError, Result};

/// A device by name: `flex` (CPU), `vulkan`, `wgpu`, `cuda:N`.
#[derive(Debug, Clone)]
pub struct Device {
    name: String,
    inner: burn::tensor::Device,
}

impl Device {
    /// The CPU backend, always there.
    #[must_use]
    pub fn flex() -> Self {
        Self { name: "flex".into(), inner: burn::tensor::Device::flex() }
    }

    /// The device called `name`; `auto` takes a real GPU when there is one and `flex` otherwise,
    /// never a software driver.
    ///
    /// # Errors
    /// [`ModelError::Device`] for an unknown name, a backend that is not compiled in, or an adapter
    /// that is not there.
    pub fn open(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::real_gpu().unwrap_or_else(Self::flex)),
            "flex" | "cpu" => Ok(Self::flex()),
            "vulkan" | "wgpu" => Self::wgpu(name),
            _ => match name.strip_prefix("cuda").map(|rest| rest.strip_prefix(':').unwrap_or(rest)) {
                Some("") => Self::cuda(name, 0),
                Some(index) if index.parse::<usize>().is_ok() => Self::cuda(name, index.parse().unwrap_or(0)),
                _ => Err(ModelError::device(name, "unknown; known are auto, flex, vulkan, wgpu, cuda, cuda:N")),
            },
        }
    }

    /// The name, with the adapter's where there is one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn burn(&self) -> &burn::tensor::Device {
        &self.inner
    }

    #[cfg(feature = "wgpu")]
    fn wgpu(name: &str) -> Result<Self> {
        use burn::tensor::DeviceKind;
        use burn::tensor::wgpu::WgpuBackend;
        // A real GPU first; a software driver only because it was asked for by name.
        let (kind, adapter) = adapters::all().into_iter().next().map_or((DeviceKind::DefaultDevice, String::new()), |a| (a.kind, a.name));
        let api = if name == "vulkan" { WgpuBackend::Vulkan } else { WgpuBackend::Auto };
        Self::init(name, kind, api, &adapter)
    }

    #[cfg(feature = "wgpu")]
    fn init(name: &str, kind: burn::tensor::DeviceKind, api: burn::tensor::wgpu::WgpuBackend, adapter: &str) -> Result<Self> {
        use std::sync::Mutex;
        // A selector can be initialized once in a process; later calls get the same device.
        static OPENED: Mutex<Vec<(String, burn::tensor::Device)>> = Mutex::new(Vec::new());
        let mut opened = OPENED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let inner = match opened.iter().find(|(known, _)| known == name) {
            Some((_, device)) => device.clone(),
            None => {
                let device = burn::tensor::Device::wgpu_options()
                    .device_kind(kind)
                    .graphics_api(api)
                    .init()
                    .map_err(|e| ModelError::device(name, format!("{e}; without a GPU and its driver use --device flex")))?;
                opened.push((name.to_owned(), device.clone()));
                device
            }
        };
        let name = if adapter.is_empty() { name.to_owned() } else { format!("{name} ({adapter})") };
        Ok(Self { name, inner })
    }

    #[cfg(not(feature = "wgpu"))]
    fn wgpu(name: &str) -> Result<Self> {
        Err(ModelError::device(name, "not compiled in; build with the feature wgpu (it is on by default)"))
    }

    #[cfg(feature = "wgpu")]
    fn real_gpu() -> Option<Self> {
        let adapter = adapters::all().into_iter().find(|a| !a.software)?;
        Self::init("vulkan", adapter.kind, burn::tensor::wgpu::WgpuBackend::Vulkan, &adapter.name).ok()
    }

    #[cfg(not(feature = "wgpu"))]
    fn real_gpu() -> Option<Self> {
        None
    }

    #[cfg(feature = "cuda")]
    fn cuda(name: &str, index: usize) -> Result<Self> {
        let found = burn::tensor::Device::enumerate(burn::tensor::DeviceType::Cuda).len();
        if index >= found {
            return Err(ModelError::device(name, format!("not there; {found} CUDA devices were found")));
        }
        Ok(Self { name: format!("cuda:{index}"), inner: burn::tensor::Device::cuda(index) })
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda(name: &str, _: usize) -> Result<Self> {
        Err(ModelError::device(name, "not compiled in; build with --features cuda"))
    }
}

#[cfg(feature = "wgpu")]
mod adapters {
    //! Which Vulkan adapters exist, in burn's own counting: each kind from 0.

    use burn::tensor::DeviceKind;
    use burn::tensor::wgpu::wgpu::{Backends, DeviceType, Instance, InstanceDescriptor};

    pub struct Adapter {
        pub kind: DeviceKind,
        pub name: String,
        pub software: bool,
    }

    /// Real GPUs first, discrete before integrated before virtual; software drivers last.
    pub fn all() -> Vec<Adapter> {
        let instance = Instance::new(InstanceDescriptor { backends: Backends::VULKAN, ..InstanceDescriptor::new_without_display_handle() });
        let (mut discrete, mut integrated, mut virtual_gpus) = (0, 0, 0);
        let count = |n: &mut usize| {
            *n += 1;
            *n - 1
        };
        let mut found: Vec<(u8, Adapter)> = burn::tensor::read_sync(instance.enumerate_adapters(Backends::VULKAN))
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

    #[test]
    fn names_are_checked() {
        assert_eq!(Device::open("flex").unwrap().name(), "flex");
        for unknown in ["gpu", "cuda:x", ""] {
            assert!(Device::open(unknown).unwrap_err().to_string().contains("known are"), "{unknown}");
        }
    }

    #[test]
    fn auto_never_takes_a_software_driver() {
        let name = Device::open("auto").unwrap().name().to_lowercase();
        assert!(!["swiftshader", "llvmpipe", "lavapipe"].iter().any(|s| name.contains(s)), "{name}");
    }
}
