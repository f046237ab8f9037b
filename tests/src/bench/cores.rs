//! Which core who runs on: the agent on one, whoever asks it on another, so that "per core" means what it says.

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread, in the words of the kernel.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// One core for the agent and one for the load.
pub(super) fn two() -> Result<(usize, usize)> {
    let allowed = sched_getaffinity(THIS_THREAD)?;
    let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
    let two = cores.next().zip(cores.next());
    two.context("the requests per core are measured with two cores: one for the agent, one for the load")
}

/// Does something on one core; threads and programs that it starts stay there.
pub(super) fn pinned<T>(core: usize, work: impl FnOnce() -> T) -> Result<T> {
    let before = sched_getaffinity(THIS_THREAD)?;
    let mut one = CpuSet::new();
    one.set(core)?;
    sched_setaffinity(THIS_THREAD, &one).with_context(|| format!("cannot stay on core {core}"))?;
    let done = work();
    sched_setaffinity(THIS_THREAD, &before)?;
    ensure!(sched_getaffinity(THIS_THREAD)? == before, "the kernel did not give the other cores back");
    Ok(done)
}
