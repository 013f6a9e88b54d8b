//! Looking at files with a user's rights, from a process that is root's.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

/// Runs `work` on a thread of its own that has the file system rights of this user and nobody else's, and waits for it at
/// most `limit`: a network file system that does not answer must not hold the caller. None if it took longer.
///
/// setfsuid(2), setfsgid(2) and the bare setgroups(2) change one thread only; the C library's wrapper of the last one
/// would change all. Leaving user id 0 as file system id takes the thread's capabilities over files away as well.
pub fn as_user<T, F>(uid: u32, gid: u32, groups: &[u32], limit: Duration, work: F) -> io::Result<Option<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (done, result) = mpsc::channel();
    let groups = groups.to_vec();
    std::thread::Builder::new().name("spank-k8s-user".into()).spawn(move || {
        let _ = crate::block_signals();
        let answer = assume(uid, gid, &groups).map(|()| work());
        let _ = done.send(answer);
    })?;
    match result.recv_timeout(limit) {
        Ok(answer) => answer.map(Some),
        Err(mpsc::RecvTimeoutError::Timeout) => Ok(None),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(io::Error::other("the thread ended without an answer")),
    }
}

/// Only for a thread that ends afterwards: the rights do not come back.
fn assume(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: the kernel reads `groups.len()` numbers of 32 bits from the slice, which outlives the call; the other
    // calls take plain integers. All of them change this thread alone.
    let (user, group) = unsafe {
        let set = libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr());
        // Who may not change groups may not change users either, and can only look as itself.
        if set != 0 && libc::geteuid() != uid {
            return Err(io::Error::last_os_error());
        }
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        // They report no error; asked again with an impossible id, they tell what holds.
        (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX))
    };
    let same = |now: libc::c_int, wanted: u32| u32::try_from(now).is_ok_and(|now| now == wanted);
    if same(user, uid) && same(group, gid) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_thread_has_the_users_rights_and_the_process_keeps_its_own() {
        if !rustix::process::geteuid().is_root() {
            // Only root can take another user's rights.
            return;
        }
        let folder = std::env::temp_dir().join(format!("as-user-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        let inside = folder.join("x");
        let look = inside.clone();
        let kind =
            as_user(65534, 65534, &[], Duration::from_secs(5), move || std::fs::metadata(look).unwrap_err().kind());
        assert_eq!(kind.unwrap(), Some(io::ErrorKind::PermissionDenied));
        assert_eq!(std::fs::metadata(inside).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::remove_dir(folder).unwrap();
    }

    #[test]
    fn it_does_not_wait_for_ever() {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let slow = as_user(uid, gid, &[gid], Duration::from_millis(20), || std::thread::sleep(Duration::from_secs(2)));
        assert_eq!(slow.unwrap(), None);
    }
}
