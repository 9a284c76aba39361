//! Statements as the kernel's expressions: each loads into, tests or uses registers.
//!
//! Registers are the sixteen of four bytes, from [`R0`] on; a joined key takes one register a field, in order.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::encode::write_datum;
use super::model::{Datum, MARK, Select, Statement, Value, Verdict};
use crate::netlink::Writer;

/// `NFT_REG32_00`.
const R0: u32 = 8;
const VERDICT: u32 = 0;

/// A nameless set, known by its number within the transaction.
#[derive(Clone, Copy)]
pub(super) struct Anonymous(pub(super) u32);

impl Anonymous {
    pub(super) fn name(self) -> String {
        // The kernel fills the number in.
        "__map%d".to_owned()
    }
}

const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

/// Writes one statement; `set` is the nameless set that was made for it.
pub(super) fn statement(list: &mut Writer, statement: &Statement, set: Option<Anonymous>) {
    use Statement as S;
    match statement {
        S::SourceIn(net) => network(list, Select::Source, net, EQUAL),
        S::SourceNotIn(net) => network(list, Select::Source, net, NOT_EQUAL),
        S::DestinationIn(net) => network(list, Select::Destination, net, EQUAL),
        S::DestinationNotIn(net) => network(list, Select::Destination, net, NOT_EQUAL),
        S::Protocol(number) => {
            load(list, &[Select::Protocol]);
            compare(list, EQUAL, &[*number]);
        }
        S::InInterface(name) => interface(list, 6, name),
        S::OutInterface(name) => interface(list, 7, name),
        S::DestinationLocal => local(list, 2, EQUAL),
        S::DestinationNotLocal => local(list, 2, NOT_EQUAL),
        S::SourceLocal => local(list, 1, EQUAL),
        S::Marked => {
            meta(list, 3);
            bitwise(list, &MARK.to_ne_bytes(), &[0; 4]);
            compare(list, NOT_EQUAL, &[0; 4]);
        }
        // (mark & ~bit) ^ bit sets the bit; the same without the last step clears it.
        S::Mark => remark(list, MARK),
        S::Unmark => remark(list, 0),
        S::InSet(fields, name) => {
            load(list, fields);
            lookup(list, name, None, None);
        }
        S::Follow(fields, map) => {
            load(list, fields);
            lookup(list, map, None, Some(VERDICT));
        }
        S::TranslateBy(fields, map) => {
            load(list, fields);
            lookup(list, map, None, Some(R0));
            translate(list);
        }
        S::TranslateTo(address, port) => to(list, *address, *port),
        S::Balance(key, count, map) => {
            for (register, value) in (R0..).zip(key) {
                immediate(list, register, *value);
            }
            balance(list, R0 + key.len() as u32, *count, map);
        }
        S::BalanceBy(fields, count, map) => {
            load(list, fields);
            balance(list, R0 + fields.len() as u32, *count, map);
        }
        S::BalanceChains(chains) => match (chains.as_slice(), set) {
            ([chain], _) => verdict(list, &Verdict::Goto(chain.clone())),
            (_, Some(set)) => {
                numgen(list, R0, chains.len());
                lookup(list, &set.name(), Some(set), Some(VERDICT));
            }
            (_, None) => {}
        },
        S::Remember(fields, name, timeout) => {
            const UPDATE: u32 = 1;
            load(list, fields);
            let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            expression(list, "dynset", |data| {
                data.text(1, name).u32_be(3, UPDATE).u32_be(4, R0).u64_be(6, milliseconds);
            });
        }
        S::Masquerade => {
            const FULLY_RANDOM: u32 = 1 << 4;
            expression(list, "masq", |data| {
                data.u32_be(1, FULLY_RANDOM);
            });
        }
        S::Reject => {
            const ICMP: u32 = 0;
            const PORT_UNREACHABLE: u8 = 3;
            expression(list, "reject", |data| {
                data.u32_be(1, ICMP).u8(2, PORT_UNREACHABLE);
            });
        }
        S::Verdict(decision) => verdict(list, decision),
    }
}

fn expression(list: &mut Writer, name: &str, body: impl FnOnce(&mut Writer)) {
    list.nest(1, |element| {
        element.text(1, name).nest(2, body);
    });
}

fn load(list: &mut Writer, fields: &[Select]) {
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;
    const L4PROTO: u32 = 16;
    for (register, field) in (R0..).zip(fields) {
        match field {
            Select::Source => payload(list, register, NETWORK, 12, 4),
            Select::Destination => payload(list, register, NETWORK, 16, 4),
            Select::DestinationPort => payload(list, register, TRANSPORT, 2, 2),
            Select::Protocol => expression(list, "meta", |data| {
                data.u32_be(1, register).u32_be(2, L4PROTO);
            }),
        }
    }
}

fn payload(list: &mut Writer, register: u32, base: u32, offset: u32, length: u32) {
    expression(list, "payload", |data| {
        data.u32_be(1, register).u32_be(2, base).u32_be(3, offset).u32_be(4, length);
    });
}

fn meta(list: &mut Writer, key: u32) {
    expression(list, "meta", |data| {
        data.u32_be(1, R0).u32_be(2, key);
    });
}

fn compare(list: &mut Writer, operation: u32, value: &[u8]) {
    expression(list, "cmp", |data| {
        data.u32_be(1, R0).u32_be(2, operation).nest(3, |nest| {
            nest.attribute(1, value);
        });
    });
}

/// `register = (register & mask) ^ xor`.
fn bitwise(list: &mut Writer, mask: &[u8; 4], xor: &[u8; 4]) {
    expression(list, "bitwise", |data| {
        data.u32_be(1, R0).u32_be(2, R0).u32_be(3, 4);
        data.nest(4, |nest| {
            nest.attribute(1, mask);
        });
        data.nest(5, |nest| {
            nest.attribute(1, xor);
        });
    });
}

fn remark(list: &mut Writer, bits: u32) {
    const MARK_KEY: u32 = 3;
    meta(list, MARK_KEY);
    bitwise(list, &(!MARK).to_ne_bytes(), &bits.to_ne_bytes());
    expression(list, "meta", |data| {
        data.u32_be(2, MARK_KEY).u32_be(3, R0);
    });
}

fn network(list: &mut Writer, field: Select, net: &Ipv4Net, operation: u32) {
    load(list, &[field]);
    if net.prefix_len() < 32 {
        bitwise(list, &net.netmask().octets(), &[0; 4]);
    }
    compare(list, operation, &net.network().octets());
}

fn interface(list: &mut Writer, key: u32, name: &str) {
    let mut value = [0; libc::IFNAMSIZ];
    let length = name.len().min(libc::IFNAMSIZ - 1);
    value[..length].copy_from_slice(&name.as_bytes()[..length]);
    expression(list, "meta", |data| {
        // A name fills four registers.
        data.u32_be(1, 1).u32_be(2, key);
    });
    expression(list, "cmp", |data| {
        data.u32_be(1, 1).u32_be(2, EQUAL).nest(3, |nest| {
            nest.attribute(1, &value);
        });
    });
}

/// Compares the routing type of the source (1) or destination (2) address with `local`.
fn local(list: &mut Writer, address: u32, operation: u32) {
    const ADDRESS_TYPE: u32 = 3;
    expression(list, "fib", |data| {
        data.u32_be(1, R0).u32_be(2, ADDRESS_TYPE).u32_be(3, address);
    });
    compare(list, operation, &u32::from(libc::RTN_LOCAL).to_ne_bytes());
}

fn lookup(list: &mut Writer, name: &str, set: Option<Anonymous>, to: Option<u32>) {
    expression(list, "lookup", |data| {
        data.text(1, name).u32_be(2, R0);
        if let Some(register) = to {
            data.u32_be(3, register);
        }
        if let Some(set) = set {
            data.u32_be(4, set.0);
        }
    });
}

fn numgen(list: &mut Writer, register: u32, modulus: usize) {
    const RANDOM: u32 = 1;
    expression(list, "numgen", |data| {
        data.u32_be(1, register).u32_be(2, modulus as u32).u32_be(3, RANDOM).u32_be(4, 0);
    });
}

/// Looks up what is in the registers before `register`, with a random number in that, and translates.
fn balance(list: &mut Writer, register: u32, count: usize, map: &str) {
    match count {
        1 => immediate(list, register, Value::Number(0)),
        _ => numgen(list, register, count),
    }
    lookup(list, map, None, Some(R0));
    translate(list);
}

/// Destination NAT to the address in the first register and the port in the second.
fn translate(list: &mut Writer) {
    const DESTINATION: u32 = 1;
    expression(list, "nat", |data| {
        data.u32_be(1, DESTINATION).u32_be(2, libc::AF_INET as u32);
        data.u32_be(3, R0).u32_be(4, R0).u32_be(5, R0 + 1).u32_be(6, R0 + 1);
    });
}

fn to(list: &mut Writer, address: Ipv4Addr, port: u16) {
    immediate(list, R0, Value::Address(address));
    immediate(list, R0 + 1, Value::Port(port));
    translate(list);
}

fn immediate(list: &mut Writer, register: u32, value: Value) {
    let length = match value {
        Value::Protocol(_) => 1,
        Value::Port(_) => 2,
        Value::Address(_) | Value::Number(_) => 4,
    };
    expression(list, "immediate", |data| {
        data.u32_be(1, register).nest(2, |nest| {
            nest.attribute(1, &super::encode::bytes(&[value])[..length]);
        });
    });
}

fn verdict(list: &mut Writer, verdict: &Verdict) {
    expression(list, "immediate", |data| {
        data.u32_be(1, VERDICT);
        write_datum(data, 2, &Datum::Verdict(verdict.clone()));
    });
}
