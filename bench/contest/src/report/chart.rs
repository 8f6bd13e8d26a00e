//! A chart of lines, as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 44.0;
/// Colours that are told apart by most people, and in grey.
const COLOURS: [&str; 12] = [
    "#000000", "#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2",
    "#7f7f7f", "#17becf", "#bcbd22", "#003f5c",
];

/// Lines over categories, on a logarithmic scale.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: String,
    /// The unit of the scale.
    pub(super) unit: String,
    pub(super) categories: Vec<String>,
    /// A name, and a figure for each category that has one.
    pub(super) lines: Vec<(String, Vec<Option<f64>>)>,
}

impl Chart {
    /// The chart, empty if there is nothing to show.
    pub(super) fn svg(&self) -> String {
        let scale = Scale::of(self.lines.iter().flat_map(|(_, figures)| figures).flatten());
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}</text>\n",
            escaped(&self.title)
        );
        self.draw_grid(&scale, &mut svg);
        for (index, (name, figures)) in self.lines.iter().enumerate() {
            self.draw_line(index, name, figures, &scale, &mut svg);
        }
        svg += "</svg>\n";
        svg
    }

    fn x(&self, category: usize) -> f64 {
        let step = (WIDTH - LEFT - RIGHT) / self.categories.len().max(1) as f64;
        LEFT + step * (category as f64 + 0.5)
    }

    fn draw_grid(&self, scale: &Scale, svg: &mut String) {
        let right = WIDTH - RIGHT;
        for tick in scale.ticks() {
            let y = scale.y(tick);
            // Writing to a string does not fail.
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"16\" y=\"{:.1}\" transform=\"rotate(-90 16 {:.1})\" \
             text-anchor=\"middle\">{}</text>",
            HEIGHT / 2.0,
            HEIGHT / 2.0,
            escaped(&self.unit)
        );
        for (index, category) in self.categories.iter().enumerate() {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                self.x(index),
                HEIGHT - BOTTOM + 20.0,
                escaped(category)
            );
        }
    }

    fn draw_line(
        &self,
        index: usize,
        name: &str,
        figures: &[Option<f64>],
        scale: &Scale,
        svg: &mut String,
    ) {
        let colour = COLOURS[index % COLOURS.len()];
        let drawn = figures.iter().enumerate().filter_map(|(category, figure)| {
            let figure = figure.filter(|figure| is_drawable(*figure))?;
            Some((self.x(category), scale.y(figure)))
        });
        let drawn: Vec<_> = drawn.collect();
        let path: Vec<_> = drawn
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in &drawn {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
        }
        let (x, y) = (WIDTH - RIGHT + 14.0, TOP + 18.0 * index as f64);
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
            y - 6.0,
            x + 18.0,
            escaped(name)
        );
    }
}

fn is_drawable(figure: f64) -> bool {
    figure.is_finite() && figure > 0.0
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Whole powers of ten that hold all figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    least: i32,
    greatest: i32,
}

impl Scale {
    fn of<'a>(figures: impl Iterator<Item = &'a f64>) -> Self {
        let logs = figures
            .filter(|figure| is_drawable(**figure))
            .map(|figure| figure.log10());
        let (least, greatest) = logs
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), log| {
                (least.min(log), most.max(log))
            });
        if least > greatest {
            return Self {
                least: 0,
                greatest: 1,
            };
        }
        let least = least.floor() as i32;
        let greatest = (greatest.ceil() as i32).max(least + 1);
        Self { least, greatest }
    }

    fn y(self, figure: f64) -> f64 {
        let share =
            (figure.log10() - f64::from(self.least)) / f64::from(self.greatest - self.least);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        (self.least..=self.greatest).flat_map(move |power| {
            let steps: &[f64] = if power == self.greatest {
                &[1.0]
            } else {
                &[1.0, 2.0, 5.0]
            };
            steps
                .iter()
                .map(move |step| rounded(step * 10_f64.powi(power)))
        })
    }
}

/// Without the last digits, which are those of the binary fraction.
fn rounded(tick: f64) -> f64 {
    (tick * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_holds_all_figures() {
        let scale = Scale::of([0.046, 1.2, 0.0, f64::NAN].iter());
        assert_eq!((scale.least, scale.greatest), (-2, 1));
        assert_eq!(scale.y(0.01), HEIGHT - BOTTOM);
        assert_eq!(scale.y(10.0), TOP);
        let ticks: Vec<_> = scale.ticks().collect();
        assert_eq!(ticks[..4], [0.01, 0.02, 0.05, 0.1]);
        assert_eq!(ticks.last(), Some(&10.0));
        let one = Scale::of([1.0].iter());
        assert_eq!((one.least, one.greatest), (0, 1));
        assert_eq!(Scale::of([].iter()), one);
    }

    #[test]
    fn a_missing_figure_leaves_a_gap_and_no_point() {
        let chart = Chart {
            title: "a < b & c".to_owned(),
            unit: "µs".to_owned(),
            categories: ["1", "64"].map(str::to_owned).to_vec(),
            lines: vec![
                ("x".to_owned(), vec![Some(1.0), None]),
                ("y".to_owned(), vec![Some(2.0), Some(f64::INFINITY)]),
            ],
        };
        let svg = chart.svg();
        assert!(svg.contains("a &lt; b &amp; c"));
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
