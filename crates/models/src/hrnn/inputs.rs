//! What the network is told of an interaction besides its item: the rating, and when it came.

use super::Settings;
use foretaste_data::IdleGaps;

/// The rating scale as the network sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub mean: f32,
    pub deviation: f32,
}

impl Scale {
    /// The rating in standard deviations from the mean.
    pub fn standardize(self, value: f32) -> f32 {
        (value - self.mean) / self.deviation
    }
}

/// Writes `x = [e, v e, v, max(-v, 0), w]`, or `[e, w]` where ratings are no inputs.
#[inline]
pub(super) fn input(item: &[f32], value: f32, when: &[f32], ratings: bool, x: &mut [f32]) {
    let d = item.len();
    let (embedding, rest) = x.split_at_mut(d);
    embedding.copy_from_slice(item);
    if !ratings {
        rest.copy_from_slice(when);
        return;
    }
    let (product, rest) = rest.split_at_mut(d);
    product.iter_mut().zip(item).for_each(|(out, e)| *out = value * e);
    rest[0] = value;
    rest[1] = (-value).max(0.0);
    rest[2..].copy_from_slice(when);
}

/// Turns the first components of `x`'s gradient into `e`'s.
#[inline]
pub(super) fn input_back(value: f32, ratings: bool, d: usize, dx: &mut [f32]) {
    if ratings {
        let (embedding, rest) = dx.split_at_mut(d);
        embedding.iter_mut().zip(rest).for_each(|(out, product)| *out += value * *product);
    }
}

/// Turns times into `w` of the module's equations: `[log gap, log count, marks.., 1]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct When {
    gaps: bool,
    levels: IdleGaps,
}

impl When {
    /// The first `height` levels of the settings' idle gaps.
    pub fn new(settings: &Settings) -> crate::Result<Self> {
        let seconds = settings.sessions[..settings.height.min(settings.sessions.len())].to_vec();
        let levels = IdleGaps::new(seconds).map_err(|e| super::fail("sessions", &e.to_string()))?;
        Ok(Self { gaps: settings.gaps, levels })
    }

    /// Number of features, the constant 1 at the end included.
    pub fn len(&self) -> usize {
        self.levels.levels() + 3
    }

    /// Writes the features of an interaction `gap` seconds after the user's last, of which there were
    /// `count`. The first one begins a session at every level.
    pub fn write(&self, gap: i64, count: u32, out: &mut [f32]) {
        out[0] = if self.gaps { ((gap.max(0) as f64 + 1.0).ln() / 16.0) as f32 } else { 0.0 };
        out[1] = ((f64::from(count) + 1.0).ln() / 8.0) as f32;
        let crossed = if count == 0 { self.levels.levels() } else { usize::from(self.levels.crossed(gap)) };
        let last = out.len() - 1;
        out[2..last].iter_mut().enumerate().for_each(|(level, mark)| *mark = f32::from(u8::from(level < crossed)));
        out[last] = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_by_hand() {
        let when = When::new(&Settings { height: 2, sessions: vec![60, 3600, 86_400], ..Settings::default() }).unwrap();
        let mut out = [9.0; 5];
        when.write(100, 0, &mut out);
        assert_eq!(out[1..], [0.0, 1.0, 1.0, 1.0], "the first interaction begins every level");
        when.write(100, 7, &mut out);
        assert!((out[0] - 101.0_f32.ln() / 16.0).abs() < 1e-6 && (out[1] - 8.0_f32.ln() / 8.0).abs() < 1e-6);
        assert_eq!(out[2..], [1.0, 0.0, 1.0]);
        when.write(60, 7, &mut out);
        assert_eq!(out[2..], [0.0, 0.0, 1.0], "a gap must be longer than the threshold");
    }
}
