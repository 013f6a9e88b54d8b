//! One look at the names, and what Slurm says of their jobs.

use std::collections::{BTreeMap, BTreeSet};

use slurm_k8s_core::collect::job::Job;

use super::trial::Key;
use crate::collect::queue::Entry;
use crate::collect::slurm::{self, Word};
use crate::collect::work::{Work, WorkError};

/// So many jobs that slurmctld has forgotten are asked for in one look.
const FORGOTTEN: usize = 200;

/// A job that can be collected.
pub struct Ready {
    /// Its name.
    pub entry: Entry,
    /// What is known of it, if slurmctld has forgotten it.
    pub job: Option<Job>,
}

/// What was seen.
pub struct Look {
    /// All names.
    pub names: BTreeSet<Key>,
    /// Those of jobs that have ended.
    pub ready: Vec<Ready>,
    /// Those of jobs that nobody knows.
    pub unknown: Vec<Entry>,
    /// What went wrong with some of them.
    pub trouble: Option<WorkError>,
}

/// Looks. `busy` are left out; `asked` were unknown a moment ago.
pub async fn look(work: &Work, busy: Vec<Key>, asked: Vec<Key>) -> Result<Look, WorkError> {
    let (entries, trouble) = work.on_disk(crate::collect::queue::Queue::entries).await?;
    let names = entries.iter().map(Entry::key).collect();
    let trouble = trouble.map(WorkError::from);
    let mut look = Look { names, ready: Vec::new(), unknown: Vec::new(), trouble };
    let (busy, asked) = (BTreeSet::from_iter(busy), BTreeSet::from_iter(asked));
    let mut seen = BTreeSet::new();
    // Of two names of one job the second has its turn when the first is gone.
    let waiting = entries.into_iter().filter(|entry| !busy.contains(&entry.key()) && seen.insert(entry.key()));
    let waiting: Vec<_> = waiting.collect();
    if waiting.is_empty() {
        return Ok(look);
    }
    crate::slurm::sees_all().await?;
    let known = slurm::known().await?;
    let forgotten = waiting.iter().filter(|entry| !known.contains_key(&entry.id) && !asked.contains(&entry.key()));
    let forgotten: BTreeSet<&str> = forgotten.map(|entry| entry.id.as_str()).take(FORGOTTEN).collect();
    let ids: Vec<_> = forgotten.iter().copied().collect();
    let answer = if ids.is_empty() { Ok(BTreeMap::new()) } else { slurm::accounted(&ids).await };
    let unanswered = answer.is_err();
    let accounted = answer.unwrap_or_else(|error| {
        look.trouble = Some(error.into());
        BTreeMap::new()
    });
    let forgotten: BTreeSet<String> = forgotten.into_iter().map(str::to_owned).collect();
    for entry in waiting {
        match slurm::judge(entry.uid, known.get(&entry.id), accounted.get(&entry.id).cloned()) {
            Word::Foreign => {
                if let Err(error) = work.on_disk(move |queue| queue.drop_foreign(entry)).await {
                    look.trouble = Some(error);
                }
            }
            Word::Over(job) => look.ready.push(Ready { entry, job }),
            Word::Unknown if forgotten.contains(&entry.id) && !unanswered => look.unknown.push(entry),
            Word::Open | Word::Unknown => {}
        }
    }
    Ok(look)
}
