//! Which devices a container may use, on cgroups v2: a BPF program of the kind `CGROUP_DEVICE`, put together by hand.
//!
//! The kernel calls it with `{ access << 16 | type, major, minor }` and opens the device if it returns 1.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;

use super::cgroup::Devices;
use super::system;
use crate::Error;

/// Characters: null, zero, full, random, urandom, tty, console, ptmx. Pseudo terminals are major 136.
const FIXED: [(u64, u64); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
const PTS: u64 = 136;

const TYPE_BLOCK: i32 = 1;
const TYPE_CHAR: i32 = 2;
const ACCESS_MKNOD: i32 = 1;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// Destination in the low half, source in the high one.
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: to | from << 4, offset, immediate }
}

/// `to = *(u32 *)(from + offset)`.
const fn load(to: u8, from: u8, offset: i16) -> Instruction {
    instruction(0x61, to, from, offset, 0)
}
const fn copy(to: u8, from: u8) -> Instruction {
    instruction(0xbc, to, from, 0, 0)
}
const fn set(to: u8, value: i32) -> Instruction {
    instruction(0xb4, to, 0, 0, value)
}
const fn and(to: u8, value: i32) -> Instruction {
    instruction(0x54, to, 0, 0, value)
}
const fn shift_right(to: u8, bits: i32) -> Instruction {
    instruction(0x74, to, 0, 0, bits)
}
const fn unless_equal(left: u8, value: i32, skip: i16) -> Instruction {
    instruction(0x56, left, 0, skip, value)
}
const EXIT: Instruction = instruction(0x95, 0, 0, 0, 0);

fn program(more: &[(bool, u64, u64)]) -> Vec<Instruction> {
    // r2 type, r3 access, r4 major, r5 minor
    let mut code =
        vec![load(2, 1, 0), copy(3, 2), and(2, 0xffff), shift_right(3, 16), load(4, 1, 4), load(5, 1, 8)];
    // Making a node of any kind is no access to it.
    code.extend([unless_equal(3, ACCESS_MKNOD, 2), set(0, 1), EXIT]);
    code.extend([unless_equal(2, TYPE_CHAR, 3), unless_equal(4, PTS as i32, 2), set(0, 1), EXIT]);
    let fixed = FIXED.iter().map(|(major, minor)| (false, *major, *minor));
    for (block, major, minor) in fixed.chain(more.iter().copied()) {
        let kind = if block { TYPE_BLOCK } else { TYPE_CHAR };
        code.extend([
            unless_equal(2, kind, 4),
            unless_equal(4, major as i32, 3),
            unless_equal(5, minor as i32, 2),
        ]);
        code.extend([set(0, 1), EXIT]);
    }
    code.extend([set(0, 0), EXIT]);
    code
}

/// `BPF_PROG_LOAD`'s part of `union bpf_attr`, up to `attach_prog_fd`'s end.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    rest: [u64; 12],
}

/// `BPF_PROG_ATTACH`'s part.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    rest: [u64; 2],
}

const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;

fn bpf<T>(command: i32, attribute: &T) -> nix::Result<i64> {
    // SAFETY: the kernel reads size_of::<T>() bytes of a structure laid out as `union bpf_attr` for this command; the
    // pointers in it outlive the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_bpf, command, attribute as *const T, size_of::<T>()) })
}

/// Gives the program to the kernel.
fn submit(code: &[Instruction]) -> nix::Result<OwnedFd> {
    let load = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: code.len() as u32,
        instructions: code.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        rest: [0; 12],
    };
    let fd = bpf(BPF_PROG_LOAD, &load)?;
    // SAFETY: the kernel has just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Restricts the cgroup at `folder`. It fails closed: a container never runs with more devices than asked for.
pub(super) fn attach(folder: &Path, devices: &Devices) -> Result<(), Error> {
    let Devices::Default(more) = devices else { return Ok(()) };
    const OPERATION: &str = "restrict the devices of";
    let name = folder.display().to_string();
    let program = submit(&program(more)).map_err(system(OPERATION, &name))?;
    let cgroup = File::open(folder).map_err(system(OPERATION, &name))?;
    let attach = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
        rest: [0; 2],
    };
    bpf(BPF_PROG_ATTACH, &attach).map(drop).map_err(system(OPERATION, &name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_program() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED the_kernel_takes_the_program: loading BPF needs root");
            return;
        }
        match submit(&program(&[(true, 8, 0), (false, 10, 229)])) {
            Ok(_program) => {}
            Err(errno @ (Errno::EPERM | Errno::ENOSYS)) => {
                eprintln!("SKIPPED the_kernel_takes_the_program: bpf: {errno}");
            }
            Err(errno) => panic!("the verifier refused it: {errno}"),
        }
    }
}
