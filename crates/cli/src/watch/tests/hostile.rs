//! Files as a hostile user makes them.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use super::slurm::FakeSlurm;
use super::*;

async fn reason(make: impl FnOnce(&Site)) -> String {
    let (site, slurm) = (Site::new(), FakeSlurm::default());
    std::fs::create_dir_all(site.path("submit")).unwrap();
    make(&site);
    live(&site, &slurm).await;
    assert!(slurm.jobs.borrow().is_empty());
    assert_eq!(site.names("processing"), Vec::<String>::new());
    std::fs::read_to_string(site.path("failed/x.reason.txt")).unwrap()
}

#[tokio::test]
async fn what_is_no_plain_file_is_refused_with_a_reason() {
    let link = |site: &Site| std::os::unix::fs::symlink("/etc/shadow", site.path("submit/x")).unwrap();
    assert!(reason(link).await.contains("it is a symbolic link, not a file"));
    let fifo = |site: &Site| {
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, site.path("submit/x"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    assert!(reason(fifo).await.contains("it is a FIFO, a socket or a device"));
    let linked = |site: &Site| {
        site.put("x", SCRIPT);
        std::fs::hard_link(site.path("submit/x"), site.path("other")).unwrap();
    };
    assert!(reason(linked).await.contains("it has 2 names"));
    let open = |site: &Site| {
        site.put("x", SCRIPT);
        std::fs::set_permissions(site.path("submit/x"), std::fs::Permissions::from_mode(0o666)).unwrap();
    };
    assert!(reason(open).await.contains("others may write it (mode 0666)"));
    let large = |site: &Site| site.put("x", &format!("{SCRIPT}{}", "#".repeat(5 << 20)));
    assert!(reason(large).await.contains("scripts have at most 4 MiB"));
    let wrong = |site: &Site| site.put("x", "#!/bin/sh\n#K8S_IMGAE=a\ntrue\n");
    assert!(reason(wrong).await.contains("x:2:1: error: there is no #K8S_IMGAE\n  hint: did you mean #K8S_IMAGE?"));
}

#[tokio::test]
async fn a_folder_stays_and_is_told_once() {
    let (site, slurm) = (Site::new(), FakeSlurm::default());
    std::fs::create_dir_all(site.path("submit/x/y")).unwrap();
    live(&site, &slurm).await;
    live(&site, &slurm).await;
    assert_eq!(site.names("submit"), ["x"]);
    assert_eq!(site.names("failed"), ["x.reason.txt"]);
}

#[tokio::test]
async fn every_name_is_submitted() {
    let long = "ㄱ".repeat(85);
    let names: &[&[u8]] = &[
        b"-x",
        b"a b",
        b"two\nlines",
        b"\xff\xfe",
        b"x.json",
        b"x.reason.txt",
        b"--wrap=id",
        b"$(id)",
        long.as_bytes(),
    ];
    let (site, slurm) = (Site::new(), FakeSlurm::default());
    site.put("first", SCRIPT);
    for name in names {
        std::fs::rename(site.path("submit/first"), site.path("submit").join(std::ffi::OsStr::from_bytes(name)))
            .unwrap();
        site.put("first", SCRIPT);
    }
    live(&site, &slurm).await;
    assert_eq!(slurm.jobs.borrow().len(), names.len() + 1);
    assert_eq!(site.names("processed").len(), 2 * (names.len() + 1));
    assert_eq!(site.names("submit"), Vec::<String>::new());
    assert!(slurm.jobs.borrow().iter().all(|job| job.name.as_ref().is_some_and(|name| !name.contains('\n'))));
}

#[tokio::test]
async fn the_same_name_again_loses_no_earlier_file() {
    let (site, slurm) = (Site::new(), FakeSlurm::default());
    for round in 0..3 {
        site.put("x", &format!("#!/bin/sh\n#K8S_NO={round}\n"));
        // As if it were the reason of the first one.
        site.put("x.reason.txt", &format!("#!/bin/sh\n#K8S_NO={round}\n"));
        live(&site, &slurm).await;
    }
    let texts: std::collections::BTreeSet<_> =
        site.names("failed").iter().map(|name| std::fs::read(site.path("failed").join(name)).unwrap()).collect();
    assert_eq!((site.names("failed").len(), texts.len()), (12, 9));
}

#[tokio::test]
async fn unfinished_files_are_left() {
    let (site, slurm) = (Site::new(), FakeSlurm::default());
    [".job.sh", "job.sh~", "job.sh.part"].iter().for_each(|name| site.put(name, SCRIPT));
    live(&site, &slurm).await;
    assert_eq!(site.names("submit").len(), 3);
    assert!(slurm.jobs.borrow().is_empty());
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_taken_is_waited_for() {
    let (mut site, slurm) = (Site::new(), FakeSlurm::default());
    site.put("x", "#!/bin/sh\n");
    site.config.watch.settle = Duration::from_millis(200);
    let life = Life::begin(&site, &slurm, &Steps::default()).unwrap();
    let file = life.ready().unwrap().remove(0);
    let writer = std::fs::OpenOptions::new().append(true).open(site.path("submit/x")).unwrap();
    let mut claim = super::super::service::take(&life.work, &file).unwrap().unwrap();
    std::io::Write::write_all(&mut &writer, b"#SBATCH --comment=mine\ntrue\n").unwrap();
    assert!(matches!(life.work.go_on(&mut claim).await.unwrap(), Outcome::Later(_)));
    std::thread::sleep(Duration::from_millis(250));
    assert!(matches!(life.work.go_on(&mut claim).await.unwrap(), Outcome::Done(Some(_))));
    assert_eq!(slurm.jobs.borrow()[0].script, SCRIPT.as_bytes());
}

#[test]
fn folders_that_users_could_move_files_in_are_not_watched() {
    for (folder, mode, text) in [
        ("submit", 0o777, "users can move each other's files in"),
        ("processing", 0o1777, "others can write"),
        ("failed", 0o775, "others can write"),
    ] {
        let site = Site::new();
        std::fs::create_dir(site.path(folder)).unwrap();
        std::fs::set_permissions(site.path(folder), std::fs::Permissions::from_mode(mode)).unwrap();
        let error = Folders::open(&Disk::default(), site.folder.path()).unwrap_err();
        assert!(error.to_string().starts_with(text), "{error}");
    }
    let site = Site::new();
    std::os::unix::fs::symlink("/tmp", site.path("submit")).unwrap();
    assert!(Folders::open(&Disk::default(), site.folder.path()).is_err());
}
