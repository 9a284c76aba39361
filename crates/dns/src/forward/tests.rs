//! Resolvers of the test's own, on port 53 of a network that it has to itself.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use net::testing::isolated;
use tokio::net::TcpListener;

use super::*;
use crate::message::{Incoming, read};

fn question(name: &str) -> Question {
    let mut message = Message::query();
    message.add_query(hickory_proto::op::Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    match read(&message.to_vec().unwrap()) {
        Incoming::Ask(question) => question,
        other => panic!("{other:?}"),
    }
}

/// Answers as `how` says, and counts.
async fn resolver(
    address: [u8; 4],
    asked: Arc<AtomicUsize>,
    how: impl Fn(&mut Message) + Send + Copy + 'static,
) {
    let address = SocketAddr::from((address, 53));
    let udp = UdpSocket::bind(address).await.unwrap();
    let tcp = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
            asked.fetch_add(1, Ordering::SeqCst);
            let mut message = Message::from_vec(&buffer[..length]).unwrap();
            message.metadata.message_type = MessageType::Response;
            how(&mut message);
            udp.send_to(&message.to_vec().unwrap(), peer).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut buffer = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut buffer).await.unwrap();
            let mut message = Message::from_vec(&buffer).unwrap();
            message.metadata.message_type = MessageType::Response;
            address_of(&mut message, 2);
            let bytes = message.to_vec().unwrap();
            stream.write_all(&(bytes.len() as u16).to_be_bytes()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    });
}

fn address_of(message: &mut Message, last: u8) {
    let name = message.queries[0].name.clone();
    message.add_answer(Record::from_rdata(name, 60, RData::A(A(Ipv4Addr::new(192, 0, 2, last)))));
}

fn run(resolvers: &'static str, body: impl AsyncFnOnce(Forwarder, Arc<AtomicUsize>) + Send + 'static) {
    isolated(move || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        std::fs::write(&path, resolvers).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(body(Forwarder::new(path, Vec::new()), Arc::default()));
    });
}

fn said(message: Option<Arc<Message>>) -> String {
    message.map_or("nothing".into(), |message| match message.answers.first() {
        Some(record) => record.data.to_string(),
        None => message.metadata.response_code.to_string(),
    })
}

#[test]
fn an_answer_is_remembered_and_ages() {
    run("nameserver 127.0.0.1\n", async |forwarder, asked| {
        resolver([127, 0, 0, 1], asked.clone(), |message| address_of(message, 1)).await;
        let question = question("example.org.");
        let now = Instant::now();
        assert!(forwarder.remembered(&question, now).is_none());
        assert_eq!(said(forwarder.ask(&question).await), "192.0.2.1");
        let later = Instant::now() + Duration::from_secs(10);
        let (message, age) = forwarder.remembered(&question, later).unwrap();
        assert_eq!(said(Some(message.clone())), "192.0.2.1");
        assert!((9..=10).contains(&age));
        assert!((50..=51).contains(&question.relay(None, &message, age).answers[0].ttl));
        assert!(forwarder.remembered(&question, later + Duration::from_secs(30)).is_none());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn what_is_cut_is_asked_again_over_tcp() {
    run("nameserver 127.0.0.1\n", async |forwarder, asked| {
        resolver([127, 0, 0, 1], asked, |message| message.metadata.truncation = true).await;
        assert_eq!(said(forwarder.ask(&question("example.org.")).await), "192.0.2.2");
    });
}

#[test]
fn a_resolver_that_fails_is_passed_over() {
    run("nameserver 127.0.0.1\nnameserver 127.0.0.2\n", async |forwarder, asked| {
        // The first refuses; nobody listens on a third.
        resolver([127, 0, 0, 1], asked.clone(), |message| {
            message.metadata.response_code = ResponseCode::ServFail;
        })
        .await;
        assert_eq!(said(forwarder.ask(&question("a.example.")).await), ResponseCode::ServFail.to_string());
        resolver([127, 0, 0, 2], asked.clone(), |message| address_of(message, 9)).await;
        // It did not answer a moment ago, and is not asked again yet.
        assert_eq!(said(forwarder.ask(&question("b.example.")).await), ResponseCode::ServFail.to_string());
        forwarder.state.lock().silent_until.clear();
        assert_eq!(said(forwarder.ask(&question("c.example.")).await), "192.0.2.9");
    });
}

#[test]
fn a_forged_answer_is_ignored() {
    run("nameserver 127.0.0.1\n", async |forwarder, asked| {
        resolver([127, 0, 0, 1], asked, |message| message.metadata.id ^= 1).await;
        let started = Instant::now();
        assert_eq!(said(forwarder.ask(&question("example.org.")).await), "nothing");
        assert!(started.elapsed() >= PATIENCE);
        // And then it fails at once.
        assert_eq!(forwarder.resolvers(Instant::now()), []);
        assert_eq!(forwarder.resolvers(Instant::now() + PASSED_OVER + PATIENCE).len(), 1);
    });
}

#[test]
fn what_is_kept_is_bounded() {
    let forwarder = Forwarder::new("/nonexistent".into(), Vec::new());
    let now = Instant::now();
    let mut message = Message::query();
    message.add_query(question("x.").query().clone());
    address_of(&mut message, 1);
    let message = Arc::new(message);
    for number in 0..2 * KEPT + 10 {
        forwarder.keep(&question(&format!("n{number}.example.")), message.clone(), now);
        assert!(forwarder.state.lock().kept.len() <= KEPT);
    }
}
