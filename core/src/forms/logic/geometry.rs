//! Lines and areas on the map. Distance and area are rxeval's (which follows JavaRosa); crossing and containment, which
//! it lacks, are computed on the plane of degrees, good enough for fields and yards.

use rxeval::parser::Expr;

use super::eval::{Outcome, Val};
use super::functions::{Function, of_values};

type Point = (f64, f64);

/// Runs one of the geometry functions on its arguments as text.
pub(crate) fn call<'a>(function: Function, texts: &[String]) -> Outcome<'a> {
    let first = texts.first().map_or("", String::as_str);
    match function {
        Function::Intersects => Ok(Val::Boolean(crosses_itself(&points(first)))),
        Function::Geofence => {
            let shape = points(texts.get(1).map_or("", String::as_str));
            Ok(Val::Boolean(points(first).first().is_some_and(|point| contains(&shape, *point))))
        }
        Function::Distance => measure("distance", texts.join(";")),
        _ => measure("area", first.to_owned()),
    }
}

fn measure<'a>(name: &str, text: String) -> Outcome<'a> {
    match of_values(name, &[Expr::Literal(text)])? {
        rxeval::Value::Number(number) => Ok(Val::Number(number)),
        _ => Ok(Val::Number(f64::NAN)),
    }
}

fn points(text: &str) -> Vec<Point> {
    let read = |part: &str| {
        let mut numbers = part.split_whitespace().map(str::parse::<f64>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    text.split(';').filter_map(read).take(crate::forms::limits::GEO_POINTS_MAX).collect()
}

fn side(a: Point, b: Point, c: Point) -> f64 {
    (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)
}

fn crosses_itself(line: &[Point]) -> bool {
    let segments: Vec<(Point, Point)> = line.windows(2).map(|pair| (pair[0], pair[1])).collect();
    segments.iter().enumerate().any(|(at, (a, b))| {
        // Neighbours share a point, and so do the first and last segment of a closed shape.
        segments.iter().enumerate().skip(at + 2).any(|(other, (c, d))| {
            let closing = at == 0 && other + 1 == segments.len() && a == d;
            !closing && side(*a, *b, *c) * side(*a, *b, *d) < 0.0 && side(*c, *d, *a) * side(*c, *d, *b) < 0.0
        })
    })
}

fn contains(shape: &[Point], point: Point) -> bool {
    let mut inside = false;
    let mut previous = shape.last().copied().unwrap_or((0.0, 0.0));
    for corner in shape {
        let spans = (corner.1 > point.1) != (previous.1 > point.1);
        if spans && point.0 < (previous.0 - corner.0) * (point.1 - corner.1) / (previous.1 - corner.1) + corner.0 {
            inside = !inside;
        }
        previous = *corner;
    }
    inside
}
