use std::time::Duration;

use bytes::Bytes;
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;
use mysql_common::scramble::{scramble_native, scramble_sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::packets::{MAX_PART_BYTES, Packets};
use super::tls;
use super::url::ServerUrl;
use crate::error::{Error, ErrorKind, Result};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const UTF8MB4_GENERAL_CI: u8 = 45;

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection at the level of packets (MySQL source documentation, "Client/Server Protocol"), for the binlog dump:
/// the driver's own stream copies each event, parses it and drops what it cannot parse.
pub(crate) struct Wire {
    stream: Box<dyn Duplex>,
    /// The longest wait for the next bytes.
    silence_limit: Duration,
    packets: Packets,
    /// The sequence number of the next packet to be written.
    sequence: u8,
    address: String,
    /// TLS or a Unix socket: a password may be sent as it is.
    is_private: bool,
}

impl Wire {
    /// Connects and logs in.
    ///
    /// # Errors
    /// `Unreachable`, `Authentication`, `Unavailable`, `Config` (the ca file).
    pub(crate) async fn connect(url: &ServerUrl) -> Result<Wire> {
        let address = url.address();
        let connected = match tokio::time::timeout(CONNECT_LIMIT, Wire::open(url)).await {
            Ok(wire) => wire,
            Err(_) => {
                Err(Error::new(ErrorKind::Unreachable, format!("no answer within {} s", CONNECT_LIMIT.as_secs())))
            }
        };
        connected.map_err(|error| error.at(|place| place.server = Some(address)))
    }

    async fn open(url: &ServerUrl) -> Result<Wire> {
        let stream: Box<dyn Duplex> = match &url.socket {
            Some(path) => Box::new(UnixStream::connect(path).await.map_err(unreachable)?),
            None => {
                let stream = TcpStream::connect((url.host.clone(), url.port)).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                Box::new(stream)
            }
        };
        let mut wire = Wire::over(stream, url.address());
        wire.is_private = url.socket.is_some();
        wire.log_in(url).await?;
        Ok(wire)
    }

    /// A connection over a stream that needs no login.
    #[cfg(test)]
    pub(crate) fn plain(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Wire {
        Wire::over(Box::new(stream), "a test".into())
    }

    fn over(stream: Box<dyn Duplex>, address: String) -> Wire {
        Wire {
            stream,
            silence_limit: Duration::from_secs(60),
            packets: Packets::new(),
            sequence: 0,
            address,
            is_private: false,
        }
    }

    async fn log_in(&mut self, url: &ServerUrl) -> Result<()> {
        let greeting = self.packet().await?;
        let Greeting { nonce, offers_tls, plugin } = Greeting::parse(&greeting)?;
        let mut capabilities = CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_PLUGIN_AUTH
            | CapabilityFlags::CLIENT_LONG_PASSWORD
            | CapabilityFlags::CLIENT_LONG_FLAG
            | CapabilityFlags::CLIENT_TRANSACTIONS;
        if let Some(config) = tls::client_config(url)? {
            if !offers_tls {
                return Err(Error::new(ErrorKind::Config, "the URL asks for TLS, which the server does not offer"));
            }
            capabilities |= CapabilityFlags::CLIENT_SSL;
            self.write(&bytes_of(&SslRequest::new(capabilities, MAX_PART_BYTES as u32, UTF8MB4_GENERAL_CI))).await?;
            let name = ServerName::try_from(url.host.clone())
                .map_err(|_| Error::new(ErrorKind::Config, "the host cannot be used as a name for TLS"))?;
            let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
            let secure = TlsConnector::from(config).connect(name, plain).await.map_err(|error| {
                Error::new(ErrorKind::Authentication, format!("the TLS handshake failed: {error}"))
                    .with_advice("check tls and ca of the server's URL, and the server's certificate")
            })?;
            self.stream = Box::new(secure);
            // Whatever came in the clear behind the greeting is not what the server said.
            self.packets = Packets::new();
            self.is_private = true;
        }
        let proof = proof(&plugin, &url.password, &nonce)?;
        let response = HandshakeResponse::new(
            Some(proof),
            (8, 0, 0),
            Some(url.user.as_bytes().to_vec()),
            None::<Vec<u8>>,
            Some(plugin),
            capabilities,
            None,
            MAX_PART_BYTES as u32,
        );
        self.write(&bytes_of(&response)).await?;
        self.authenticate(url, nonce).await
    }

    /// Answers the server until it says yes or no.
    async fn authenticate(&mut self, url: &ServerUrl, mut nonce: Vec<u8>) -> Result<()> {
        loop {
            let packet = self.packet().await?;
            match packet.as_ref() {
                [0x00, ..] => return Ok(()),
                [0xFF, ..] => return Err(self.refusal(&packet)),
                // caching_sha2_password: the cached proof was right, an OK follows.
                [0x01, 0x03, ..] => {}
                // caching_sha2_password: not in the cache, the password itself is wanted.
                [0x01, 0x04, ..] => self.send_password(&url.password, &nonce).await?,
                [0xFE, ..] => {
                    let proof;
                    (nonce, proof) = answer_switch(&packet, &url.password)?;
                    self.write(&proof).await?;
                }
                _ => return Err(protocol("the server's answer to the login cannot be read")),
            }
        }
    }

    async fn send_password(&mut self, password: &str, nonce: &[u8]) -> Result<()> {
        let mut secret: Vec<u8> = password.bytes().chain([0]).collect();
        if self.is_private {
            return self.write(&secret).await;
        }
        self.write(&[0x02]).await?;
        let packet = self.packet().await?;
        let Some((0x01, key)) = packet.split_first().map(|(first, rest)| (*first, rest)) else {
            return Err(protocol("the server sent no public key"));
        };
        if !key.starts_with(b"-----BEGIN PUBLIC KEY-----") || nonce.is_empty() {
            return Err(protocol("the server's public key cannot be read"));
        }
        for (byte, mask) in secret.iter_mut().zip(nonce.iter().cycle()) {
            *byte ^= mask;
        }
        let encrypted = mysql_common::crypto::encrypt(&secret, key);
        self.write(&encrypted).await
    }

    /// Runs a statement that answers with OK or an error, never with rows.
    ///
    /// # Errors
    /// The server's refusal, or `Disconnected`.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<()> {
        self.command(0x03, sql.as_bytes()).await?;
        self.ok().await
    }

    /// Sends a command's packet.
    pub(crate) async fn command(&mut self, code: u8, body: &[u8]) -> Result<()> {
        self.sequence = 0;
        let packet: Vec<u8> = std::iter::once(code).chain(body.iter().copied()).collect();
        self.write(&packet).await
    }

    /// Reads an OK.
    pub(crate) async fn ok(&mut self) -> Result<()> {
        let packet = self.packet().await?;
        match packet.first() {
            Some(0x00) => Ok(()),
            Some(0xFF) => Err(self.refusal(&packet)),
            _ => Err(protocol("the server's answer cannot be read")),
        }
    }

    /// The error that an error packet (first byte 0xFF) tells.
    pub(crate) fn refusal(&self, packet: &[u8]) -> Error {
        let code = match packet {
            [_, low, high, ..] => u16::from_le_bytes([*low, *high]),
            _ => 0,
        };
        let message = match packet.get(3..) {
            Some([b'#', rest @ ..]) => rest.get(5..).unwrap_or_default(),
            Some(rest) => rest,
            None => &[],
        };
        self.located(super::server::refusal(code, &String::from_utf8_lossy(message)))
    }

    /// Sets the longest wait for the next bytes (default 60 s).
    pub(crate) fn limit_silence(&mut self, limit: Duration) {
        self.silence_limit = limit;
    }

    /// The next packet, joined where the server split it. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`Wire::received`] and [`Wire::receive`].
    pub(crate) async fn packet(&mut self) -> Result<Bytes> {
        loop {
            if let Some(packet) = self.received()? {
                return Ok(packet);
            }
            self.receive().await?;
        }
    }

    /// The next packet, if it is here already.
    ///
    /// # Errors
    /// `Limit` where a packet is larger than any server writes.
    pub(crate) fn received(&mut self) -> Result<Option<Bytes>> {
        let packet = self.packets.next().map_err(|error| self.located(error))?;
        if packet.is_some() {
            self.sequence = self.packets.sequence().wrapping_add(1);
        }
        Ok(packet)
    }

    /// Waits until some bytes came, after [`Wire::received`] had no packet. Cancel-safe.
    ///
    /// # Errors
    /// `Disconnected` where the connection ends or goes silent.
    pub(crate) async fn receive(&mut self) -> Result<()> {
        let mut room = self.packets.room();
        // Bounded for each read: a large packet may take its time as long as it moves. The timer is only set where the
        // bytes are not there yet.
        match tokio::time::timeout(self.silence_limit, self.stream.read_buf(&mut room)).await {
            Ok(Ok(0)) => Err(self.located(Error::new(ErrorKind::Disconnected, "the server closed the connection"))),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.lost(error)),
            Err(_) => {
                let message = format!("nothing came for {} s", self.silence_limit.as_secs_f32());
                Err(self.located(Error::new(ErrorKind::Disconnected, message)))
            }
        }
    }

    /// Sends one packet; what is written here is always a single part.
    async fn write(&mut self, payload: &[u8]) -> Result<()> {
        if payload.len() >= MAX_PART_BYTES {
            return Err(Error::internal("a command of 16 MiB or more"));
        }
        let length = (payload.len() as u32).to_le_bytes();
        let mut packet = Vec::with_capacity(payload.len() + 4);
        packet.extend_from_slice(&[length[0], length[1], length[2], self.sequence]);
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&packet).await.map_err(|error| self.lost(error))?;
        self.stream.flush().await.map_err(|error| self.lost(error))
    }

    fn lost(&self, error: std::io::Error) -> Error {
        self.located(Error::new(ErrorKind::Disconnected, "the connection broke").with_source(error))
    }

    fn located(&self, error: Error) -> Error {
        error.at(|place| place.server = Some(self.address.clone()))
    }
}

/// What is needed of the server's first packet.
struct Greeting {
    nonce: Vec<u8>,
    offers_tls: bool,
    plugin: AuthPlugin<'static>,
}

impl Greeting {
    fn parse(packet: &[u8]) -> Result<Greeting> {
        let handshake: HandshakePacket<'_> =
            ParseBuf(packet).parse(()).map_err(|_| protocol("the server's greeting cannot be read"))?;
        let plugin = match handshake.auth_plugin() {
            Some(AuthPlugin::CachingSha2Password) => AuthPlugin::CachingSha2Password,
            _ => AuthPlugin::MysqlNativePassword,
        };
        let offers_tls = handshake.capabilities().contains(CapabilityFlags::CLIENT_SSL);
        Ok(Greeting { nonce: handshake.nonce(), offers_tls, plugin })
    }
}

/// The new nonce, and the proof under the plugin that the server wants instead.
fn answer_switch(packet: &[u8], password: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let request: AuthSwitchRequest<'_> =
        ParseBuf(packet).parse(()).map_err(|_| protocol("an authentication switch cannot be read"))?;
    let mut nonce = request.plugin_data().to_vec();
    if let Some(0) = nonce.last() {
        nonce.pop();
    }
    let proof = proof(&request.auth_plugin(), password, &nonce)?;
    Ok((nonce, proof))
}

fn bytes_of(body: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    body.serialize(&mut bytes);
    bytes
}

/// What proves the password under `plugin`.
fn proof(plugin: &AuthPlugin<'_>, password: &str, nonce: &[u8]) -> Result<Vec<u8>> {
    if password.is_empty() {
        return Ok(Vec::new());
    }
    match plugin {
        AuthPlugin::MysqlNativePassword => {
            Ok(scramble_native(nonce, password.as_bytes()).map(|proof| proof.to_vec()).unwrap_or_default())
        }
        AuthPlugin::CachingSha2Password => {
            Ok(scramble_sha256(nonce, password.as_bytes()).map(|proof| proof.to_vec()).unwrap_or_default())
        }
        other => Err(Error::new(
            ErrorKind::Authentication,
            format!(
                "the account uses {}, which the dump connection does not speak",
                String::from_utf8_lossy(other.as_bytes())
            ),
        )
        .with_advice("use an account with caching_sha2_password or mysql_native_password")),
    }
}

fn protocol(message: &'static str) -> Error {
    Error::new(ErrorKind::Disconnected, message)
        .with_advice("check that host and port are those of a MySQL or MariaDB server")
}

fn unreachable(error: std::io::Error) -> Error {
    let message = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "the connection was refused",
        std::io::ErrorKind::NotFound => "there is no such socket",
        _ => "no connection can be made",
    };
    Error::new(ErrorKind::Unreachable, message).with_source(error)
}
