//! Times for people and for names.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// As `2026-11-26T03:04:05Z`.
pub fn text(seconds: u64) -> String {
    at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// As `20261126-030405`.
pub fn compact(seconds: u64) -> String {
    at(seconds).strftime("%Y%m%d-%H%M%S").to_string()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_second(i64::try_from(seconds).unwrap_or(0)).unwrap_or_default()
}

/// A number that nobody else has.
pub fn random() -> std::io::Result<u64> {
    use std::io::Read as _;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn times() {
        assert_eq!(super::text(1_795_662_245), "2026-11-26T03:04:05Z");
        assert_eq!(super::compact(1_795_662_245), "20261126-030405");
    }
}
