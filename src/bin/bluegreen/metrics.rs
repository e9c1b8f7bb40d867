//! Figures for Prometheus.

use std::net::SocketAddr;
use std::time::Duration;

use bluegreen::checks::LagProbe;
use bluegreen::net::ServerUrl;
use bluegreen::pipeline::Progress;
use bluegreen::{Error, ErrorKind, Result, pipeline, watch};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::watch as watch_channel;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

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
    watch::describe_metrics();
    Ok(())
}

/// Measures a stream's lag once a second and records it, until it is dropped.
#[derive(Debug)]
pub(crate) struct LagMeter(JoinHandle<()>);

impl LagMeter {
    pub(crate) fn start(blue: ServerUrl, green: ServerUrl, pictures: watch_channel::Receiver<Progress>) -> LagMeter {
        LagMeter(tokio::spawn(async move {
            let mut probe = LagProbe::new(blue, green);
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                pipeline::record_lag(&probe.measure_beside(|| pictures.borrow().received.clone()).await);
            }
        }))
    }
}

impl Drop for LagMeter {
    fn drop(&mut self) {
        self.0.abort();
    }
}
