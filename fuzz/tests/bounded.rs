//! Every target with its corpus, and with what becomes of it by chance, for a second or two. The same bytes each time.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fuzz::TARGETS;

/// For each target; all of them are done within half a minute.
const TIME: Duration = Duration::from_millis(1500);
/// No input is longer.
const LONGEST: usize = 4096;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), std::fs::read(file).unwrap())).collect()
}

/// Xorshift: as good as chance has to be here.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % below.max(1)
    }

    /// Some bytes changed, doubled, taken away or put in from another input.
    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        const ODD: &[u8] = b"\0\n\r\x1b\x7f\xff\x80:,=/\\.@#'\"$%{}[] 019";
        for _ in 0..=self.next(8) {
            let at = self.next(bytes.len() + 1);
            let to = (at + self.next(16)).min(bytes.len());
            match self.next(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.next(8),
                1 if at < bytes.len() => bytes[at] = ODD[self.next(ODD.len())],
                2 => bytes.insert(at, ODD[self.next(ODD.len())]),
                3 => drop(bytes.drain(at..to)),
                4 => {
                    let again = bytes[at..to].repeat(1 + self.next(4));
                    bytes.splice(at..at, again);
                }
                _ => {
                    let from = self.next(other.len() + 1);
                    let end = (from + self.next(64)).min(other.len());
                    bytes.splice(at..at, other[from..end].iter().copied());
                }
            }
        }
        bytes.truncate(LONGEST);
    }
}

#[test]
fn every_target_keeps_its_promises() {
    for target in TARGETS {
        let corpus = corpus(target.name);
        assert!(corpus.len() >= 3, "{}: a corpus", target.name);
        for (file, bytes) in &corpus {
            run(target, bytes, &file.display().to_string());
        }
        let (mut chance, start, mut runs) = (Chance(0x9e37_79b9_7f4a_7c15), Instant::now(), 0_u64);
        while start.elapsed() < TIME {
            let (one, other) = (chance.next(corpus.len()), chance.next(corpus.len()));
            let mut bytes = corpus[one].1.clone();
            chance.change(&mut bytes, &corpus[other].1);
            run(target, &bytes, "an input by chance");
            runs += 1;
        }
        assert!(runs > 100, "{}: {runs} runs", target.name);
        println!("{}: {runs} runs", target.name);
    }
}

/// A target that fails leaves its input for the corpus.
fn run(target: &fuzz::Target, bytes: &[u8], what: &str) {
    if std::panic::catch_unwind(|| (target.run)(bytes)).is_err() {
        let file = std::env::temp_dir().join(format!("fuzz-{}", target.name));
        std::fs::write(&file, bytes).unwrap();
        panic!("{}: {what} fails; it is in {}", target.name, file.display());
    }
}

/// The link's messages change with its version: `UPDATE=1 cargo test -p spank-k8s-fuzz` writes them again.
#[test]
fn the_links_corpus_is_that_of_this_version() {
    let folder = |target| Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    for (name, frame) in fuzz::seeds() {
        for (target, bytes) in [("link_end", frame.clone()), ("link_engine", [&[1][..], &frame].concat())] {
            let file = folder(target).join(name);
            if std::env::var_os("UPDATE").is_some() {
                std::fs::create_dir_all(folder(target)).unwrap();
                std::fs::write(&file, &bytes).unwrap();
            }
            assert!(std::fs::read(&file).is_ok_and(|there| there == bytes), "{}", file.display());
        }
    }
}
