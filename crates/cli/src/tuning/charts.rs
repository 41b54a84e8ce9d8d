//! Pictures of a study: its history, each setting alone, the two that matter most together, all of them side
//! by side, their importance, and the curves of its trials.

use super::Tuned;
use crate::Result;
use crate::chart::{self, Mark, Panel};
use foretaste_hpo::{Parameter, State, Study, Trial, Value};
use std::path::Path;

/// Draws all charts; returns the SVG texts of those that have data.
pub(super) fn all(tuned: &Tuned, study: &Study, folder: &Path) -> Result<Vec<String>> {
    let done: Vec<&Trial> =
        tuned.trials.iter().filter(|t| t.state == State::Complete && t.value.is_some()).collect();
    if done.len() < 2 {
        return Ok(Vec::new());
    }
    let view = View::new(tuned, study, &done);
    let mut texts = Vec::new();
    texts.push(chart::panels(folder, "history", &[view.history()], 1)?);
    if !tuned.importance.is_empty() {
        texts.push(chart::panels(folder, "importance", &[view.importance()], 1)?);
    }
    let slices: Vec<Panel> = study.space().parameters().iter().map(|p| view.slice(p)).collect();
    texts.push(chart::panels(folder, "slices", &slices, 3)?);
    if let Some(panel) = view.pair() {
        texts.push(chart::panels(folder, "contour", &[panel], 1)?);
    }
    if study.space().len() > 1 {
        texts.push(chart::panels(folder, "parallel", &[view.parallel()], 1)?);
    }
    if let Some(panel) = view.curves() {
        texts.push(chart::panels(folder, "curves", &[panel], 1)?);
    }
    Ok(texts)
}

struct View<'a> {
    tuned: &'a Tuned,
    study: &'a Study,
    done: &'a [&'a Trial],
    /// The values shown: the worst tenth is left out, because it would compress all others.
    shown: (f64, f64),
}

impl<'a> View<'a> {
    fn new(tuned: &'a Tuned, study: &'a Study, done: &'a [&'a Trial]) -> Self {
        let sign = study.direction().sign();
        let mut values: Vec<f64> = done.iter().filter_map(|t| t.value).collect();
        values.sort_by(|a, b| (a * sign).total_cmp(&(b * sign)));
        let (best, worst) = (values[0], values[(values.len() - 1) * 9 / 10]);
        let (low, high) = (best.min(worst), best.max(worst));
        let room = (high - low).max(1e-6) * 0.08;
        Self { tuned, study, done, shown: (low - room, high + room) }
    }

    /// 0 for the best value shown, 1 for the worst.
    fn rank(&self, value: f64) -> f64 {
        let (low, high) = self.shown;
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        if self.study.direction().sign() > 0.0 { share } else { 1.0 - share }
    }

    fn inside(&self, value: f64) -> f64 {
        value.clamp(self.shown.0, self.shown.1)
    }

    fn points(&self, x: impl Fn(&Trial) -> Option<f64>) -> Vec<(f64, f64, f64)> {
        self.done.iter().filter_map(|t| Some((x(t)?, self.inside(t.value?), self.rank(t.value?)))).collect()
    }

    fn panel(&self, title: &str, x: &str) -> Panel {
        Panel {
            title: title.into(),
            x: x.into(),
            y: self.tuned.metric.clone(),
            y_range: Some(self.shown),
            ..Panel::default()
        }
    }

    fn history(&self) -> Panel {
        let sign = self.study.direction().sign();
        let mut best = f64::INFINITY;
        let line = self.done.iter().filter_map(|t| {
            best = best.min(t.value? * sign);
            Some((t.number as f64, self.inside(best * sign)))
        });
        let line = line.collect();
        let pruned = self
            .tuned
            .trials
            .iter()
            .filter(|t| t.state == State::Pruned)
            .filter_map(|t| Some((t.number as f64, self.inside(t.latest()?))));
        let mut panel = self.panel("Trials in order (crosses were pruned), and the best so far", "trial");
        panel.marks = vec![
            Mark::Crosses(pruned.collect()),
            Mark::Points(self.points(|t| Some(t.number as f64))),
            Mark::Line(line, 0.0, 3),
        ];
        panel
    }

    fn importance(&self) -> Panel {
        let bars = self.tuned.importance.iter().map(|(name, share)| (name.clone(), *share)).collect();
        Panel {
            title: "Share of the variance that each setting explains by itself (fANOVA)".into(),
            marks: vec![Mark::Bars(bars)],
            ..Panel::default()
        }
    }

    /// A setting's place on its own axis, between 0 and 1.
    fn place(parameter: &Parameter, trial: &Trial) -> Option<f64> {
        parameter.domain.encode(trial.configuration.get(&parameter.name)?)
    }

    fn axis(parameter: &Parameter) -> Vec<(f64, String)> {
        let text = |value: Value| match value {
            Value::Float(x) if x != 0.0 && (x.abs() < 0.01 || x.abs() >= 1e4) => format!("{x:.1e}"),
            Value::Float(x) => format!("{x:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
            other => other.to_string(),
        };
        let cells = parameter.domain.cells().filter(|cells| *cells <= 7);
        let places: Vec<f64> = match cells {
            Some(_) => parameter.domain.places(),
            None => vec![0.0, 0.25, 0.5, 0.75, 1.0],
        };
        places.into_iter().map(|place| (place, text(parameter.domain.decode(place)))).collect()
    }

    fn slice(&self, parameter: &Parameter) -> Panel {
        let mut panel = self.panel(&parameter.name, "");
        panel.x_range = Some((-0.04, 1.04));
        panel.x_labels = Self::axis(parameter);
        panel.marks = vec![Mark::Points(self.points(|t| Self::place(parameter, t)))];
        panel
    }

    /// The two settings that matter most, every trial a point whose colour is its value.
    fn pair(&self) -> Option<Panel> {
        let find = |at: usize| {
            let name = &self.tuned.importance.get(at)?.0;
            self.study.space().parameters().iter().find(|p| p.name == *name)
        };
        let (first, second) = (find(0)?, find(1)?);
        let points = self
            .done
            .iter()
            .filter_map(|t| Some((Self::place(first, t)?, Self::place(second, t)?, self.rank(t.value?))));
        Some(Panel {
            title: format!("{} and {}: blue is best", first.name, second.name),
            x: first.name.clone(),
            y: second.name.clone(),
            x_range: Some((-0.04, 1.04)),
            y_range: Some((-0.04, 1.04)),
            x_labels: Self::axis(first),
            y_labels: Self::axis(second),
            marks: vec![Mark::Surface(points.collect())],
        })
    }

    /// All settings side by side, every trial a line; the best are drawn last.
    fn parallel(&self) -> Panel {
        let parameters = self.study.space().parameters();
        let mut trials: Vec<&&Trial> = self.done.iter().collect();
        let rank = |t: &Trial| self.rank(t.value.unwrap_or(f64::NAN));
        trials.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        let line = |trial: &&Trial| {
            let points =
                parameters.iter().enumerate().filter_map(|(at, p)| Some((at as f64, Self::place(p, trial)?)));
            Mark::Line(points.collect(), rank(trial), if rank(trial) < 0.15 { 2 } else { 1 })
        };
        Panel {
            title: "All settings of each trial, low to high: blue is best".into(),
            x_range: Some((-0.35, parameters.len() as f64 - 0.5)),
            y_range: Some((-0.04, 1.04)),
            x_labels: parameters.iter().enumerate().map(|(at, p)| (at as f64, p.name.clone())).collect(),
            y_labels: vec![(0.0, "low".into()), (1.0, "high".into())],
            marks: trials.into_iter().map(line).collect(),
            ..Panel::default()
        }
    }

    /// The reports of each trial; `None` if trials report nothing.
    fn curves(&self) -> Option<Panel> {
        let reported: Vec<&Trial> = self.tuned.trials.iter().filter(|t| t.reports.len() > 1).collect();
        if reported.is_empty() {
            return None;
        }
        let mut values: Vec<f64> = reported
            .iter()
            .flat_map(|t| t.reports.iter().map(|r| r.value))
            .filter(|v| v.is_finite())
            .collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
        let range =
            if self.study.direction().sign() > 0.0 { (at(0.0), at(0.92)) } else { (at(0.08), at(1.0)) };
        let room = (range.1 - range.0).max(1e-6) * 0.05;
        let line = |t: &&Trial| {
            let points = t
                .reports
                .iter()
                .filter(|r| r.value.is_finite())
                .map(|r| (r.step as f64, r.value.clamp(range.0 - room, range.1 + room)));
            let pruned = t.state == State::Pruned;
            Mark::Line(points.collect(), if pruned { 1.0 } else { 0.0 }, if pruned { 1 } else { 2 })
        };
        Some(Panel {
            title: "Reports of each trial: orange ones were ended early".into(),
            x: "epoch".into(),
            y: "validation error".into(),
            y_range: Some((range.0 - room, range.1 + room)),
            marks: reported.iter().map(line).collect(),
            ..Panel::default()
        })
    }
}
