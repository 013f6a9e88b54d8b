//! The accounting database: a MariaDB of our own on the controller, by its socket only.

use crate::account::{self, SystemUser};
use crate::command::{self, CommandError};
use crate::daemon::{Daemon, DaemonError};
use crate::folder::{self, FolderError};
use crate::host::CTL;
use crate::{paths, wait};
use std::convert::Infallible;
use std::process::Command;
use std::time::Duration;

/// The socket's path on the controller, where Debian's clients look for it.
const SOCKET: &str = "/run/mysqld/mysqld.sock";

/// Why the database does not run.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The user mysql is not there.
    #[error(transparent)]
    User(#[from] account::UnknownUser),
    /// A folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A database command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The sign that the data folder is complete could not be written.
    #[error("could not note that the database is made")]
    Note(#[source] std::io::Error),
    /// The daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// It does not answer.
    #[error(transparent)]
    Late(#[from] wait::WaitError<Infallible>),
}

/// The daemon.
pub fn daemon() -> Daemon {
    let socket = format!("--socket={SOCKET}");
    let argv = [
        "mariadbd",
        "--no-defaults",
        "--user=mysql",
        "--datadir=/var/lib/mysql",
        "--skip-networking",
        "--innodb-buffer-pool-size=64M",
        "--innodb-log-file-size=16M",
        "--innodb-lock-wait-timeout=900",
        "--innodb-flush-log-at-trx-commit=0",
        &socket,
    ];
    Daemon::new(CTL, "mariadbd", argv)
}

/// Makes the data folder if need be, starts the daemon and lets slurmdbd in.
pub fn bring_up() -> Result<(), DatabaseError> {
    let SystemUser { uid, gid } = account::system(CTL, "mysql")?;
    folder::make(CTL, "/run/mysqld", 0o755, uid, gid)?;
    folder::make(CTL, "/var/lib/mysql", 0o755, uid, gid)?;
    let made = paths::state("run/ctl/database-made");
    let daemon = daemon();
    if !made.exists() {
        // A killed run may have left half of it.
        daemon.stop(Duration::from_secs(10))?;
        command::run(CTL.command("find", ["/var/lib/mysql", "-mindepth", "1", "-delete"]))?;
        let argv =
            ["--no-defaults", "--user=mysql", "--datadir=/var/lib/mysql", "--skip-test-db", "--skip-name-resolve"];
        command::run(CTL.command("mariadb-install-db", argv))?;
        std::fs::write(&made, "").map_err(DatabaseError::Note)?;
    }
    daemon.start()?;
    wait::until("the database", Duration::from_secs(60), &[daemon.log()], || Ok(ready()))?;
    // slurmdbd would make the database, and then fail by MariaDB 11.8.9: its client library takes no result with columns
    // on a handle whose first connection was refused for want of the database.
    let sql = "CREATE DATABASE IF NOT EXISTS slurm_acct_db; CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED VIA unix_socket; \
               GRANT ALL ON slurm_acct_db.* TO slurm@localhost";
    command::run(client(&["--execute", sql]))?;
    Ok(())
}

/// Whether it answers.
pub fn ready() -> bool {
    command::succeeds(client(&["--execute", "SELECT 1"]))
}

fn client(arguments: &[&str]) -> Command {
    let socket = format!("--socket={SOCKET}");
    let mut command = CTL.command("mariadb", ["--no-defaults", &socket]);
    command.args(arguments);
    command
}
