//! The models by name, and their settings as one type.

use crate::{FitContext, Fitted, ModelError, Result, Trained, tensors::Tensors};
use crate::{autorec, biases, deepfm, deeprec, ease, ensemble, fm, hrnn, ials, pmf, popularity, rnn, rolling_average, rrn, sessionknn, sims, tsvd, userknn};
use foretaste_data::Histories;
use serde::de::DeserializeOwned;

macro_rules! models {
    ($($variant:ident, $module:ident, $name:literal, $title:literal;)*) => {
        /// The models of this crate.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = $title] $variant,)*
        }

        /// A model with its settings: all that decides a training besides data, seed and device.
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        #[serde(untagged)]
        pub enum ModelSettings {
            $(#[doc = $title] $variant($module::Settings),)*
        }

        impl Kind {
            /// All models, simplest first.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in arguments and files.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The name in tables.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// The settings worth searching, as the model's `search.toml` has them.
            #[must_use]
            pub fn search_space(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!(stringify!($module), "/search.toml")),)* }
            }

            /// Default settings.
            #[must_use]
            pub fn defaults(self) -> ModelSettings {
                match self { $(Self::$variant => ModelSettings::$variant($module::Settings::default()),)* }
            }

            /// Settings from a TOML table; what it does not name keeps its default.
            ///
            /// # Errors
            /// [`ModelError::Setting`] for an unknown setting, a wrong type or a value out of range.
            pub fn settings(self, table: toml::Table) -> Result<ModelSettings> {
                let settings = match self { $(Self::$variant => ModelSettings::$variant(parse::<$module::Settings>($name, &table)?),)* };
                settings.check()?;
                Ok(settings)
            }

            /// Builds a trained model from its settings and saved weights.
            pub(crate) fn restore(self, settings: &ModelSettings, tensors: &Tensors) -> Result<Box<dyn Trained>> {
                match settings {
                    $(ModelSettings::$variant(settings) if self == Self::$variant => Ok(Box::new($module::Model::restore(settings.clone(), tensors)?)),)*
                    _ => Err(ModelError::Setting { model: self.name(), setting: "kind".into(), reason: "settings of another model".into() }),
                }
            }
        }

        impl ModelSettings {
            /// Which model these settings are of.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant,)* }
            }

            /// Checks every setting against its range.
            ///
            /// # Errors
            /// [`ModelError::Setting`] naming the setting and its range.
            pub fn check(&self) -> Result<()> {
                match self { $(Self::$variant(settings) => settings.check(),)* }
            }

            /// Trains on `train`. With `validation` rows the curve has their error and the weights
            /// of the best epoch are kept.
            ///
            /// # Errors
            /// [`ModelError::Setting`] before anything is trained, [`ModelError::Training`] when the
            /// rows cannot train the model, [`ModelError::Interrupted`] when asked to stop, [`ModelError::Device`] when the
            /// device fails.
            pub fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
                self.check()?;
                context.device.guard(|| match self { $(Self::$variant(settings) => $module::fit(settings, train, validation, context),)* })
            }
        }
    };
}

models! {
    RollingAverage, rolling_average, "rolling-average", "Rolling Average";
    Biases, biases, "biases", "Biases";
    Pmf, pmf, "pmf", "PMF";
    Tsvd, tsvd, "tsvd", "T-SVD";
    Fm, fm, "fm", "FM";
    Autorec, autorec, "autorec", "AutoRec";
    Deeprec, deeprec, "deeprec", "DeepRec";
    Deepfm, deepfm, "deepfm", "DeepFM";
    Rrn, rrn, "rrn", "RRN";
    Rnn, rnn, "rnn", "RNN";
    Hrnn, hrnn, "hrnn", "HRNN";
    Popularity, popularity, "popularity", "Popularity";
    Sims, sims, "sims", "SIMS";
    UserKnn, userknn, "user-knn", "User-kNN";
    SessionKnn, sessionknn, "session-knn", "VMIS-kNN";
    Ials, ials, "ials", "iALS";
    Ease, ease, "ease", "EASE";
    Ensemble, ensemble, "ensemble", "Ensemble";
}

impl ModelSettings {
    /// The same settings trained for `epochs` epochs; models without epochs stay as they are.
    #[must_use]
    pub fn with_epochs(mut self, epochs: usize) -> Self {
        match &mut self {
            Self::Pmf(settings) => settings.epochs = epochs,
            Self::Tsvd(settings) => settings.epochs = epochs,
            Self::Autorec(settings) => settings.epochs = epochs,
            Self::Deeprec(settings) => settings.epochs = epochs,
            Self::Deepfm(settings) => settings.epochs = epochs,
            Self::Rrn(settings) => settings.epochs = epochs,
            Self::Rnn(settings) => settings.epochs = epochs,
            Self::Hrnn(settings) => settings.epochs = epochs,
            // Draws are averaged: more of them never hurt.
            Self::Fm(settings) if settings.learner == fm::Learner::Mcmc => {}
            Self::Fm(settings) => settings.iterations = epochs,
            Self::Ials(settings) => settings.epochs = epochs,
            Self::RollingAverage(_)
            | Self::Biases(_)
            | Self::Popularity(_)
            | Self::Sims(_)
            | Self::UserKnn(_)
            | Self::SessionKnn(_)
            | Self::Ease(_)
            | Self::Ensemble(_) => {}
        }
        self
    }

    /// The same settings with this share of their training's length, at least one pass each; models that are trained in
    /// no passes stay as they are.
    #[must_use]
    pub fn shortened(self, share: f64) -> Self {
        let part = |n: usize| ((n as f64 * share).round() as usize).max(1);
        match self {
            Self::Fm(settings) => {
                Self::Fm(fm::Settings { iterations: part(settings.iterations), burn_in: part(settings.burn_in), kept: part(settings.kept), ..settings })
            }
            Self::Hrnn(settings) => Self::Hrnn(hrnn::Settings { epochs: part(settings.epochs), fm_iterations: part(settings.fm_iterations), ..settings }),
            Self::Pmf(pmf::Settings { epochs, .. })
            | Self::Tsvd(tsvd::Settings { epochs, .. })
            | Self::Autorec(autorec::Settings { epochs, .. })
            | Self::Deeprec(deeprec::Settings { epochs, .. })
            | Self::Deepfm(deepfm::Settings { epochs, .. })
            | Self::Rrn(rrn::Settings { epochs, .. })
            | Self::Rnn(rnn::Settings { epochs, .. })
            | Self::Ials(ials::Settings { epochs, .. }) => self.with_epochs(part(epochs)),
            other => other,
        }
    }

    /// Whether the model predicts ratings.
    #[must_use]
    pub fn predicts_ratings(&self) -> bool {
        match self {
            Self::Popularity(_) | Self::Sims(_) | Self::UserKnn(_) | Self::SessionKnn(_) | Self::Ials(_) | Self::Ease(_) => false,
            Self::Deepfm(settings) => settings.objective == deepfm::Objective::Rating,
            Self::Hrnn(settings) => settings.objective != hrnn::Objective::NextItem,
            Self::Ensemble(settings) => settings.by == ensemble::By::Ratings,
            _ => true,
        }
    }

    /// Whether the model must know who rates what (not how) in the rows to be predicted: a leak that
    /// tables have to tell.
    #[must_use]
    pub fn is_transductive(&self) -> bool {
        match self {
            Self::Fm(settings) => settings.is_transductive(),
            Self::Ensemble(settings) => settings.member_settings().is_ok_and(|members| members.iter().any(Self::is_transductive)),
            _ => false,
        }
    }

    /// The settings as TOML text.
    ///
    /// # Panics
    /// Never: settings are flat tables of numbers, words, flags and lists of numbers.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|e| panic!("settings are plain: {e}"))
    }
}

fn parse<T: DeserializeOwned>(model: &'static str, table: &toml::Table) -> Result<T> {
    let names: Vec<String> = table.keys().cloned().collect();
    table.clone().try_into().map_err(|e: toml::de::Error| {
        let reason = e.message().to_owned();
        // serde names an unknown field in the message, and a mistyped one not at all.
        let unknown = reason.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()).map(str::to_owned);
        let alone = |name: &String| toml::Table::from_iter([(name.clone(), table[name].clone())]).try_into::<T>().is_err();
        let setting = unknown.or_else(|| names.into_iter().find(alone)).unwrap_or_else(|| "?".into());
        ModelError::Setting { model, setting, reason }
    })
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.iter().map(|k| k.name()).collect::<Vec<_>>().join(", ");
        Self::ALL.iter().copied().find(|k| k.name() == name).ok_or_else(|| format!("unknown model {name:?}; known are {}", known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every search space names real settings, and the default lies within it.
    #[test]
    fn search_spaces_fit_the_settings() {
        for kind in Kind::ALL {
            let space: toml::Table = kind.search_space().parse().unwrap();
            let defaults: toml::Table = kind.defaults().to_toml().parse().unwrap();
            assert!(!space.is_empty() || *kind == Kind::Ensemble, "{}", kind.name());
            for (name, range) in &space {
                let number = |value: &toml::Value| value.as_float().or_else(|| value.as_integer().map(|i| i as f64));
                let default = defaults.get(name).unwrap_or_else(|| panic!("{}.{name} is no setting", kind.name()));
                if range["type"].as_str() == Some("bool") {
                    assert!(default.is_bool());
                    continue;
                }
                let (low, high) = (number(&range["low"]).unwrap(), number(&range["high"]).unwrap());
                let default = number(default).unwrap();
                assert!(low < high && (low..=high).contains(&default), "{}.{name}: {default} in [{low}, {high}]", kind.name());
                for end in ["low", "high"] {
                    let table = toml::Table::from_iter([(name.clone(), range[end].clone())]);
                    assert!(kind.settings(table).is_ok(), "{}.{name} {end}", kind.name());
                }
            }
        }
    }

    #[test]
    fn unknown_and_mistyped_settings_are_named() {
        let error = Kind::Pmf.settings("factor = 3".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("pmf.factor") && error.contains("factors"), "{error}");
        let error = Kind::Pmf.settings("biases = true\nfactors = \"many\"".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("pmf.factors: invalid type"), "{error}");
        let error = Kind::Pmf.settings("factors = 0".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("pmf.factors: 0 is not in [1, 4096]"), "{error}");
    }
}
