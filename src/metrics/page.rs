//! A page of metrics in Prometheus' text format, version 0.0.4.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    Kind, Metric,
    histogram::{BOUNDS_NS, Buckets},
};

/// The format's media type.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Collects samples in any order, and shows those of one metric together.
#[derive(Debug, Default)]
pub struct Page {
    metrics: BTreeMap<&'static str, (&'static Metric, String)>,
}

/// A sample's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Whole(i128),
    Fraction(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Number::Whole(value.into())
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Number::Whole(value.into())
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Number::Whole(value as i128)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Number::Fraction(value)
    }
}

impl Page {
    /// Puts down one sample. `labels` are those of the metric, in their order.
    pub fn put(&mut self, metric: &'static Metric, labels: &[(&str, &str)], value: impl Into<Number>) {
        debug_assert!(metric.kind != Kind::Histogram, "{}", metric.name);
        debug_assert!(labels.iter().map(|(name, _)| name).eq(metric.labels), "{}: {labels:?}", metric.name);
        let samples = self.samples(metric);
        sample(samples, metric.name, "", labels, None, value.into());
    }

    /// Puts down a histogram: each bucket with those below it, as the format wants it.
    pub fn put_buckets(&mut self, metric: &'static Metric, labels: &[(&str, &str)], buckets: &Buckets) {
        debug_assert!(metric.kind == Kind::Histogram, "{}", metric.name);
        debug_assert!(labels.iter().map(|(name, _)| name).eq(metric.labels), "{}: {labels:?}", metric.name);
        let samples = self.samples(metric);
        let mut count = 0;
        for (at, own) in buckets.counts.iter().enumerate() {
            count += own;
            let bound = BOUNDS_NS.get(at).map_or("+Inf".to_owned(), |ns| seconds(*ns).to_string());
            sample(samples, metric.name, "_bucket", labels, Some(&bound), count.into());
        }
        sample(samples, metric.name, "_sum", labels, None, seconds(buckets.sum_ns).into());
        sample(samples, metric.name, "_count", labels, None, count.into());
    }

    pub fn into_text(self) -> String {
        let mut text = String::with_capacity(self.metrics.values().map(|(_, samples)| samples.len() + 200).sum());
        for (name, (metric, samples)) in self.metrics {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {}", metric.help, metric.kind.name());
            text.push_str(&samples);
        }
        text
    }

    fn samples(&mut self, metric: &'static Metric) -> &mut String {
        &mut self.metrics.entry(metric.name).or_insert_with(|| (metric, String::new())).1
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn sample(to: &mut String, name: &str, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: Number) {
    to.push_str(name);
    to.push_str(suffix);
    let mut labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound))).peekable();
    if labels.peek().is_some() {
        let mut before = '{';
        for (label, value) in labels {
            to.push(before);
            to.push_str(label);
            to.push_str("=\"");
            escape(to, value);
            to.push('"');
            before = ',';
        }
        to.push('}');
    }
    let _ = match value {
        Number::Whole(value) => writeln!(to, " {value}"),
        Number::Fraction(value) => writeln!(to, " {value}"),
    };
}

/// A label's value may hold anything.
fn escape(to: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => to.push_str("\\\\"),
            '"' => to.push_str("\\\""),
            '\n' => to.push_str("\\n"),
            other => to.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SIZE: Metric = Metric { name: "size_bytes", kind: Kind::Gauge, labels: &["of"], help: "How large." };
    static DONE: Metric = Metric { name: "done_total", kind: Kind::Counter, labels: &[], help: "How many." };

    #[test]
    fn samples_of_a_metric_stand_together() {
        let mut page = Page::default();
        page.put(&SIZE, &[("of", "a")], 1_u64);
        page.put(&DONE, &[], u64::MAX);
        page.put(&SIZE, &[("of", "\"b\\\n")], 0.5);
        assert_eq!(
            page.into_text(),
            "# HELP done_total How many.\n# TYPE done_total counter\ndone_total 18446744073709551615\n\
             # HELP size_bytes How large.\n# TYPE size_bytes gauge\nsize_bytes{of=\"a\"} 1\nsize_bytes{of=\"\\\"b\\\\\\n\"} 0.5\n"
        );
    }
}
