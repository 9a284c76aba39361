//! A profile file on the node, in the runtime specification's JSON (`config-linux.md`, Seccomp), as `localhostProfile`
//! names it. Unknown calls are passed over, as by runc; an unknown action or operator is refused.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::compile::{
    ALLOW, Comparison, Condition, Filter, KILL_PROCESS, KILL_THREAD, LOG, Rule, TRACE, TRAP, errno,
};
use super::syscalls::SYSCALLS;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: Option<i32>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    syscalls: Vec<Syscalls>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Syscalls {
    names: Vec<String>,
    action: String,
    errno_ret: Option<i32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// The rules of a profile, or what is wrong with it.
pub(super) fn parse(text: &[u8]) -> Result<Filter, String> {
    let profile: Profile = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let ours = if cfg!(target_arch = "aarch64") { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" };
    if !profile.architectures.is_empty() && !profile.architectures.iter().any(|other| other == ours) {
        return Err(format!("its architectures lack {ours}"));
    }
    let otherwise = action(&profile.default_action, profile.default_errno_ret)?;
    let mut rules: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
    for entry in &profile.syscalls {
        let action = action(&entry.action, entry.errno_ret)?;
        let conditions = entry.args.iter().flatten().map(condition).collect::<Result<Vec<_>, _>>()?;
        // libseccomp takes conditions on one argument as alternatives, and those on several as one.
        let distinct = (0..6).all(|index| conditions.iter().filter(|it| it.argument == index).count() < 2);
        let alternatives: Vec<_> =
            if distinct { vec![conditions] } else { conditions.into_iter().map(|it| vec![it]).collect() };
        for number in entry.names.iter().filter_map(|name| super::number_of(name)) {
            let made = alternatives.iter().map(|conditions| Rule { conditions: conditions.clone(), action });
            rules.entry(number).or_default().extend(made);
        }
    }
    // A rule without conditions would hide those behind it.
    for list in rules.values_mut() {
        list.sort_by_key(|rule| rule.conditions.is_empty());
    }
    let newest = SYSCALLS.iter().filter_map(|(name, ..)| super::number_of(name)).max().unwrap_or(0);
    // As runc: what is newer than the profile can know is ENOSYS where the rest is refused.
    let refuses = otherwise & 0xffff_0000 == errno(0);
    let newer = if refuses { errno(libc::ENOSYS) } else { otherwise };
    Ok(Filter { rules, otherwise, newer, newest })
}

fn action(name: &str, number: Option<i32>) -> Result<u32, String> {
    Ok(match name {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_ERRNO" => errno(number.unwrap_or(libc::EPERM)),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        "SCMP_ACT_TRAP" => TRAP,
        "SCMP_ACT_TRACE" => TRACE | (number.unwrap_or(libc::EPERM) as u32 & 0xffff),
        "SCMP_ACT_LOG" => LOG,
        other => return Err(format!("there is no action {other}")),
    })
}

fn condition(argument: &Argument) -> Result<Condition, String> {
    let (comparison, value) = match argument.op.as_str() {
        "SCMP_CMP_EQ" => (Comparison::Equal, argument.value),
        "SCMP_CMP_NE" => (Comparison::NotEqual, argument.value),
        "SCMP_CMP_LT" => (Comparison::Less, argument.value),
        "SCMP_CMP_LE" => (Comparison::LessOrEqual, argument.value),
        "SCMP_CMP_GT" => (Comparison::Greater, argument.value),
        "SCMP_CMP_GE" => (Comparison::GreaterOrEqual, argument.value),
        "SCMP_CMP_MASKED_EQ" => (Comparison::Masked(argument.value), argument.value_two),
        other => return Err(format!("there is no operator {other}")),
    };
    if argument.index > 5 {
        return Err(format!("there is no argument {}", argument.index));
    }
    Ok(Condition { argument: argument.index, comparison, value })
}

#[cfg(test)]
mod tests {
    use super::super::compile::compile;
    use super::super::compile::tests::run_here;
    use super::*;

    #[test]
    fn profiles_mean_what_libseccomp_makes_of_them() {
        let text = br#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":13,"syscalls":[
            {"names":["read","write","no_such_call"],"action":"SCMP_ACT_ALLOW"},
            {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[
                {"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]},
            {"names":["socket"],"action":"SCMP_ACT_LOG","args":[
                {"index":0,"value":2,"op":"SCMP_CMP_EQ"},{"index":1,"value":255,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
        let program = compile(&parse(text).unwrap()).unwrap();
        for (name, arguments, expected) in [
            ("read", [0; 6], ALLOW),
            ("openat", [0; 6], errno(13)),
            ("personality", [8, 0, 0, 0, 0, 0], ALLOW),
            ("personality", [9, 0, 0, 0, 0, 0], errno(13)),
            ("socket", [2, 0x101, 0, 0, 0, 0], LOG),
            ("socket", [2, 2, 0, 0, 0, 0], errno(13)),
        ] {
            let number = super::super::number_of(name).unwrap();
            assert_eq!(run_here(&program, number, arguments), expected, "{name}{arguments:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "{}",
            r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_S390"]}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]}"#,
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
