//! A service on the controller, of a test's own.

use std::process::{Child, Stdio};

use crate::CTL;

/// Its process, which ends with this.
#[derive(Debug)]
pub struct Service(Child);

impl Service {
    /// Starts it.
    #[must_use]
    pub fn start(argv: &[&str]) -> Self {
        let mut command = CTL.command(argv);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the service starts"))
    }

    /// SIGKILL, to this process alone.
    pub fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// SIGTERM; its exit code.
    #[must_use]
    pub fn end(mut self) -> Option<i32> {
        let _ = std::process::Command::new("kill").arg(self.0.id().to_string()).status();
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
