//! The network's inputs of an interaction besides its item: the rating, its time, and the residuals of the
//! ratings before it.

use super::{Form, Settings};
use foretaste_data::IdleGaps;

/// The rating scale in the network's units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub mean: f32,
    /// Standard deviation of the stationary part's residuals.
    pub deviation: f32,
}

impl Scale {
    /// `v`: the residual of a value from `base`, in standard deviations; 0 for an unknown value.
    pub fn left(self, value: f32, base: f32) -> f32 {
        if value.is_nan() { 0.0 } else { (value - base) / self.deviation }
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

/// Converts the first components of `x`'s gradient into `e`'s.
#[inline]
pub(super) fn input_back(value: f32, ratings: bool, d: usize, dx: &mut [f32]) {
    if ratings {
        let (embedding, rest) = dx.split_at_mut(d);
        embedding.iter_mut().zip(rest).for_each(|(out, product)| *out += value * *product);
    }
}

/// Ratings over which a running mean of residuals forgets.
const MEMORIES: [f32; 3] = [1.0, 4.0, 15.0];

/// The time features: `w` of the module's equations,
/// `[base, log gap, log count, first, marks.., memories.., 1]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct When {
    gaps: bool,
    memories: bool,
    /// Whether session marks are features.
    marks: bool,
    levels: IdleGaps,
    /// Factor of a running mean from one rating to the next, and the weight of the new one.
    forget: [f32; MEMORIES.len()],
}

/// The position of a user: the time of the last interaction, their number, and running means of
/// residuals from the stationary part.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Track {
    pub last: i64,
    pub count: u32,
    pub residuals: [f32; MEMORIES.len()],
    /// Sum and number of residuals at the last interaction's very time.
    pub tied: [f32; 2],
}

impl When {
    /// The first `height` levels of the settings' idle gaps.
    pub fn new(settings: &Settings) -> crate::Result<Self> {
        let seconds = settings.sessions[..settings.height.min(settings.sessions.len())].to_vec();
        let levels = IdleGaps::new(seconds).map_err(|e| super::settings::fail("sessions", &e.to_string()))?;
        Ok(Self {
            gaps: settings.gaps,
            memories: settings.ratings && settings.memories,
            marks: settings.form == Form::Inputs,
            levels,
            forget: MEMORIES.map(|n| (-1.0 / n).exp()),
        })
    }

    /// Number of session marks.
    fn marks(&self) -> usize {
        if self.marks { self.levels.levels() } else { 0 }
    }

    /// How many levels of sessions an interaction at `timestamp` begins; the first one begins them all.
    pub fn crossed(&self, track: &Track, timestamp: i64) -> u8 {
        if track.count == 0 {
            self.levels.levels() as u8
        } else {
            self.levels.crossed(timestamp - track.last)
        }
    }

    /// Number of features, the constant 1 at the end included.
    pub fn len(&self) -> usize {
        self.marks() + 5 + if self.memories { MEMORIES.len() + 1 } else { 0 }
    }

    /// Writes the features of an interaction at `timestamp` for which the stationary part predicts
    /// `base` standard deviations above the mean. The first one begins a session at every level.
    pub fn write(&self, track: &Track, timestamp: i64, base: f32, out: &mut [f32]) {
        let gap = if track.count == 0 { 0 } else { (timestamp - track.last).max(0) };
        let n = self.marks();
        out[0] = base;
        out[1] = if self.gaps { ((gap as f64 + 1.0).ln() / 16.0) as f32 } else { 0.0 };
        out[2] = ((f64::from(track.count) + 1.0).ln() / 8.0) as f32;
        out[3] = (f64::from(track.count) / -8.0).exp() as f32;
        let crossed = usize::from(self.crossed(track, timestamp));
        out[4..4 + n]
            .iter_mut()
            .enumerate()
            .for_each(|(level, mark)| *mark = f32::from(u8::from(level < crossed)));
        if self.memories {
            out[4 + n..4 + n + MEMORIES.len()].copy_from_slice(&track.residuals);
            out[4 + n + MEMORIES.len()] = if gap == 0 { track.tied[0] / (track.tied[1] + 2.0) } else { 0.0 };
        }
        let last = out.len() - 1;
        out[last] = 1.0;
    }

    /// Adds an interaction; `residual` in standard deviations.
    pub fn take(&self, track: &mut Track, timestamp: i64, residual: f32) {
        if track.count == 0 || timestamp > track.last {
            track.tied = [0.0; 2];
        }
        track.tied = [track.tied[0] + residual, track.tied[1] + 1.0];
        for (mean, forget) in track.residuals.iter_mut().zip(self.forget) {
            *mean = *mean * forget + residual * (1.0 - forget);
        }
        track.last = timestamp;
        track.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_by_hand() {
        let when =
            When::new(&Settings { height: 2, sessions: vec![60, 3600, 86_400], ..Settings::default() })
                .unwrap();
        let mut out = [9.0; 11];
        assert_eq!(when.len(), out.len());
        let mut track = Track::default();
        when.write(&track, 1000, 0.5, &mut out);
        assert_eq!(
            out,
            [0.5, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
            "the first interaction begins every level"
        );
        when.take(&mut track, 1000, 2.0);
        when.write(&track, 1000, 0.0, &mut out);
        assert_eq!(out[4..6], [0.0, 0.0]);
        assert!((out[6] - 2.0 * (1.0 - (-1.0_f32).exp())).abs() < 1e-6 && out[9] == 2.0 / 3.0, "{out:?}");
        when.write(&track, 1061, 0.0, &mut out);
        assert!((out[1] - 62.0_f32.ln() / 16.0).abs() < 1e-6 && (out[2] - 2.0_f32.ln() / 8.0).abs() < 1e-6);
        assert_eq!((out[4], out[5], out[9]), (1.0, 0.0, 0.0));
        when.write(&track, 1060, 0.0, &mut out);
        assert_eq!(out[4], 0.0, "a gap must be longer than the threshold");
    }
}
