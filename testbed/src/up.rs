//! Brings the testbed up, or mends it: each step looks first and does only what is missing.

use crate::host::{ALL, keeper::KeeperError};
use crate::product::{self, ProductError};
use crate::site::{self, Site};
use crate::step::step;
use crate::{account, database, image, kubernetes, munge, network, packages, slurm, status};
use std::error::Error;
use std::time::{Duration, Instant};

/// What can't be had.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// Another Slurm than Debian's.
    #[error("Slurm {version}: not yet, this testbed brings up 22.05")]
    Slurm {
        /// The wish.
        version: String,
    },
}

/// Brings everything up and shows what is ready. Gives whether all of it is.
pub fn run(site: &Site) -> Result<bool, Box<dyn Error>> {
    let begin = Instant::now();
    if site.slurm != "22.05" {
        return Err(WishError::Slurm { version: site.slurm.clone() }.into());
    }
    packages::check_machine()?;
    let _lock = site::lock(Duration::from_secs(600))?;
    let missing = packages::missing();
    if missing.is_empty() {
        step("packages", packages::install)?;
    } else {
        step(&format!("packages ({})", missing.join(" ")), packages::install)?;
    }
    account::make_shared()?;
    site.save()?;
    let hosts = site.hosts();
    for unwanted in ALL.iter().filter(|host| !hosts.contains(host)) {
        unwanted.kill_all(Duration::from_secs(15))?;
    }
    step("hosts", || hosts.iter().try_for_each(|host| host.bring_up().map(|_| ())).map_err(Box::<KeeperError>::new))?;
    step("network", || network::bring_up(&hosts))?;
    step("munge", || hosts.iter().try_for_each(|host| munge::bring_up(*host)))?;
    step("database", database::bring_up)?;
    let changed = slurm::configure(site)?;
    step("accounting", slurm::bring_up_accounting)?;
    product::prepare(site)?;
    let installed = step("spank-k8s on the hosts", || match product::install(site) {
        Err(ProductError::NotBuilt { path }) => {
            eprintln!("    {} is not built: run `make build`, then `cargo testbed install`", path.display());
            Ok(product::Changed::default())
        }
        result => result,
    })?;
    step("slurm", || slurm::bring_up(site, changed || installed.plugin || installed.submit))?;
    kubernetes::up(site.nodes())?;
    product::start_gc(installed)?;
    let rows = status::rows(site);
    println!("{}", status::table(&rows).trim_end());
    println!("up in {:.1} s; try: cargo testbed exec -- srun hostname", begin.elapsed().as_secs_f32());
    Ok(rows.iter().all(|row| row.ready))
}

/// Installs the product's present build and restarts slurmd when it must load a new plugin.
pub fn install() -> Result<(), Box<dyn Error>> {
    let _lock = site::lock(Duration::from_secs(600))?;
    let site = Site::load()?;
    product::prepare(&site)?;
    let changed = product::install(&site)?;
    if slurm::configure(&site)? || changed.submit {
        step("slurmctld with the new plugin", || product::restart_slurmctld(&site))?;
    }
    if changed.plugin {
        step("slurmd with the new plugin", || product::restart_slurmd(&site))?;
    }
    product::start_gc(changed)?;
    Ok(())
}

/// The full reference of an image in the testbed's registry.
pub fn image(name: &str) -> Result<(), Box<dyn Error>> {
    println!("{}", image::reference(name)?);
    Ok(())
}
