//! The summary for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::step::Record;
use super::summary::Summary;

/// So many steps are shown.
const LISTED: usize = 1000;

pub(super) fn of(summary: &Summary) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{}", format!("{name:<12} {value}").trim_end());
    };
    let job = &summary.job;
    line("Job", &if job.name.is_empty() { job.id.clone() } else { format!("{} ({})", job.id, job.name) });
    let account = job.account.as_ref().map(|account| format!(", account {account}")).unwrap_or_default();
    let partition = job.partition.as_ref().map(|partition| format!(", partition {partition}")).unwrap_or_default();
    line("User", &format!("{}{account}{partition}", job.user));
    line("State", &state(summary));
    if let Some(nodes) = &job.nodes {
        line("Nodes", nodes);
    }
    for (image, id) in &summary.images {
        line("Image", image);
        line(
            "",
            id.as_deref()
                .unwrap_or("(its digest is not known: it did not run, or not long enough for the kubelet to tell)"),
        );
    }
    line("", "");
    let time = |at: Option<i64>, after: String| at.map(|at| format!("{}{after}", date(at)));
    let after = |length: Option<f64>, where_: &str| {
        length.map(|length| format!(", after {}{where_}", duration(length))).unwrap_or_default()
    };
    for (name, value) in [
        ("Submitted", time(job.submitted, String::new())),
        ("Started", time(job.started, after(summary.queued, " in the queue"))),
        ("Ended", time(job.ended, after(summary.ran, ""))),
        ("Collected", Some(date(summary.collected))),
    ] {
        value.iter().for_each(|value| line(name, value));
    }
    if !summary.steps.is_empty() {
        line("", "");
        line("CPU time", &duration(seconds(summary.cpu_us)));
        line("Peak memory", &format!("{} on one node", bytes(summary.memory_peak)));
        line("", "");
        line("Step", "Node         Pod made  image there  started  ran                ended with");
        summary.steps.iter().take(LISTED).for_each(|record| line(&record.step, &step(record)));
    }
    if let Some(more) = summary.steps.len().checked_sub(LISTED).filter(|more| *more > 0) {
        line("", &format!("and {more} more in job_summary.json"));
    }
    line("", "");
    let files = summary.files;
    let check = if files.count > 0 { "; sha256sum --check checksums.txt" } else { "" };
    line("Files", &format!("{}, {}{check}", many(files.count, "file"), bytes(files.bytes)));
    if !summary.warnings.is_empty() {
        line("", "");
    }
    summary.warnings.iter().for_each(|warning| line("Warning", warning));
    text
}

fn state(summary: &Summary) -> String {
    let job = &summary.job;
    let mut text = format!("{}, exit code {}", job.state, job.code);
    if job.signal > 0 {
        text.push_str(&format!(", signal {}", job.signal));
    }
    if let Some(reason) = job.reason.as_ref().filter(|reason| *reason != "NonZeroExitCode") {
        text.push_str(&format!(", {reason}"));
    }
    if job.restarts > 0 {
        text.push_str(&format!(", begun anew {}", many(job.restarts.into(), "time")));
    }
    text
}

fn step(record: &Record) -> String {
    let [create, pull, start, run] = record.times.phases().map(|(_, length)| length);
    let short = |length: Option<f64>| length.map_or_else(|| "-".to_owned(), |length| format!("{length:.2} s"));
    let run = run.map_or_else(|| "-".to_owned(), duration);
    let (create, pull, start) = (short(create), short(pull), short(start));
    format!("{:<12} {create:>8} {pull:>12} {start:>8}  {run:<17}  {}", record.node, ends(record))
}

/// `0`, `0, signal 9`, `0 (31 tasks), 1`.
fn ends(record: &Record) -> String {
    if let Some(refusal) = &record.refusal {
        return format!("{} (spank-k8s)", refusal.code);
    }
    let mut kinds: BTreeMap<(bool, i64), u32> = BTreeMap::new();
    for task in &record.ended {
        let kind = task.signal.map_or((false, task.code.unwrap_or(0).into()), |signal| (true, signal.into()));
        *kinds.entry(kind).or_default() += 1;
    }
    let one = |((signal, number), count): (&(bool, i64), &u32)| {
        let count = if *count > 1 { format!(" ({count} tasks)") } else { String::new() };
        format!("{}{number}{count}", if *signal { "signal " } else { "" })
    };
    if kinds.is_empty() { "nothing known".to_owned() } else { kinds.iter().map(one).collect::<Vec<_>>().join(", ") }
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// `0.25 s`, `12.3 s`, `1 h 2 min 3 s`, `2 d 3 h 0 min 4 s`.
fn duration(seconds: f64) -> String {
    if seconds < 1.0 {
        return format!("{seconds:.2} s");
    }
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive, and years are few")]
    let whole = seconds.min(1e12) as u64;
    let parts = [(86400, u64::MAX, "d"), (3600, 24, "h"), (60, 60, "min"), (1, 60, "s")];
    let shown = parts.iter().skip_while(|(unit, ..)| whole < *unit);
    shown.map(|(unit, most, name)| format!("{} {name}", whole / unit % most)).collect::<Vec<_>>().join(" ")
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// `2026-11-26 03:04:05 UTC`.
fn date(at: i64) -> String {
    Timestamp::from_second(at).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sizes() {
        assert_eq!(duration(0.051), "0.05 s");
        assert_eq!(duration(12.34), "12.3 s");
        assert_eq!(duration(183_604.0), "2 d 3 h 0 min 4 s");
        assert_eq!(duration(60.0), "1 min 0 s");
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        assert_eq!(many(1, "file"), "1 file");
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_795_662_245), "2026-11-26 03:04:05 UTC");
        assert_eq!(date(i64::MAX), "1970-01-01 00:00:00 UTC");
    }
}
