use super::*;
use slurm_k8s_core::metrics::gc::WHY;

fn pod(uid: &str) -> Pod {
    let (namespace, name) = ("slurm-jobs".to_owned(), "p".to_owned());
    Pod { namespace, name, uid: uid.into(), job: Some(1), created: 0, finished: None, kept: false, leaving: false }
}

fn verdict(delete: bool, lack: Option<Lack>) -> Verdict {
    Verdict { delete, lack, why: String::new() }
}

#[test]
fn an_orphan_is_one_until_it_is_not_there() {
    let mut tally = Tally::new(&[], None);
    let [orphan, young, finished] = ["a", "b", "c"].map(pod);
    let gone = verdict(true, Some(Lack::NoJob));
    let (soon, done) = (verdict(false, Some(Lack::JobEnded)), verdict(true, Some(Lack::Finished)));
    tally.judged(&[(&orphan, gone.clone()), (&young, soon), (&finished, done)], true);
    assert_eq!((tally.figures.pods, tally.figures.orphans), (3, 1));
    // Its node is lost: the deletion does not come to an end.
    tally.judged(&[(&Pod { leaving: true, ..orphan.clone() }, verdict(false, None))], true);
    assert_eq!(tally.figures.orphans, 1);
    tally.judged(&[(&orphan, verdict(false, None))], false);
    assert_eq!(tally.figures.orphans, 1);
    tally.judged(&[(&orphan, verdict(false, None))], true);
    assert_eq!(tally.figures.orphans, 0);
    tally.judged(&[(&orphan, gone)], true);
    tally.judged(&[], false);
    assert_eq!((tally.figures.pods, tally.figures.orphans), (0, 0));
}

#[test]
fn the_api_server_is_up_when_every_namespace_can_be_watched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gc.prom");
    let mut tally = Tally::new(&["one".into(), "two".into()], Some(path.clone()));
    let up = |tally: &mut Tally| {
        tally.write();
        std::fs::read_to_string(&path).unwrap().contains("\nslurm_k8s_gc_api_up 1\n")
    };
    tally.back("one");
    assert!(!up(&mut tally));
    tally.back("two");
    assert!(up(&mut tally));
    tally.away("one");
    assert!(!up(&mut tally));
    // It has just been written.
    assert_eq!(tally.to_ask(), None);
}

#[test]
fn every_reason_has_its_word() {
    let lacks = [Lack::Finished, Lack::JobEnded, Lack::EarlierRun, Lack::NoJob];
    assert_eq!(lacks.map(Lack::label), WHY.values);
}
