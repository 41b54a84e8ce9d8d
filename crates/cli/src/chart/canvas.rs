//! One backend over plotters' two, so that each chart's code is compiled once; and their output files.

use super::{failed, font};
use crate::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind};
use std::fmt;
use std::path::Path;

/// The canvas of charts.
pub(super) type Area<'a> = DrawingArea<Canvas<'a>, Shift>;

/// A picture as SVG text or as pixels.
pub(super) enum Canvas<'a> {
    Svg(SVGBackend<'a>),
    Pixels(BitMapBackend<'a>),
}

/// A backend's error.
#[derive(Debug)]
pub(super) struct CanvasError(String);

impl fmt::Display for CanvasError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CanvasError {}

/// Draws the same picture as `<stem>.svg` and `<stem>.png` in `folder`; returns the SVG's text.
pub(super) fn draw_both(
    folder: &Path,
    stem: &str,
    size: (u32, u32),
    draw: &dyn Fn(&Area) -> Result<(), String>,
) -> Result<String> {
    font();
    let fail = failed(stem);
    let mut svg = String::new();
    draw(&Canvas::Svg(SVGBackend::with_string(&mut svg, size)).into_drawing_area()).map_err(&fail)?;
    let mut pixels = vec![0_u8; (size.0 * size.1 * 3) as usize];
    draw(&Canvas::Pixels(BitMapBackend::with_buffer(&mut pixels, size)).into_drawing_area())
        .map_err(&fail)?;
    let png = encoded(&pixels, size).map_err(|e| fail(e.to_string()))?;
    foretaste_data::atomic::write(&folder.join(format!("{stem}.png")), &png)?;
    foretaste_data::atomic::write(&folder.join(format!("{stem}.svg")), svg.as_bytes())?;
    Ok(svg)
}

/// Rows of red, green and blue bytes as a PNG file.
fn encoded(pixels: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

/// The call on whichever backend this is, its error as ours.
macro_rules! either {
    ($canvas:expr, $backend:ident => $call:expr) => {
        match $canvas {
            Canvas::Svg($backend) => $call.map_err(ours),
            Canvas::Pixels($backend) => $call.map_err(ours),
        }
    };
}

fn ours<E: std::error::Error + Send + Sync>(error: DrawingErrorKind<E>) -> DrawingErrorKind<CanvasError> {
    match error {
        DrawingErrorKind::DrawingError(error) => {
            DrawingErrorKind::DrawingError(CanvasError(error.to_string()))
        }
        DrawingErrorKind::FontError(error) => DrawingErrorKind::FontError(error),
    }
}

type Drawn = Result<(), DrawingErrorKind<CanvasError>>;

impl DrawingBackend for Canvas<'_> {
    type ErrorType = CanvasError;

    fn get_size(&self) -> (u32, u32) {
        match self {
            Self::Svg(backend) => backend.get_size(),
            Self::Pixels(backend) => backend.get_size(),
        }
    }

    fn ensure_prepared(&mut self) -> Drawn {
        either!(self, backend => backend.ensure_prepared())
    }

    fn present(&mut self) -> Drawn {
        either!(self, backend => backend.present())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        either!(self, backend => backend.draw_pixel(point, color))
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        either!(self, backend => backend.draw_line(from, to, style))
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        either!(self, backend => backend.draw_rect(upper_left, bottom_right, style, fill))
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        either!(self, backend => backend.draw_path(path, style))
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        center: BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        either!(self, backend => backend.draw_circle(center, radius, style, fill))
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        vert: I,
        style: &S,
    ) -> Drawn {
        either!(self, backend => backend.fill_polygon(vert, style))
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, pos: BackendCoord) -> Drawn {
        either!(self, backend => backend.draw_text(text, style, pos))
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<CanvasError>> {
        either!(self, backend => backend.estimate_text_size(text, style))
    }

    fn blit_bitmap(&mut self, pos: BackendCoord, size: (u32, u32), src: &[u8]) -> Drawn {
        either!(self, backend => backend.blit_bitmap(pos, size, src))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_come_back_from_the_file() {
        let pixels: Vec<u8> = (0..5 * 3 * 3).map(|byte| byte as u8 * 5).collect();
        let file = encoded(&pixels, (5, 3)).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut back = vec![0; pixels.len()];
        let frame = reader.next_frame(&mut back).unwrap();
        assert_eq!((frame.width, frame.height, frame.color_type), (5, 3, png::ColorType::Rgb));
        assert_eq!(back, pixels);
    }
}
