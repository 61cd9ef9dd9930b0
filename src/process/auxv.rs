//! The auxiliary vector of a program: where it begins, where its dynamic linker lies, how it was called
//! (getauxval(3)).

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::base::memory::Memory;
use crate::sys::memory::ProcessMemory;
use crate::sys::proc;
use nix::libc;
use std::io;

/// More than the kernel lets arguments, environment and vector take (execve(2), "Limits on size of arguments
/// and environment": three quarters of 8 MiB).
const MOST_STACK: u64 = 8 << 20;
/// No type of an entry is larger (AT_MINSIGSTKSZ in <linux/auxvec.h> is 51).
const LARGEST_TYPE: u64 = 255;

/// What of the vector is of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auxv {
    /// The first instruction of the program (AT_ENTRY). A dynamic linker that was asked to run a program puts
    /// that one's here, on the stack only.
    pub entry: Addr,
    /// Where the dynamic linker lies; zero for none (AT_BASE).
    pub base: Addr,
    /// What was given to execve(2), a string there (AT_EXECFN).
    pub execfn: Addr,
}

/// Reads it from /proc; from the stack where a tracer may not read that file: it belongs to the process's user,
/// and CAP_SYS_PTRACE is no right to files.
///
/// # Errors
/// It is in neither place.
pub fn read(pid: Pid, memory: &ProcessMemory) -> io::Result<Auxv> {
    let machine = memory.machine();
    let by_file = proc::auxv(pid);
    let words = match &by_file {
        Ok(bytes) if !bytes.is_empty() => machine.words(bytes).collect(),
        _ => on_stack(pid, machine, memory).unwrap_or_default(),
    };
    match (vector(&words), by_file) {
        (Some(auxv), _) => Ok(auxv),
        (None, Err(why)) => Err(why),
        (None, Ok(_)) => Err(io::Error::other("it is not there")),
    }
}

/// The words behind the environment, by the vector's layout (System V ABI, AMD64, 3.4.1, "Initial Stack").
fn on_stack(pid: Pid, machine: Machine, memory: &dyn Memory) -> Option<Vec<u64>> {
    let start = proc::start_of_stack(pid)?;
    let maps = proc::maps(pid).ok()?;
    let stack = maps.iter().find(|m| m.contains(start))?;
    let mut bytes = vec![0; (stack.range.end - start.0).min(MOST_STACK) as usize];
    let got = memory.read(start, &mut bytes).ok()?;
    let words: Vec<u64> = machine.words(&bytes[..got]).collect();
    behind_environment(&words)
}

/// The program may have taken variables out of its environment, which leaves more than one zero at its end.
fn behind_environment(words: &[u64]) -> Option<Vec<u64>> {
    let arguments = usize::try_from(*words.first()?).ok()?;
    let environment = words.get(arguments.checked_add(2)?..)?;
    let end = environment.iter().position(|&word| word == 0)?;
    let rest = &environment[end + 1..];
    let vector = (0..rest.len()).find(|&at| vector(&rest[at..]).is_some())?;
    Some(rest[vector..].to_vec())
}

/// The entries from the beginning of `words` on, if there is a whole vector.
fn vector(words: &[u64]) -> Option<Auxv> {
    let (pairs, _) = words.as_chunks::<2>();
    let end = pairs
        .iter()
        .position(|&[kind, _]| kind == libc::AT_NULL || kind > LARGEST_TYPE)?;
    let value = |wanted| {
        let mut pairs = pairs[..end].iter();
        pairs.find_map(|&[kind, value]| (kind == wanted).then_some(Addr(value)))
    };
    value(libc::AT_PHDR)?;
    (pairs[end][0] == libc::AT_NULL).then_some(Auxv {
        entry: value(libc::AT_ENTRY)?,
        base: value(libc::AT_BASE).unwrap_or_default(),
        execfn: value(libc::AT_EXECFN).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTOR: [u64; 12] = [33, 0x7f00, 3, 0x40, 9, 0x1000, 7, 0x2000, 31, 0x3000, 0, 0];

    fn check(before: &[u64], expected: bool) {
        let words = [before, &VECTOR].concat();
        let found = behind_environment(&words).and_then(|words| vector(&words));
        let auxv = Auxv {
            entry: Addr(0x1000),
            base: Addr(0x2000),
            execfn: Addr(0x3000),
        };
        assert_eq!(found, expected.then_some(auxv), "{before:x?}");
    }

    #[test]
    fn behind_arguments_and_environment() {
        check(&[2, 0x10, 0x20, 0, 0x30, 0x40, 0], true);
        check(&[0, 0, 0], true);
        // One variable and two variables less than there were.
        check(&[1, 0x10, 0, 0x30, 0x40, 0, 0], true);
        check(&[1, 0x10, 0, 0x30, 0, 0x40, 0], true);
        check(&[u64::MAX, 0x10, 0], false);
        check(&[9999, 0x10, 0], false);
        for length in 0..VECTOR.len() - 1 {
            assert_eq!(vector(&VECTOR[..length]), None);
        }
    }
}
