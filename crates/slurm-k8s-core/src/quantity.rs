//! Kubernetes quantities (`10m`, `16Mi`): as much as is needed to check and compare them.

/// The suffixes with their factors.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The value in units (cores, bytes); none if the text is not a quantity or is negative.
#[must_use]
pub fn value(text: &str) -> Option<f64> {
    let (number, factor) =
        SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor))).unwrap_or((text, 1.0));
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !plain || !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, expected) in [
            ("10m", Some(0.01)),
            ("16Mi", Some(16_777_216.0)),
            ("0", Some(0.0)),
            ("1.5G", Some(1.5e9)),
            ("100", Some(100.0)),
            ("-1", None),
            ("", None),
            ("Mi", None),
            ("16MB", None),
            ("16 Mi", None),
            ("inf", None),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }
}
