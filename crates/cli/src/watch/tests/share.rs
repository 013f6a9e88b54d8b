//! Several watchers at one folder.

use super::slurm::FakeSlurm;
use super::*;

const LEASE: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn two_watchers_take_each_file_once() {
    let (site, slurm) = (Site::new(), FakeSlurm::default());
    (0..20).for_each(|n| site.put(&format!("job{n}"), SCRIPT));
    let lives = [(); 2].map(|()| Life::begin(&site, &slurm, &Steps::default()).unwrap());
    // Both have seen all files.
    let files = [0, 1].map(|n: usize| lives[n].ready().unwrap());
    let mut claims = [Vec::new(), Vec::new()];
    for n in 0..20 {
        for (life, (files, claims)) in lives.iter().zip(files.iter().zip(&mut claims)) {
            // They begin at opposite ends and meet.
            let file = if claims.len() % 2 == 0 { &files[n] } else { &files[19 - n] };
            claims.extend(crate::watch::service::take(&life.work, file).unwrap());
        }
    }
    for (life, claims) in lives.iter().zip(&mut claims) {
        claims.extend(
            life.ready().unwrap().iter().filter_map(|file| crate::watch::service::take(&life.work, file).unwrap()),
        );
        for claim in claims {
            assert!(matches!(life.work.go_on(claim).await.unwrap(), Outcome::Done(Some(_))));
        }
    }
    assert_eq!(slurm.jobs.borrow().len(), 20);
    assert_eq!((site.names("submit").len(), site.names("processed").len()), (0, 40));
}

#[tokio::test]
async fn who_was_taken_over_submits_nothing_more() {
    let (site, slurm) = (Site::new(), FakeSlurm::default());
    site.put("job", SCRIPT);
    let slow = Life::begin(&site, &slurm, &Steps::default()).unwrap();
    let file = slow.ready().unwrap().remove(0);
    let mut claim = crate::watch::service::take(&slow.work, &file).unwrap().unwrap();
    live(&site, &slurm).await;
    assert_eq!(slurm.jobs.borrow().len(), 1);
    // It wakes up with the folder still open.
    let result = slow.work.go_on(&mut claim).await;
    assert!(!matches!(&result, Ok(Outcome::Done(Some(_)))), "{result:?}");
    assert!(slow.work.instance.beat(&slow.work.disk, &slow.work.folders).unwrap_err().is_absent());
    assert_eq!(slurm.jobs.borrow().len(), 1);
}

#[test]
fn only_the_dead_are_taken_over() {
    let (site, slurm) = (Site::new(), FakeSlurm::default());
    site.put("job", SCRIPT);
    let disk = Disk::default();
    let folders = Folders::open(&disk, site.folder.path()).unwrap();
    let mine = Instance::start(&disk, &folders, Process::this()).unwrap();
    let of = |process: Process| {
        let owner = Instance::start(&disk, &folders, process).unwrap();
        let id = format!("20261126-030405-{:012x}", crate::clock::random().unwrap() >> 16);
        disk.make(&owner.folder, id.as_bytes(), 0o711).unwrap();
        owner
    };
    let taken = |lease| mine.take_over(&disk, &folders, lease, &mut |error| panic!("{error}")).unwrap().len();
    // This process, an earlier one with its number, one of another host.
    let _alive = of(Process::this());
    assert_eq!(taken(Duration::ZERO), 0);
    let _dead = of(Process { start: "1".into(), ..Process::this() });
    assert_eq!(taken(LEASE), 1);
    let _remote = of(Process { boot: "other".into(), ..Process::this() });
    assert_eq!(taken(LEASE), 0);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(taken(Duration::from_millis(10)), 1);
    drop(slurm);
}
