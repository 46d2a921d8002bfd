//! A whole latency distribution, as few points: for a plot by nines, for `.hgrm` files, and to be laid beside another run's.

use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Points for each halving of what is left to 100 %.
const POINTS_A_HALVING: u32 = 5;
/// Nanoseconds in the unit of `.hgrm` files, a millisecond.
const NS_PER_MS: f64 = 1e6;

/// Points of a distribution, ascending.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Share of the samples (0 to 1), the latency that so many do not exceed (nanoseconds), and how many these are.
    pub points: Vec<(f64, u64, u64)>,
    /// Mean, nanoseconds.
    pub mean_ns: f64,
    /// Standard deviation, nanoseconds.
    pub stdev_ns: f64,
}

impl From<&Histogram<u64>> for Curve {
    fn from(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let (mut points, mut below) = (Vec::new(), 0);
        for step in histogram.iter_quantiles(POINTS_A_HALVING) {
            below += step.count_since_last_iteration();
            let ns = step.value_iterated_to().min(histogram.max());
            points.push((step.quantile_iterated_to(), ns, below));
        }
        Self { points, mean_ns: histogram.mean(), stdev_ns: histogram.stdev() }
    }
}

impl Curve {
    /// How many samples there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.points.last().map_or(0, |(_, _, count)| *count)
    }

    /// The longest, nanoseconds.
    #[must_use]
    pub fn max_ns(&self) -> u64 {
        self.points.last().map_or(0, |(_, ns, _)| *ns)
    }

    /// The text of a `.hgrm` file, which the usual plotters of latencies read. Values are milliseconds.
    #[must_use]
    pub fn hgrm(&self) -> impl fmt::Display + '_ {
        struct Hgrm<'a>(&'a Curve);
        impl fmt::Display for Hgrm<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write_hgrm(f)
            }
        }
        Hgrm(self)
    }

    fn write_hgrm(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>12} {:>14} {:>10} {:>14}\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        )?;
        for (share, ns, count) in &self.points {
            write!(f, "{:>12.3} {share:>14.12} {count:>10}", *ns as f64 / NS_PER_MS)?;
            if *share < 1.0 {
                write!(f, " {:>14.2}", 1.0 / (1.0 - share))?;
            }
            writeln!(f)?;
        }
        let ms = |ns: f64| ns / NS_PER_MS;
        writeln!(f, "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]", ms(self.mean_ns), ms(self.stdev_ns))?;
        writeln!(f, "#[Max     = {:>12.3}, Total count    = {:>12}]", ms(self.max_ns() as f64), self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_has_points_as_far_as_there_are_samples() {
        let mut histogram = crate::recorder::histogram();
        (1..=100_000_u64).for_each(|us| histogram.saturating_record(us * 1_000));
        let curve = Curve::from(&histogram);
        assert_eq!((curve.count(), curve.max_ns()), (100_000, histogram.max()));
        assert!(curve.points.windows(2).all(|pair| pair[0] <= pair[1]), "ascending");
        let beyond = curve.points.iter().filter(|(share, ..)| (0.99..1.0).contains(share)).count();
        assert!(beyond > 5, "points beyond 99 %: {beyond}");
        assert_eq!(Curve::from(&crate::recorder::histogram()), Curve::default());
    }

    #[test]
    fn a_file_for_plotters_holds_milliseconds_and_the_totals() {
        let mut histogram = crate::recorder::histogram();
        histogram.saturating_record_n(2_000_000, 99);
        histogram.saturating_record(500_000_000);
        let text = Curve::from(&histogram).hgrm().to_string();
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with(' ')).collect();
        assert!(rows[1].trim().starts_with("2.00"), "{text}");
        assert!(rows.last().unwrap().contains("1.000000000000"), "{text}");
        assert!(text.contains("Total count    =          100]"), "{text}");
    }
}
