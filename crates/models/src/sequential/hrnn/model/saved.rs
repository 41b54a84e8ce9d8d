//! A trained HRNN as named tensors, and back.

use super::super::items::Own;
use super::super::parameters::{Bins, Sizes};
use super::super::{Dense, Settings, Shape, correction};
use super::Model;
use crate::engine::tensors::{NamedTensor, Tensors};
use crate::{ModelError, Result};

impl Model {
    /// A saved model.
    ///
    /// # Errors
    /// [`ModelError::Saved`] for missing tensors or shapes that do not fit the settings.
    pub(in crate::sequential::hrnn) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let shape = Shape::new(&settings);
        let found = tensors.integers("sizes")?;
        let [users, items, raters, bag, user_codes, item_codes, bins, first, last] = found[..] else {
            let reason = "tensor \"sizes\" has not nine numbers".into();
            return Err(ModelError::Saved { path: tensors.path().into(), reason });
        };
        let n = |x: i64| usize::try_from(x).unwrap_or(0);
        let sizes = Sizes {
            shape,
            users: n(users),
            items: n(items),
            raters: n(raters),
            bag: n(bag),
            user_codes: n(user_codes),
            item_codes: n(item_codes),
            bins: Bins { n: n(bins), first, last },
        };
        let k = shape.item();
        let of = |name: &str, shape: &[usize]| {
            tensors.values(name, &shape.iter().map(|n| Some(*n)).collect::<Vec<_>>())
        };
        let encoded = if sizes.raters > 0 { sizes.users } else { 0 };
        let described = if sizes.user_codes > 0 { sizes.users } else { 0 };
        let column = |name: &str| of(name, &[sizes.items + 1]);
        let scalars = of("scalars", &[4])?;
        let dense = Dense {
            drift: of("drift", &[shape.gaps, shape.levels + 1])?,
            variances: of("variances", &[shape.levels])?,
            n0: scalars[0],
            kappa: scalars[1],
            empty: of("empty", &[k])?,
            kind_out: of("kind_out", &[shape.tastes, shape.kinds])?,
            kind_bias: of("kind_bias", &[shape.kinds])?,
            fade: of("fade", &[if shape.kinds > 0 { shape.gaps } else { 0 }])?,
            streak: of("streak", &[shape.kinds])?,
            hidden: of("hidden", &[correction::INPUTS, shape.hidden])?,
            hidden_bias: of("hidden_bias", &[shape.hidden])?,
            hidden_out: of("hidden_out", &[shape.hidden])?,
            bend: of("bend", &[shape.bend])?,
            bend_shift: of("bend_shift", &[shape.bend])?,
            bend_out: of("bend_out", &[shape.bend])?,
            range: (scalars[2], scalars[3]),
        };
        Ok(Self {
            settings,
            sizes,
            dense,
            vectors: of("items", &[sizes.items, k])?,
            bags: of("bags", &[sizes.items, k])?,
            base: column("base")?,
            extra: column("extra")?,
            noise: column("noise")?,
            bins: of("bins", &[sizes.items, sizes.bins.n])?,
            kinds: of("kinds", &[sizes.items, shape.kinds])?,
            own: Own { raters: of("own", &[encoded, k])?, ratings: of("own_ratings", &[encoded, k])? },
            scales: of("scales", &[if sizes.raters > 0 { sizes.items } else { 0 }])?,
            means: of("means", &[encoded])?,
            priors: of("priors", &[described, k])?,
        })
    }

    /// All tensors.
    pub(super) fn saved(&self) -> Vec<NamedTensor> {
        let (shape, sizes, dense) = (self.sizes.shape, self.sizes, &self.dense);
        let k = shape.item();
        let table = |name: &str, width: usize, values: &[f32]| {
            NamedTensor::new(name, &[values.len() / width.max(1), width], values.to_vec())
        };
        let list = |name: &str, values: &[f32]| NamedTensor::new(name, &[values.len()], values.to_vec());
        let counts = [sizes.users, sizes.items, sizes.raters, sizes.bag];
        let more = [sizes.user_codes, sizes.item_codes, sizes.bins.n];
        let counts =
            counts.into_iter().chain(more).map(|n| n as i64).chain([sizes.bins.first, sizes.bins.last]);
        let hidden = [correction::INPUTS, shape.hidden];
        vec![
            NamedTensor::integers("sizes", counts),
            list("scalars", &[dense.n0, dense.kappa, dense.range.0, dense.range.1]),
            table("drift", shape.levels + 1, &dense.drift),
            list("variances", &dense.variances),
            list("empty", &dense.empty),
            NamedTensor::new("kind_out", &[shape.tastes, shape.kinds], dense.kind_out.clone()),
            list("kind_bias", &dense.kind_bias),
            list("fade", &dense.fade),
            list("streak", &dense.streak),
            NamedTensor::new("hidden", &hidden, dense.hidden.clone()),
            list("hidden_bias", &dense.hidden_bias),
            list("hidden_out", &dense.hidden_out),
            list("bend", &dense.bend),
            list("bend_shift", &dense.bend_shift),
            list("bend_out", &dense.bend_out),
            table("items", k, &self.vectors),
            table("bags", k, &self.bags),
            list("base", &self.base),
            list("extra", &self.extra),
            list("noise", &self.noise),
            NamedTensor::new("bins", &[sizes.items, sizes.bins.n], self.bins.clone()),
            NamedTensor::new("kinds", &[sizes.items, shape.kinds], self.kinds.clone()),
            table("own", k, &self.own.raters),
            table("own_ratings", k, &self.own.ratings),
            list("scales", &self.scales),
            list("means", &self.means),
            table("priors", k, &self.priors),
        ]
    }
}
