//! The batch script as slurmd has written it for this job, put back as its user wrote it ([`honour`]).

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use slurm_k8s_core::honour;

/// More than the first line of a marked script needs: a path and a few words.
const BEGINNING: u64 = 8192;

/// Takes the mark out of the script. slurmstepd has made the file in a folder that only root can change, and executes it
/// by its name: the new one has that name from one moment to the next.
pub fn restore(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let mut script = Vec::new();
    (&mut file).take(BEGINNING).read_to_end(&mut script)?;
    if !honour::is_marked(&script) {
        return Ok(());
    }
    file.read_to_end(&mut script)?;
    let Some(own) = honour::unmark(&script) else { return Ok(()) };
    let draft = path.with_extension("new");
    let _ = std::fs::remove_file(&draft);
    let written = write(&draft, &own, &file).and_then(|()| std::fs::rename(&draft, path));
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(&draft);
    })
}

/// Owner and mode are those of the file that it replaces.
fn write(draft: &Path, script: &[u8], like: &File) -> io::Result<()> {
    let meta = like.metadata()?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(script)?;
    std::os::unix::fs::fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
    file.set_permissions(Permissions::from_mode(meta.mode() & 0o7777))
}
