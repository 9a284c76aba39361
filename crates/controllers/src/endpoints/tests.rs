//! Services and pods in, slices out.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::backend::Backend;
use super::{legacy, mirror, slices};

fn service(extra: Value) -> Service {
    let mut value = json!({
        "metadata": { "name": "web", "namespace": "ns", "uid": "s", "labels": { "team": "x" } },
        "spec": { "selector": { "app": "web" }, "clusterIP": "10.43.0.5", "ipFamilies": ["IPv4"],
                  "ports": [{ "name": "http", "port": 80, "targetPort": "web", "protocol": "TCP" }] },
    });
    for (field, extra) in extra.as_object().unwrap() {
        value["spec"][field] = extra.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn pod(at: usize, ready: bool, port: i32) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": format!("p{at}"), "namespace": "ns", "uid": format!("u{at:04}") },
        "spec": { "nodeName": "n1", "containers": [
            { "name": "c", "ports": [{ "name": "web", "containerPort": port, "protocol": "TCP" }] } ] },
        "status": { "phase": "Running", "podIP": format!("10.42.{}.{}", at / 250, at % 250 + 1),
                    "podIPs": [{ "ip": format!("10.42.{}.{}", at / 250, at % 250 + 1) }],
                    "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
    }))
    .unwrap()
}

fn backends(service: &Service, pods: &[Pod]) -> Vec<Backend> {
    pods.iter().filter_map(|pod| Backend::of(service, pod)).collect()
}

/// Names what was created, as the server would.
fn stored(plan: super::Plan, mut was: Vec<EndpointSlice>) -> Vec<EndpointSlice> {
    for gone in &plan.delete {
        was.retain(|slice| slice.metadata.name != gone.metadata.name);
    }
    for new in plan.update {
        let place = was.iter_mut().find(|slice| slice.metadata.name == new.metadata.name).unwrap();
        *place = new;
    }
    for mut new in plan.create {
        new.metadata.name = Some(format!("web-{}", was.len()));
        was.push(new);
    }
    was
}

fn sizes(slices: &[EndpointSlice]) -> Vec<usize> {
    slices.iter().map(|slice| slice.endpoints.iter().flatten().count()).collect()
}

#[test]
fn slices_fill_up_and_change_one_at_a_time() {
    let service = service(json!({}));
    let zones = HashMap::from([("n1".to_string(), "east".to_string())]);
    let plan = |pods: &[Pod], was: &[EndpointSlice]| {
        slices::plan(&service, Some(&backends(&service, pods)), was, &zones)
    };
    let empty = stored(plan(&[], &[]), Vec::new());
    assert_eq!(sizes(&empty), [0], "one empty slice says that there is nothing");
    assert_eq!(plan(&[], &empty), super::Plan::default(), "and is not written again");
    let mut pods: Vec<Pod> = (0..150).map(|at| pod(at, true, 8080)).collect();
    let first = plan(&pods, &empty);
    assert_eq!(
        (first.create.len(), first.update.len(), first.delete.len()),
        (1, 1, 0),
        "the empty one is used"
    );
    let full = stored(first, empty);
    assert_eq!(sizes(&full).iter().sum::<usize>(), 150);
    assert_eq!(plan(&pods, &full), super::Plan::default());
    let slice = &full[0];
    assert_eq!(slice.ports.as_ref().unwrap()[0].port, Some(8080));
    assert_eq!(slice.endpoints.as_ref().unwrap()[0].zone.as_deref(), Some("east"));
    let labels = slice.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["kubernetes.io/service-name"], "web");
    assert_eq!(labels["team"], "x");
    pods[0] = pod(0, false, 8080);
    let change = plan(&pods, &full);
    assert_eq!((change.create.len(), change.update.len(), change.delete.len()), (0, 1, 0));
    let unready = change.update[0]
        .endpoints
        .iter()
        .flatten()
        .find(|one| one.target_ref.as_ref().unwrap().uid.as_deref() == Some("u0000"));
    assert_eq!(unready.unwrap().conditions.as_ref().unwrap().ready, Some(false));
    pods[1] = pod(1, true, 9090);
    let split = stored(plan(&pods, &full), full);
    assert_eq!(sizes(&split).len(), 3, "another port number is another slice");
    let none = stored(plan(&[], &split), split);
    assert_eq!(sizes(&none), [0]);
}

#[test]
fn terminating_and_published_pods() {
    let mut going = pod(1, true, 80);
    going.metadata.deletion_timestamp = Some(crate::context::whole(jiff::Timestamp::UNIX_EPOCH));
    for (extra, expected) in
        [(json!({}), (false, true, true)), (json!({ "publishNotReadyAddresses": true }), (true, true, true))]
    {
        let service = service(extra);
        let backend = &backends(&service, &[going.clone()])[0];
        assert_eq!((backend.ready, backend.serving, backend.terminating), expected);
    }
    let mut done = pod(1, true, 80);
    done.spec.as_mut().unwrap().restart_policy = Some("Never".into());
    done.status.as_mut().unwrap().phase = Some("Succeeded".into());
    assert!(backends(&service(json!({})), &[done]).is_empty());
}

#[test]
fn other_kinds_of_service() {
    let none = HashMap::new();
    let old = slices::plan(&service(json!({})), Some(&[]), &[], &none).create;
    let external = service(json!({ "type": "ExternalName" }));
    assert_eq!(slices::plan(&external, Some(&[]), &old, &none).delete.len(), 1);
    assert_eq!(slices::plan(&service(json!({})), None, &[], &none), super::Plan::default());
    let headless = service(json!({ "clusterIP": "None", "ports": [] }));
    let made = slices::plan(&headless, Some(&backends(&headless, &[pod(1, true, 80)])), &[], &none).create;
    assert!(made[0].metadata.labels.as_ref().unwrap().contains_key("service.kubernetes.io/headless"));
    assert_eq!(made[0].endpoints.iter().flatten().count(), 1);
}

#[test]
fn the_old_object_lists_ready_and_other_addresses() {
    let service = service(json!({}));
    let wanted = legacy::wanted(&service, &backends(&service, &[pod(1, true, 8080), pod(2, false, 8080)]));
    let subset = &wanted.subsets.unwrap()[0];
    assert_eq!(subset.addresses.as_ref().unwrap()[0].ip, "10.42.0.2");
    assert_eq!(subset.not_ready_addresses.as_ref().unwrap()[0].ip, "10.42.0.3");
    assert_eq!(subset.ports.as_ref().unwrap()[0].port, 8080);
    assert_eq!(wanted.metadata.labels.unwrap()["endpoints.kubernetes.io/managed-by"], "endpoint-controller");
}

#[test]
fn endpoints_by_hand_are_mirrored() {
    let endpoints = |ip: &str, port: i32| -> k8s_openapi::api::core::v1::Endpoints {
        serde_json::from_value(json!({
            "metadata": { "name": "db", "namespace": "ns", "uid": "e", "labels": { "team": "x" },
                          "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}" } },
            "subsets": [{ "addresses": [{ "ip": ip }, { "ip": "fd00::1" }, { "ip": "db.example" }],
                          "notReadyAddresses": [{ "ip": "10.0.0.9" }],
                          "ports": [{ "port": port, "protocol": "TCP" }] }],
        }))
        .unwrap()
    };
    let made = mirror::plan(Some(&endpoints("10.0.0.1", 5432)), &[]).create;
    let families: Vec<&str> = made.iter().map(|slice| slice.address_type.as_str()).collect();
    assert_eq!(families, ["IPv4", "IPv6"]);
    let ready = |slice: &EndpointSlice| -> Vec<(String, Option<bool>)> {
        let all = slice.endpoints.iter().flatten();
        all.map(|one| (one.addresses[0].clone(), one.conditions.as_ref().unwrap().ready)).collect()
    };
    assert_eq!(ready(&made[0]), [("10.0.0.1".into(), Some(true)), ("10.0.0.9".into(), Some(false))]);
    assert_eq!(made[0].metadata.labels.as_ref().unwrap()["kubernetes.io/service-name"], "db");
    assert_eq!(made[0].metadata.annotations, None);
    let named = |mut slices: Vec<EndpointSlice>| {
        for (at, slice) in slices.iter_mut().enumerate() {
            slice.metadata.name = Some(format!("db-{at}"));
        }
        slices
    };
    let there = named(made);
    assert_eq!(mirror::plan(Some(&endpoints("10.0.0.1", 5432)), &there), super::Plan::default());
    let moved = mirror::plan(Some(&endpoints("10.0.0.2", 5433)), &there);
    let names: Vec<_> = moved.update.iter().map(|slice| slice.metadata.name.clone().unwrap()).collect();
    assert_eq!((names, moved.create.len(), moved.delete.len()), (vec!["db-0".into(), "db-1".into()], 0, 0));
    assert_eq!(mirror::plan(None, &there).delete.len(), 2);
}
