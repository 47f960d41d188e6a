//! Certificates for tests of TLS: a CA, one for servers and one for their clients, as files.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// Names that a server of this machine is reached by.
const LOCAL: [&str; 2] = ["127.0.0.1", "localhost"];

/// What the CA is called, unless it is another one.
const CA: &str = "Weir tests";

/// A CA and what it has signed, in files of a temporary folder.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// A server's certificate for this machine, and a client's.
    ///
    /// # Panics
    /// If they cannot be made or written; so do the other calls.
    pub fn for_this_machine() -> Self {
        Self::made(CA, &LOCAL, false)
    }

    /// The same by another CA, of another name.
    pub fn by_another_ca() -> Self {
        Self::made("Somebody else", &LOCAL, false)
    }

    /// The server's certificate is for another name.
    pub fn for_name(name: &str) -> Self {
        Self::made(CA, &[name], false)
    }

    /// The server's certificate was good until 2001.
    pub fn expired() -> Self {
        Self::made(CA, &LOCAL, true)
    }

    fn made(ca_name: &str, server_names: &[&str], expired: bool) -> Self {
        let made = Self {
            folder: TempDir::with_prefix("weir-tls-").expect("a temporary folder"),
        };
        let mut params = params(ca_name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, key()).expect("a CA");
        made.write("ca.pem", &ca.pem());
        for (role, names) in [("server", server_names), ("client", &["weir"][..])] {
            let mut params = self::params(role, names);
            if expired && role == "server" {
                params.not_before = date_time_ymd(2000, 1, 1);
                params.not_after = date_time_ymd(2001, 1, 1);
            }
            let key = key();
            let certificate = params.signed_by(&key, &ca).expect("a certificate");
            made.write(&format!("{role}.pem"), &certificate.pem());
            made.write(&format!("{role}.key"), &key.serialize_pem());
        }
        made
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file for a certificate");
    }

    /// A file of the folder: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lines of a configuration for `redis-server` or a Sentinel. `auth_clients` is what it asks of clients: `no`,
    /// `optional` or `yes`.
    pub fn server_settings(&self, auth_clients: &str) -> String {
        let arguments = self.server_arguments(auth_clients);
        let line = |pair: &[String]| format!("{} {}\n", pair[0].trim_start_matches("--"), pair[1]);
        arguments.chunks(2).map(line).collect()
    }

    /// The same as command-line arguments. Where it listens is not among them.
    pub fn server_arguments(&self, auth_clients: &str) -> Vec<String> {
        let path = |name| self.path(name).display().to_string();
        let pairs = [
            ("--tls-cert-file", path("server.pem")),
            ("--tls-key-file", path("server.key")),
            ("--tls-ca-cert-file", path("ca.pem")),
            ("--tls-auth-clients", auth_clients.to_owned()),
        ];
        pairs
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names for a certificate");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}
