//! Logs and counters, of the same shape in every program: structured lines on standard error, Prometheus text on request.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// The build that runs: version and commit.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("HOLDFAST_COMMIT"));

/// What is logged where nothing is said: hickory warns of every name that is not there, and lines per question are for those who ask for them.
const FILTER: &str = "info,hickory_resolver=error,hickory_net=error,hickory_proto=error";

/// Starts logging (`HOLDFAST_LOG` sets the filter, `info` without it) and counting.
pub fn start() -> anyhow::Result<PrometheusHandle> {
    let filter = EnvFilter::try_from_env("HOLDFAST_LOG").unwrap_or_else(|_| EnvFilter::new(FILTER));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).with_ansi(false).init();
    let handle = PrometheusBuilder::new().install_recorder()?;
    metrics::gauge!("holdfast_build_info", "build" => BUILD).set(1.0);
    Ok(handle)
}
