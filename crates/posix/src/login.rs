//! Starting a program as a user, from a service that may become any user.

use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Whom a program is started as, and how.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user.
    pub uid: u32,
    /// The main group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
    /// Where it begins, entered with the user's rights.
    pub folder: CString,
    /// Its umask.
    pub umask: u32,
    /// After so many seconds it is killed (SIGALRM), also when nobody waits for it any more.
    pub seconds: u32,
}

/// Makes a command start as this user, in a session of its own, without any of this process's capabilities. It ends with
/// the thread that starts it.
pub fn start_as(command: &mut Command, login: Login) {
    let parent = std::process::id();
    // SAFETY: between fork and exec the closure only makes system calls, on data that was made before the fork; it
    // allocates nothing and takes no lock.
    unsafe { command.pre_exec(move || login.assume(parent)) };
}

impl Login {
    /// In the child, which has one thread. The calls are the kernel's own: the C library's would look for other threads.
    fn assume(&self, parent: u32) -> io::Result<()> {
        /// `struct __user_cap_header_struct` of version 3: version and pid.
        const HEADER: [u32; 2] = [0x2008_0522, 0];
        /// Twice effective, permitted, inheritable.
        const NONE: [u32; 6] = [0; 6];
        let (uid, gid) = (self.uid, self.gid);
        // SAFETY: pointers are to data that outlives the calls: `groups.len()` numbers of 32 bits, a header and two
        // structs of three numbers each for capset(2), a C string. The other calls take plain integers.
        unsafe {
            check(i64::from(libc::setsid()))?;
            if libc::geteuid() != uid || libc::getuid() != uid {
                check(libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr()))?;
                check(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
                check(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
            }
            // From one ordinary user to another, capabilities would stay.
            check(i64::from(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)))?;
            if uid != 0 {
                check(libc::syscall(libc::SYS_capset, HEADER.as_ptr(), NONE.as_ptr()))?;
            }
            // After the change of user, which takes it back.
            check(i64::from(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)))?;
            if u32::try_from(libc::getppid()) != Ok(parent) {
                // The parent has died meanwhile.
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            libc::alarm(self.seconds);
            libc::umask(self.umask);
            check(i64::from(libc::chdir(self.folder.as_ptr())))
        }
    }
}

fn check(result: i64) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(uid: u32, seconds: u32) -> Login {
        Login { uid, gid: uid, groups: vec![uid, 5000], folder: c"/tmp".into(), umask: 0o027, seconds }
    }

    fn said(login: Login, line: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env_clear().env("PATH", "/usr/bin:/bin");
        start_as(&mut command, login);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    #[test]
    fn the_program_is_the_users_and_has_no_capabilities() {
        if !rustix::process::geteuid().is_root() {
            // Only root can become another user.
            return;
        }
        let line = "id -u; id -G; pwd; umask; grep -h '^Cap[IPEA]' /proc/self/status | tr -d '\\n'";
        let none =
            "CapInh:\t0000000000000000CapPrm:\t0000000000000000CapEff:\t0000000000000000CapAmb:\t0000000000000000";
        assert_eq!(said(login(65534, 20), line), format!("65534\n65534 5000\n/tmp\n0027\n{none}"));
    }

    #[test]
    fn it_is_killed_after_its_time() {
        let mut command = Command::new("sleep");
        command.arg("30");
        start_as(&mut command, login(rustix::process::geteuid().as_raw(), 1));
        let status = command.status().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGALRM));
    }
}
