//! Packets to questions and answers to packets (RFC 1035, RFC 6891). Pure.

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};

use crate::zone::{Answer, Zone};

/// The largest UDP answer without EDNS, and the largest that we send with it: what passes every link unfragmented.
const SMALL: u16 = 512;
pub(crate) const LARGE: u16 = 1232;

/// A question that deserves an answer.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    metadata: Metadata,
    query: Query,
    edns: bool,
    /// What the client wants of DNSSEC: `DO` and `CD`, passed on.
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
    limit: u16,
}

/// What to do with a packet.
#[derive(Debug)]
pub(crate) enum Incoming {
    Ask(Question),
    /// Answer with this, whatever was asked.
    Refuse(Vec<u8>),
    /// Not a question: an answer to it could be answered again.
    Drop,
}

/// Reads a packet. Never fails, whatever the bytes are.
pub(crate) fn read(packet: &[u8]) -> Incoming {
    let Some(header) = packet.get(..12) else { return Incoming::Drop };
    let id = u16::from_be_bytes([header[0], header[1]]);
    if header[2] & 0x80 != 0 {
        return Incoming::Drop;
    }
    let refuse = |code| refusal(id, code);
    let Ok(message) = Message::from_vec(packet) else { return refuse(ResponseCode::FormErr) };
    if message.metadata.op_code != OpCode::Query {
        return refuse(ResponseCode::NotImp);
    }
    let [query] = &message.queries[..] else { return refuse(ResponseCode::FormErr) };
    let question = Question {
        metadata: message.metadata,
        query: query.clone(),
        edns: message.edns.is_some(),
        dnssec_ok: message.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
        checking_disabled: message.metadata.checking_disabled,
        limit: message.edns.as_ref().map_or(SMALL, |edns| edns.max_payload().clamp(SMALL, LARGE)),
    };
    let bad_version = message.edns.as_ref().is_some_and(|edns| edns.version() != 0);
    let code = match query.query_type() {
        _ if bad_version => ResponseCode::BADVERS,
        _ if query.query_class() != DNSClass::IN => ResponseCode::Refused,
        RecordType::AXFR | RecordType::IXFR => ResponseCode::Refused,
        _ => return Incoming::Ask(question),
    };
    Incoming::Refuse(question.fail(code))
}

fn refusal(id: u16, code: ResponseCode) -> Incoming {
    match Message::error_msg(id, OpCode::Query, code).to_vec() {
        Ok(bytes) => Incoming::Refuse(bytes),
        Err(_) => Incoming::Drop,
    }
}

impl Question {
    pub(crate) fn name(&self) -> &Name {
        &self.query.name
    }

    pub(crate) fn kind(&self) -> RecordType {
        self.query.query_type()
    }

    /// The same question about another name.
    pub(crate) fn about(&self, name: Name) -> Question {
        let mut question = self.clone();
        question.query.set_name(name);
        question
    }

    pub(crate) fn query(&self) -> &Query {
        &self.query
    }

    /// What the zone says. `turn` rotates several records, so that clients that take the first spread out.
    pub(crate) fn answer(&self, zone: &Zone, answer: Answer, turn: usize) -> Message {
        let mut message = self.response(ResponseCode::NoError);
        message.metadata.authoritative = true;
        match answer {
            Answer::Records { mut answers, additionals } => {
                if !answers.is_empty() {
                    let turn = turn % answers.len();
                    answers.rotate_left(turn);
                }
                message.answers = answers;
                message.additionals = additionals;
            }
            Answer::Alias { record, .. } => message.answers = vec![*record],
            Answer::Missing => {
                message.metadata.response_code = ResponseCode::NXDomain;
                message.authorities = vec![zone.authority(self.name())];
            }
            Answer::Empty | Answer::Elsewhere => message.authorities = vec![zone.authority(self.name())],
        }
        message
    }

    /// What another server said, with `first` before it.
    pub(crate) fn relay(&self, first: Option<Record>, other: &Message, age: u32) -> Message {
        let mut message = self.response(other.metadata.response_code);
        message.answers.extend(first);
        let aged = |records: &[Record]| -> Vec<Record> {
            let mut records = records.to_vec();
            for record in &mut records {
                record.decrement_ttl(age);
            }
            records
        };
        message.answers.extend(aged(&other.answers));
        message.authorities = aged(&other.authorities);
        message.additionals = aged(&other.additionals);
        message
    }

    pub(crate) fn fail(&self, code: ResponseCode) -> Vec<u8> {
        self.write(&self.response(code), None)
    }

    /// The packet; over UDP it is cut (`udp`) to what the client takes, which then comes back over TCP.
    pub(crate) fn udp(&self, message: &Message) -> Vec<u8> {
        self.write(message, Some(self.limit))
    }

    pub(crate) fn tcp(&self, message: &Message) -> Vec<u8> {
        self.write(message, None)
    }

    fn write(&self, message: &Message, limit: Option<u16>) -> Vec<u8> {
        let written = message.to_vec().ok().filter(|bytes| bytes.len() <= usize::from(u16::MAX));
        let fits = |bytes: &Vec<u8>| limit.is_none_or(|limit| bytes.len() <= usize::from(limit));
        match written {
            Some(bytes) if fits(&bytes) => bytes,
            Some(_) => message.truncate().to_vec().unwrap_or_default(),
            None => self.response(ResponseCode::ServFail).to_vec().unwrap_or_default(),
        }
    }

    fn response(&self, code: ResponseCode) -> Message {
        let mut message = Message::response(self.metadata.id, OpCode::Query);
        message.metadata = Metadata::response_from_request(&self.metadata);
        message.metadata.message_type = MessageType::Response;
        message.metadata.recursion_available = true;
        message.metadata.response_code = code;
        message.add_query(self.query.clone());
        if self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(LARGE).set_version(0).set_dnssec_ok(self.dnssec_ok);
            edns.set_rcode_high(code.high());
            message.set_edns(edns);
        }
        message
    }
}
