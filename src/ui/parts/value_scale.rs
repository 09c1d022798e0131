//! The vertical axis of a chart: a linear or a logarithmic scale, and its grid lines. `static/chart.js` draws the same.

/// The height of a chart in its own units, which are pixels.
pub const HEIGHT: f64 = 180.0;
/// Where the lowest and the highest value are drawn.
const BASE: f64 = HEIGHT - 1.0;
const TOP: f64 = 14.0;
/// The most powers of ten that a logarithmic scale shows.
const MAX_DECADES: i32 = 5;

/// How values are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChartScale {
    /// The height is proportional to the value.
    #[default]
    Linear,
    /// The same distance is the same ratio, so that small values can be read beside large ones.
    Log,
}

/// A scale for some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValueScale {
    kind: ChartScale,
    /// The value at the upper edge.
    pub top: f64,
    /// How many powers of ten a logarithmic scale shows.
    decades: i32,
}

impl ChartScale {
    /// The name in addresses.
    pub fn name(self) -> &'static str {
        match self {
            ChartScale::Linear => "linear",
            ChartScale::Log => "log",
        }
    }
}

impl ValueScale {
    /// A scale that fits values of at least 0, with a round number at the upper edge that is at least `least_top`.
    pub fn of(kind: ChartScale, values: impl Iterator<Item = f64> + Clone, least_top: f64) -> Self {
        let most = values.clone().fold(least_top, f64::max);
        match kind {
            ChartScale::Linear => ValueScale { kind, top: nice(most), decades: 0 },
            ChartScale::Log => {
                let power = most.log10().ceil();
                let least = values.filter(|value| *value > 0.0).fold(most, f64::min);
                let decades = (power - least.log10()).ceil() as i32;
                let decades = decades.clamp(1, MAX_DECADES);
                ValueScale { kind, top: 10_f64.powf(power), decades }
            }
        }
    }

    /// Where a value is drawn, from the top.
    pub fn y(&self, value: f64) -> f64 {
        let part = match self.kind {
            ChartScale::Linear => value / self.top,
            ChartScale::Log if value <= 0.0 => 0.0,
            ChartScale::Log => 1.0 + (value / self.top).log10() / f64::from(self.decades),
        };
        BASE - part.clamp(0.0, 1.0) * (BASE - TOP)
    }

    /// The values that have a grid line, the highest first.
    pub fn lines(&self) -> Vec<f64> {
        match self.kind {
            ChartScale::Linear => vec![self.top, middle(self.top)],
            ChartScale::Log => {
                (0..self.decades).map(|power| self.top / 10_f64.powi(power)).collect()
            }
        }
    }
}

/// Rounds up to the next of 1, 2, 5, 10, 20, 50 and so on.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * power >= value);
    digit.unwrap_or(10.0) * power
}

/// A round number near the middle below a round number: 0.5 for 1, 1 for 2, and 2 for 5.
fn middle(top: f64) -> f64 {
    let digit = top / 10_f64.powf(top.log10().floor());
    if digit.round() == 5.0 { top * 0.4 } else { top / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(kind: ChartScale, values: &[f64]) -> ValueScale {
        ValueScale::of(kind, values.iter().copied(), 1.0)
    }

    #[test]
    fn the_upper_edge_is_a_round_number() {
        for (value, expected) in
            [(0.7, 1.0), (1.0, 1.0), (1.1, 2.0), (23.0, 50.0), (7_001.0, 10_000.0)]
        {
            assert_eq!(nice(value), expected);
        }
    }

    #[test]
    fn a_linear_scale_is_proportional() {
        let scale = scale(ChartScale::Linear, &[7.0, 0.0]);
        assert_eq!((scale.top, scale.lines()), (10.0, vec![10.0, 5.0]));
        assert_eq!([1.0, 2.0, 5.0, 500.0].map(middle), [0.5, 1.0, 2.0, 200.0]);
        assert_eq!([0.0, 5.0, 10.0].map(|value| scale.y(value)), [179.0, 96.5, 14.0]);
    }

    #[test]
    fn a_logarithmic_scale_gives_each_power_of_ten_the_same_height() {
        let scale = scale(ChartScale::Log, &[700.0, 0.0, 4.0]);
        assert_eq!((scale.top, scale.lines()), (1_000.0, vec![1_000.0, 100.0, 10.0]));
        assert_eq!(
            [0.0, 1.0, 10.0, 1_000.0].map(|v| scale.y(v).round()),
            [179.0, 179.0, 124.0, 14.0]
        );
        let wide = self::scale(ChartScale::Log, &[1e9, 1.0]);
        assert_eq!((wide.lines().len(), wide.y(1.0)), (5, 179.0));
        let none = self::scale(ChartScale::Log, &[]);
        assert_eq!((none.top, none.lines().len()), (1.0, 1));
    }
}
