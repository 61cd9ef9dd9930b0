//! The prototype files that come with the program, built into it.

/// Each file's name without `.conf`, and its text.
pub(super) const FILES: [(&str, &str); 7] = [
    ("libc.so", include_str!("../../prototypes/libc.so.conf")),
    ("libm.so", include_str!("../../prototypes/libm.so.conf")),
    (
        "libpthread.so",
        include_str!("../../prototypes/libpthread.so.conf"),
    ),
    ("libdl.so", include_str!("../../prototypes/libdl.so.conf")),
    (
        "libresolv.so",
        include_str!("../../prototypes/libresolv.so.conf"),
    ),
    ("librt.so", include_str!("../../prototypes/librt.so.conf")),
    (
        "libutil.so",
        include_str!("../../prototypes/libutil.so.conf"),
    ),
];
