//! The model's time features: a user's days, drift, control points, and items' bins.

use super::{BiasDrift, Settings};
use foretaste_data::TimeSlice;

/// Power of the paper's `dev`.
const POWER: f32 = 0.4;

/// The day (Unix days) of a time stamp.
pub(super) fn day(timestamp: i64) -> i32 {
    timestamp.div_euclid(86_400) as i32
}

/// Bins of equal length over the training days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bins {
    pub first: i32,
    pub last: i32,
    pub n: usize,
}

impl Bins {
    /// The bin of a day; the nearest for a day beyond them.
    pub fn of(&self, day: i32) -> usize {
        let span = i64::from(self.last - self.first) + 1;
        let at = i64::from(day.clamp(self.first, self.last) - self.first);
        (at * self.n as i64 / span) as usize
    }
}

/// A user's training days.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Calendar {
    /// Distinct days, ascending.
    pub days: Vec<i32>,
    /// Mean day over the user's rows.
    pub mean: f32,
}

/// The time features of one rating of a user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    /// Index of the day among the user's, if it is one of them.
    pub slot: Option<u32>,
    /// `dev_u(t)`.
    pub dev: f32,
}

impl Calendar {
    pub fn new(timestamps: TimeSlice) -> Self {
        let mut days: Vec<i32> = timestamps.iter().map(day).collect();
        let mean = days.iter().map(|d| f64::from(*d)).sum::<f64>() / days.len().max(1) as f64;
        days.dedup();
        Self { days, mean: mean as f32 }
    }

    pub fn moment(&self, day: i32) -> Moment {
        let (Some(first), Some(last)) = (self.days.first(), self.days.last()) else {
            return Moment { slot: None, dev: 0.0 };
        };
        let away = day.clamp(*first, *last) as f32 - self.mean;
        let dev = away.signum() * (away.abs() / 365.0).powf(POWER);
        Moment {
            slot: self.days.binary_search(&day).ok().map(|place| place as u32),
            dev: if away == 0.0 { 0.0 } else { dev },
        }
    }

    /// Number of control points of a user with `rows` rows: `n^0.25`.
    pub fn knots(settings: &Settings, rows: usize) -> usize {
        if settings.bias == BiasDrift::Spline {
            (rows as f32).powf(0.25).round().max(1.0) as usize
        } else {
            0
        }
    }

    /// Normalized weights of `knots` control points, spaced evenly over the user's days, at `day`.
    pub fn spline(&self, day: i32, knots: usize, gamma: f32) -> Vec<f32> {
        let (Some(first), Some(last)) = (self.days.first(), self.days.last()) else {
            return vec![0.0; knots];
        };
        let at = day.clamp(*first, *last) as f32;
        let place = |l: usize| {
            if knots == 1 {
                f32::midpoint(*first as f32, *last as f32)
            } else {
                *first as f32 + (last - first) as f32 * l as f32 / (knots - 1) as f32
            }
        };
        // The nearest point's weight is 1, so that none of them vanishes far from all.
        let nearest = (0..knots).map(|l| (at - place(l)).abs()).fold(f32::MAX, f32::min);
        let mut weights: Vec<f32> =
            (0..knots).map(|l| (-gamma * ((at - place(l)).abs() - nearest)).exp()).collect();
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= sum);
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_by_hand() {
        let calendar = Calendar::new([0, 10, 86_400 * 365, 86_400 * 365][..].into());
        assert_eq!(calendar.days, [0, 365]);
        assert_eq!(calendar.mean, 182.5);
        let late = calendar.moment(365);
        assert_eq!(late.slot, Some(1));
        assert!(
            (late.dev - 0.5_f32.powf(0.4)).abs() < 1e-6 && (calendar.moment(0).dev + late.dev).abs() < 1e-6
        );
        // A day without rows has no slot; beyond the user's days the drift is constant.
        assert_eq!(calendar.moment(100).slot, None);
        assert_eq!(calendar.moment(9_999), Moment { slot: None, dev: late.dev });
        assert_eq!(Calendar::default().moment(5), Moment { slot: None, dev: 0.0 });
        let bins = Bins { first: 0, last: 99, n: 10 };
        assert_eq!([-5, 0, 9, 10, 99, 400].map(|d| bins.of(d)), [0, 0, 0, 1, 9, 9]);
    }

    #[test]
    fn spline_weights_by_hand() {
        let calendar = Calendar::new([0, 86_400 * 10][..].into());
        let weights = calendar.spline(0, 2, 0.1);
        let far = (-1.0_f32).exp();
        assert!(
            (weights[0] - 1.0 / (1.0 + far)).abs() < 1e-6 && (weights[1] - far / (1.0 + far)).abs() < 1e-6
        );
        assert_eq!(calendar.spline(3, 1, 0.3), [1.0]);
        assert!((calendar.spline(7, 3, 0.3).iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
