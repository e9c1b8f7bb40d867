use std::net::SocketAddr;
use std::time::Duration;

use bluegreen::endpoint::{Endpoint, Options, Upstream};
use bluegreen::net::ServerUrl;
use bluegreen::switchover::{Endpoints, Routing};
use bluegreen::{Error, ErrorKind, Result};

use crate::config::BuiltinEndpoint;

/// Longer than a write block may sensibly be: a held application waits rather than sees an error.
const HOLD_LIMIT: Duration = Duration::from_secs(60);

/// How applications reach production: over the built-in endpoint, or by themselves.
pub(crate) struct Routes(Option<Endpoints>);

impl Routes {
    /// Listens, leading to the server that is production now.
    pub(crate) async fn open(
        endpoint: Option<&BuiltinEndpoint>,
        blue: &ServerUrl,
        green: &ServerUrl,
        is_green_production: bool,
    ) -> Result<Routes> {
        let Some(endpoint) = endpoint else { return Ok(Routes(None)) };
        let (blue, green) = (upstream(blue), upstream(green));
        let (production, other) = if is_green_production { (&green, &blue) } else { (&blue, &green) };
        let production = bind(&endpoint.listen, production.clone()).await?;
        let other = match &endpoint.old {
            Some(listen) => Some(bind(listen, other.clone()).await?),
            None => None,
        };
        Ok(Routes(Some(Endpoints::new(production, other, blue, green))))
    }

    /// Whether applications come through here.
    pub(crate) fn is_serving(&self) -> bool {
        self.0.is_some()
    }

    /// Where applications connect to.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.0.as_ref().map(|endpoints| endpoints.production().local_addr())
    }
}

impl Routing for Routes {
    async fn hold(&self) -> Result<()> {
        match &self.0 {
            Some(endpoints) => endpoints.hold().await,
            None => Ok(()),
        }
    }

    async fn release(&self) {
        if let Some(endpoints) = &self.0 {
            endpoints.release().await;
        }
    }

    async fn switch(&self) -> Result<()> {
        match &self.0 {
            Some(endpoints) => endpoints.switch().await,
            None => Ok(()),
        }
    }
}

async fn bind(listen: &str, upstream: Upstream) -> Result<Endpoint> {
    Endpoint::bind_with(listen, upstream, Options::default().hold_limit(HOLD_LIMIT)).await.map_err(|error| {
        Error::new(ErrorKind::Io, format!("the endpoint cannot listen on {listen}: {error}"))
            .with_advice("check `listen` and `old` in [endpoint]")
    })
}

/// The server's address without the account: the endpoint only passes bytes on.
pub(crate) fn upstream(url: &ServerUrl) -> Upstream {
    match url.socket() {
        Some(path) => Upstream::Unix(path.to_owned()),
        None if url.host().contains(':') => Upstream::Tcp(format!("[{}]:{}", url.host(), url.port())),
        None => Upstream::Tcp(format!("{}:{}", url.host(), url.port())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_has_no_account() {
        let of = |text: &str| upstream(&text.parse().unwrap()).to_string();
        assert_eq!(of("mysql://u:s3cret@db:3307"), "db:3307");
        assert_eq!(of("mysql://u:s3cret@[::1]:3307"), "[::1]:3307");
        assert_eq!(of("mysql://u:s3cret@localhost?socket=/run/s"), "unix:/run/s");
    }
}
