//! Allocators by their names.

use crate::base::printable::printable;
use crate::plan::Tracepoint;

/// Functions that only an allocator has.
pub(super) const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "free", "posix_memalign"];

/// Whose malloc it is.
pub(super) fn name(point: &Tracepoint) -> String {
    let known = [
        ("libc.so.6", "glibc malloc"),
        ("libc-2", "glibc malloc"),
        ("libc.so", "musl malloc"),
        ("ld-musl", "musl malloc"),
        ("libc.musl", "musl malloc"),
        ("libjemalloc", "jemalloc"),
        ("libtcmalloc", "tcmalloc"),
        ("libmimalloc", "mimalloc"),
    ];
    let name = &point.module.name;
    let found = known.iter().find(|(prefix, _)| name.starts_with(prefix));
    found.map_or_else(
        || format!("malloc of {}", printable(name)),
        |(_, allocator)| (*allocator).to_owned(),
    )
}
