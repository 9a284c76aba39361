//! Operations as one batch of netlink messages (`linux/netfilter/nf_tables.h`).

use super::expression::{Anonymous, statement};
use super::model::{Datum, Hook, Key, Set, SetKind, Statement, Type, Value, Verdict};
use super::plan::Operation;
use crate::netlink::Writer;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
const FAMILY: u8 = libc::AF_INET as u8;
/// An element list is split before its attribute reaches 64 KiB.
const ELEMENTS: usize = 400;
/// What a dynamic set may hold: one entry a client and endpoint.
const DYNAMIC_SIZE: u32 = 65_535;

// Message types.
const NEW_TABLE: u16 = 0;
pub(super) const GET_TABLE: u16 = 1;
const DEL_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DEL_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DEL_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const DEL_SET: u16 = 11;
const NEW_ELEMENT: u16 = 12;
const DEL_ELEMENT: u16 = 14;

// Flags of sets.
const ANONYMOUS: u32 = 0x1;
const CONSTANT: u32 = 0x2;
const MAP: u32 = 0x8;
const TIMEOUT: u32 = 0x10;
const EVAL: u32 = 0x20;
const VERDICT_DATA: u32 = 0xffff_ff00;

/// The number of a message type of nftables.
pub(super) fn kind(message: u16) -> u16 {
    SUBSYSTEM << 8 | message
}

/// `struct nfgenmsg`.
pub(super) fn header(message: &mut Writer, family: u8, resource: u16) {
    message.raw(&[family, 0]).raw(&resource.to_be_bytes());
}

/// Writes the whole transaction; returns the number of the message whose acknowledgement closes it.
pub(super) fn transaction(writer: &mut Writer, table: &str, operations: &[Operation]) -> u32 {
    writer.message(BATCH_BEGIN, libc::NLM_F_REQUEST as u16, |message| header(message, 0, SUBSYSTEM));
    let mut batch = Batch { writer, table, last: (0, 0), sets: 0 };
    for operation in operations {
        batch.operation(operation);
    }
    let (offset, sequence) = batch.last;
    writer.add_flags(offset, libc::NLM_F_ACK as u16);
    writer.message(BATCH_END, libc::NLM_F_REQUEST as u16, |message| header(message, 0, SUBSYSTEM));
    sequence
}

struct Batch<'a> {
    writer: &'a mut Writer,
    table: &'a str,
    /// Offset and number of the last message.
    last: (usize, u32),
    /// How many anonymous sets were made; their name within the transaction.
    sets: u32,
}

impl Batch<'_> {
    fn send(&mut self, number: u16, flags: i32, body: impl FnOnce(&mut Writer)) {
        let offset = self.writer.offset();
        let flags = (flags | libc::NLM_F_REQUEST) as u16;
        let sequence = self.writer.message(kind(number), flags, |message| {
            header(message, FAMILY, 0);
            body(message);
        });
        self.last = (offset, sequence);
    }

    fn operation(&mut self, operation: &Operation) {
        let table = self.table;
        match operation {
            Operation::AddTable => self.send(NEW_TABLE, libc::NLM_F_CREATE, |message| {
                message.text(1, table).u32_be(2, 0);
            }),
            Operation::RemoveTable => self.send(DEL_TABLE, 0, |message| {
                message.text(1, table);
            }),
            Operation::AddSet(set) => self.set(set),
            Operation::RemoveSet(name) => self.send(DEL_SET, 0, |message| {
                message.text(1, table).text(2, name);
            }),
            Operation::AddChain(name, hook) => self.chain(name, hook.as_ref()),
            Operation::Flush(name) => self.send(DEL_RULE, 0, |message| {
                message.text(1, table).text(2, name);
            }),
            Operation::RemoveChain(name) => self.send(DEL_CHAIN, 0, |message| {
                message.text(1, table).text(3, name);
            }),
            Operation::AddRule(chain, rule) => self.rule(chain, rule),
            Operation::AddElements(set, elements) => self.add_elements(set, None, elements),
            Operation::RemoveElements(set, keys) => {
                for keys in keys.chunks(ELEMENTS) {
                    self.send(DEL_ELEMENT, 0, |message| {
                        message.text(1, table).text(2, set).nest(3, |list| {
                            for key in keys {
                                list.nest(1, |element| write_key(element, key));
                            }
                        });
                    });
                }
            }
        }
    }

    fn chain(&mut self, name: &str, hook: Option<&Hook>) {
        let table = self.table;
        self.send(NEW_CHAIN, libc::NLM_F_CREATE, |message| {
            message.text(1, table).text(3, name);
            if let Some(hook) = hook {
                message.nest(4, |nest| {
                    nest.u32_be(1, hook.point as u32).u32_be(2, hook.priority as u32);
                });
                message.u32_be(5, libc::NF_ACCEPT as u32).text(7, hook.kind);
            }
        });
    }

    fn set(&mut self, set: &Set) {
        self.sets += 1;
        let (table, id) = (self.table, self.sets);
        let flags = match &set.kind {
            SetKind::Members => 0,
            SetKind::Map(_) | SetKind::Verdicts => MAP,
            SetKind::Dynamic(_) => TIMEOUT | EVAL,
        };
        self.send(NEW_SET, libc::NLM_F_CREATE, |message| {
            message.text(1, table).text(2, &set.name).u32_be(3, flags);
            write_types(message, &set.key, &set.kind);
            message.u32_be(10, id);
            if let SetKind::Dynamic(timeout) = &set.kind {
                let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                message.nest(9, |description| {
                    description.u32_be(1, DYNAMIC_SIZE);
                });
                message.u64_be(11, milliseconds);
            }
        });
    }

    /// A nameless set that lives and dies with the rule that looks it up.
    fn anonymous(&mut self, key: &[Type], kind: &SetKind, elements: &[(Key, Datum)]) -> Anonymous {
        self.sets += 1;
        let (table, set) = (self.table, Anonymous(self.sets));
        self.send(NEW_SET, libc::NLM_F_CREATE, |message| {
            message.text(1, table).text(2, &set.name()).u32_be(3, ANONYMOUS | CONSTANT | MAP);
            write_types(message, key, kind);
            // For `nft` alone: the key is a number in the machine's byte order.
            message.u32_be(10, set.0).attribute(13, &[0, 4, 1, 0, 0, 0]);
        });
        self.add_elements(&set.name(), Some(set.0), elements);
        set
    }

    fn add_elements(&mut self, set: &str, id: Option<u32>, elements: &[(Key, Datum)]) {
        let table = self.table;
        for elements in elements.chunks(ELEMENTS) {
            self.send(NEW_ELEMENT, libc::NLM_F_CREATE, |message| {
                message.text(1, table).text(2, set);
                if let Some(id) = id {
                    message.u32_be(4, id);
                }
                message.nest(3, |list| {
                    for (key, datum) in elements {
                        list.nest(1, |element| {
                            write_key(element, key);
                            write_datum(element, 2, datum);
                        });
                    }
                });
            });
        }
    }

    fn rule(&mut self, chain: &str, rule: &[Statement]) {
        let table = self.table;
        // The nameless sets of a rule must be there before it.
        let number = |number: usize| -> Key { Box::new([Value::Number(number as u32)]) };
        let sets: Vec<Option<Anonymous>> = rule
            .iter()
            .map(|statement| match statement {
                Statement::BalanceChains(chains) if chains.len() > 1 => {
                    let elements: Vec<_> = chains
                        .iter()
                        .enumerate()
                        .map(|(at, chain)| (number(at), Datum::Verdict(Verdict::Goto(chain.clone()))))
                        .collect();
                    Some(self.anonymous(&[Type::Number], &SetKind::Verdicts, &elements))
                }
                _ => None,
            })
            .collect();
        self.send(NEW_RULE, libc::NLM_F_CREATE | libc::NLM_F_APPEND, |message| {
            message.text(1, table).text(2, chain).nest(4, |list| {
                for (part, set) in rule.iter().zip(sets) {
                    statement(list, part, set);
                }
            });
        });
    }
}

fn write_types(message: &mut Writer, key: &[Type], kind: &SetKind) {
    message.u32_be(4, type_number(key)).u32_be(5, 4 * key.len() as u32);
    match kind {
        SetKind::Map(data) => {
            message.u32_be(6, type_number(data)).u32_be(7, 4 * data.len() as u32);
        }
        SetKind::Verdicts => {
            message.u32_be(6, VERDICT_DATA);
        }
        SetKind::Members | SetKind::Dynamic(_) => {}
    }
}

/// The number that `nft` knows a type by; six bits a field. The kernel keeps it unread.
fn type_number(types: &[Type]) -> u32 {
    types.iter().fold(0, |number, field| {
        let field = match field {
            Type::Address => 7,
            Type::Protocol => 12,
            Type::Port => 13,
            Type::Number => 19,
        };
        number << 6 | field
    })
}

/// Each field begins at a register of four bytes.
pub(super) fn bytes(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * values.len());
    for value in values {
        match value {
            Value::Address(address) => bytes.extend(address.octets()),
            Value::Protocol(number) => bytes.extend([*number, 0, 0, 0]),
            Value::Port(number) => {
                bytes.extend(number.to_be_bytes());
                bytes.extend([0, 0]);
            }
            Value::Number(number) => bytes.extend(number.to_ne_bytes()),
        }
    }
    bytes
}

fn write_key(element: &mut Writer, key: &Key) {
    element.nest(1, |data| {
        data.attribute(1, &bytes(key));
    });
}

/// `NFTA_DATA_VALUE` or `NFTA_DATA_VERDICT` in an attribute `attribute`.
pub(super) fn write_datum(message: &mut Writer, attribute: u16, datum: &Datum) {
    match datum {
        Datum::Member => {}
        Datum::Values(values) => {
            message.nest(attribute, |data| {
                data.attribute(1, &bytes(values));
            });
        }
        Datum::Verdict(verdict) => {
            let (code, chain) = match verdict {
                Verdict::Drop => (libc::NF_DROP, None),
                Verdict::Accept => (libc::NF_ACCEPT, None),
                Verdict::Return => (libc::NFT_RETURN, None),
                Verdict::Jump(chain) => (libc::NFT_JUMP, Some(chain)),
                Verdict::Goto(chain) => (libc::NFT_GOTO, Some(chain)),
            };
            message.nest(attribute, |data| {
                data.nest(2, |verdict| {
                    verdict.u32_be(1, code as u32);
                    if let Some(chain) = chain {
                        verdict.text(2, chain);
                    }
                });
            });
        }
    }
}
