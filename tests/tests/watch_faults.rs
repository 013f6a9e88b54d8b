//! Watchers that are killed, that meet each other, and that have no room: each file becomes one job. `make soak` has the
//! full counts.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::watch::{BOB, Folder, records};
use e2e::{ALICE, CTL, ROOT, alone, until};

/// A job that is done at once, and leaves its name.
fn script(folder: &Folder, name: &str) -> String {
    // Many at once: Slurm is not asked for memory by default that two nodes don't have.
    format!(
        "#!/bin/bash\n#SBATCH --output=/dev/null\n#SBATCH --mem=1M\n#SBATCH --comment=soak\necho {name} >> {}/ran\n",
        folder.path
    )
}

fn count(variable: &str, few: usize) -> usize {
    std::env::var(variable).map_or(few, |text| text.parse().expect("a number"))
}

/// Puts so many files there in one go.
fn put_many(folder: &Folder, names: &[String]) {
    let line = r#"cd "$0/submit" && while read -r name; do printf '#!/bin/bash\n#SBATCH --output=/dev/null\n#SBATCH --mem=1M\n#SBATCH --hold\necho %s\n' "$name" > ".$name" && mv ".$name" "$name"; done"#;
    let input = names.iter().map(|name| format!("{name}\n")).collect::<String>();
    let _ = ALICE.run_with(&["bash", "-c", line, &folder.path], input.as_bytes()).ok();
}

/// Every file has one record, and each record's job is the only one with its mark.
fn each_once(folder: &Folder, names: &[String], patience: Duration) {
    let deadline = Instant::now() + patience;
    loop {
        let done = records(&folder.path).len();
        if done >= names.len() && folder.names("submit").is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{done} of {} are done\n{}", names.len(), folder.log());
        std::thread::sleep(Duration::from_millis(300));
    }
    let records = records(&folder.path);
    let told: BTreeSet<_> = records.values().map(|record| record["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, names.iter().cloned().collect(), "{}", folder.log());
    assert_eq!(records.len(), names.len(), "{}", folder.log());
    assert_eq!(folder.names("failed"), Vec::<String>::new());
    // slurmctld knows exactly one job of each, and none that has no record.
    let jobs = folder.jobs();
    let doubled: Vec<_> = jobs.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}\n{}", folder.log());
    for id in records.keys() {
        assert_eq!(jobs.get(id), Some(&1), "{id}\n{}", folder.log());
    }
}

/// Ends what was submitted; the jobs were held.
fn cancel(folder: &Folder) {
    let jobs: Vec<_> = records(&folder.path).values().map(|record| record["job"].to_string()).collect();
    for some in jobs.chunks(200) {
        let argv: Vec<_> = ["scancel"].into_iter().chain(some.iter().map(String::as_str)).collect();
        let _ = ROOT.run(&argv);
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

/// Not the same in each run, and repeatable by the number that is printed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = u64::from(std::process::id());
        println!("seed {seed}");
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

#[test]
fn killed_at_random_points_nothing_is_lost_or_doubled() {
    let _alone = alone();
    let kills = count("SOAK_WATCH_KILLS", 20);
    let folder = Folder::new("");
    let mut random = Random::new();
    let (mut all, mut watcher) = (Vec::new(), folder.start());
    for round in 0..kills {
        let more = names(&format!("kill{round}-"), 6);
        put_many(&folder, &more);
        all.extend(more);
        std::thread::sleep(Duration::from_millis(random.below(1200)));
        std::mem::replace(&mut watcher, folder.start()).kill();
    }
    each_once(&folder, &all, Duration::from_secs(60 + kills as u64 * 2));
    assert_eq!(watcher.end(), Some(0));
    let log = folder.log();
    println!("{kills} kills, {} files, {} times taken over", all.len(), log.matches("takes over ").count());
    // One that is killed before it could say who it is leaves an empty folder, until its lease ends.
    let left = folder.names("processing");
    assert!(left.iter().all(|name| !name.contains('/') || name.ends_with("/.watcher.json.new")), "{left:?}\n{log}");
    cancel(&folder);
}

#[test]
fn two_watchers_that_are_killed_in_turn_submit_each_file_once() {
    let _alone = alone();
    let folder = Folder::new("");
    let mut random = Random::new();
    let mut watchers = [folder.start(), folder.start()];
    let mut all = Vec::new();
    for round in 0..count("SOAK_WATCH_KILLS", 20).div_ceil(4) {
        let more = names(&format!("two{round}-"), 8);
        put_many(&folder, &more);
        all.extend(more);
        std::thread::sleep(Duration::from_millis(random.below(1000)));
        std::mem::replace(&mut watchers[round % 2], folder.start()).kill();
    }
    each_once(&folder, &all, Duration::from_secs(120));
    let log = folder.log();
    let lines = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert!(lines("begins     ") >= 2 && lines("submitted  ") >= all.len(), "{log}");
    cancel(&folder);
}

#[test]
fn a_thousand_files_at_once() {
    let _alone = alone();
    let folder = Folder::new("");
    let all = names("many", count("SOAK_WATCH_FILES", 100));
    put_many(&folder, &all);
    let begin = Instant::now();
    let watcher = folder.start();
    // Another user's file does not wait for all of them.
    std::thread::sleep(Duration::from_secs(1));
    folder.put(BOB, "bobs.sh", &script(&folder, "bob").replace("--comment=soak", "--hold"));
    until("bob's file has its job", || {
        let there = records(&folder.path).values().any(|record| record["user"] == "bob");
        there.then_some(()).ok_or_else(|| folder.log())
    });
    let bobs = begin.elapsed();
    let mut with_bobs = all.clone();
    with_bobs.push("bobs.sh".into());
    until("all are done", || {
        let done = records(&folder.path).len();
        (done == with_bobs.len() || begin.elapsed() > Duration::from_secs(50)).then_some(()).ok_or(done.to_string())
    });
    let deadline = begin + Duration::from_secs(60 + all.len() as u64);
    while records(&folder.path).len() < with_bobs.len() {
        assert!(Instant::now() < deadline, "{}", folder.log());
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("{} files in {:.1} s; bob's after {:.1} s", all.len(), begin.elapsed().as_secs_f64(), bobs.as_secs_f64());
    cancel(&folder);
    assert_eq!(watcher.end(), Some(0));
}

#[test]
fn once_for_cron_takes_what_is_there() {
    let _alone = alone();
    let folder = Folder::new("");
    folder.put(ALICE, "one.sh", &script(&folder, "one"));
    folder.put(ALICE, "two.sh", "#!/bin/bash\n#K8S_IMGAE=x\n");
    let ran = folder.once().ok();
    assert!(ran.errors().contains("submitted  one.sh of alice: job "), "{}", ran.errors());
    assert_eq!(records(&folder.path).len(), 1);
    assert_eq!(folder.names("failed").len(), 2);
    assert!(folder.names("submit").is_empty() && folder.names("processing").is_empty());
}

#[test]
fn on_a_full_disk_files_wait() {
    let _alone = alone();
    let path = "/run/watch-small";
    let line =
        "mkdir -p $0 && mount -t tmpfs -o size=256k,mode=755 tmpfs $0 && mkdir -m 755 $0/log && chown -R slurm: $0";
    let _ = CTL.run(&["bash", "-c", line, path]).ok();
    let folder = Folder::at(path.to_owned(), "");
    let _ = folder.once().ok();
    let alice = e2e::At { host: "ctl", ..ALICE };
    for name in names("full", 5) {
        folder.put(alice, &name, "#!/bin/bash\n#SBATCH --output=/dev/null\n#SBATCH --hold\ntrue\n");
    }
    let fill = format!("{path}/fill");
    let _ = CTL.run(&["bash", "-c", "dd if=/dev/zero of=$0 bs=4k; sync", &fill]);
    let ran = folder.once().ended_with(1);
    assert!(ran.errors().contains("No space left on device"), "{}", ran.errors());
    let _ = CTL.run(&["rm", &fill]).ok();
    let _ = folder.once().ok();
    each_once(&folder, &names("full", 5), Duration::from_secs(20));
    cancel(&folder);
    let _ = CTL.run(&["umount", path]);
}

#[test]
fn a_script_that_stops_its_sbatch_holds_up_nobody_else() {
    let _alone = alone();
    let folder = Folder::new("");
    let fifo = format!("{}/submit/.fifo", folder.path);
    let watcher = folder.start();
    until("it has begun", || {
        if folder.names("submit").is_empty() && folder.log().contains("begins ") { Ok(()) } else { Err(folder.log()) }
    });
    let _ = ALICE.run(&["mkfifo", &fifo]).ok();
    for name in names("hang", 6) {
        folder.put(ALICE, &name, &format!("#!/bin/bash\n#SBATCH --bbf={fifo}\ntrue\n"));
    }
    folder.put(BOB, "bobs.sh", "#!/bin/bash\n#SBATCH --output=/dev/null\n#SBATCH --wait\nsleep 5\n");
    until("bob's file has its job", || {
        let there = records(&folder.path).values().any(|record| record["user"] == "bob");
        there.then_some(()).ok_or_else(|| folder.log())
    });
    let hanging = sbatches();
    assert!((1..=4).contains(&hanging.len()), "{hanging:?}");
    for process in &hanging {
        // Nothing of the watcher's: no rights, and no file but the one for its answer.
        assert!(process.status.contains("\nUid:\t1000\t1000\t1000\t1000\n"), "{}", process.status);
        for rights in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert!(process.status.contains(&format!("\n{rights}:\t0000000000000000\n")), "{}", process.status);
        }
        let of_folder: Vec<_> = process.files.iter().filter(|file| file.contains(&folder.path)).collect();
        assert!(of_folder.iter().all(|file| file.ends_with("/answer")) && of_folder.len() == 1, "{of_folder:?}");
    }
    // They end with it.
    watcher.kill();
    until("no sbatch is left", || if sbatches().is_empty() { Ok(()) } else { Err(format!("{:?}", sbatches())) });
}

#[derive(Debug)]
struct Process {
    status: String,
    files: Vec<String>,
}

/// The sbatch processes of alice, who is in no other test meanwhile.
fn sbatches() -> Vec<Process> {
    let text = |path: String| std::fs::read_to_string(path).unwrap_or_default();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let of_alice = pids.filter(|pid| text(format!("/proc/{pid}/comm")) == "sbatch\n");
    let of_alice = of_alice.map(|pid| (pid, text(format!("/proc/{pid}/status"))));
    let of_alice = of_alice.filter(|(_, status)| status.contains("\nUid:\t1000\t") && !status.contains("\nState:\tZ"));
    let files = |pid: u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| Some(std::fs::read_link(file.path()).ok()?.display().to_string())).collect()
    };
    of_alice.map(|(pid, status)| Process { status, files: files(pid) }).collect()
}

#[test]
fn what_is_wrong_with_the_folders_is_told() {
    let _alone = alone();
    let folder = Folder::new("");
    let submit = format!("{}/submit", folder.path);
    let _ = CTL.run(&["chmod", "0777", &submit]).ok();
    let ran = folder.once().ended_with(1);
    assert!(ran.errors().starts_with("slurm-k8s: users can move each other's files in "), "{}", ran.errors());
    assert!(ran.errors().ends_with("hint: chmod 1777 it"), "{}", ran.errors());
    let _ = CTL.run(&["chown", "alice", &submit]).ok();
    let ran = folder.once().ended_with(1);
    assert!(ran.errors().contains("belongs to uid 1000, not to uid"), "{}", ran.errors());
}
