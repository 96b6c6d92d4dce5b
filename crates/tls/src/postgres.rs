//! What the URL of a database asks of TLS. Text only: the two adapters share it and no driver.

use core::fmt;
use core::net::IpAddr;

use secrecy::SecretString;

/// A URL of a database, understood.
#[derive(Clone)]
pub struct Address {
    /// For the driver, whose `sslmode` knows only whether there is TLS. Holds the password.
    pub driver_url: SecretString,
    /// Whether there is TLS; if so, the server's certificate and name are checked.
    pub encrypted: bool,
    /// The hosts, with their ports.
    pub hosts: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.hosts).finish()
    }
}

/// Why a URL is refused; never the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressInvalid {
    /// Not `postgres://…`.
    #[error("not the URL of a Postgres database")]
    NotAUrl,
    /// A word that libpq does not know either.
    #[error("sslmode is disable or verify-full")]
    UnknownMode,
    /// Encrypted to whoever answers, or not even that.
    #[error(
        "sslmode={mode} does not check who {host} is: only sslmode=verify-full is taken for a host that is not loopback"
    )]
    Unverified {
        /// The mode.
        mode: &'static str,
        /// The first such host.
        host: String,
    },
}

/// The modes of libpq, whether each means TLS here, and whether that is all that it says.
const MODES: &[(&str, bool, Strict)] = &[
    ("disable", false, Strict::Yes),
    ("allow", false, Strict::No),
    ("prefer", false, Strict::No),
    ("require", true, Strict::No),
    ("verify-ca", true, Strict::No),
    ("verify-full", true, Strict::Yes),
];

/// Whether a mode does exactly what it says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strict {
    Yes,
    No,
}

impl Address {
    /// Reads `postgres://…`. Without `sslmode` it is in the clear, as with `redis` and `amqp`. Between programs of one
    /// machine, the modes that check little are taken for the nearest that is exact.
    pub fn parse(url: &str) -> Result<Self, AddressInvalid> {
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or(AddressInvalid::NotAUrl)?;
        // As the driver does it: what is before the first @, slashes included, is the account.
        let place = rest.split_once('@').map_or(rest, |(_, place)| place);
        let (path, query) = place.split_once('?').map_or((place, None), |(path, query)| (path, Some(query)));
        let authority = path.split('/').next().unwrap_or_default();
        let before = url.len().saturating_sub(query.map_or(0, |query| query.len().saturating_add(1)));
        let before = url.get(..before).unwrap_or_default();

        let (mut mode, mut kept) = ("disable", Vec::new());
        let mut hosts: Vec<&str> = authority.split(',').filter(|host| !host.is_empty()).collect();
        for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", word)) => {
                    mode = word;
                    continue;
                }
                Some(("host" | "hostaddr", more)) => hosts.extend(more.split(',')),
                Some(_) | None => {}
            }
            kept.push(pair);
        }
        let (mode, encrypted, strict) =
            MODES.iter().find(|(word, ..)| *word == mode).ok_or(AddressInvalid::UnknownMode)?;
        if *strict == Strict::No
            && let Some(host) = hosts.iter().find(|host| !is_loopback(host))
        {
            return Err(AddressInvalid::Unverified { mode, host: (*host).to_owned() });
        }
        kept.push(if *encrypted { "sslmode=require" } else { "sslmode=disable" });
        Ok(Self {
            driver_url: format!("{before}?{}", kept.join("&")).into(),
            encrypted: *encrypted,
            hosts: hosts.join(","),
        })
    }
}

/// A host of this machine, or a folder of its sockets.
fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _port)) => address,
        None if host.parse::<IpAddr>().is_ok() => host,
        None => host.split(':').next().unwrap_or_default(),
    };
    bare == "localhost"
        || bare.starts_with('/')
        || bare.starts_with("%2F")
        || bare.starts_with("%2f")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn driver(url: &str) -> (String, bool) {
        let address = Address::parse(url).unwrap();
        (address.driver_url.expose_secret().to_owned(), address.encrypted)
    }

    #[test]
    fn the_url_alone_says_whether_there_is_tls() {
        for (url, for_the_driver, encrypted) in [
            ("postgres://a@db.example/c", "postgres://a@db.example/c?sslmode=disable", false),
            ("postgres://a@db.example/c?sslmode=disable", "postgres://a@db.example/c?sslmode=disable", false),
            (
                "postgres://a:p/?@db.example:5433/c?sslmode=verify-full&connect_timeout=3",
                "postgres://a:p/?@db.example:5433/c?connect_timeout=3&sslmode=require",
                true,
            ),
            ("postgresql://db?sslmode=verify-full", "postgresql://db?sslmode=require", true),
        ] {
            assert_eq!(driver(url), (for_the_driver.to_owned(), encrypted), "{url}");
        }
        assert_eq!(Address::parse("postgres://u:hunter2@h:1,i/c").unwrap().hosts, "h:1,i");
    }

    #[test]
    fn what_does_not_check_the_server_is_for_loopback_only() {
        for mode in ["allow", "prefer", "require", "verify-ca"] {
            for host in
                ["db.example", "localhost.example", "10.0.0.7:5432", "[2001:db8::1]:5432", "127.0.0.1,db"]
            {
                let url = format!("postgres://u:hunter2@{host}/c?sslmode={mode}");
                let refused = Address::parse(&url).unwrap_err();
                assert!(matches!(&refused, AddressInvalid::Unverified { mode: said, .. } if *said == mode));
                assert!(!format!("{refused} {refused:?}").contains("hunter2"));
            }
            for place in ["localhost/c", "127.0.0.1:5432/c", "[::1]:5432/c", "%2Frun%2Fpostgresql/c", "/c"] {
                let encrypted = driver(&format!("postgres://u@{place}?sslmode={mode}")).1;
                assert_eq!(encrypted, mode == "require" || mode == "verify-ca", "{place} {mode}");
            }
            let hidden = format!("postgres://localhost/c?host=db.example&sslmode={mode}");
            assert!(Address::parse(&hidden).is_err());
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_repeating_it() {
        for url in
            ["", "http://u:hunter2@h", "host=h password=hunter2", "postgres://u:hunter2@h?sslmode=full"]
        {
            let refused = Address::parse(url).unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{url}");
        }
    }
}
