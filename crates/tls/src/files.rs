//! PEM files, read and looked through once.

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretSlice};

/// The names of the keys of the configuration.
const CA: &str = "ca_file";
const CLIENT_CERT: &str = "client_cert_file";
const CLIENT_KEY: &str = "client_key_file";

/// What a configuration names, each optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Whom to trust, instead of the system's authorities.
    pub ca: Option<PathBuf>,
    /// What to show to a server that asks: the certificate and those between it and its authority.
    pub client_cert: Option<PathBuf>,
    /// The key of the first certificate in it.
    pub client_key: Option<PathBuf>,
}

/// A key of the configuration that names a file of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct Unusable {
    /// `ca_file`, `client_cert_file` or `client_key_file`.
    pub key: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a file. It names the file and nothing that stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Missing, a folder, not ours to read.
    #[error("{}: {}", .0.display(), io::Error::from(*.1))]
    Unreadable(PathBuf, io::ErrorKind),
    /// Something else than certificates.
    #[error("{}: holds no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    /// Something else than a key.
    #[error("{}: holds no private key in PEM form", .0.display())]
    NoKey(PathBuf),
    /// Certificate and key come together.
    #[error("{0} is missing: a client shows a certificate with its key")]
    Alone(&'static str),
    /// The key is another certificate's.
    #[error("{}: is not the key of the certificate in {}", .0.display(), .1.display())]
    NoPair(PathBuf, PathBuf),
}

/// Why there is no configuration of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoConfig {
    /// The system trusts nobody.
    #[error("this system trusts no certificate authority: name one as ca_file")]
    NoRoots,
    /// rustls took certificate and key when they were read, and takes them no more.
    #[error("the client certificate cannot be used")]
    Client,
}

/// Whom to trust and as whom to appear. The default: whom the system trusts, and as nobody.
#[derive(Clone, Default)]
pub struct Tls {
    ca: Option<Ca>,
    client: Option<Arc<Client>>,
}

#[derive(Clone)]
struct Ca {
    file: PathBuf,
    pem: Vec<u8>,
    roots: Arc<RootCertStore>,
}

struct Client {
    cert_file: PathBuf,
    cert_pem: Vec<u8>,
    chain: Vec<CertificateDer<'static>>,
    key_pem: SecretSlice<u8>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca_file", &self.ca_file())
            .field("client_cert_file", &self.client_cert_file())
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files and reports everything that is wrong with them. What was read is used as long as the process runs.
    pub fn read(files: &Files) -> Result<Self, Vec<Unusable>> {
        let mut problems = Vec::new();
        let ca = files.ca.as_ref().and_then(|file| noted(&mut problems, CA, Ca::read(file)));
        let client = match (&files.client_cert, &files.client_key) {
            (None, None) => None,
            (Some(_), None) => noted(&mut problems, CLIENT_CERT, Err(Fault::Alone(CLIENT_KEY))),
            (None, Some(_)) => noted(&mut problems, CLIENT_KEY, Err(Fault::Alone(CLIENT_CERT))),
            (Some(cert), Some(key)) => {
                let chain = noted(&mut problems, CLIENT_CERT, certificates(cert));
                let key_read = noted(&mut problems, CLIENT_KEY, private_key(key));
                chain.zip(key_read).and_then(|((cert_pem, chain), (key_pem, key_der))| {
                    let cert_file = cert.clone();
                    let client = Client { cert_file, cert_pem, chain, key_pem, key: key_der };
                    noted(&mut problems, CLIENT_KEY, client.paired(key))
                })
            }
        };
        if problems.is_empty() { Ok(Self { ca, client: client.map(Arc::new) }) } else { Err(problems) }
    }

    /// The one configuration of a connection: TLS 1.2 or 1.3 on ring, the server's certificate and name always checked.
    pub fn client_config(&self) -> Result<ClientConfig, NoConfig> {
        let roots = match &self.ca {
            Some(ca) => Arc::clone(&ca.roots),
            None => Arc::new(native_roots()?),
        };
        config(roots, self.client.as_deref()).map_err(|_| NoConfig::Client)
    }

    /// The file of the authorities, if one was named.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca.as_ref().map(|ca| ca.file.as_path())
    }

    /// The authorities as PEM, for a driver that takes no configuration of ours.
    pub fn ca_pem(&self) -> Option<&[u8]> {
        self.ca.as_ref().map(|ca| ca.pem.as_slice())
    }

    /// The client's certificates and its key as PEM, for such a driver.
    pub fn client_pem(&self) -> Option<(&[u8], &SecretSlice<u8>)> {
        self.client.as_deref().map(|client| (client.cert_pem.as_slice(), &client.key_pem))
    }

    pub(crate) fn client_cert_file(&self) -> Option<&Path> {
        self.client.as_deref().map(|client| client.cert_file.as_path())
    }
}

impl Ca {
    fn read(file: &Path) -> Result<Self, Fault> {
        let (pem, certificates) = certificates(file)?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).map_err(|_| Fault::NoCertificate(file.to_owned()))?;
        }
        Ok(Self { file: file.to_owned(), pem, roots: Arc::new(roots) })
    }
}

impl Client {
    /// Itself, if rustls takes certificate and key for a pair.
    fn paired(self, key_file: &Path) -> Result<Self, Fault> {
        match config(Arc::new(RootCertStore::empty()), Some(&self)) {
            Ok(_) => Ok(self),
            Err(_) => Err(Fault::NoPair(key_file.to_owned(), self.cert_file)),
        }
    }
}

fn config(roots: Arc<RootCertStore>, client: Option<&Client>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trusting = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    match client {
        Some(client) => trusting.with_client_auth_cert(client.chain.clone(), client.key.clone_key()),
        None => Ok(trusting.with_no_client_auth()),
    }
}

fn native_roots() -> Result<RootCertStore, NoConfig> {
    let mut roots = RootCertStore::empty();
    // A system's bundle may hold a certificate that cannot be an authority here; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(NoConfig::NoRoots) } else { Ok(roots) }
}

fn noted<T>(problems: &mut Vec<Unusable>, key: &'static str, read: Result<T, Fault>) -> Option<T> {
    read.map_err(|fault| problems.push(Unusable { key, fault })).ok()
}

fn bytes(file: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(file).map_err(|error| Fault::Unreadable(file.to_owned(), error.kind()))
}

fn certificates(file: &Path) -> Result<(Vec<u8>, Vec<CertificateDer<'static>>), Fault> {
    let pem = bytes(file)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok((pem, certificates)),
        Ok(_) | Err(_) => Err(Fault::NoCertificate(file.to_owned())),
    }
}

fn private_key(file: &Path) -> Result<(SecretSlice<u8>, PrivateKeyDer<'static>), Fault> {
    let pem = SecretSlice::from(bytes(file)?);
    let key = PrivateKeyDer::from_pem_slice(pem.expose_secret());
    key.map(|key| (pem, key)).map_err(|_| Fault::NoKey(file.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    fn problems(files: &Files) -> Vec<(&'static str, String)> {
        let problems = Tls::read(files).unwrap_err();
        problems.into_iter().map(|problem| (problem.key, problem.to_string())).collect()
    }

    #[test]
    fn files_that_are_of_no_use_are_all_named_with_their_keys() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let (cert, key) = pair();
        let nothing = folder.file("nothing.pem", "hello\n");
        let files = Files {
            ca: Some(folder.0.path().join("absent.pem")),
            client_cert: Some(nothing.clone()),
            client_key: Some(folder.file("cert.pem", &cert)),
        };
        let found = problems(&files);
        assert_eq!(found.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [CA, CLIENT_CERT, CLIENT_KEY]);
        for ((_, text), file) in found.iter().zip(["absent.pem", "nothing.pem", "cert.pem"]) {
            assert!(text.contains(file), "{text}");
        }
        let swapped = Files { ca: Some(folder.file("key.pem", &key)), ..Files::default() };
        assert!(problems(&swapped)[0].1.contains("key.pem: holds no certificate"));
        let damaged = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        let damaged = Files { ca: Some(folder.file("damaged.pem", damaged)), ..Files::default() };
        assert!(problems(&damaged)[0].1.contains("damaged.pem"));
    }

    #[test]
    fn a_certificate_comes_with_its_own_key() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let ((cert, key), (_, others)) = (pair(), pair());
        let cert = folder.file("cert.pem", &cert);
        let with =
            |key: Option<PathBuf>| Files { ca: None, client_cert: Some(cert.clone()), client_key: key };
        assert!(problems(&with(None))[0].1.contains(CLIENT_KEY));
        let strange = problems(&with(Some(folder.file("strange.pem", &others))));
        assert_eq!(strange[0].0, CLIENT_KEY);
        assert!(strange[0].1.contains("strange.pem") && strange[0].1.contains("cert.pem"), "{strange:?}");
        let tls = Tls::read(&with(Some(folder.file("key.pem", &key)))).unwrap();
        assert!(tls.client_pem().is_some() && tls.ca_pem().is_none());
        assert!(!format!("{tls:?}").contains("PRIVATE"));
    }
}
