//! Plain charts side by side: points, lines, bars and a coloured surface.

use super::canvas::Canvas;
use super::{Area, FONT, GRID, INK, READINGS, draw_both, said};
use crate::Result;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// One chart.
#[derive(Default)]
pub struct Panel {
    /// Title above the chart.
    pub title: String,
    /// Label below the chart.
    pub x: String,
    /// Label beside the chart.
    pub y: String,
    /// The range shown; everything if `None`.
    pub x_range: Option<(f64, f64)>,
    /// The range shown; everything if `None`.
    pub y_range: Option<(f64, f64)>,
    /// Labels at positions of the axis instead of numbers.
    pub x_labels: Vec<(f64, String)>,
    /// Labels at positions of the axis instead of numbers.
    pub y_labels: Vec<(f64, String)>,
    /// What is drawn, in order.
    pub marks: Vec<Mark>,
}

/// What is drawn. A shade is 0 for the best (blue) and 1 for the worst (orange).
pub enum Mark {
    /// Points with their shades.
    Points(Vec<(f64, f64, f64)>),
    /// Faint crosses.
    Crosses(Vec<(f64, f64)>),
    /// A line, its shade and its width.
    Line(Vec<(f64, f64)>, f64, u32),
    /// Points over a surface that takes its shade from the nearest of them.
    Surface(Vec<(f64, f64, f64)>),
    /// Horizontal bars with their names; nothing else is drawn beside them.
    Bars(Vec<(String, f64)>),
}

/// Size of a panel in pixels: alone, and among others.
const ALONE: (u32, u32) = (900, 420);
const AMONG: (u32, u32) = (400, 300);

/// Draws panels, `columns` per row, as `<stem>.svg` and `<stem>.png`; returns the SVG's text.
///
/// # Errors
/// [`crate::CliError::Chart`] when it cannot be drawn, [`crate::CliError::Data`] when it cannot be written.
pub fn panels(folder: &Path, stem: &str, panels: &[Panel], columns: usize) -> Result<String> {
    let columns = columns.min(panels.len()).max(1);
    let rows = panels.len().div_ceil(columns);
    let (width, height) = if columns == 1 { ALONE } else { AMONG };
    draw_both(folder, stem, (width * columns as u32, height * rows as u32), &|area| {
        draw_all(panels, (rows, columns), area)
    })
}

fn draw_all(panels: &[Panel], grid: (usize, usize), area: &Area) -> Result<(), String> {
    area.fill(&WHITE).map_err(said)?;
    area.split_evenly(grid).iter().zip(panels).try_for_each(|(part, panel)| draw(panel, part))
}

/// From blue over grey to orange.
fn shade(share: f64) -> RGBColor {
    let mix = |from: (u8, u8, u8), to: (u8, u8, u8), share: f64| {
        let part = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))) as u8;
        RGBColor(part(from.0, to.0), part(from.1, to.1), part(from.2, to.2))
    };
    let (best, middle, worst) = (READINGS[0].rgb(), (190, 200, 205), READINGS[1].rgb());
    if share < 0.5 { mix(best, middle, 2.0 * share) } else { mix(middle, worst, 2.0 * share - 1.0) }
}

fn draw(panel: &Panel, area: &Area) -> Result<(), String> {
    if let Some(Mark::Bars(bars)) = panel.marks.first() {
        return draw_bars(&panel.title, bars, area);
    }
    let all: Vec<(f64, f64)> = panel
        .marks
        .iter()
        .flat_map(|mark| match mark {
            Mark::Points(points) | Mark::Surface(points) => {
                points.iter().map(|p| (p.0, p.1)).collect::<Vec<_>>()
            }
            Mark::Crosses(points) | Mark::Line(points, ..) => points.clone(),
            Mark::Bars(_) => Vec::new(),
        })
        .collect();
    let spread = |pick: &dyn Fn(&(f64, f64)) -> f64| {
        let (low, high) = all.iter().map(pick).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let room = ((high - low) * 0.04).max(1e-9);
        (low - room, high + room)
    };
    let (left, right) = panel.x_range.unwrap_or_else(|| spread(&|p| p.0));
    let (bottom, top) = panel.y_range.unwrap_or_else(|| spread(&|p| p.1));
    let named = |labels: &[(f64, String)]| !labels.is_empty();
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 17).into_font().color(&INK))
        .margin(12)
        .x_label_area_size(if panel.x.is_empty() { 28 } else { 46 })
        .y_label_area_size(66)
        .build_cartesian_2d(left..right, bottom..top)
        .map_err(said)?;
    let (precise, ink) = (if top - bottom < 0.05 { 4 } else { 3 }, (FONT, 13).into_font().color(&INK));
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(ink.clone())
        .x_labels(if named(&panel.x_labels) { 0 } else { 8 })
        .y_labels(if named(&panel.y_labels) { 0 } else { 6 })
        .x_label_formatter(&|v| format!("{v:.0}"))
        .y_label_formatter(&|v| format!("{v:.precise$}"))
        .x_desc(&panel.x)
        .y_desc(&panel.y)
        .draw()
        .map_err(said)?;
    panel.marks.iter().try_for_each(|mark| draw_mark(&mut chart, mark, (left, right), (bottom, top)))?;
    for (x, label) in &panel.x_labels {
        let (px, py) = chart.backend_coord(&(*x, bottom));
        area.draw(&Text::new(
            label.clone(),
            area_point(area, (px, py + 6)),
            ink.clone().pos(Pos::new(HPos::Center, VPos::Top)),
        ))
        .map_err(said)?;
    }
    for (y, label) in &panel.y_labels {
        let (px, py) = chart.backend_coord(&(left, *y));
        area.draw(&Text::new(
            label.clone(),
            area_point(area, (px - 6, py)),
            ink.clone().pos(Pos::new(HPos::Right, VPos::Center)),
        ))
        .map_err(said)?;
    }
    Ok(())
}

/// A chart of two ranges of numbers.
type Chart<'a, 'b> = ChartContext<'a, Canvas<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn draw_mark(chart: &mut Chart, mark: &Mark, x_range: (f64, f64), y_range: (f64, f64)) -> Result<(), String> {
    let dots = |chart: &mut Chart, points: &[(f64, f64, f64)]| {
        let dots = points.iter().map(|p| Circle::new((p.0, p.1), 4, shade(p.2).filled()));
        chart.draw_series(dots).map(drop).map_err(said)
    };
    match mark {
        Mark::Surface(points) => {
            draw_surface(chart, points, x_range, y_range)?;
            dots(chart, points)?;
            let rings = points.iter().map(|p| Circle::new((p.0, p.1), 4, INK.mix(0.5)));
            chart.draw_series(rings).map_err(said)?;
        }
        Mark::Points(points) => dots(chart, points)?,
        Mark::Crosses(points) => {
            chart.draw_series(points.iter().map(|p| Cross::new(*p, 3, INK.mix(0.35)))).map_err(said)?;
        }
        Mark::Line(points, share, width) => {
            let style = shade(*share).mix(0.8).stroke_width(*width);
            chart.draw_series(LineSeries::new(points.iter().copied(), style)).map_err(said)?;
        }
        Mark::Bars(_) => {}
    }
    Ok(())
}

/// What lies between points, by Shepard's interpolation: near points count most.
fn draw_surface(
    chart: &mut Chart,
    points: &[(f64, f64, f64)],
    (left, right): (f64, f64),
    (bottom, top): (f64, f64),
) -> Result<(), String> {
    const CELLS: usize = 60;
    let place = |i: usize, low: f64, high: f64| low + i as f64 / CELLS as f64 * (high - low);
    for cell in 0..CELLS * CELLS {
        let (column, row) = (cell % CELLS, cell / CELLS);
        let (x0, y0) = (place(column, left, right), place(row, bottom, top));
        let (x1, y1) = (place(column + 1, left, right), place(row + 1, bottom, top));
        let (x, y) = (f64::midpoint(x0, x1), f64::midpoint(y0, y1));
        let weight = |p: &(f64, f64, f64)| 1.0 / ((p.0 - x).powi(2) + (p.1 - y).powi(2) + 1e-4).powi(2);
        let add = |(sum, total), p: &(f64, f64, f64)| (sum + p.2 * weight(p), total + weight(p));
        let (sum, total) = points.iter().fold((0.0, 0.0), add);
        let filled = shade(sum / total).mix(0.45).filled();
        chart.draw_series([Rectangle::new([(x0, y0), (x1, y1)], filled)]).map_err(said)?;
    }
    Ok(())
}

/// A point of the whole picture as one of the panel.
fn area_point(area: &Area, (x, y): (i32, i32)) -> (i32, i32) {
    let (left, top) = area.get_base_pixel();
    (x - left, y - top)
}

fn draw_bars(title: &str, bars: &[(String, f64)], area: &Area) -> Result<(), String> {
    let (width, height) = area.dim_in_pixel();
    let style = |h: HPos| (FONT, 15).into_font().color(&INK).pos(Pos::new(h, VPos::Center));
    area.draw(&Text::new(title.to_owned(), (width as i32 / 2, 22), style(HPos::Center))).map_err(said)?;
    let most = bars.iter().map(|(_, v)| *v).fold(1e-9, f64::max);
    let step = ((height as i32 - 60) / bars.len().max(1) as i32).min(34);
    for (at, (name, value)) in bars.iter().enumerate() {
        let y = 50 + step * at as i32 + step / 2;
        let right = 220 + (value / most * f64::from(width as i32 - 320)) as i32;
        area.draw(&Rectangle::new([(220, y - step / 3), (right, y + step / 3)], READINGS[0].filled()))
            .map_err(said)?;
        area.draw(&Text::new(name.clone(), (210, y), style(HPos::Right))).map_err(said)?;
        area.draw(&Text::new(format!("{:.0} %", 100.0 * value), (right + 8, y), style(HPos::Left)))
            .map_err(said)?;
    }
    Ok(())
}
