//! Prometheus' text format (version 0.0.4): families of samples, each with help and type.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A page of metrics under construction.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    told: BTreeSet<&'static str>,
}

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows.
    Counter,
}

impl Exposition {
    /// A number without labels; none where it is not known, for a zero would say something.
    pub fn number(&mut self, kind: Kind, name: &'static str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.sample(kind, name, help, &[], value);
        }
    }

    /// Yes or no, as 1 or 0.
    pub fn yes(&mut self, name: &'static str, help: &str, value: bool) {
        self.sample(Kind::Gauge, name, help, &[], f64::from(u8::from(value)));
    }

    /// One sample of a family. All samples of a family are told one after the other.
    pub fn sample(&mut self, kind: Kind, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        if self.told.insert(name) {
            let kind = if kind == Kind::Counter { "counter" } else { "gauge" };
            let _ = writeln!(self.text, "# HELP {name} {}\n# TYPE {name} {kind}", escaped(help, false));
        }
        self.text.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let sign = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{sign}{label}=\"{}\"", escaped(value, true));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The page.
    pub fn text(self) -> String {
        self.text
    }
}

fn escaped(text: &str, label: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if label { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_one_head_and_values_are_escaped() {
        let mut page = Exposition::default();
        page.sample(Kind::Gauge, "a_b", "Help\nme.", &[("x", "1\"\\\n"), ("y", "2")], 1.0);
        page.sample(Kind::Gauge, "a_b", "Help.", &[("x", "3")], 0.25);
        page.number(Kind::Counter, "c_total", "C.", Some(12_345_678_901.0));
        page.number(Kind::Gauge, "d", "Not known.", None);
        assert_eq!(
            page.text(),
            "# HELP a_b Help\\nme.\n# TYPE a_b gauge\na_b{x=\"1\\\"\\\\\\n\",y=\"2\"} 1\na_b{x=\"3\"} 0.25\n# HELP c_total C.\n# TYPE c_total counter\nc_total 12345678901\n"
        );
    }
}
