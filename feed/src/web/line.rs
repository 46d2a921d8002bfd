//! The day's line of a security: a price for each short time in which there was one.

/// Points of a line: a day of minutes has 242.
const POINTS_MAX: usize = 256;
/// How long a point lasts, seconds: the line begins with the first, and takes the next when it is full.
const WIDTHS_S: &[u32] = &[1, 5, 15, 60, 300, 900, 3_600];

/// What happened in `width_s` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Its beginning, seconds since the exchange's midnight.
    pub(super) at_s: u32,
    /// The last price, units of 0.0001.
    pub(super) price: i64,
    /// The day's average price until then, units of 0.0001.
    pub(super) average: i64,
    /// Traded in it, units of 0.01.
    pub(super) volume: i64,
}

/// The day's line: fine while it is short, by the minute at the end of a day, and never longer than its bound.
#[derive(Debug, Default)]
pub(super) struct Line {
    points: Vec<Point>,
    step: usize,
}

impl Line {
    /// How long each point lasts, seconds.
    pub(super) fn width_s(&self) -> u32 {
        WIDTHS_S[self.step]
    }

    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// Something happened. What is older than the last point is of that point: time does not go back here.
    pub(super) fn add(&mut self, point: Point) {
        if self.merge(point) {
            return;
        }
        if self.points.len() == POINTS_MAX && self.step + 1 < WIDTHS_S.len() {
            self.step += 1;
            for point in std::mem::take(&mut self.points) {
                if !self.merge(point) {
                    self.points.push(self.begun(point));
                }
            }
            return self.add(point);
        }
        if self.points.len() == POINTS_MAX {
            self.points.remove(0);
        }
        self.points.push(self.begun(point));
    }

    fn begun(&self, point: Point) -> Point {
        Point { at_s: point.at_s - point.at_s % self.width_s(), ..point }
    }

    fn merge(&mut self, point: Point) -> bool {
        let begun = self.begun(point);
        let Some(last) = self.points.last_mut().filter(|last| begun.at_s <= last.at_s) else { return false };
        let volume = last.volume.saturating_add(point.volume);
        *last = Point { at_s: last.at_s, volume, ..point };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_s: u32, price: i64) -> Point {
        Point { at_s, price, average: price, volume: 1 }
    }

    #[test]
    fn a_second_has_its_last_price_and_all_its_volume() {
        let mut line = Line::default();
        for point in [point(100, 5), point(100, 7), point(99, 8), point(101, 6)] {
            line.add(point);
        }
        let first = Point { at_s: 100, price: 8, average: 8, volume: 3 };
        assert_eq!(line.points(), [first, point(101, 6)]);
    }

    #[test]
    fn a_whole_day_ends_as_minutes_with_nothing_lost() {
        let mut line = Line::default();
        let trading = (34_200..41_400).chain(46_800..54_000);
        trading.clone().for_each(|at_s| line.add(point(at_s, i64::from(at_s))));
        assert_eq!((line.width_s(), line.points().len()), (60, 240));
        assert_eq!(line.points().iter().map(|point| point.volume).sum::<i64>(), trading.count() as i64);
        assert_eq!(line.points().last().unwrap().price, 53_999);
    }

    #[test]
    fn it_is_bounded_whatever_the_times_are() {
        let mut line = Line::default();
        (0..10_000_000).step_by(1_000).for_each(|at_s| line.add(point(at_s, 1)));
        assert!(line.points().len() <= POINTS_MAX);
        assert_eq!(line.points().last().unwrap().at_s, 9_999_000 / 3_600 * 3_600);
    }
}
