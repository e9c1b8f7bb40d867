//! How applications reach production, as the config file says.

use std::net::SocketAddr;
use std::time::Duration;

use bluegreen::checks::Check;
use bluegreen::endpoint::{Endpoint, Options, Upstream};
use bluegreen::net::ServerUrl;
use bluegreen::switchover::{Effect, Endpoints, HaProxy, NoRouting, RouteCommand, Routing};
use bluegreen::{Error, ErrorKind, Result};

use crate::config::{BuiltinEndpoint, EndpointKind};

/// Longer than a write block may sensibly be: a held application waits rather than sees an error.
const HOLD_LIMIT: Duration = Duration::from_secs(60);

/// How applications reach production.
pub(crate) enum Routes {
    /// By themselves.
    None(NoRouting),
    Builtin(Box<Endpoints>),
    HaProxy(HaProxy),
    Command(RouteCommand),
}

impl Routes {
    /// What needs no process of its own: the built-in endpoint belongs to `run`.
    pub(crate) fn outside(endpoint: Option<&EndpointKind>, blue: &ServerUrl, green: &ServerUrl) -> Result<Routes> {
        Ok(match endpoint {
            None | Some(EndpointKind::Builtin(_)) => Routes::None(NoRouting::new()),
            Some(EndpointKind::HaProxy(haproxy)) => Routes::HaProxy(
                HaProxy::new(&haproxy.socket, &haproxy.backend, &haproxy.blue, &haproxy.green)?
                    .with_maxconn(haproxy.maxconn),
            ),
            Some(EndpointKind::Command(command)) => {
                let (program, arguments) = command.command.split_first().ok_or_else(|| {
                    Error::new(ErrorKind::Config, "the endpoint's command is empty")
                        .with_advice("write command = [\"PROGRAM\"] in [endpoint]")
                })?;
                let routes = RouteCommand::new(program, arguments.to_vec(), upstream(blue), upstream(green));
                Routes::Command(routes.with_limit(Duration::from_secs(command.timeout)))
            }
        })
    }

    /// Ready to serve, leading to the server that is production now. `is_reversed`: blue and green have changed places, but
    /// not in the file.
    pub(crate) async fn open(
        endpoint: Option<&EndpointKind>,
        (blue, green): (&ServerUrl, &ServerUrl),
        is_reversed: bool,
        is_green_production: bool,
    ) -> Result<Routes> {
        if let Some(EndpointKind::Builtin(endpoint)) = endpoint {
            return Routes::listen(endpoint, (upstream(blue), upstream(green)), is_green_production).await;
        }
        match is_reversed {
            true => Routes::outside(endpoint, green, blue).map(Routes::reversed),
            false => Routes::outside(endpoint, blue, green),
        }
    }

    async fn listen(
        endpoint: &BuiltinEndpoint,
        (blue, green): (Upstream, Upstream),
        is_green_production: bool,
    ) -> Result<Routes> {
        let (production, other) = if is_green_production { (&green, &blue) } else { (&blue, &green) };
        let production = bind(&endpoint.listen, production.clone()).await?;
        let other = match &endpoint.old {
            Some(listen) => Some(bind(listen, other.clone()).await?),
            None => None,
        };
        Ok(Routes::Builtin(Box::new(Endpoints::new(production, other, blue, green))))
    }

    /// The same where blue and green have changed places.
    pub(crate) fn reversed(self) -> Routes {
        match self {
            Routes::None(routes) => Routes::None(routes),
            Routes::Builtin(routes) => Routes::Builtin(Box::new(routes.reversed())),
            Routes::HaProxy(routes) => Routes::HaProxy(routes.reversed()),
            Routes::Command(routes) => Routes::Command(routes.reversed()),
        }
    }

    /// The endpoint that this process serves: it follows the record, whoever switches. Ways outside are moved by the
    /// switchover alone, wherever it runs.
    pub(crate) fn own(&self) -> Option<&Endpoints> {
        match self {
            Routes::Builtin(endpoints) => Some(endpoints),
            _ => None,
        }
    }

    /// Where applications connect to, if it is here.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.own().map(|endpoints| endpoints.production().local_addr())
    }
}

impl Default for Routes {
    fn default() -> Routes {
        Routes::None(NoRouting::new())
    }
}

impl Routing for Routes {
    async fn hold(&self) -> Result<()> {
        match self {
            Routes::None(routes) => routes.hold().await,
            Routes::Builtin(routes) => routes.hold().await,
            Routes::HaProxy(routes) => routes.hold().await,
            Routes::Command(routes) => routes.hold().await,
        }
    }

    async fn release(&self) {
        match self {
            Routes::None(routes) => routes.release().await,
            Routes::Builtin(routes) => routes.release().await,
            Routes::HaProxy(routes) => routes.release().await,
            Routes::Command(routes) => routes.release().await,
        }
    }

    async fn switch(&self) -> Result<()> {
        match self {
            Routes::None(routes) => routes.switch().await,
            Routes::Builtin(routes) => routes.switch().await,
            Routes::HaProxy(routes) => routes.switch().await,
            Routes::Command(routes) => routes.switch().await,
        }
    }

    async fn check(&self) -> Option<Check> {
        match self {
            Routes::None(routes) => routes.check().await,
            Routes::Builtin(routes) => routes.check().await,
            Routes::HaProxy(routes) => routes.check().await,
            Routes::Command(routes) => routes.check().await,
        }
    }

    fn effects(&self) -> Vec<Effect> {
        match self {
            Routes::None(routes) => routes.effects(),
            Routes::Builtin(routes) => routes.effects(),
            Routes::HaProxy(routes) => routes.effects(),
            Routes::Command(routes) => routes.effects(),
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
