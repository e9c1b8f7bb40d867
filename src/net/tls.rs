use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::url::{ServerUrl, TlsMode};
use crate::error::{Error, ErrorKind, Result};

/// The client's side of TLS for `url`; `None` where it asks for none.
pub(super) fn client_config(url: &ServerUrl) -> Result<Option<Arc<ClientConfig>>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal(format!("TLS cannot be set up: {error}")))?;
    let config = match url.tls {
        TlsMode::Off => return Ok(None),
        TlsMode::VerifyIdentity => builder.with_root_certificates(roots(url)?).with_no_client_auth(),
        TlsMode::Required | TlsMode::VerifyCa => {
            let authority = match url.tls {
                TlsMode::VerifyCa => Some(
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots(url)?), provider.clone())
                        .build()
                        .map_err(|error| {
                            Error::new(ErrorKind::Config, format!("the ca file cannot be used: {error}"))
                        })?,
                ),
                _ => None,
            };
            let verifier = Arc::new(AnyName { authority, provider });
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
    };
    Ok(Some(Arc::new(config)))
}

fn roots(url: &ServerUrl) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let Some(path) = &url.ca else {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(store);
    };
    let wrong = |what: String| Error::new(ErrorKind::Config, format!("the ca file {} {what}", path.display()));
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(format!("is not PEM: {error}")))?;
        store.add(certificate).map_err(|error| wrong(format!("holds no certificate: {error}")))?;
    }
    if store.is_empty() {
        return Err(wrong("holds no certificate".into()));
    }
    Ok(store)
}

/// Accepts a certificate whatever host it names; with an authority, only one that leads to it.
#[derive(Debug)]
struct AnyName {
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        match authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
