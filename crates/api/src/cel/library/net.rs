//! `ip` and `cidr` (k8s.io/apiserver/pkg/cel/library/ip.go, cidr.go): what Kubernetes takes for an address, which is no IPv4
//! in IPv6 and no leading zero.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Out;
use crate::cel::value::Val;

/// A network, with the bits after the prefix as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub ip: IpAddr,
    pub prefix: u32,
}

impl Cidr {
    fn masked(self) -> Cidr {
        Cidr { ip: mask(self.ip, self.prefix), ..self }
    }
    fn contains(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.ip.is_ipv4() && mask(ip, self.prefix) == mask(self.ip, self.prefix)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.ip, self.prefix)
    }
}

fn mask(ip: IpAddr, prefix: u32) -> IpAddr {
    match ip {
        IpAddr::V4(four) => {
            let keep = u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0);
            Ipv4Addr::from(u32::from(four) & keep).into()
        }
        IpAddr::V6(six) => {
            let keep = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
            Ipv6Addr::from(u128::from(six) & keep).into()
        }
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, String> {
    if text.contains('%') {
        return Err(format!("IP address {text:?} with zone value is not allowed"));
    }
    let ip: IpAddr = text.parse().map_err(|_| format!("IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"))?;
    match ip {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"))
        }
        ip => Ok(ip),
    }
}

fn parse_cidr(text: &str) -> Result<Cidr, String> {
    let bad = || {
        format!(
            "network address parse error during conversion from string: netip.ParsePrefix({text:?}): no '/'"
        )
    };
    let (ip, prefix) = text.split_once('/').ok_or_else(bad)?;
    let ip = parse_ip(ip)
        .map_err(|why| format!("network address parse error during conversion from string: {why}"))?;
    let plain = !prefix.is_empty()
        && prefix.bytes().all(|byte| byte.is_ascii_digit())
        && (prefix.len() == 1 || !prefix.starts_with('0'));
    let most = if ip.is_ipv4() { 32 } else { 128 };
    match prefix.parse::<u32>() {
        Ok(prefix) if plain && prefix <= most => Ok(Cidr { ip, prefix }),
        _ => Err(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({text:?}): bad bits after slash: {prefix:?}"
        )),
    }
}

pub(super) fn call<'a>(function: &str, args: &[Val<'a>]) -> Option<Out<'a>> {
    use Val as V;
    Some(Ok(match (function, args) {
        ("ip", [V::String(text)]) => match parse_ip(text) {
            Ok(ip) => V::Ip(ip),
            Err(why) => return Some(Err(why)),
        },
        ("isIP", [V::String(text)]) => V::Bool(parse_ip(text).is_ok()),
        ("ip.isCanonical", [V::String(text)]) => match parse_ip(text) {
            Ok(ip) => V::Bool(ip.to_string() == text.as_str()),
            Err(why) => return Some(Err(why)),
        },
        ("family", [V::Ip(ip)]) => V::Int(if ip.is_ipv4() { 4 } else { 6 }),
        ("isUnspecified", [V::Ip(ip)]) => V::Bool(ip.is_unspecified()),
        ("isLoopback", [V::Ip(ip)]) => V::Bool(ip.is_loopback()),
        ("isLinkLocalMulticast", [V::Ip(ip)]) => V::Bool(match ip {
            IpAddr::V4(four) => four.octets()[..3] == [224, 0, 0],
            IpAddr::V6(six) => six.segments()[0] & 0xff0f == 0xff02,
        }),
        ("isLinkLocalUnicast", [V::Ip(ip)]) => V::Bool(link_local(ip)),
        ("isGlobalUnicast", [V::Ip(ip)]) => {
            let broadcast = matches!(ip, IpAddr::V4(four) if four.is_broadcast());
            V::Bool(
                !ip.is_unspecified()
                    && !ip.is_loopback()
                    && !ip.is_multicast()
                    && !link_local(ip)
                    && !broadcast,
            )
        }
        ("cidr", [V::String(text)]) => match parse_cidr(text) {
            Ok(cidr) => V::Cidr(cidr),
            Err(why) => return Some(Err(why)),
        },
        ("isCIDR", [V::String(text)]) => V::Bool(parse_cidr(text).is_ok()),
        ("containsIP", [V::Cidr(own), other]) => match other {
            V::Ip(ip) => V::Bool(own.contains(*ip)),
            V::String(text) => match parse_ip(text) {
                Ok(ip) => V::Bool(own.contains(ip)),
                Err(why) => return Some(Err(why)),
            },
            _ => return None,
        },
        ("containsCIDR", [V::Cidr(own), other]) => {
            let other = match other {
                V::Cidr(other) => *other,
                V::String(text) => match parse_cidr(text) {
                    Ok(cidr) => cidr,
                    Err(why) => return Some(Err(why)),
                },
                _ => return None,
            };
            V::Bool(own.prefix <= other.prefix && own.contains(other.ip))
        }
        ("ip", [V::Cidr(own)]) => V::Ip(own.ip),
        ("masked", [V::Cidr(own)]) => V::Cidr(own.masked()),
        ("prefixLength", [V::Cidr(own)]) => V::Int(own.prefix.into()),
        _ => return None,
    }))
}

fn link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.segments()[0] & 0xffc0 == 0xfe80,
    }
}
