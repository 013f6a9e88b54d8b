//! Brings the testbed up, or mends it: each step looks first and does only what is missing.

use crate::host::{ALL, Host, keeper::KeeperError};
use crate::product::{self, ProductError};
use crate::site::{self, Lock, Site};
use crate::step::step;
use crate::system::System;
use crate::{account, database, down, image, kubernetes, munge, network, packages, slurm, status};
use std::error::Error;
use std::time::{Duration, Instant};

/// Brings everything up and shows what is ready. Gives whether all of it is.
pub fn run(slurm: &str, nodes: usize) -> Result<bool, Box<dyn Error>> {
    let begin = Instant::now();
    let system = System::with_slurm(slurm)?;
    let site = &Site { slurm: slurm.to_owned(), system: system.root(), nodes };
    packages::check_machine()?;
    let _lock = lock(site)?;
    let missing = packages::missing();
    if missing.is_empty() {
        step("packages", packages::install)?;
    } else {
        step(&format!("packages ({})", missing.join(" ")), packages::install)?;
    }
    system.bring_up()?;
    account::make_shared()?;
    site.save()?;
    let hosts = site.hosts();
    for unwanted in ALL.iter().filter(|host| !hosts.contains(host)) {
        unwanted.kill_all(Duration::from_secs(15))?;
    }
    let bring_up = |host: &Host| host.bring_up(&site.system).map(|_| ());
    step("hosts", || hosts.iter().try_for_each(bring_up).map_err(Box::<KeeperError>::new))?;
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
    product::start_services(installed)?;
    let rows = status::rows(site);
    println!("{}", status::table(&rows).trim_end());
    println!("up in {:.1} s; try: cargo testbed exec -- srun hostname", begin.elapsed().as_secs_f32());
    Ok(rows.iter().all(|row| row.ready))
}

/// The testbed's lock, once there are no hosts with another system: these go, since what is theirs fits no other.
fn lock(site: &Site) -> Result<Lock, Box<dyn Error>> {
    loop {
        let lock = site::lock(Duration::from_secs(600))?;
        if !site.other_is_up() {
            return Ok(lock);
        }
        drop(lock);
        down::run()?;
    }
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
    product::start_services(changed)?;
    Ok(())
}

/// The folder of the system with this Slurm.
pub fn system(slurm: &str) -> Result<(), Box<dyn Error>> {
    let system = System::with_slurm(slurm)?;
    system.bring_up()?;
    println!("{}", system.root().display());
    Ok(())
}

/// The full reference of an image in the testbed's registry.
pub fn image(name: &str) -> Result<(), Box<dyn Error>> {
    println!("{}", image::reference(name)?);
    Ok(())
}
