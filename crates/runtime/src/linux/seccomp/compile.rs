//! From rules to a classic BPF program (kernel: Documentation/userspace-api/seccomp_filter.rst). Pure.
//!
//! Numbers are found by binary search, so that a call costs about ten instructions however long the profile is.

use std::collections::BTreeMap;

pub(super) const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
pub(super) const KILL_PROCESS: u32 = libc::SECCOMP_RET_KILL_PROCESS;
pub(super) const KILL_THREAD: u32 = libc::SECCOMP_RET_KILL_THREAD;
pub(super) const TRAP: u32 = libc::SECCOMP_RET_TRAP;
pub(super) const TRACE: u32 = libc::SECCOMP_RET_TRACE;
pub(super) const LOG: u32 = libc::SECCOMP_RET_LOG;

pub(super) const fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | (number as u32 & 0xffff)
}

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xc000_00b7;

/// How an argument is compared, as unsigned 64-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The argument's bits under this mask.
    Masked(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) argument: u8,
    pub(super) comparison: Comparison,
    pub(super) value: u64,
}

/// All conditions must hold; the first rule that does decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) rules: BTreeMap<u32, Vec<Rule>>,
    /// Where no rule of a known call holds.
    pub(super) otherwise: u32,
    /// For calls that are newer than the table: programs fall back from `ENOSYS`, not from `EPERM`.
    pub(super) newer: u32,
    pub(super) newest: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u16,
    yes: u8,
    no: u8,
    value: u32,
}

impl Instruction {
    pub(super) fn bytes(&self) -> [u8; 8] {
        let ([a, b], [c, d, e, f]) = (self.code.to_ne_bytes(), self.value.to_ne_bytes());
        [a, b, self.yes, self.no, c, d, e, f]
    }
}

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Jumps that are filled in when the block's length is known.
const PASS: u8 = 254;
const FAIL: u8 = 255;

const fn step(code: u16, value: u32) -> Instruction {
    Instruction { code, yes: 0, no: 0, value }
}
const fn branch(code: u16, value: u32, yes: u8, no: u8) -> Instruction {
    Instruction { code, yes, no, value }
}

/// The program, or why there can be none.
pub(super) fn compile(filter: &Filter) -> Result<Vec<Instruction>, String> {
    let mut program = vec![
        step(LOAD, ARCHITECTURE),
        branch(IF_EQUAL, AUDIT_ARCH, 1, 0),
        step(RETURN, errno(libc::EPERM)),
        step(LOAD, NUMBER),
    ];
    // Ranges of numbers with the same answer, each until the next begins.
    let mut ranges: Vec<(u32, Vec<Rule>)> = Vec::new();
    let mut push = |start: u32, rules: Vec<Rule>| {
        if ranges.last().is_none_or(|(_, last)| *last != rules) {
            ranges.push((start, rules));
        }
    };
    let plain = |action: u32| vec![Rule { conditions: Vec::new(), action }];
    let mut next = 0;
    for (number, rules) in &filter.rules {
        if *number > next {
            push(next, plain(filter.otherwise));
        }
        let mut rules = rules.clone();
        rules.push(Rule { conditions: Vec::new(), action: filter.otherwise });
        let decided = rules.iter().position(|rule| rule.conditions.is_empty()).unwrap_or(0);
        rules.truncate(decided + 1);
        push(*number, rules);
        next = number + 1;
    }
    if next <= filter.newest {
        push(next, plain(filter.otherwise));
    }
    push(next.max(filter.newest + 1), plain(filter.newer));
    program.extend(search(&ranges)?);
    if program.len() > 4096 {
        return Err(format!("it has {} instructions, and the kernel takes 4096", program.len()));
    }
    Ok(program)
}

fn search(ranges: &[(u32, Vec<Rule>)]) -> Result<Vec<Instruction>, String> {
    if let [(_, rules)] = ranges {
        return decide(rules);
    }
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let below = search(left)?;
    // A conditional jump reaches 255 instructions only; the plain one reaches everything.
    let mut block = vec![branch(IF_AT_LEAST, right[0].0, 0, 1), step(JUMP, below.len() as u32)];
    block.extend(below);
    block.extend(search(right)?);
    Ok(block)
}

/// The rules of one call; the last has no condition.
fn decide(rules: &[Rule]) -> Result<Vec<Instruction>, String> {
    let mut block = Vec::new();
    for rule in rules {
        let mut checks = Vec::new();
        for condition in &rule.conditions {
            checks.extend(check(*condition)?);
        }
        checks.push(step(RETURN, rule.action));
        let length = checks.len();
        for (index, instruction) in checks.iter_mut().enumerate() {
            for target in [&mut instruction.yes, &mut instruction.no] {
                if *target == FAIL {
                    *target =
                        u8::try_from(length - index - 1).map_err(|_| "a rule has too many arguments")?;
                }
            }
        }
        block.extend(checks);
    }
    Ok(block)
}

/// Goes on behind its end if the condition holds, else to `FAIL`.
fn check(condition: Condition) -> Result<Vec<Instruction>, String> {
    if condition.argument > 5 {
        return Err(format!("there is no argument {}", condition.argument));
    }
    let offset = ARGUMENTS + 8 * u32::from(condition.argument);
    let (low, high) = (step(LOAD, offset), step(LOAD, offset + 4));
    let (value_low, value_high) = (condition.value as u32, (condition.value >> 32) as u32);
    // The high half decides unless it is equal.
    let ordered = |high_yes: u8, high_no: u8, last: Instruction| {
        vec![
            high,
            branch(IF_GREATER, value_high, high_yes, 0),
            branch(IF_EQUAL, value_high, 0, high_no),
            low,
            last,
        ]
    };
    let mut checks = match condition.comparison {
        Comparison::Equal => {
            vec![high, branch(IF_EQUAL, value_high, 0, FAIL), low, branch(IF_EQUAL, value_low, 0, FAIL)]
        }
        Comparison::NotEqual => {
            vec![high, branch(IF_EQUAL, value_high, 0, PASS), low, branch(IF_EQUAL, value_low, FAIL, 0)]
        }
        Comparison::Masked(mask) => vec![
            high,
            step(AND, (mask >> 32) as u32),
            branch(IF_EQUAL, value_high, 0, FAIL),
            low,
            step(AND, mask as u32),
            branch(IF_EQUAL, value_low, 0, FAIL),
        ],
        Comparison::Greater => ordered(PASS, FAIL, branch(IF_GREATER, value_low, 0, FAIL)),
        Comparison::GreaterOrEqual => ordered(PASS, FAIL, branch(IF_AT_LEAST, value_low, 0, FAIL)),
        Comparison::Less => ordered(FAIL, PASS, branch(IF_AT_LEAST, value_low, FAIL, 0)),
        Comparison::LessOrEqual => ordered(FAIL, PASS, branch(IF_GREATER, value_low, FAIL, 0)),
    };
    let length = checks.len();
    for (index, instruction) in checks.iter_mut().enumerate() {
        for target in [&mut instruction.yes, &mut instruction.no] {
            if *target == PASS {
                *target = (length - index - 1) as u8;
            }
        }
    }
    Ok(checks)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Runs a program as the kernel would.
    pub(crate) fn run(program: &[Instruction], number: u32, arguments: [u64; 6], architecture: u32) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_le_bytes());
        data.extend(architecture.to_le_bytes());
        data.extend([0; 8]);
        arguments.iter().for_each(|argument| data.extend(argument.to_le_bytes()));
        let (mut at, mut accumulator) = (0, 0u32);
        loop {
            let Instruction { code, yes, no, value } = program[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { yes } else { no });
            match code {
                LOAD => accumulator = u32::from_le_bytes(data[value as usize..][..4].try_into().unwrap()),
                AND => accumulator &= value,
                JUMP => at += value as usize,
                IF_EQUAL => at += jump(accumulator == value),
                IF_GREATER => at += jump(accumulator > value),
                IF_AT_LEAST => at += jump(accumulator >= value),
                RETURN => return value,
                _ => panic!("code {code:#x}"),
            }
        }
    }

    pub(crate) fn run_here(program: &[Instruction], number: u32, arguments: [u64; 6]) -> u32 {
        run(program, number, arguments, AUDIT_ARCH)
    }

    fn holds(comparison: Comparison, value: u64, argument: u64) -> bool {
        let condition = Condition { argument: 2, comparison, value };
        let rule = Rule { conditions: vec![condition], action: ALLOW };
        let filter =
            Filter { rules: [(7, vec![rule])].into(), otherwise: errno(1), newer: errno(38), newest: 10 };
        run_here(&compile(&filter).unwrap(), 7, [0, 0, argument, 0, 0, 0]) == ALLOW
    }

    #[test]
    fn arguments_are_compared_as_64_bit_numbers() {
        let numbers = [0, 1, 2, 0xffff_ffff, 1 << 32, (1 << 32) + 1, (2 << 32) + 1, u64::MAX];
        for value in numbers {
            for argument in numbers {
                let check = |comparison, expected| {
                    assert_eq!(
                        holds(comparison, value, argument),
                        expected,
                        "{argument:#x} {comparison:?} {value:#x}"
                    );
                };
                check(Comparison::Equal, argument == value);
                check(Comparison::NotEqual, argument != value);
                check(Comparison::Less, argument < value);
                check(Comparison::LessOrEqual, argument <= value);
                check(Comparison::Greater, argument > value);
                check(Comparison::GreaterOrEqual, argument >= value);
                check(Comparison::Masked(0x1_0000_0001), argument & 0x1_0000_0001 == value);
            }
        }
    }

    #[test]
    fn numbers_are_found_among_many() {
        let action = |number: u32| if number.is_multiple_of(3) { ALLOW } else { errno(number as i32) };
        let rules = (0..500u32)
            .filter(|number: &u32| !number.is_multiple_of(7))
            .map(|number| (number, vec![Rule { conditions: vec![], action: action(number) }]))
            .collect();
        let filter = Filter { rules, otherwise: errno(1), newer: errno(38), newest: 600 };
        let program = compile(&filter).unwrap();
        for number in 0..700u32 {
            let expected = match number {
                601.. => errno(38),
                500.. => errno(1),
                _ if number.is_multiple_of(7) => errno(1),
                _ => action(number),
            };
            assert_eq!(run_here(&program, number, [0; 6]), expected, "{number}");
        }
        assert_eq!(run(&program, 3, [0; 6], 0x4000_0003), errno(libc::EPERM));
    }
}
