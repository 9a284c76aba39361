//! The few messages of etcd's API that a store needs (etcd api/etcdserverpb/rpc.proto and api/mvccpb/kv.proto): what is asked as
//! functions that write bytes, what is answered as structs read from them. Values stay slices of the frame they came in.

use api::protobuf::Error;
use api::protobuf::wire::{Field, Reader, Writer};
use bytes::Bytes;

pub(super) const RANGE: &str = "/etcdserverpb.KV/Range";
pub(super) const TXN: &str = "/etcdserverpb.KV/Txn";
pub(super) const COMPACT: &str = "/etcdserverpb.KV/Compact";
pub(super) const WATCH: &str = "/etcdserverpb.Watch/Watch";
pub(super) const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
pub(super) const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// What is compared in a transaction.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Version,
    ModRevision,
}

/// `key`'s `target` is as told; 0: the key is not there.
#[derive(Clone, Copy)]
pub(super) struct Compare<'a> {
    pub key: &'a str,
    pub target: Target,
    pub is: Is,
}

#[derive(Clone, Copy)]
pub(super) enum Is {
    Equal(u64),
    Less(u64),
}

/// One operation of a transaction.
#[derive(Clone, Copy)]
pub(super) enum Operation<'a> {
    Get { key: &'a str },
    Put { key: &'a str, value: &'a [u8], lease: i64 },
    Delete { key: &'a str },
}

fn message(body: impl FnOnce(&mut Writer)) -> Bytes {
    let mut writer = Writer::default();
    body(&mut writer);
    writer.finish().into()
}

/// The writer goes from the end to the start: fields stand in falling order of their tags.
fn number(writer: &mut Writer, tag: u32, value: u64) {
    if value != 0 {
        writer.varint_field(tag, value);
    }
}

/// RangeRequest.
#[derive(Clone, Copy, Default)]
pub(super) struct Range<'a> {
    pub key: &'a str,
    /// Empty: `key` alone.
    pub end: &'a str,
    pub limit: usize,
    /// 0: the newest.
    pub revision: u64,
    pub count_only: bool,
}

impl Range<'_> {
    fn write(&self, writer: &mut Writer) {
        number(writer, 9, self.count_only.into());
        number(writer, 4, self.revision);
        number(writer, 3, self.limit as u64);
        if !self.end.is_empty() {
            writer.bytes_field(2, self.end.as_bytes());
        }
        writer.bytes_field(1, self.key.as_bytes());
    }

    pub(super) fn message(&self) -> Bytes {
        message(|writer| self.write(writer))
    }
}

pub(super) fn transaction(
    compares: &[Compare<'_>],
    success: &[Operation<'_>],
    failure: &[Operation<'_>],
) -> Bytes {
    message(|writer| {
        for (tag, operations) in [(3, failure), (2, success)] {
            for operation in operations.iter().rev() {
                writer.nested(tag, |writer| request(writer, operation));
            }
        }
        for compare in compares.iter().rev() {
            writer.nested(1, |writer| {
                let (target, tag) = match compare.target {
                    Target::Version => (0, 4),
                    Target::ModRevision => (2, 6),
                };
                let (result, operand) = match compare.is {
                    Is::Equal(operand) => (0, operand),
                    Is::Less(operand) => (2, operand),
                };
                // In a oneof also a zero is written.
                writer.varint_field(tag, operand);
                writer.bytes_field(3, compare.key.as_bytes());
                number(writer, 2, target);
                number(writer, 1, result);
            });
        }
    })
}

/// RequestOp.
fn request(writer: &mut Writer, operation: &Operation<'_>) {
    match operation {
        Operation::Get { key } => writer.nested(1, |writer| Range { key, ..Range::default() }.write(writer)),
        Operation::Put { key, value, lease } => writer.nested(2, |writer| {
            number(writer, 3, *lease as u64);
            writer.bytes_field(2, value);
            writer.bytes_field(1, key.as_bytes());
        }),
        Operation::Delete { key } => writer.nested(3, |writer| writer.bytes_field(1, key.as_bytes())),
    }
}

/// CompactionRequest; answered when the space is free.
pub(super) fn compaction(revision: u64) -> Bytes {
    message(|writer| {
        number(writer, 2, 1);
        number(writer, 1, revision);
    })
}

/// WatchRequest that begins a watch at `start`.
pub(super) fn watch_create(key: &str, end: &str, start: u64) -> Bytes {
    message(|writer| {
        writer.nested(1, |writer| {
            number(writer, 4, 1);
            number(writer, 3, start);
            if !end.is_empty() {
                writer.bytes_field(2, end.as_bytes());
            }
            writer.bytes_field(1, key.as_bytes());
        });
    })
}

/// WatchRequest that asks how far the stream is.
pub(super) fn watch_progress() -> Bytes {
    message(|writer| writer.nested(3, |_| {}))
}

/// LeaseGrantRequest.
pub(super) fn lease_grant(seconds: u32) -> Bytes {
    message(|writer| number(writer, 1, seconds.into()))
}

/// One key as it is stored.
#[derive(Clone, Debug)]
pub(super) struct KeyValue {
    pub key: Bytes,
    pub mod_revision: u64,
    pub version: u64,
    pub value: Bytes,
}

/// RangeResponse.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Of the store when it answered.
    pub revision: u64,
    pub records: Vec<KeyValue>,
    pub more: bool,
}

/// TxnResponse, with the key-value pairs of all its gets.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub revision: u64,
    pub succeeded: bool,
    pub found: Vec<KeyValue>,
}

/// One event of a watch.
#[derive(Debug)]
pub(super) struct Change {
    pub deleted: bool,
    pub record: KeyValue,
}

/// WatchResponse.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub revision: u64,
    pub created: bool,
    pub canceled: bool,
    /// Of a watch that began too early: what is kept from.
    pub compacted: u64,
    pub reason: String,
    pub changes: Vec<Change>,
}

impl Watched {
    /// Says only how far the stream is.
    pub(super) fn is_progress(&self) -> bool {
        !self.created && !self.canceled && self.changes.is_empty()
    }
}

fn fields<'a>(
    bytes: &'a [u8],
    mut each: impl FnMut(u32, Field<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = Reader::new(bytes);
    while let Some((tag, field)) = reader.field()? {
        each(tag, field)?;
    }
    Ok(())
}

/// ResponseHeader's revision.
fn header(bytes: &[u8]) -> Result<u64, Error> {
    let mut revision = 0;
    fields(bytes, |tag, field| {
        if let (3, Field::Varint(number)) = (tag, field) {
            revision = number;
        }
        Ok(())
    })?;
    Ok(revision)
}

fn key_value(frame: &Bytes, bytes: &[u8]) -> Result<KeyValue, Error> {
    let mut record = KeyValue { key: Bytes::new(), mod_revision: 0, version: 0, value: Bytes::new() };
    fields(bytes, |tag, field| {
        match (tag, field) {
            (1, Field::Bytes(key)) => record.key = frame.slice_ref(key),
            (3, Field::Varint(number)) => record.mod_revision = number,
            (4, Field::Varint(number)) => record.version = number,
            (5, Field::Bytes(value)) => record.value = frame.slice_ref(value),
            _ => {}
        }
        Ok(())
    })?;
    Ok(record)
}

fn found(frame: &Bytes, bytes: &[u8]) -> Result<Found, Error> {
    let mut found = Found::default();
    fields(bytes, |tag, field| {
        match (tag, field) {
            (1, Field::Bytes(bytes)) => found.revision = header(bytes)?,
            (2, Field::Bytes(bytes)) => found.records.push(key_value(frame, bytes)?),
            (3, Field::Varint(more)) => found.more = more != 0,
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

impl Found {
    pub(super) fn read(frame: &Bytes) -> Result<Found, Error> {
        found(frame, frame)
    }
}

impl Done {
    pub(super) fn read(frame: &Bytes) -> Result<Done, Error> {
        let mut done = Done::default();
        fields(frame, |tag, field| {
            match (tag, field) {
                (1, Field::Bytes(bytes)) => done.revision = header(bytes)?,
                (2, Field::Varint(succeeded)) => done.succeeded = succeeded != 0,
                // ResponseOp: 1 is a RangeResponse; puts and deletes tell nothing that is asked for.
                (3, Field::Bytes(bytes)) => fields(bytes, |tag, field| {
                    if let (1, Field::Bytes(bytes)) = (tag, field) {
                        done.found.extend(found(frame, bytes)?.records);
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(done)
    }
}

impl Watched {
    pub(super) fn read(frame: &Bytes) -> Result<Watched, Error> {
        let mut watched = Watched::default();
        fields(frame, |tag, field| {
            match (tag, field) {
                (1, Field::Bytes(bytes)) => watched.revision = header(bytes)?,
                (3, Field::Varint(flag)) => watched.created = flag != 0,
                (4, Field::Varint(flag)) => watched.canceled = flag != 0,
                (5, Field::Varint(revision)) => watched.compacted = revision,
                (6, Field::Bytes(text)) => watched.reason = String::from_utf8_lossy(text).into_owned(),
                (11, Field::Bytes(bytes)) => {
                    let (mut deleted, mut record) = (false, None);
                    fields(bytes, |tag, field| {
                        match (tag, field) {
                            (1, Field::Varint(kind)) => deleted = kind == 1,
                            (2, Field::Bytes(bytes)) => record = Some(key_value(frame, bytes)?),
                            _ => {}
                        }
                        Ok(())
                    })?;
                    watched.changes.extend(record.map(|record| Change { deleted, record }));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(watched)
    }
}

/// LeaseGrantResponse's ID.
pub(super) fn lease_id(frame: &[u8]) -> Result<i64, Error> {
    let mut id = 0;
    fields(frame, |tag, field| {
        if let (2, Field::Varint(number)) = (tag, field) {
            id = number as i64;
        }
        Ok(())
    })?;
    Ok(id)
}

/// StatusResponse: the version of etcd, and the bytes of its database.
pub(super) fn status(frame: &[u8]) -> Result<(String, u64), Error> {
    let (mut version, mut size) = (String::new(), 0);
    fields(frame, |tag, field| {
        match (tag, field) {
            (2, Field::Bytes(text)) => version = String::from_utf8_lossy(text).into_owned(),
            (3, Field::Varint(bytes)) => size = bytes,
            _ => {}
        }
        Ok(())
    })?;
    Ok((version, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the field numbers of rpc.proto; etcd itself judges them in the contract suite.
    #[test]
    fn requests_have_etcds_form() {
        assert_eq!(
            &Range { key: "a", end: "b", limit: 2, revision: 300, count_only: false }.message()[..],
            b"\x0a\x01a\x12\x01b\x18\x02\x20\xac\x02"
        );
        assert_eq!(&watch_progress()[..], b"\x1a\x00");
        assert_eq!(&watch_create("a", "b", 7)[..], b"\x0a\x0a\x0a\x01a\x12\x01b\x18\x07\x20\x01");
        let compare = Compare { key: "k", target: Target::ModRevision, is: Is::Equal(0) };
        let put = Operation::Put { key: "k", value: b"v", lease: 0 };
        let get = Operation::Get { key: "k" };
        assert_eq!(
            &transaction(&[compare], &[put], &[get])[..],
            b"\x0a\x07\x10\x02\x1a\x01k\x30\x00\x12\x08\x12\x06\x0a\x01k\x12\x01v\x1a\x05\x0a\x03\x0a\x01k"
        );
    }

    #[test]
    fn answers_are_read() {
        let frame =
            Bytes::from_static(b"\x0a\x02\x18\x09\x12\x0c\x0a\x01k\x18\x05\x20\x02\x2a\x03abc\x18\x01");
        let found = Found::read(&frame).unwrap();
        assert_eq!((found.revision, found.more, found.records.len()), (9, true, 1));
        let record = &found.records[0];
        assert_eq!((&record.key[..], record.mod_revision, &record.value[..]), (&b"k"[..], 5, &b"abc"[..]));
        let frame = Bytes::from_static(b"\x0a\x02\x18\x09\x5a\x09\x08\x01\x12\x05\x0a\x01k\x18\x08");
        let watched = Watched::read(&frame).unwrap();
        assert!(!watched.is_progress() && watched.changes[0].deleted);
        assert_eq!(watched.changes[0].record.mod_revision, 8);
        assert!(Watched::read(&Bytes::from_static(b"\x0a\x02\x18\x09")).unwrap().is_progress());
    }
}
