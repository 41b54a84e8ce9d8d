//! The registry of algorithms by name: those of this crate, and those that a program registers.

use crate::algorithm::parse;
use crate::{Algorithm, ModelError, ModelSettings, Result};
use crate::{
    autorec, biases, deepfm, deeprec, ease, ensemble, fm, hrnn, hrnn_gru, ials, pmf, popularity, rnn,
    rolling_average, rrn, sessionknn, sims, tsvd, userknn,
};
use std::hash::{Hash, Hasher};
use std::sync::{PoisonError, RwLock};

/// Type-erased entry of an algorithm.
struct Entry {
    name: &'static str,
    title: &'static str,
    search_space: &'static str,
    defaults: fn() -> ModelSettings,
    settings: fn(&toml::Table) -> Result<ModelSettings>,
}

/// The entry of an algorithm type.
trait HasEntry {
    const ENTRY: Entry;
}

impl<A: Algorithm> HasEntry for A {
    const ENTRY: Entry = Entry {
        name: A::NAME,
        title: A::TITLE,
        search_space: A::SEARCH_SPACE,
        defaults: || A::default().into(),
        settings: parse::<A>,
    };
}

/// An algorithm by its name.
#[derive(Clone, Copy)]
pub struct Kind(&'static Entry);

macro_rules! built_in {
    ($($constant:ident, $module:ident;)*) => {
        impl Kind {
            /// The algorithms of this crate, simplest first.
            pub const BUILT_IN: &'static [Self] = &[$(Self::$constant,)*];

            $(
                #[doc = concat!("[`", stringify!($module), "`].")]
                pub const $constant: Self = Self::of::<$module::Settings>();
            )*
        }
    };
}

built_in! {
    ROLLING_AVERAGE, rolling_average;
    BIASES, biases;
    PMF, pmf;
    TSVD, tsvd;
    FM, fm;
    AUTOREC, autorec;
    DEEPREC, deeprec;
    DEEPFM, deepfm;
    RRN, rrn;
    RNN, rnn;
    HRNN_GRU, hrnn_gru;
    HRNN, hrnn;
    POPULARITY, popularity;
    SIMS, sims;
    USER_KNN, userknn;
    SESSION_KNN, sessionknn;
    IALS, ials;
    EASE, ease;
    ENSEMBLE, ensemble;
}

/// Algorithms that programs registered.
static REGISTERED: RwLock<Vec<Kind>> = RwLock::new(Vec::new());

/// Registers an algorithm under its name: for saved models, ensembles, systems and searches of this program.
/// Registering it again has no effect.
///
/// # Errors
/// [`ModelError::Setting`] where another algorithm has the name.
pub fn register<A: Algorithm>() -> Result<()> {
    let kind = Kind::of::<A>();
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    match Kind::BUILT_IN.iter().chain(registered.iter()).find(|other| **other == kind) {
        None => registered.push(kind),
        Some(other) if other.defaults().of::<A>().is_some() => {}
        Some(other) => {
            let reason = format!("is already the name of {}; choose another", other.title());
            return Err(ModelError::Setting { model: A::NAME, setting: "NAME".into(), reason });
        }
    }
    Ok(())
}

impl Kind {
    /// The kind of an algorithm, registered or not.
    #[must_use]
    pub const fn of<A: Algorithm>() -> Self {
        Self(&<A as HasEntry>::ENTRY)
    }

    /// All algorithms by name: those of this crate, then registered ones in order of registration.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
        Self::BUILT_IN.iter().chain(registered.iter()).copied().collect()
    }

    /// The name in arguments and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The name in tables.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.0.title
    }

    /// The settings worth searching, as TOML.
    #[must_use]
    pub fn search_space(self) -> &'static str {
        self.0.search_space
    }

    /// Default settings.
    #[must_use]
    pub fn defaults(self) -> ModelSettings {
        (self.0.defaults)()
    }

    /// Settings from a TOML table; settings that it does not name keep their defaults.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for an unknown setting, a wrong type or a value out of range.
    #[allow(clippy::needless_pass_by_value)] // Callers parse a table for this call.
    pub fn settings(self, table: toml::Table) -> Result<ModelSettings> {
        (self.0.settings)(&table)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Kind {}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = Self::all();
        all.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|kind| kind.name()).collect();
            format!("unknown model {name:?}; known are {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every search space names real settings, and the default lies within it.
    #[test]
    fn search_spaces_fit_the_settings() {
        for kind in Kind::BUILT_IN {
            let space: toml::Table = kind.search_space().parse().unwrap();
            let defaults: toml::Table = kind.defaults().to_toml().parse().unwrap();
            assert!(!space.is_empty() || *kind == Kind::ENSEMBLE, "{}", kind.name());
            for (name, range) in &space {
                let number =
                    |value: &toml::Value| value.as_float().or_else(|| value.as_integer().map(|i| i as f64));
                let default =
                    defaults.get(name).unwrap_or_else(|| panic!("{}.{name} is no setting", kind.name()));
                if range["type"].as_str() == Some("bool") {
                    assert!(default.is_bool());
                    continue;
                }
                let (low, high) = (number(&range["low"]).unwrap(), number(&range["high"]).unwrap());
                let default = number(default).unwrap();
                // Of a rate 0 is the end: no limit.
                let endless = range["type"].as_str() == Some("rate") && default == 0.0;
                assert!(
                    low < high && (endless || (low..=high).contains(&default)),
                    "{}.{name}: {default} in [{low}, {high}]",
                    kind.name()
                );
                for end in ["low", "high"] {
                    let table = toml::Table::from_iter([(name.clone(), range[end].clone())]);
                    assert!(kind.settings(table).is_ok(), "{}.{name} {end}", kind.name());
                }
            }
        }
    }

    #[test]
    fn unknown_and_mistyped_settings_are_named() {
        let error = Kind::PMF.settings("factor = 3".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("pmf.factor") && error.contains("factors"), "{error}");
        let error =
            Kind::PMF.settings("biases = true\nfactors = \"many\"".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("pmf.factors: invalid type"), "{error}");
        let error = Kind::PMF.settings("factors = 0".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("pmf.factors: 0 is not in [1, 4096]"), "{error}");
    }

    #[test]
    fn a_name_is_registered_once() {
        register::<pmf::Settings>().unwrap();
        assert_eq!(Kind::all().len(), Kind::BUILT_IN.len(), "built-in algorithms are unchanged");
    }
}
