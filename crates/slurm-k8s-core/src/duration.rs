//! Durations as admins write them: `2s`, `10m`.

use std::time::Duration;

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a duration; write for example 500ms, 2s, 10m or 1h")]
pub struct NotADuration;

/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Reads a whole number with a unit.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(NotADuration)?;
    let number: u64 = number.parse().map_err(|_| NotADuration)?;
    number.checked_mul(*millis).map(Duration::from_millis).ok_or(NotADuration)
}

/// Writes a duration with the largest unit that divides it.
#[must_use]
pub fn format(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let (unit, size) =
        UNITS.into_iter().find(|(_, size)| millis.is_multiple_of(u128::from(*size))).unwrap_or(("ms", 1));
    format!("{}{unit}", millis / u128::from(size))
}

/// For `#[serde(with = "…")]`.
pub mod serde_text {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes `2s`.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::format(*duration))
    }

    /// Reads `2s`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        super::parse(&text)
            .map_err(|error| D::Error::custom(format_args!("{} is {error}", crate::shown::quoted(text.as_bytes()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_durations() {
        for (text, seconds) in [("2s", 2), ("10m", 600), ("1h", 3600), ("90s", 90), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "2", "s", "-2s", "2 s", "1.5s", "2d", "99999999999999999999s", "+2s"] {
            assert_eq!(parse(bad), Err(NotADuration), "{bad}");
        }
    }

    #[test]
    fn formatted_in_the_largest_whole_unit() {
        for text in ["2s", "10m", "1h", "90s", "250ms", "0s"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }
}
