//! How full a device is over the load, in a bounded number of points however long the load is.

/// The most points there are for a device.
pub const POINTS_MAX: usize = 512;

/// What a device holds after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// The number of the step over all devices.
    pub step: usize,
    /// What its allocator has.
    pub reserved_bytes: u64,
    /// What of that is in use.
    pub allocated_bytes: u64,
    /// What no allocator deals out: context and libraries.
    pub outside_bytes: u64,
}

impl Point {
    /// All that is taken of the device.
    pub fn filled_bytes(&self) -> u64 {
        self.reserved_bytes.saturating_add(self.outside_bytes)
    }

    /// What the allocator has and nobody uses.
    pub fn fragmented_bytes(&self) -> u64 {
        self.reserved_bytes.saturating_sub(self.allocated_bytes)
    }
}

/// Gathers points; when there are too many, of each two neighbours the fuller one stays.
#[derive(Debug)]
pub(super) struct Timeline {
    points: Vec<Point>,
    /// Steps that one point stands for.
    stride: usize,
    /// Steps that the last point stands for so far.
    gathered: usize,
}

impl Timeline {
    pub(super) fn new() -> Self {
        Self { points: Vec::new(), stride: 1, gathered: 0 }
    }

    pub(super) fn add(&mut self, point: Point) {
        match self.points.last_mut() {
            Some(last) if self.gathered < self.stride => *last = fuller(*last, point),
            _ => {
                self.halve_when_full();
                self.points.push(point);
                self.gathered = 0;
            }
        }
        self.gathered += 1;
    }

    fn halve_when_full(&mut self) {
        // One is kept for the end.
        if self.points.len() < POINTS_MAX - 1 {
            return;
        }
        let pair = |pair: &[Point]| pair.iter().copied().reduce(fuller);
        self.points = self.points.chunks(2).filter_map(pair).collect();
        self.stride *= 2;
    }

    /// The points, with what there is in the end as the last.
    pub(super) fn finish(mut self, last: Point) -> Vec<Point> {
        if self.points.last().is_none_or(|point| *point != last) {
            self.points.push(last);
        }
        self.points
    }
}

/// The fuller of two, the first of equals; what is in use decides between equally much memory.
fn fuller(a: Point, b: Point) -> Point {
    let fill = |point: &Point| (point.filled_bytes(), point.allocated_bytes);
    if fill(&b) > fill(&a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_load_keeps_its_peak_and_its_end() {
        let at = |step: usize, reserved_bytes| Point { step, reserved_bytes, ..Point::default() };
        for steps in [1, 2, 510, 511, 512, 513, 5_000, 100_000] {
            let mut timeline = Timeline::new();
            let peak = steps / 3;
            for step in 0..steps {
                timeline.add(at(step, if step == peak { 100 } else { 7 }));
            }
            let points = timeline.finish(at(steps - 1, 7));
            assert!(points.len() <= POINTS_MAX, "{} of {steps}", points.len());
            assert!(points.len() >= steps.min(POINTS_MAX / 4));
            assert!(points.iter().any(|point| point.step == peak && point.reserved_bytes == 100));
            assert!(points.windows(2).all(|two| two[0].step <= two[1].step));
            assert_eq!(points.last().unwrap().step, steps - 1);
        }
    }
}
