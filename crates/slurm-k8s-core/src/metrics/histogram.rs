//! How many lengths of time were how long.

/// The bounds in seconds: from a request to the API server to a long job.
pub const BOUNDS: [f64; 20] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0,
    259_200.0, 604_800.0,
];
/// What is longer, thirty years, is no length: a record is its user's, and one number would spoil the sum.
const LONGEST: f64 = 1e9;

/// The lengths so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Histogram {
    /// Those up to each bound that are above the one before.
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    /// One more.
    pub fn observe(&mut self, seconds: f64) {
        if !(0.0..=LONGEST).contains(&seconds) {
            return;
        }
        let bucket = BOUNDS.iter().zip(&mut self.buckets).find(|(bound, _)| seconds <= **bound);
        if let Some((_, bucket)) = bucket {
            *bucket += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    /// Its lines, with these labels.
    pub(super) fn lines(&self, name: &str, labels: &str) -> String {
        let mut text = String::new();
        let mut below = 0;
        for (bound, bucket) in BOUNDS.iter().zip(self.buckets) {
            below += bucket;
            text += &format!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}\n");
        }
        let Self { count, sum, .. } = self;
        text + &format!(
            "{name}_bucket{{{labels},le=\"+Inf\"}} {count}\n{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_in_its_bucket_and_in_all_above() {
        let mut histogram = Histogram::default();
        [0.0, 0.01, 0.3, 700_000.0].iter().for_each(|seconds| histogram.observe(*seconds));
        let text = histogram.lines("a", "phase=\"run\"");
        let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        has("a_bucket{phase=\"run\",le=\"0.01\"} 2");
        has("a_bucket{phase=\"run\",le=\"0.2\"} 2");
        has("a_bucket{phase=\"run\",le=\"0.5\"} 3");
        has("a_bucket{phase=\"run\",le=\"604800\"} 3");
        has("a_bucket{phase=\"run\",le=\"+Inf\"} 4");
        has("a_sum{phase=\"run\"} 700000.31");
        has("a_count{phase=\"run\"} 4");
    }

    #[test]
    fn what_is_no_length_is_not_counted() {
        let mut histogram = Histogram::default();
        [f64::NAN, f64::INFINITY, -1.0, 1e300].iter().for_each(|seconds| histogram.observe(*seconds));
        assert_eq!(histogram, Histogram::default());
        assert!(BOUNDS.is_sorted());
    }
}
