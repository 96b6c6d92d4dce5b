//! What the adapter is told.

use core::time::Duration;

use deadpool_redis::redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates,
};
use ports::ClaimTimes;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use tls::Tls;

/// The shortest master secret, in bytes.
const SECRET_LENGTH_MIN: usize = 32;

/// Where Redis is, what it may cost and what it may know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `redis://[user:password@]host[:port][/database]`; `rediss` for TLS.
    pub url: SecretString,
    /// Whom to trust over TLS and as whom to appear.
    pub tls: Tls,
    /// What every key begins with.
    pub key_prefix: String,
    /// Raising it forgets every claim: to be done when Postgres or the broker was restored to an earlier state.
    pub epoch: u32,
    /// At least 32 random bytes, the same for all who share the claims. Another secret forgets every claim.
    pub secret: SecretSlice<u8>,
    /// The most that any operation may take, in total.
    pub budget: Duration,
    /// How long states hold.
    pub times: ClaimTimes,
    /// Connections at once; at least one.
    pub connections_max: usize,
    /// Failures in a row after which Redis is left alone; at least one.
    pub failures_max: u32,
    /// For how long it is left alone before one caller tries again.
    pub pause: Duration,
}

impl Settings {
    /// This Redis and this secret; all else as it is by default.
    pub fn new(url: SecretString, secret: SecretSlice<u8>) -> Self {
        Self {
            url,
            tls: Tls::default(),
            key_prefix: "countersign:".to_owned(),
            epoch: 0,
            secret,
            budget: Duration::from_millis(50),
            times: ClaimTimes::default(),
            connections_max: 16,
            failures_max: 5,
            pause: Duration::from_secs(1),
        }
    }

    /// The secret, if it is long enough.
    pub(crate) fn secret(&self) -> Result<&[u8], SettingsInvalid> {
        let secret = self.secret.expose_secret();
        if secret.len() < SECRET_LENGTH_MIN {
            return Err(SettingsInvalid::SecretShort { length: secret.len() });
        }
        Ok(secret)
    }

    /// The URL's parts with what TLS takes, if it can be connected to at all.
    pub(crate) fn connection_info(&self) -> Result<ConnectionInfo, SettingsInvalid> {
        let url = self.url.expose_secret();
        if url.ends_with("#insecure") {
            return Err(SettingsInvalid::Unverified);
        }
        let info = url.into_connection_info().map_err(|_| SettingsInvalid::Url)?;
        if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Ok(info);
        }
        // The driver makes its own configuration, from PEM: the same files and the same checks.
        let certificates = TlsCertificates {
            client_tls: self.tls.client_pem().map(|(cert, key)| ClientTlsConfig {
                client_cert: cert.to_owned(),
                client_key: key.expose_secret().to_owned(),
            }),
            root_cert: self.tls.ca_pem().map(ToOwned::to_owned),
        };
        let client = Client::build_with_tls(info, certificates).map_err(|_| SettingsInvalid::Certificates)?;
        Ok(client.get_connection_info().clone())
    }
}

/// Settings that no Redis can satisfy. None of them tells the URL or the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsInvalid {
    /// Not the URL of a Redis.
    #[error(
        "the Redis URL is not of the form redis://[user:password@]host[:port][/database], or rediss for TLS"
    )]
    Url,
    /// The driver does not take what `Tls::read` took.
    #[error("the certificates for Redis cannot be used")]
    Certificates,
    /// `#insecure`: a certificate that nobody checks protects nothing.
    #[error("the Redis URL switches off the check of certificates")]
    Unverified,
    /// The secret could be guessed.
    #[error("the replay secret has {length} bytes and needs at least 32")]
    SecretShort {
        /// Its length in bytes.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, secret_length: usize) -> Settings {
        Settings::new(url.into(), vec![7; secret_length].into())
    }

    #[test]
    fn a_short_secret_and_an_unusable_url_are_refused_without_telling_them() {
        assert_eq!(settings("redis://h", 31).secret(), Err(SettingsInvalid::SecretShort { length: 31 }));
        assert!(settings("redis://h", 32).secret().is_ok());
        let refusals = [
            ("http://u:hunter2@h", SettingsInvalid::Url),
            ("redis://u:hunter2@h/x", SettingsInvalid::Url),
            ("rediss://u:hunter2@h#insecure", SettingsInvalid::Unverified),
        ];
        for (url, refusal) in refusals {
            let found = settings(url, 32).connection_info().map(|_| ()).unwrap_err();
            assert!(!format!("{found} {found:?}").contains("hunter2"));
            assert_eq!(found, refusal);
        }
        assert!(settings("redis://u:hunter2@h:6379/3", 32).connection_info().is_ok());
        assert!(settings("rediss://u:hunter2@h:6379/3", 32).connection_info().is_ok());
        assert!(!format!("{:?}", settings("redis://u:hunter2@h", 32)).contains("hunter2"));
    }
}
