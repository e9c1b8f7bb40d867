//! A figure's last values as a line of text.

use std::collections::VecDeque;
use std::fmt;

/// Values that are shown.
const SHOWN: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last values in seconds, the newest last. What was not known is a `?`, never a low bar.
#[derive(Debug, Default)]
pub(crate) struct Graph(VecDeque<Option<f64>>);

impl Graph {
    pub(crate) fn add(&mut self, seconds: Option<f64>) {
        if self.0.len() == SHOWN {
            self.0.pop_front();
        }
        self.0.push_back(seconds.filter(|seconds| seconds.is_finite()));
    }

    /// Whether there is more than a point.
    pub(crate) fn has_course(&self) -> bool {
        self.0.len() > 1
    }
}

impl fmt::Display for Graph {
    /// From 0 to the highest value, which is named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let highest = self.0.iter().flatten().copied().fold(0.0, f64::max);
        let step = |value: f64| if highest > 0.0 { ((value * 8.0 / highest) as usize).min(7) } else { 0 };
        for value in &self.0 {
            write!(f, "{}", value.map_or('?', |value| BARS[step(value)]))?;
        }
        write!(f, " 0 to {highest:.1} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(values: &[Option<f64>]) -> String {
        let mut graph = Graph::default();
        values.iter().for_each(|value| graph.add(*value));
        graph.to_string()
    }

    #[test]
    fn bars_are_of_the_highest_value() {
        assert_eq!(shown(&[Some(0.0), Some(1.0), Some(2.0), Some(3.4), Some(4.0)]), "▁▃▅▇█ 0 to 4.0 s");
        assert_eq!(shown(&[Some(0.0), Some(0.0)]), "▁▁ 0 to 0.0 s");
        assert_eq!(shown(&[None, Some(8.0), None]), "?█? 0 to 8.0 s");
    }

    #[test]
    fn only_the_last_values_are_kept() {
        let mut graph = Graph::default();
        assert!(!graph.has_course());
        (0..100).for_each(|second| graph.add(Some(f64::from(second))));
        assert!(graph.has_course());
        assert_eq!(graph.to_string().chars().filter(|char| BARS.contains(char)).count(), SHOWN);
    }
}
