//! Whom to trust on a connection with TLS, and how to prove oneself.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::redis::config::TlsFiles;

/// Reads the certificates: those of the files, or those that this machine trusts. The error is one line.
pub(super) fn connector(files: &TlsFiles) -> Result<TlsConnector, String> {
    let roots = match &files.ca {
        Some(path) => roots_of(path)?,
        None => roots_of_this_machine()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    let config = match (&files.cert, &files.key) {
        (None, None) => config.with_no_client_auth(),
        (Some(cert), Some(key)) => config
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|e| format!("the certificate in {} cannot be used: {e}", cert.display()))?,
        _ => return Err("tls_cert_file and tls_key_file go together".into()),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots_of(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|e| format!("a certificate in {} cannot be used: {e}", path.display()))?;
    }
    Ok(roots)
}

fn roots_of_this_machine() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found.errors.into_iter().next();
        let why = why.map_or_else(|| "there are none".to_owned(), |error| error.to_string());
        return Err(format!(
            "this machine has no certificates to trust ({why}); name one: tls_ca_file"
        ));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable =
        |e: &dyn std::fmt::Display| format!("no certificates can be read from {}: {e}", path.display());
    let text = std::fs::read(path).map_err(|e| unreadable(&e))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|e| unreadable(&e))?;
    match found.is_empty() {
        true => Err(unreadable(&"there is none in it, expected PEM")),
        false => Ok(found),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let unreadable =
        |e: &dyn std::fmt::Display| format!("no private key can be read from {}: {e}", path.display());
    let text = std::fs::read(path).map_err(|e| unreadable(&e))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|e| unreadable(&e))
}

/// What is wrong between the two sides, in words of an operator; `None` if it has nothing to do with TLS.
pub(super) fn explain(error: &io::Error) -> Option<String> {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        // The signature is bad where another CA has the same name, as one does that was made anew.
        Error::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature) => {
            "its certificate is from nobody whom we trust; name the CA: redis.tls_ca_file".into()
        }
        Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => "its certificate is for another name than the one in the URL".into(),
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "its certificate has expired".into()
        }
        Error::InvalidCertificate(why) => format!("its certificate cannot be trusted: {why}"),
        Error::AlertReceived(Alert::CertificateRequired | Alert::HandshakeFailure) => {
            "it wants a certificate from us: redis.tls_cert_file and redis.tls_key_file".into()
        }
        Error::AlertReceived(
            Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown | Alert::DecryptError,
        ) => "it does not trust the certificate in redis.tls_cert_file".into(),
        Error::InvalidMessage(_) => "it speaks no TLS there".into(),
        error => format!("TLS fails: {error}"),
    })
}
