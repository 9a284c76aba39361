//! Tests of the nftables model: what lands in the kernel is listed back.

use super::*;
use crate::testing::{isolated, listed};

fn key(octet: u8) -> Key {
    Box::new([Value::Address([10, 0, 0, octet].into())])
}

fn member(octet: u8) -> Element {
    Element::new("s", key(octet), Datum::Member)
}

fn base() -> Fragment {
    let set = Set { name: "s".into(), key: vec![Type::Address], kind: SetKind::Members };
    Fragment { sets: vec![set], ..Fragment::default() }
}

#[test]
fn a_change_touches_only_what_differs() {
    let own = |octets: &[u8]| Fragment {
        elements: octets.iter().map(|octet| member(*octet)).collect(),
        ..Fragment::default()
    };
    let mut plan = Plan::new([(String::new(), base()), ("a".into(), own(&[1, 2]))]);
    assert_eq!(plan.change(vec![("a".into(), Some(own(&[2, 1])))]), []);
    assert_eq!(
        plan.change(vec![("a".into(), Some(own(&[2, 3])))]),
        [
            Operation::RemoveElements("s".into(), vec![key(1)]),
            Operation::AddElements("s".into(), vec![(key(3), Datum::Member)]),
        ]
    );
    assert_eq!(
        plan.change(vec![("a".into(), None)]),
        [Operation::RemoveElements("s".into(), vec![key(2), key(3)]),]
    );
}

#[test]
fn of_two_claims_the_first_by_name_counts_until_it_goes() {
    let chain = |name: &str| Fragment {
        chains: vec![Chain::new(name, vec![vec![Statement::Reject]])],
        elements: vec![Element::new("v", key(1), Datum::Verdict(Verdict::Goto(name.into())))],
        ..Fragment::default()
    };
    let mut plan = Plan::new([("b".to_owned(), chain("b"))]);
    let goto = |name: &str| vec![(key(1), Datum::Verdict(Verdict::Goto(name.into())))];
    assert_eq!(
        plan.change(vec![("a".into(), Some(chain("a")))]),
        [
            Operation::AddChain("a".into(), None),
            Operation::AddRule("a".into(), vec![Statement::Reject]),
            Operation::RemoveElements("v".into(), vec![key(1)]),
            Operation::AddElements("v".into(), goto("a")),
        ]
    );
    assert_eq!(
        plan.change(vec![("a".into(), None)]),
        [
            Operation::Flush("a".into()),
            Operation::RemoveElements("v".into(), vec![key(1)]),
            Operation::AddElements("v".into(), goto("b")),
            Operation::RemoveChain("a".into()),
        ]
    );
}

/// Every statement once, as the kernel and `nft` understand it.
#[test]
fn what_lands_is_what_was_said() {
    isolated(|| {
        use Select::{Destination, DestinationPort, Protocol, Source};
        use Statement as S;
        let net = |text: &str| text.parse::<ipnet::Ipv4Net>().unwrap();
        let minute = std::time::Duration::from_secs(60);
        let fields = || vec![Destination, Protocol, DestinationPort];
        let types = vec![Type::Address, Type::Protocol, Type::Port];
        let fragment = Fragment {
            sets: vec![
                Set {
                    name: "members".into(),
                    key: vec![Type::Address, Type::Address],
                    kind: SetKind::Members,
                },
                Set { name: "verdicts".into(), key: types.clone(), kind: SetKind::Verdicts },
                Set { name: "to".into(), key: types, kind: SetKind::Map(vec![Type::Address, Type::Port]) },
                Set {
                    name: "ends".into(),
                    key: vec![Type::Address, Type::Port, Type::Number],
                    kind: SetKind::Map(vec![Type::Address, Type::Port]),
                },
                Set { name: "seen".into(), key: vec![Type::Address], kind: SetKind::Dynamic(minute) },
            ],
            chains: vec![
                Chain::base(
                    "in",
                    "nat",
                    HookPoint::Prerouting,
                    -100,
                    vec![
                        vec![S::DestinationLocal, S::Follow(fields(), "verdicts".into())],
                        vec![S::TranslateBy(fields(), "to".into())],
                        vec![S::InSet(vec![Source], "seen".into()), S::Verdict(Verdict::Jump("a/b".into()))],
                        vec![
                            S::SourceNotIn(net("10.42.0.0/16")),
                            S::DestinationIn(net("10.43.0.1/32")),
                            S::Mark,
                        ],
                        vec![S::BalanceBy(vec![Destination, DestinationPort], 3, "ends".into())],
                        vec![S::BalanceChains(vec!["a/b".into(), "c".into()])],
                    ],
                ),
                Chain::base(
                    "out",
                    "nat",
                    HookPoint::Postrouting,
                    100,
                    vec![
                        vec![S::Marked, S::Unmark, S::Masquerade],
                        vec![S::InSet(vec![Source, Destination], "members".into()), S::Masquerade],
                        vec![S::OutInterface("skiff0".into()), S::SourceIn(net("127.0.0.0/8"))],
                    ],
                ),
                Chain::base(
                    "check",
                    "filter",
                    HookPoint::Forward,
                    0,
                    vec![
                        vec![S::InInterface("skiff0".into()), S::Verdict(Verdict::Drop)],
                        vec![S::Protocol(6), S::Reject],
                        vec![S::DestinationNotIn(net("10.0.0.0/8")), S::DestinationNotLocal, S::SourceLocal],
                        vec![S::Verdict(Verdict::Return)],
                    ],
                ),
                Chain::new(
                    "a/b",
                    vec![vec![
                        S::Remember(vec![Source], "seen".into(), minute),
                        S::Balance(
                            Box::new([Value::Address([10, 43, 0, 1].into()), Value::Port(80)]),
                            2,
                            "ends".into(),
                        ),
                    ]],
                ),
                Chain::new("c", vec![vec![S::TranslateTo([10, 42, 0, 2].into(), 53)]]),
            ],
            elements: vec![
                Element::new(
                    "members",
                    [Value::Address([10, 42, 0, 2].into()), Value::Address([10, 42, 0, 2].into())],
                    Datum::Member,
                ),
                Element::new(
                    "verdicts",
                    [Value::Address([10, 43, 0, 1].into()), Value::Protocol(6), Value::Port(443)],
                    Datum::Verdict(Verdict::Goto("a/b".into())),
                ),
                Element::new(
                    "ends",
                    [Value::Address([10, 43, 0, 1].into()), Value::Port(80), Value::Number(1)],
                    Datum::Values(Box::new([Value::Address([10, 42, 0, 3].into()), Value::Port(8080)])),
                ),
                Element::new(
                    "to",
                    [Value::Address([10, 43, 0, 2].into()), Value::Protocol(17), Value::Port(53)],
                    Datum::Values(Box::new([Value::Address([10, 42, 0, 9].into()), Value::Port(5353)])),
                ),
            ],
        };
        let mut table = Table::new("skiff-test").unwrap();
        table.replace(vec![("x".into(), fragment)]).unwrap();
        assert_eq!(tables().unwrap(), ["skiff-test"]);
        if let Some(text) = listed() {
            check_golden("src/nft/every_statement.nft", &text);
        }
        table.update(vec![("x".into(), None)]).unwrap();
        if let Some(text) = listed() {
            assert_eq!(text, "table ip skiff-test {\n}\n");
        }
        table.remove().unwrap();
        table.remove().unwrap();
        assert_eq!(tables().unwrap(), [""; 0]);
    });
}

#[test]
fn a_table_that_somebody_removed_is_built_anew() {
    isolated(|| {
        let mut table = Table::new("skiff-test").unwrap();
        table.replace(vec![(String::new(), base())]).unwrap();
        Table::new("skiff-test").unwrap().remove().unwrap();
        let own = Fragment { elements: vec![member(1)], ..Fragment::default() };
        table.update(vec![("a".into(), Some(own))]).unwrap();
        assert_eq!(tables().unwrap(), ["skiff-test"]);
    });
}

/// Compares with a file beside the code; `SKIFF_GOLDEN=1` writes it anew.
fn check_golden(path: &str, text: &str) {
    if std::env::var_os("SKIFF_GOLDEN").is_some() {
        std::fs::write(path, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}
