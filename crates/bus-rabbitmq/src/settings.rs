//! Where the broker is, and how patient to be with it.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use ports::Exchange;
use tls::Tls;

/// How to reach the broker and how long to wait for it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The broker, the account and the vhost.
    pub address: Address,
    /// Whom to trust over TLS and as whom to appear.
    pub tls: Tls,
    /// The name of the connections on the management page; ` publish` or ` consume` is added.
    pub connection_name: String,
    /// Whether to create the topology or only to look whether it is there.
    pub declare: Declare,
    /// The exchange that is looked for before anything is published, where nothing is declared.
    pub publishes_to: Exchange,
    /// How long a publish may wait for its confirm.
    pub confirm_deadline: Duration,
    /// How long a connection may stay blocked, or leave every publish unconfirmed, before it is made anew.
    pub blocked_deadline: Duration,
    /// The interval after which a silent connection is suspect; it is given up after two.
    pub heartbeat_seconds: u16,
}

impl Settings {
    /// The defaults for a broker: declare, 2 s, 30 s, heartbeat 10.
    pub fn new(address: Address, connection_name: impl Into<String>) -> Self {
        Self {
            address,
            tls: Tls::default(),
            connection_name: connection_name.into(),
            declare: Declare::Declare,
            publishes_to: Exchange::Events,
            confirm_deadline: Duration::from_secs(2),
            blocked_deadline: Duration::from_secs(30),
            heartbeat_seconds: 10,
        }
    }
}

/// Who makes the exchanges and queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declare {
    /// This adapter, at every connection; what exists with other arguments is refused by the broker.
    Declare,
    /// Somebody else (definitions of the broker): only what is used is looked for; bindings and arguments are not seen.
    Passive,
}

/// An `amqp://user:password@host:port/vhost` URL, or `amqps` for TLS. It never prints the account or the password.
#[derive(Clone)]
pub struct Address(AMQPUri);

/// Why a text is no address. The text itself may hold a password and is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressInvalid {
    /// It does not parse.
    #[error("not a URL like amqp://user:password@host:5672/%2f")]
    NotAUrl,
}

impl Address {
    /// Whether the URL asks for TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        match self.0.scheme {
            AMQPScheme::AMQP => false,
            AMQPScheme::AMQPS => true,
        }
    }

    /// The server alone.
    pub(crate) fn server(&self) -> String {
        format!("{}:{}", self.0.authority.host, self.0.authority.port)
    }

    /// The server's name and port, apart.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        (&self.0.authority.host, self.0.authority.port)
    }

    /// The URL for the driver, with the heartbeat of the settings.
    pub(crate) fn uri(&self, heartbeat_seconds: u16) -> AMQPUri {
        let mut uri = self.0.clone();
        uri.query.heartbeat = Some(heartbeat_seconds);
        uri
    }
}

impl FromStr for Address {
    type Err = AddressInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The parser's own message repeats the URL, password included.
        let mut uri: AMQPUri = text.parse().map_err(|_repeats_the_url| AddressInvalid::NotAUrl)?;
        // The parser takes an IPv6 literal for an absent host, that is for localhost.
        let authority = text.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next());
        if let Some((host, _port)) = authority
            .map(|authority| authority.rsplit('@').next().unwrap_or(authority))
            .and_then(|host| host.strip_prefix('['))
            .and_then(|host| host.split_once(']'))
        {
            host.clone_into(&mut uri.authority.host);
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} vhost {}", self.0.authority.host, self.0.authority.port, self.0.vhost)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_settings_nor_a_refused_url_print_the_password() {
        let settings = Settings::new("amqp://me:hunter2@mq.example:5672/%2f".parse().unwrap(), "ingress");
        assert_eq!(settings.address.to_string(), "mq.example:5672 vhost /");
        for url in ["amqp:hunter2", "http://me:hunter2@x", "amqp://me:hunter2@x:port/"] {
            let refused = url.parse::<Address>().unwrap_err();
            assert!(!format!("{settings:?} {refused} {refused:?}").contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn the_scheme_alone_says_whether_there_is_tls() {
        for (url, encrypted, server) in [("amqps://x/", true, "x:5671"), ("amqp://x/", false, "x:5672")] {
            let address: Address = url.parse().unwrap();
            assert_eq!((address.is_encrypted(), address.server().as_str()), (encrypted, server));
        }
    }

    #[test]
    fn an_ipv6_literal_is_not_taken_for_localhost() {
        let address: Address = "amqp://me:p%40ss@[2001:db8::1]:5673/v?heartbeat=60".parse().unwrap();
        assert_eq!(address.to_string(), "2001:db8::1:5673 vhost v");
        let uri = address.uri(10);
        assert_eq!(uri.query.heartbeat, Some(10));
        assert_eq!(uri.authority.userinfo.password, "p@ss");
    }
}
