//! Whose request it is: the peer, or whom trusted proxies say they speak for. Pure.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

/// Who calls, as far as the network tells: an IPv4 address or a /64 of IPv6, of which anybody with one has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller(IpAddr);

impl Caller {
    /// The caller at this address.
    pub const fn at(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(IpAddr::V4(v4)),
            IpAddr::V6(v6) => Self(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << u64::BITS)))),
        }
    }
}

/// A range of addresses in CIDR notation; an address alone is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    width: u32,
    prefix: u32,
}

/// Why a text is no [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkInvalid;

impl fmt::Display for NetworkInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a range of addresses is expected, no bits set beyond its prefix: 10.0.0.0/8, fd00::/8")
    }
}

impl core::error::Error for NetworkInvalid {}

/// The address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (v4.to_bits().into(), Ipv4Addr::BITS),
        IpAddr::V6(v6) => (v6.to_bits(), Ipv6Addr::BITS),
    }
}

impl FromStr for Network {
    type Err = NetworkInvalid;

    fn from_str(text: &str) -> Result<Self, NetworkInvalid> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let (bits, width) = bits(address.parse().map_err(|_| NetworkInvalid)?);
        let prefix = match prefix {
            None => width,
            Some(prefix) if prefix.bytes().all(|b| b.is_ascii_digit()) => {
                prefix.parse().map_err(|_| NetworkInvalid)?
            }
            Some(_) => return Err(NetworkInvalid),
        };
        let host_bits = width.checked_sub(prefix).ok_or(NetworkInvalid)?;
        if bits.trailing_zeros() < host_bits { Err(NetworkInvalid) } else { Ok(Self { bits, width, prefix }) }
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        let (bits, width) = bits(address);
        let differing = bits ^ self.bits;
        width == self.width && differing.checked_shr(width.saturating_sub(self.prefix)).unwrap_or(0) == 0
    }
}

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(pub Vec<Network>);

impl Proxies {
    /// Who calls: the right-most hop that is no trusted proxy. `forwarded` are the values of `X-Forwarded-For` in their order;
    /// what stands left of the first untrusted hop is the caller's own claim and is not read.
    ///
    /// `None` when that cannot be told and many may share the address: a private peer and no proxy is configured, or a trusted
    /// proxy that names nobody.
    pub fn caller(&self, peer: IpAddr, forwarded: &[&str]) -> Option<Caller> {
        let peer = peer.to_canonical();
        if self.0.is_empty() {
            return (!is_private(peer)).then(|| Caller::at(peer));
        }
        let mut hops = forwarded.iter().rev().flat_map(|value| value.rsplit(','));
        let mut caller = peer;
        while self.trusts(caller) {
            caller = hop(hops.next()?)?;
        }
        Some(Caller::at(caller))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// One element of `X-Forwarded-For`: an address, with a port from some balancers.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|with_port: SocketAddr| with_port.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// Whether many may stand behind the address: loopback, private, carrier's NAT (RFC 6598), link-local, unique local.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && second & 0b1100_0000 == 64;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> Proxies {
        Proxies(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    fn at(address: &str) -> Caller {
        Caller::at(address.parse().unwrap())
    }

    #[test]
    fn a_network_is_an_address_and_a_prefix_that_covers_its_bits() {
        for good in ["10.0.0.0/8", "0.0.0.0/0", "1.2.3.4/32", "1.2.3.4", "::/0", "fd00::/8", "::1", "::1/128"]
        {
            assert!(good.parse::<Network>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0/8",
            "fd00::1/8",
            "::/129",
            "any",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkInvalid), "{bad}");
        }
    }

    #[test]
    fn a_network_contains_its_own_and_nothing_of_the_other_family() {
        let contains = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        for (network, inside) in
            [("10.0.0.0/8", "10.255.0.1"), ("0.0.0.0/0", "9.9.9.9"), ("::/0", "::9"), ("1.2.3.4", "1.2.3.4")]
        {
            assert!(contains(network, inside), "{network} {inside}");
        }
        for (network, outside) in
            [("10.0.0.0/8", "11.0.0.0"), ("0.0.0.0/0", "::"), ("::/0", "0.0.0.0"), ("1.2.3.4", "1.2.3.5")]
        {
            assert!(!contains(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let proxies = proxies(&["10.0.0.0/8"]);
        let caller = |peer: &str, forwarded: &[&str]| proxies.caller(peer.parse().unwrap(), forwarded);
        assert_eq!(caller("9.9.9.9", &["1.1.1.1"]), Some(at("9.9.9.9")), "a stranger's own claim");
        assert_eq!(caller("10.0.0.1", &["1.1.1.1"]), Some(at("1.1.1.1")));
        assert_eq!(
            caller("::ffff:10.0.0.1", &["1.1.1.1"]),
            Some(at("1.1.1.1")),
            "an address in both families"
        );
        assert_eq!(caller("10.0.0.1", &["6.6.6.6, 1.1.1.1"]), Some(at("1.1.1.1")), "the right-most");
        assert_eq!(
            caller("10.0.0.1", &["6.6.6.6", "1.1.1.1, 10.0.0.2"]),
            Some(at("1.1.1.1")),
            "across headers"
        );
        assert_eq!(caller("10.0.0.1", &["10.0.0.9, 1.1.1.1:4711 "]), Some(at("1.1.1.1")), "with a port");
        assert_eq!(caller("10.0.0.1", &["[2001:db8::1]:443"]), Some(at("2001:db8::1")));
        assert_eq!(caller("10.0.0.1", &["garbage, 1.1.1.1"]), Some(at("1.1.1.1")));
        assert_eq!(
            caller("192.168.0.1", &["1.1.1.1"]),
            Some(at("192.168.0.1")),
            "private, but no proxy of ours"
        );
    }

    #[test]
    fn who_stands_behind_an_address_that_many_share_cannot_be_told() {
        let trusting = proxies(&["10.0.0.0/8"]);
        for forwarded in [&[][..], &["10.0.0.2"], &["1.1.1.1, unknown"], &[""]] {
            assert_eq!(trusting.caller("10.0.0.1".parse().unwrap(), forwarded), None, "{forwarded:?}");
        }
        for private in
            ["127.0.0.1", "::1", "192.168.0.1", "100.64.0.1", "169.254.1.1", "fd00::1", "::ffff:10.0.0.1"]
        {
            let peer = private.parse().unwrap();
            assert_eq!(Proxies::default().caller(peer, &["1.1.1.1"]), None, "{private}");
        }
        assert_eq!(Proxies::default().caller("100.128.0.1".parse().unwrap(), &[]), Some(at("100.128.0.1")));
    }

    #[test]
    fn a_64_of_ipv6_is_one_caller() {
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:0:0:2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:1.2.3.4"), at("1.2.3.4"));
    }
}
