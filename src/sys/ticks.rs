//! The processor's time stamp counter, which all processors of a machine share and which runs at one rate
//! (Intel SDM vol. 3, 19.17.1, "Invariant TSC").

/// What it says now.
pub fn now() -> u64 {
    // SAFETY: RDTSC is there on every x86-64 processor, and reads nothing else.
    unsafe { std::arch::x86_64::_rdtsc() }
}
