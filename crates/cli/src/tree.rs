//! Trees for a terminal, and spans of time in them.

use core::fmt;

use jiff::Timestamp;

/// A line and what hangs on it.
#[derive(Debug)]
pub(crate) struct Branch {
    line: String,
    twigs: Vec<Branch>,
}

impl Branch {
    pub(crate) fn new(line: impl Into<String>, twigs: Vec<Self>) -> Self {
        Self { line: line.into(), twigs }
    }

    /// With nothing on it.
    pub(crate) fn leaf(line: impl Into<String>) -> Self {
        Self::new(line, Vec::new())
    }

    fn draw(&self, before: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.line)?;
        let last = self.twigs.len().saturating_sub(1);
        for (index, twig) in self.twigs.iter().enumerate() {
            let (mark, beyond) = if index == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            write!(f, "{before}{mark}")?;
            twig.draw(&format!("{before}{beyond}"), f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.draw("", f)
    }
}

/// How long it was from one instant to another, in the two greatest units; negative where clocks differ.
pub(crate) fn span(from: Timestamp, to: Timestamp) -> String {
    let ms = to.duration_since(from).as_millis();
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    let (s, min, h) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..1000 => format!("{sign}{ms} ms"),
        1000..60_000 => format!("{sign}{s}.{:03} s", ms % 1000),
        60_000..3_600_000 => format!("{sign}{min} min {} s", s % 60),
        3_600_000..86_400_000 => format!("{sign}{h} h {} min", min % 60),
        _ => format!("{sign}{} d {} h", h / 24, h % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_shows_what_hangs_on_what() {
        let tree = Branch::new(
            "a",
            vec![Branch::new("b", vec![Branch::leaf("c")]), Branch::new("d", vec![Branch::leaf("e")])],
        );
        assert_eq!(tree.to_string(), "a\n├─ b\n│  └─ c\n└─ d\n   └─ e\n");
    }

    #[test]
    fn a_span_is_told_in_its_greatest_units() {
        let told = |ms: i64| {
            let from = Timestamp::from_millisecond(1_790_000_000_000).unwrap();
            span(from, Timestamp::from_millisecond(1_790_000_000_000 + ms).unwrap())
        };
        for (ms, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_204, "1.204 s"),
            (59_999, "59.999 s"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"),
            (100_000_000, "1 d 3 h"),
            (-1_204, "-1.204 s"),
        ] {
            assert_eq!(told(ms), expected);
        }
    }
}
