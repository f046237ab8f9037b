//! Ctrl-C and SIGTERM: a measurement that is broken off stops what it has started, at its next step.

use anyhow::{Result, ensure};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

static BROKEN_OFF: AtomicBool = AtomicBool::new(false);

/// Listens for as long as the runtime lives.
pub(super) fn listen() -> Result<Runtime> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let inside = runtime.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(inside);
    runtime.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        BROKEN_OFF.store(true, Ordering::Relaxed);
    });
    Ok(runtime)
}

/// An error once somebody wants an end.
pub(super) fn go_on() -> Result<()> {
    ensure!(!BROKEN_OFF.load(Ordering::Relaxed), "broken off; what was started is stopped");
    Ok(())
}
