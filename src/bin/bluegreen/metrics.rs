//! Figures for Prometheus.

use std::net::SocketAddr;

use bluegreen::{Error, ErrorKind, Result, pipeline};
use metrics_exporter_prometheus::PrometheusBuilder;

/// Serves all metrics at `http://ADDRESS/metrics` until the process ends. To be called on the runtime, once.
///
/// # Errors
/// `Config` where the address cannot be listened on.
pub(crate) fn serve(address: SocketAddr) -> Result<()> {
    PrometheusBuilder::new().with_http_listener(address).install().map_err(|error| {
        Error::new(ErrorKind::Config, format!("metrics cannot be served at {address}: {error}"))
            .with_advice("name a free address of this machine, such as 127.0.0.1:9187")
    })?;
    pipeline::describe_metrics();
    Ok(())
}
