//! Charts as SVG and PNG, with an embedded font, so that they look alike on every machine.

mod canvas;
mod panels;

use crate::views::View;
use crate::{CliError, Result};
use canvas::{Area, CanvasError, draw_both};
use foretaste_bench::results::Row;
use foretaste_models::Reading;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};
use std::path::Path;
use std::sync::Once;

pub use panels::{Mark, Panel, panels};

const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(38, 50, 56);
const GRID: RGBColor = RGBColor(222, 226, 230);
/// Frozen, streaming.
const READINGS: [RGBColor; 2] = [RGBColor(44, 95, 138), RGBColor(224, 137, 58)];
const SERIES: [RGBColor; 10] = [
    RGBColor(44, 95, 138),
    RGBColor(224, 137, 58),
    RGBColor(63, 138, 92),
    RGBColor(160, 70, 120),
    RGBColor(120, 120, 120),
    RGBColor(90, 70, 160),
    RGBColor(180, 60, 50),
    RGBColor(70, 160, 170),
    RGBColor(170, 150, 40),
    RGBColor(110, 70, 40),
];

fn font() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // Fails only on bytes that are no font.
        let _ = register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    });
}

/// An error of drawing a part.
#[allow(clippy::needless_pass_by_value)] // The shape `map_err` wants.
fn said(error: DrawingAreaErrorKind<CanvasError>) -> String {
    format!("{error:?}")
}

fn failed(what: &str) -> impl Fn(String) -> CliError {
    move |reason| CliError::Chart { what: what.to_owned(), reason }
}

/// The bar chart of the talk: systems side by side, RMSE upwards, lower is better; one bar per reading,
/// a dash at a published figure.
///
/// # Errors
/// [`CliError::Chart`] when it cannot be drawn, [`CliError::Data`] when it cannot be written.
pub fn bars(view: &View, folder: &Path, stem: &str) -> Result<String> {
    let width = (220 + 150 * view.rows.len() as u32).max(760);
    draw_both(folder, stem, (width, 478), &|area| draw_bars(view, area))
}

fn draw_bars(view: &View, area: &Area) -> Result<(), String> {
    area.fill(&WHITE).map_err(said)?;
    let mean = |row: &Row, reading| row.errors(reading, |e| e.rmse).map_or(f64::NAN, |e| e.0);
    let figures: Vec<f64> = view
        .rows
        .iter()
        .flat_map(|row| Reading::ALL.map(|r| mean(row, r)))
        .chain(view.published.iter().map(|p| p.rmse))
        .collect();
    let (low, high) = figures
        .iter()
        .filter(|f| f.is_finite())
        .fold((f64::MAX, f64::MIN), |(l, h), f| (l.min(*f), h.max(*f)));
    let spread = (high - low).max(0.02);
    // A cut axis, as in the talk: differences are a few hundredths; the axis' label says so.
    let bottom = (((low - 0.35 * spread) * 50.0).floor() / 50.0).max(0.0);
    let top = high + 0.22 * spread;
    let cut = if bottom > 0.0 { format!(" (axis begins at {bottom:.2})") } else { String::new() };
    let systems = view.rows.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(&view.heading, (FONT, 22).into_font().color(&INK))
        .margin(14)
        .x_label_area_size(60)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..systems, bottom..top)
        .map_err(said)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_labels(8)
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style((FONT, 14).into_font().color(&INK))
        .y_label_formatter(&|v| format!("{v:.2}"))
        .y_desc(format!("test RMSE{cut}; lower is better"))
        .draw()
        .map_err(said)?;
    for (column, row) in view.rows.iter().enumerate() {
        for (bar, reading) in Reading::ALL.into_iter().enumerate() {
            let Some((value, deviation)) = row.errors(reading, |e| e.rmse) else { continue };
            let (left, right) =
                (column as f64 + 0.14 + 0.37 * bar as f64, column as f64 + 0.49 + 0.37 * bar as f64);
            let middle = f64::midpoint(left, right);
            chart
                .draw_series([Rectangle::new([(left, bottom), (right, value)], READINGS[bar].filled())])
                .map_err(said)?;
            if row.cells.len() > 1 {
                let whisker = [(middle, value - deviation), (middle, value + deviation)];
                chart.draw_series([PathElement::new(whisker, INK.stroke_width(2))]).map_err(said)?;
            }
            let label = (FONT, 15).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Bottom));
            chart
                .draw_series([Text::new(
                    format!("{value:.4}"),
                    (middle, value + deviation + 0.015 * spread),
                    label,
                )])
                .map_err(said)?;
        }
        if let Some(published) = view.published.iter().find(|p| p.system == row.first().system) {
            let line = [(column as f64 + 0.08, published.rmse), (column as f64 + 0.92, published.rmse)];
            chart.draw_series([PathElement::new(line, RED.stroke_width(2))]).map_err(said)?;
        }
        let name = (FONT, 16).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Top));
        let (x, y) = chart.backend_coord(&(column as f64 + 0.5, bottom));
        // A long name continues in the next line.
        for (line, part) in view.title(&row.first().system).split(", ").enumerate() {
            area.draw(&Text::new(part.to_owned(), (x, y + 8 + 17 * line as i32), name.clone()))
                .map_err(said)?;
        }
    }
    legend(
        area,
        &Reading::ALL
            .iter()
            .zip(READINGS)
            .map(|(r, c)| (r.name().to_owned(), c))
            .chain((!view.published.is_empty()).then(|| ("published".to_owned(), RED)))
            .collect::<Vec<_>>(),
    )
}

/// Colours and what they mean, in the upper right corner.
fn legend(area: &Area, entries: &[(String, RGBColor)]) -> Result<(), String> {
    let right = area.dim_in_pixel().0 as i32 - legend_width(entries.iter().map(|(name, _)| name.as_str()));
    for (line, (name, colour)) in entries.iter().enumerate() {
        let y = 14 + 20 * line as i32;
        area.draw(&Rectangle::new([(right, y), (right + 14, y + 12)], colour.filled())).map_err(said)?;
        area.draw(&Text::new(name.clone(), (right + 20, y - 1), (FONT, 15).into_font().color(&INK)))
            .map_err(said)?;
    }
    Ok(())
}

/// Pixels that names take beside their colours.
fn legend_width<'a>(names: impl Iterator<Item = &'a str>) -> i32 {
    40 + 8 * names.map(str::len).max().unwrap_or(10) as i32
}

/// A system in a picture of one figure against another.
pub struct Point {
    /// Its name.
    pub name: String,
    /// Figure to the right.
    pub x: f64,
    /// Figure upwards.
    pub y: f64,
}

/// One figure against another, with a named point per system.
///
/// # Errors
/// [`CliError::Chart`] when it cannot be drawn, [`CliError::Data`] when it cannot be written.
pub fn scatter(title: &str, x: &str, y: &str, points: &[Point], folder: &Path, stem: &str) -> Result<String> {
    draw_both(folder, stem, (860, 520), &|area| draw_scatter(title, [x, y], points, area))
}

fn draw_scatter(title: &str, [x, y]: [&str; 2], points: &[Point], area: &Area) -> Result<(), String> {
    area.fill(&WHITE).map_err(said)?;
    let points: Vec<&Point> =
        points.iter().filter(|point| point.x.is_finite() && point.y.is_finite()).collect();
    let range = |of: &dyn Fn(&Point) -> f64| {
        let (low, high) = points
            .iter()
            .fold((f64::MAX, f64::MIN), |(low, high), point| (low.min(of(point)), high.max(of(point))));
        let room = 0.12 * (high - low).max(0.01);
        (low - room, high + room)
    };
    let (left, right) = range(&|point| point.x);
    let (bottom, top) = range(&|point| point.y);
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 20).into_font().color(&INK))
        .margin(14)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(left..right, bottom.max(0.0)..top)
        .map_err(said)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style((FONT, 14).into_font().color(&INK))
        .x_desc(x)
        .y_desc(y)
        .draw()
        .map_err(said)?;
    // A name is above its point or, if another has that place, below it or further away.
    let mut taken: Vec<(i32, i32, i32)> = Vec::new();
    for (at, point) in points.iter().enumerate() {
        let colour = SERIES[at % SERIES.len()];
        chart.draw_series([Circle::new((point.x, point.y), 5, colour.filled())]).map_err(said)?;
        let (px, py) = chart.backend_coord(&(point.x, point.y));
        let wide = 4 * point.name.chars().count() as i32;
        let free = |dy: &i32| {
            taken.iter().all(|(x, y, other)| (px - x).abs() > wide + other || (py + dy - y).abs() > 15)
        };
        let dy = [-12, 14, -28, 30, -44, 46].into_iter().find(free).unwrap_or(-12);
        taken.push((px, py + dy, wide));
        let limit = area.dim_in_pixel().0 as i32 - wide - 8;
        let style = (FONT, 14).into_font().color(&colour).pos(Pos::new(HPos::Center, VPos::Center));
        area.draw(&Text::new(point.name.clone(), (px.min(limit), py + dy), style)).map_err(said)?;
    }
    Ok(())
}

/// Learning curves of the view's first seed: RMSE against epochs (on a log scale: some systems take
/// ten, others hundreds), validation full and training faint.
/// Nothing is drawn (and an empty text returned) when no system has epochs.
///
/// # Errors
/// [`CliError::Chart`] when it cannot be drawn, [`CliError::Data`] when it cannot be written.
pub fn curves(view: &View, folder: &Path, stem: &str) -> Result<String> {
    if view.rows.iter().all(|row| row.first().curve.len() < 2) {
        return Ok(String::new());
    }
    draw_both(folder, stem, (960, 460), &|area| draw_curves(view, area))
}

fn draw_curves(view: &View, area: &Area) -> Result<(), String> {
    area.fill(&WHITE).map_err(said)?;
    let learned: Vec<&Row> = view.rows.iter().filter(|row| row.first().curve.len() > 1).collect();
    let points = || learned.iter().flat_map(|row| &row.first().curve);
    let last = points().map(|e| e.epoch).max().unwrap_or(1);
    let values = || points().flat_map(|e| [Some(e.train_error), e.validation_error]).flatten();
    let (low, high) = values().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    // A network's first epochs would compress all others.
    let high = high.min(1.6 * low);
    let names: Vec<String> = learned.iter().map(|row| view.title(&row.first().system)).collect();
    let mut chart = ChartBuilder::on(area)
        .caption(format!("Learning curves: {}", view.heading), (FONT, 20).into_font().color(&INK))
        .margin(14)
        .margin_right(legend_width(names.iter().map(String::as_str)))
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((1.0..last as f64).log_scale(), low - 0.02..high + 0.02)
        .map_err(said)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style((FONT, 14).into_font().color(&INK))
        .x_label_formatter(&|v| format!("{v:.0}"))
        .y_label_formatter(&|v| format!("{v:.2}"))
        .x_desc("epoch")
        .y_desc("RMSE: validation (strong), training (faint)")
        .draw()
        .map_err(said)?;
    let mut entries = Vec::new();
    for ((row, name), colour) in learned.iter().zip(names).zip(SERIES.iter().cycle()) {
        let curve: Vec<_> = row
            .first()
            .curve
            .iter()
            .filter(|e| e.train_error.max(e.validation_error.unwrap_or(0.0)) <= high + 0.02)
            .collect();
        chart
            .draw_series(LineSeries::new(
                curve.iter().map(|e| (e.epoch as f64, e.train_error)),
                colour.mix(0.35).stroke_width(2),
            ))
            .map_err(said)?;
        let validation = curve.iter().filter_map(|e| Some((e.epoch as f64, e.validation_error?)));
        chart.draw_series(LineSeries::new(validation, colour.stroke_width(3))).map_err(said)?;
        entries.push((name, *colour));
    }
    legend(area, &entries)
}
