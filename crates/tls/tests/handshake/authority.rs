//! Certificates of one test, in a folder of their own.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;
use tls::{Files, Tls};

/// A certificate authority with a server on loopback and a client, and another authority that vouches for nobody.
pub(crate) struct Authority {
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let issuer = authority("the right one", &at.join("ca.pem"));
        authority("a wrong one", &at.join("wrong-ca.pem"));
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        signed(&issuer, names, ExtendedKeyUsagePurpose::ServerAuth, at, "server");
        signed(&issuer, vec!["client".to_owned()], ExtendedKeyUsagePurpose::ClientAuth, at, "client");
        Self { folder }
    }

    /// `ca.pem`, `wrong-ca.pem`, `server.pem`, `server.key`, `client.pem` or `client.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Also the place for what a server keeps.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Who trusts the authority in `ca` and shows nothing.
    pub(crate) fn trusting(&self, ca: &str) -> Tls {
        Tls::read(&Files { ca: Some(self.file(ca)), ..Files::default() }).unwrap()
    }

    /// Who trusts the right authority and shows a certificate of it.
    pub(crate) fn client(&self) -> Tls {
        let files = Files {
            ca: Some(self.file("ca.pem")),
            client_cert: Some(self.file("client.pem")),
            client_key: Some(self.file("client.key")),
        };
        Tls::read(&files).unwrap()
    }
}

fn authority(name: &str, file: &Path) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
    Issuer::new(params, key)
}

fn signed(
    issuer: &Issuer<'static, KeyPair>,
    names: Vec<String>,
    purpose: ExtendedKeyUsagePurpose,
    folder: &Path,
    file: &str,
) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, file);
    params.extended_key_usages = vec![purpose];
    let cert = params.signed_by(&key, issuer).unwrap();
    fs::write(folder.join(format!("{file}.pem")), cert.pem()).unwrap();
    fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
}
