//! HTTPS of the agent.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::writing::Writing;
use crate::config::ListenTls;

/// Makes ring the process's cryptography, once.
pub(crate) fn use_ring() {
    // Fails only where it was done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What accepts HTTPS connections, and plain ones where that is configured.
#[derive(Clone)]
pub(super) struct Acceptor {
    tls: TlsAcceptor,
    also_plain: bool,
}

/// A connection that was accepted.
pub(super) enum Accepted<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

impl Acceptor {
    /// With `client_ca`, only from clients that show a certificate, unless plain connections are accepted too.
    pub(super) fn with(files: &ListenTls) -> Result<Acceptor> {
        Ok(Acceptor { tls: acceptor(files)?, also_plain: files.also_plain })
    }

    /// By its first byte: no HTTP request begins as a TLS handshake does.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<Accepted<Writing<TcpStream>>> {
        const HANDSHAKE: u8 = 22;
        let mut first = [0; 1];
        if self.also_plain && stream.peek(&mut first).await? > 0 && first != [HANDSHAKE] {
            return Ok(Accepted::Plain(Writing::to(stream)));
        }
        Ok(Accepted::Tls(Box::new(self.tls.accept(Writing::to(stream)).await?)))
    }
}

fn acceptor(files: &ListenTls) -> Result<TlsAcceptor> {
    use_ring();
    let builder = match &files.client_ca {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).with_context(|| format!("use the authority in {}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
            let verifier = if files.also_plain { verifier.allow_unauthenticated() } else { verifier };
            let verifier = verifier.build().with_context(|| format!("use the authorities in {}", path.display()))?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.private_key)
        .with_context(|| format!("read private key {}", files.private_key.display()))?;
    let config = builder
        .with_single_cert(certificates(&files.certificate)?, key)
        .with_context(|| format!("use certificate {} with its key", files.certificate.display()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.with_context(|| format!("read certificates {}", path.display()))?;
    anyhow::ensure!(!certificates.is_empty(), "{} holds no certificate", path.display());
    Ok(certificates)
}
