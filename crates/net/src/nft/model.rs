//! What a table can say. Every type prints as nftables' own language does, for logs and golden files.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

/// The bit of a packet's mark that asks for masquerading after routing; the one upstream's kube-proxy uses too.
pub const MARK: u32 = 0x4000;

/// The type of one field of a set's key or data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Address,
    Protocol,
    Port,
    /// A number in the machine's byte order; `nft` calls it a mark.
    Number,
}

/// One field of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    Address(Ipv4Addr),
    /// IANA's protocol number.
    Protocol(u8),
    Port(u16),
    Number(u32),
}

pub type Key = Box<[Value]>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

/// What an element of a map leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum {
    /// Nothing: the element of a plain set.
    Member,
    Values(Key),
    Verdict(Verdict),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetKind {
    Members,
    Map(Vec<Type>),
    Verdicts,
    /// Filled by rules; an element goes after this time without an update.
    Dynamic(Duration),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub name: String,
    pub key: Vec<Type>,
    pub kind: SetKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookPoint {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// Where a base chain is called from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `filter` or `nat`.
    pub kind: &'static str,
    pub point: HookPoint,
    pub priority: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    pub name: String,
    pub hook: Option<Hook>,
    pub rules: Vec<Vec<Statement>>,
}

/// A field of a packet that a set is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    Source,
    Destination,
    Protocol,
    DestinationPort,
}

/// One part of a rule: a match, or what is done when all before it matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    SourceIn(Ipv4Net),
    SourceNotIn(Ipv4Net),
    DestinationIn(Ipv4Net),
    DestinationNotIn(Ipv4Net),
    Protocol(u8),
    InInterface(String),
    OutInterface(String),
    /// The destination is an address of this node.
    DestinationLocal,
    DestinationNotLocal,
    /// The source is an address of this node.
    SourceLocal,
    /// The packet carries [`MARK`].
    Marked,
    Mark,
    Unmark,
    InSet(Vec<Select>, String),
    /// Looks a verdict up and follows it; goes on behind if there is none.
    Follow(Vec<Select>, String),
    /// Sends the connection to where the map says; goes on behind if it says nothing.
    TranslateBy(Vec<Select>, String),
    TranslateTo(Ipv4Addr, u16),
    /// Sends the connection to where the map says for the fields and a random number below the count (not 0), and
    /// goes on behind if it says nothing. One map for all who ask: the kernel finds sets by walking them all.
    BalanceBy(Vec<Select>, usize, String),
    /// The same for values in the place of fields.
    Balance(Key, usize, String),
    /// Goes to one of these chains, each as likely as the others. Not empty.
    BalanceChains(Vec<String>),
    /// Adds the fields to a dynamic set, or renews them.
    Remember(Vec<Select>, String, Duration),
    Masquerade,
    /// Answers with ICMP port unreachable.
    Reject,
    Verdict(Verdict),
}

/// An element of the set `set`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub set: String,
    pub key: Key,
    pub datum: Datum,
}

/// What one owner brings to a table. Chains and sets belong to one owner alone; elements may go into anybody's sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    pub sets: Vec<Set>,
    pub chains: Vec<Chain>,
    pub elements: Vec<Element>,
}

impl Chain {
    pub fn new(name: impl Into<String>, rules: Vec<Vec<Statement>>) -> Chain {
        Chain { name: name.into(), hook: None, rules }
    }

    pub fn base(
        name: &str,
        kind: &'static str,
        point: HookPoint,
        priority: i32,
        rules: Vec<Vec<Statement>>,
    ) -> Chain {
        Chain { name: name.to_owned(), hook: Some(Hook { kind, point, priority }), rules }
    }
}

impl Element {
    pub fn new(set: &str, key: impl Into<Key>, datum: Datum) -> Element {
        Element { set: set.to_owned(), key: key.into(), datum }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Type::Address => "ipv4_addr",
            Type::Protocol => "inet_proto",
            Type::Port => "inet_service",
            Type::Number => "mark",
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Address(address) => address.fmt(out),
            Value::Protocol(6) => out.write_str("tcp"),
            Value::Protocol(17) => out.write_str("udp"),
            Value::Protocol(132) => out.write_str("sctp"),
            Value::Protocol(number) => number.fmt(out),
            Value::Port(number) => number.fmt(out),
            Value::Number(number) => number.fmt(out),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept => out.write_str("accept"),
            Verdict::Drop => out.write_str("drop"),
            Verdict::Return => out.write_str("return"),
            Verdict::Jump(chain) => write!(out, "jump {chain}"),
            Verdict::Goto(chain) => write!(out, "goto {chain}"),
        }
    }
}

impl fmt::Display for Select {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Select::Source => "ip saddr",
            Select::Destination => "ip daddr",
            Select::Protocol => "meta l4proto",
            Select::DestinationPort => "th dport",
        })
    }
}

/// Joins with ` . `, nftables' sign for fields that belong together.
struct Joined<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, part) in self.0.iter().enumerate() {
            if number > 0 {
                out.write_str(" . ")?;
            }
            part.fmt(out)?;
        }
        Ok(())
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Statement::*;
        match self {
            SourceIn(net) => write!(out, "ip saddr {net}"),
            SourceNotIn(net) => write!(out, "ip saddr != {net}"),
            DestinationIn(net) => write!(out, "ip daddr {net}"),
            DestinationNotIn(net) => write!(out, "ip daddr != {net}"),
            Protocol(number) => write!(out, "meta l4proto {}", Value::Protocol(*number)),
            InInterface(name) => write!(out, "iifname {name}"),
            OutInterface(name) => write!(out, "oifname {name}"),
            DestinationLocal => out.write_str("fib daddr type local"),
            DestinationNotLocal => out.write_str("fib daddr type != local"),
            SourceLocal => out.write_str("fib saddr type local"),
            Marked => write!(out, "meta mark & {MARK:#x} != 0"),
            Mark => write!(out, "meta mark set meta mark | {MARK:#x}"),
            Unmark => write!(out, "meta mark set meta mark & ~{MARK:#x}"),
            InSet(fields, set) => write!(out, "{} @{set}", Joined(fields)),
            Follow(fields, map) => write!(out, "{} vmap @{map}", Joined(fields)),
            TranslateBy(fields, map) => write!(out, "dnat to {} map @{map}", Joined(fields)),
            TranslateTo(address, port) => write!(out, "dnat to {address}:{port}"),
            BalanceBy(fields, count, map) => {
                write!(out, "dnat to {} . numgen random mod {count} map @{map}", Joined(fields))
            }
            Balance(key, count, map) => {
                write!(out, "dnat to {} . numgen random mod {count} map @{map}", Joined(key))
            }
            BalanceChains(chains) => {
                write!(out, "numgen random mod {} vmap {{", chains.len())?;
                for (number, chain) in chains.iter().enumerate() {
                    let comma = if number > 0 { "," } else { "" };
                    write!(out, "{comma} {number} : goto {chain}")?;
                }
                out.write_str(" }")
            }
            Remember(fields, set, timeout) => {
                write!(out, "update @{set} {{ {} timeout {}s }}", Joined(fields), timeout.as_secs())
            }
            Masquerade => out.write_str("masquerade fully-random"),
            Reject => out.write_str("reject"),
            Verdict(verdict) => verdict.fmt(out),
        }
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for set in &self.sets {
            match &set.kind {
                SetKind::Members => writeln!(out, "set {} {{ type {} }}", set.name, Joined(&set.key))?,
                SetKind::Map(data) => {
                    writeln!(out, "map {} {{ type {} : {} }}", set.name, Joined(&set.key), Joined(data))?;
                }
                SetKind::Verdicts => {
                    writeln!(out, "map {} {{ type {} : verdict }}", set.name, Joined(&set.key))?
                }
                SetKind::Dynamic(timeout) => writeln!(
                    out,
                    "set {} {{ type {}; flags dynamic,timeout; timeout {}s }}",
                    set.name,
                    Joined(&set.key),
                    timeout.as_secs()
                )?,
            }
        }
        for chain in &self.chains {
            match &chain.hook {
                Some(hook) => writeln!(
                    out,
                    "chain {} {{ type {} hook {} priority {}",
                    chain.name,
                    hook.kind,
                    format!("{:?}", hook.point).to_lowercase(),
                    hook.priority
                )?,
                None => writeln!(out, "chain {} {{", chain.name)?,
            }
            for rule in &chain.rules {
                let words: Vec<String> = rule.iter().map(Statement::to_string).collect();
                writeln!(out, "  {}", words.join(" "))?;
            }
            writeln!(out, "}}")?;
        }
        for element in &self.elements {
            write!(out, "{}: {}", element.set, Joined(&element.key))?;
            match &element.datum {
                Datum::Member => writeln!(out)?,
                Datum::Values(values) => writeln!(out, " : {}", Joined(values))?,
                Datum::Verdict(verdict) => writeln!(out, " : {verdict}")?,
            }
        }
        Ok(())
    }
}
