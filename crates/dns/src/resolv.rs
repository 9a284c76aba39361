//! The resolvers that `/etc/resolv.conf` names. Pure.

use std::net::{IpAddr, SocketAddr};

/// The C library takes no more either.
const MOST: usize = 3;

/// The `nameserver` lines, without our own addresses: asking ourselves would go round for ever.
pub(crate) fn parse(text: &str, own: &[IpAddr]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some("nameserver"), Some(address)) = (words.next(), words.next()) else { continue };
        // A link-local address may name its link; without it there is no way there.
        let address = match address.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, 53),
            Err(_) => continue,
        };
        if !own.contains(&address.ip()) && !found.contains(&address) && found.len() < MOST {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_c_library_takes() {
        let text = "# a comment\nsearch example.org\nnameserver 192.0.2.1 # one\n nameserver\t::1\n\
                    nameserver 10.43.0.10\nnameserver nonsense\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n\
                    nameserver 192.0.2.3\noptions ndots:5\n";
        let own = ["10.43.0.10".parse().unwrap()];
        let found: Vec<String> = parse(text, &own).iter().map(SocketAddr::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[::1]:53", "192.0.2.2:53"]);
        assert_eq!(parse("", &own), []);
    }
}
