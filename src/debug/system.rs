//! Types of the C library that mean more than they are made of, or less, by the names that its headers give them.

use crate::proto::library::Library;
use crate::proto::types::{Integer, Lens, Type, Width};

/// Wherever they are used.
pub(super) fn usual(name: &str) -> Option<Type> {
    match name {
        "FILE" | "_IO_FILE" | "DIR" | "__dirstream" | "__locale_struct" => Some(Type::Void),
        "__va_list_tag" => Some(Type::Void),
        // What is in them is the library's own.
        "pthread_mutex_t"
        | "pthread_cond_t"
        | "pthread_rwlock_t"
        | "pthread_attr_t"
        | "pthread_mutexattr_t"
        | "pthread_condattr_t"
        | "pthread_barrier_t"
        | "sem_t"
        | "__jmp_buf_tag"
        | "re_pattern_buffer"
        | "ucontext_t" => Some(Type::Void),
        "uintptr_t" | "Elf64_Addr" | "Elf32_Addr" => {
            Some(Type::Integer(Integer::unsigned(Width::Long)).shown(Lens::Hex))
        }
        "pthread_t" | "thrd_t" => Some(Type::Integer(Integer::ULONG).shown(Lens::Thread)),
        "uint8_t" | "__uint8_t" => Some(Type::Integer(Integer::unsigned(Width::W8))),
        "int8_t" | "__int8_t" => Some(Type::Integer(Integer::signed(Width::W8))),
        // In C they stand for numbers.
        "char8_t" => Some(Type::Character(Integer::unsigned(Width::W8))),
        "char16_t" => Some(Type::Character(Integer::unsigned(Width::W16))),
        "char32_t" => Some(Type::Character(Integer::unsigned(Width::W32))),
        "mode_t" => Some(Type::Integer(Integer::UINT).shown(Lens::Octal)),
        _ => None,
    }
}

/// Those that the prototypes of the library's own functions know, in programs of 64 bits. They may end before the last member.
pub(super) fn of_library(library: &Library, name: &str) -> Option<Type> {
    let known = match name {
        "__sigset_t" => "sigset_t",
        "siginfo_t" => "siginfo",
        "stack_t" => "sigaltstack",
        "sockaddr_in" | "sockaddr_in6" | "sockaddr_un" | "sockaddr_storage" => "sockaddr",
        "pollfd" => "pollfd_whole",
        "flock" => "file_lock",
        "__clockid_t" => "clockid_t",
        "addrinfo" | "clockid_t" | "dirent" | "dirent64" | "epoll_event" | "fd_set" | "hostent"
        | "iovec" | "msghdr" | "rusage" | "sigaction" | "sigset_t" | "sockaddr" | "stat"
        | "statfs" | "statvfs" | "statx" | "sysinfo" | "termios" => name,
        _ => return None,
    };
    library.shipped_type("libc.so", known)
}
