//! Enrolment links and their QR codes.

use std::fs::OpenOptions;
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldbook_core::net::{SERVER_NAME, ServerAddress, host_and_port};
use qrcode::{Color, EcLevel, QrCode};

use crate::store::{Problem, StoreError};

/// White modules around a QR code (ISO/IEC 18004).
const QUIET_MODULES: usize = 4;
/// Picture dots per module.
const DOTS_PER_MODULE: usize = 8;

/// The root pin as links carry it: base64url of the root's public key.
#[must_use]
pub fn pin(root_public: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(root_public)
}

/// The link that a phone opens or scans.
#[must_use]
pub fn enrolment(address: &str, root_public: &[u8; 32], code: &str) -> String {
    format!("fieldbook://{address}/enrol?pin={}&code={code}", pin(root_public))
}

/// What an enrolment link says.
pub(crate) struct Link {
    /// Where to enrol.
    pub(crate) server: ServerAddress,
    /// The one-time code.
    pub(crate) code: String,
}

/// Reads a link that [`enrolment`] made; `None` for anything else.
pub(crate) fn parse(text: &str) -> Option<Link> {
    let (authority, query) = text.trim().strip_prefix("fieldbook://")?.split_once("/enrol?")?;
    let (host, port) = host_and_port(authority)?;
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let root_key = <[u8; 32]>::try_from(URL_SAFE_NO_PAD.decode(value("pin")?).ok()?).ok()?;
    let server = ServerAddress { host, port, root_key, name: SERVER_NAME };
    Some(Link { server, code: value("code")?.to_ascii_uppercase() })
}

/// A square of modules, dark = true, with the quiet zone.
struct Modules {
    width: usize,
    dark: Vec<bool>,
}

impl Modules {
    fn of(text: &str) -> Result<Self, StoreError> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M)
            .map_err(|error| StoreError::corrupt("QR code", error))?;
        let inner = code.width();
        let width = inner + 2 * QUIET_MODULES;
        let mut dark = vec![false; width * width];
        for (at, color) in code.to_colors().into_iter().enumerate() {
            let (x, y) = (at % inner + QUIET_MODULES, at / inner + QUIET_MODULES);
            dark[y * width + x] = color == Color::Dark;
        }
        Ok(Self { width, dark })
    }

    fn at(&self, x: usize, y: usize) -> bool {
        x < self.width && y < self.width && self.dark[y * self.width + x]
    }
}

/// The QR code as an SVG picture, a unit a module.
///
/// # Errors
/// When the text is too long for a QR code.
pub(crate) fn svg_qr(text: &str) -> Result<String, StoreError> {
    let modules = Modules::of(text)?;
    let width = modules.width;
    let mut path = String::new();
    for y in 0..width {
        let mut x = 0;
        while x < width {
            let run = (x..width).take_while(|x| modules.at(*x, y)).count();
            if run > 0 {
                path.push_str(&format!("M{x} {y}h{run}v1h-{run}z"));
            }
            x += run.max(1);
        }
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {width}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{width}v{width}H0z\"/><path d=\"{path}\"/></svg>"
    ))
}

/// The QR code as text for a terminal with light letters on dark ground: two modules a letter, light drawn.
///
/// # Errors
/// When the link is too long for a QR code.
pub fn terminal_qr(text: &str) -> Result<String, StoreError> {
    let modules = Modules::of(text)?;
    let mut drawn = String::new();
    for y in (0..modules.width).step_by(2) {
        for x in 0..modules.width {
            drawn.push(match (modules.at(x, y), modules.at(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        }
        drawn.push('\n');
    }
    Ok(drawn)
}

/// Writes the QR code as a PNG picture.
///
/// # Errors
/// `file_unwritable` when the file cannot be written.
pub fn write_png(text: &str, path: &Path) -> Result<(), StoreError> {
    let modules = Modules::of(text)?;
    let side = modules.width * DOTS_PER_MODULE;
    let mut dots = Vec::with_capacity(side * side);
    for y in 0..side {
        for x in 0..side {
            dots.push(if modules.at(x / DOTS_PER_MODULE, y / DOTS_PER_MODULE) { 0 } else { 255 });
        }
    }
    let unwritable = |error: &dyn std::fmt::Display| {
        Problem::new("file_unwritable").with("path", path.display()).with("detail", error)
    };
    // Whoever reads it can enrol.
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let file = made.map_err(|error| unwritable(&error))?;
    let side = u32::try_from(side).map_err(|error| unwritable(&error))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| unwritable(&error))?;
    writer.write_image_data(&dots).map_err(|error| unwritable(&error))?;
    writer.finish().map_err(|error| unwritable(&error))?;
    Ok(())
}

#[cfg(test)]
mod tests;
