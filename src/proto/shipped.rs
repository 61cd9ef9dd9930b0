//! The prototype files that come with the program, built into it.

/// Each file's name without `.conf`, and its text.
pub(super) const FILES: [(&str, &str); 3] = [
    ("libc.so", include_str!("../../prototypes/libc.so.conf")),
    ("libm.so", include_str!("../../prototypes/libm.so.conf")),
    (
        "libpthread.so",
        include_str!("../../prototypes/libpthread.so.conf"),
    ),
];
