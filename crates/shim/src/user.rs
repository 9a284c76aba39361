//! Who a process is: names are looked up in the container's own `/etc/passwd` and `/etc/group`, by the rules of runc and
//! containerd. The files belong to whoever made the image: they are read up to a bound, and lines that make no sense
//! are skipped.

use std::io::Read;

use shim::plan::User;

use crate::error::Error;

/// What a process is run as.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: Option<String>,
}

/// Bytes of `/etc/passwd` and `/etc/group` that are looked at.
const BOUND: u64 = 4 << 20;

/// Looks `user` up in the files of the current root.
pub(crate) fn resolve(user: &User) -> Result<Identity, Error> {
    resolve_in(user, &read("/etc/passwd"), &read("/etc/group"))
}

fn read(path: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path)
        && file.metadata().is_ok_and(|meta| meta.is_file())
    {
        let _ = file.take(BOUND).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut parts = line.trim().split(':');
        let name = parts.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let uid = parts.nth(1)?.parse().ok()?;
        let gid = parts.next()?.parse().ok()?;
        Some(Account { name, uid, gid, home: parts.nth(1).unwrap_or("") })
    })
}

/// Name, number, members.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut parts = line.trim().split(':');
        let name = parts.next().filter(|name| !name.is_empty())?;
        let gid = parts.nth(1)?.parse().ok()?;
        Some((name, gid, parts.next().unwrap_or("")))
    })
}

fn resolve_in(user: &User, passwd: &str, group: &str) -> Result<Identity, Error> {
    let (name, wanted_group) = match user.name.as_deref().unwrap_or("").split_once(':') {
        Some((name, group)) => (name, group),
        None => (user.name.as_deref().unwrap_or(""), ""),
    };
    // `runAsUser` wins over the image's user; a number needs no entry.
    let number = user.uid.or_else(|| name.parse().ok());
    let account = match number {
        Some(uid) => accounts(passwd).find(|account| account.uid == uid),
        None if name.is_empty() => accounts(passwd).find(|account| account.uid == 0),
        None => {
            let found = accounts(passwd).find(|account| account.name == name);
            Some(found.ok_or_else(|| {
                Error::Author(format!("unable to find user {name}: no matching entries in passwd file"))
            })?)
        }
    };
    let uid = number.or(account.as_ref().map(|account| account.uid)).unwrap_or(0);
    let gid = match user.gid {
        Some(gid) => gid,
        None if user.uid.is_none() && !wanted_group.is_empty() => match wanted_group.parse() {
            Ok(gid) => gid,
            Err(_) => {
                let found = groups(group).find(|(name, ..)| *name == wanted_group);
                let missing =
                    || format!("unable to find group {wanted_group}: no matching entries in group file");
                found.ok_or_else(|| Error::Author(missing()))?.1
            }
        },
        None => account.as_ref().map_or(0, |account| account.gid),
    };
    let mut all = user.groups.clone();
    if let Some(account) = &account {
        let member = |members: &str| members.split(',').any(|member| member == account.name);
        all.extend(groups(group).filter(|(_, _, members)| member(members)).map(|(_, gid, _)| gid));
    }
    all.push(gid);
    all.sort_unstable();
    all.dedup();
    let home = account.map(|account| account.home.to_owned()).filter(|home| !home.is_empty());
    Ok(Identity { uid, gid, groups: all, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# remark\nbroken\napp:x:1000:1001:App:/srv/app:/bin/false\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\n";

    fn check(user: User, expected: Result<(u32, u32, &[u32], Option<&str>), &str>) {
        match (resolve_in(&user, PASSWD, GROUP), expected) {
            (Ok(found), Ok((uid, gid, groups, home))) => {
                assert_eq!(
                    (found.uid, found.gid, &found.groups[..], found.home.as_deref()),
                    (uid, gid, groups, home)
                );
            }
            (Err(found), Err(text)) => assert_eq!(found.to_string(), text),
            (found, expected) => panic!("{user:?}: {found:?} instead of {expected:?}"),
        }
    }

    fn named(name: &str) -> User {
        User { name: Some(name.into()), ..User::default() }
    }

    #[test]
    fn names_and_numbers() {
        check(User::default(), Ok((0, 0, &[0, 10], Some("/root"))));
        check(named("app"), Ok((1000, 1001, &[10, 1001], Some("/srv/app"))));
        check(named("app:wheel"), Ok((1000, 10, &[10], Some("/srv/app"))));
        check(named("1000"), Ok((1000, 1001, &[10, 1001], Some("/srv/app"))));
        check(named("65534:7"), Ok((65534, 7, &[7], None)));
        check(named("nobody"), Err("unable to find user nobody: no matching entries in passwd file"));
        check(named("app:none"), Err("unable to find group none: no matching entries in group file"));
        check(User { uid: Some(5), groups: vec![9], ..named("app") }, Ok((5, 0, &[0, 9], None)));
        check(
            User { uid: Some(1000), gid: Some(3), ..User::default() },
            Ok((1000, 3, &[3, 10], Some("/srv/app"))),
        );
    }
}
