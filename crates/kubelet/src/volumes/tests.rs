//! Tests of volumes: what a pod finds on disk.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn payload(files: &[(&str, &str)]) -> Payload {
    files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), File { bytes: text.as_bytes().to_vec(), mode: 0o640 }))
        .collect()
}

#[test]
fn an_update_replaces_all_files_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v");
    let now = Timestamp::UNIX_EPOCH;
    atomic::write(&path, &payload(&[("a", "1"), ("d/b", "2")]), now).unwrap();
    let first = std::fs::read_link(path.join("..data")).unwrap();
    assert!(first.to_str().unwrap().starts_with("..1970_01_01_00_00_00."));
    assert_eq!(std::fs::read_to_string(path.join("d/b")).unwrap(), "2");
    assert_eq!(std::fs::metadata(path.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
    // The same payload writes nothing.
    atomic::write(&path, &payload(&[("a", "1"), ("d/b", "2")]), now).unwrap();
    assert_eq!(std::fs::read_link(path.join("..data")).unwrap(), first);
    atomic::write(&path, &payload(&[("a", "3")]), now).unwrap();
    assert_eq!(std::fs::read_to_string(path.join("a")).unwrap(), "3");
    assert!(path.join("d").symlink_metadata().is_err());
    assert!(!path.join(first).exists());
}

#[test]
fn items_choose_and_rename() {
    let data = BTreeMap::from([("a", b"1".as_slice()), ("b", b"2".as_slice())]);
    let items: Vec<KeyToPath> =
        serde_json::from_value(serde_json::json!([{"key": "a", "path": "x/y", "mode": 256}])).unwrap();
    let found = project("config", &data, Some(&items), 0o644, false).unwrap();
    assert_eq!(found, BTreeMap::from([("x/y".to_owned(), File { bytes: b"1".to_vec(), mode: 0o400 })]));
    assert_eq!(project("config", &data, None, 0o644, false).unwrap().len(), 2);
    let items: Vec<KeyToPath> =
        serde_json::from_value(serde_json::json!([{"key": "c", "path": "c"}])).unwrap();
    let told = project("config", &data, Some(&items), 0o644, false).unwrap_err().to_string();
    assert_eq!(told, "references non-existent config key: c");
    assert!(project("config", &data, Some(&items), 0o644, true).unwrap().is_empty());
    for bad in ["/a", "../a", "a/../b", ".."] {
        assert!(checked(bad).is_err(), "{bad}");
    }
}
