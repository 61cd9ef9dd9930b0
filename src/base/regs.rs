//! A task's registers, and the view of registers and memory that a hit carries.

use super::Tid;
use super::addr::Addr;
use super::machine::Machine;
use super::memory::Memory;

/// The general registers, laid out as the kernel's `struct user_regs_struct` for x86-64
/// (`<sys/user.h>`), so that `sys` can fill it as it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Regs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

/// The selector of 32-bit code (arch/x86/include/asm/segment.h, __USER32_CS). Under Xen others stand
/// above it (FLAT_USER_CS32).
const USER32_CS: u64 = 0x23;

impl Regs {
    /// Which code the task runs.
    pub fn machine(&self) -> Machine {
        match self.cs & 0xff {
            USER32_CS => Machine::I386,
            _ => Machine::Amd64,
        }
    }

    /// The general registers that carry arguments, in their order (psABI 3.2.3). On i386 they carry none.
    pub fn arguments(&self) -> [u64; 6] {
        match self.machine() {
            Machine::Amd64 => [self.rdi, self.rsi, self.rdx, self.rcx, self.r8, self.r9],
            Machine::I386 => [0; 6],
        }
    }

    /// Where the thread's control block is.
    pub fn thread_pointer(&self) -> u64 {
        match self.machine() {
            Machine::Amd64 => self.fs_base,
            Machine::I386 => self.gs_base,
        }
    }

    /// The registers as a call leaves them that has pushed its return address.
    pub fn with_call_pushed(self) -> Regs {
        let word = self.machine().word() as u64;
        Regs {
            rsp: self.rsp.wrapping_sub(word),
            ..self
        }
    }

    /// The general register of this number in a ModRM byte (Intel SDM 2, table 2-2), of the first eight.
    pub fn by_number(&self, number: u8) -> u64 {
        let registers = [
            self.rax, self.rcx, self.rdx, self.rbx, self.rsp, self.rbp, self.rsi, self.rdi,
        ];
        registers[usize::from(number & 7)]
    }
}

/// The registers that carry floating-point arguments and results (psABI 3.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FloatRegs {
    /// `xmm0` to `xmm15`, low bytes first.
    pub xmm: [[u8; 16]; 16],
    /// The top two of the x87 stack, `st(0)` first, in the 80-bit extended format.
    pub st: [[u8; 10]; 2],
}

/// Where floating-point registers come from: they cost a system call of their own, so they are
/// fetched only for a prototype that needs them.
pub trait Floats {
    /// The registers as they are at the hit; `None` when the task is gone.
    fn floats(&self) -> Option<FloatRegs>;
}

/// What is known of a process beside its memory.
pub trait Process {
    /// The one that has this thread pointer, or had it last: glibc and musl call a thread by it (`pthread_t`).
    fn thread(&self, pointer: u64) -> Option<Tid>;

    /// Where the program's own code goes on, by a return address that may lead to code of ours.
    fn caller(&self, return_address: Addr) -> Addr;
}

/// Nothing is.
pub struct Unknown;

impl Process for Unknown {
    fn thread(&self, _: u64) -> Option<Tid> {
        None
    }

    fn caller(&self, return_address: Addr) -> Addr {
        return_address
    }
}

/// What can be seen of a task at a hit. Good for that moment only.
#[derive(Clone, Copy)]
pub struct View<'e> {
    /// The general registers. At a call they are as on the callee's first instruction: `rsp` points
    /// at the return address. At a return they are as on the instruction after the call.
    pub regs: &'e Regs,
    /// The task's memory.
    pub memory: &'e dyn Memory,
    /// The floating-point registers, on demand.
    pub floats: &'e dyn Floats,
    /// The task's process.
    pub process: &'e dyn Process,
    /// At a return: where the thread's errno is, if that is known.
    pub errno: Option<Addr>,
}
