//! The prototype files that come with the program, built into it.

/// Files that serve every library: which one holds a function of C changes with the C library's version,
/// and allocators stand in for it. The names of other libraries may mean something else elsewhere.
pub(super) const EVERYWHERE: [&str; 4] = ["libc.so", "libm.so", "libstdc++.so", "libgcc_s.so"];

/// Each file's name without `.conf`, and its text.
pub(super) const FILES: [(&str, &str); 61] = [
    ("libc.so", include_str!("../../prototypes/libc.so.conf")),
    ("libm.so", include_str!("../../prototypes/libm.so.conf")),
    ("libacl.so", include_str!("../../prototypes/libacl.so.conf")),
    (
        "libassuan.so",
        include_str!("../../prototypes/libassuan.so.conf"),
    ),
    (
        "libattr.so",
        include_str!("../../prototypes/libattr.so.conf"),
    ),
    (
        "libblkid.so",
        include_str!("../../prototypes/libblkid.so.conf"),
    ),
    ("libbz2.so", include_str!("../../prototypes/libbz2.so.conf")),
    ("libc++.so", include_str!("../../prototypes/libc++.so.conf")),
    (
        "libc++abi.so",
        include_str!("../../prototypes/libc++abi.so.conf"),
    ),
    ("libcap.so", include_str!("../../prototypes/libcap.so.conf")),
    (
        "libcrypt.so",
        include_str!("../../prototypes/libcrypt.so.conf"),
    ),
    (
        "libcrypto.so",
        include_str!("../../prototypes/libcrypto.so.conf"),
    ),
    (
        "libcurl-gnutls.so",
        include_str!("../../prototypes/libcurl-gnutls.so.conf"),
    ),
    (
        "libcurl.so",
        include_str!("../../prototypes/libcurl.so.conf"),
    ),
    (
        "libdbus-1.so",
        include_str!("../../prototypes/libdbus-1.so.conf"),
    ),
    ("libdl.so", include_str!("../../prototypes/libdl.so.conf")),
    (
        "libexpat.so",
        include_str!("../../prototypes/libexpat.so.conf"),
    ),
    (
        "libgcc_s.so",
        include_str!("../../prototypes/libgcc_s.so.conf"),
    ),
    (
        "libgcrypt.so",
        include_str!("../../prototypes/libgcrypt.so.conf"),
    ),
    (
        "libglib-2.0.so",
        include_str!("../../prototypes/libglib-2.0.so.conf"),
    ),
    ("libgmp.so", include_str!("../../prototypes/libgmp.so.conf")),
    (
        "libgnutls.so",
        include_str!("../../prototypes/libgnutls.so.conf"),
    ),
    (
        "libgpg-error.so",
        include_str!("../../prototypes/libgpg-error.so.conf"),
    ),
    (
        "libhistory.so",
        include_str!("../../prototypes/libhistory.so.conf"),
    ),
    (
        "libidn2.so",
        include_str!("../../prototypes/libidn2.so.conf"),
    ),
    (
        "libjansson.so",
        include_str!("../../prototypes/libjansson.so.conf"),
    ),
    ("liblz4.so", include_str!("../../prototypes/liblz4.so.conf")),
    (
        "liblzma.so",
        include_str!("../../prototypes/liblzma.so.conf"),
    ),
    (
        "libmagic.so",
        include_str!("../../prototypes/libmagic.so.conf"),
    ),
    (
        "libmount.so",
        include_str!("../../prototypes/libmount.so.conf"),
    ),
    ("libmpc.so", include_str!("../../prototypes/libmpc.so.conf")),
    (
        "libmpfr.so",
        include_str!("../../prototypes/libmpfr.so.conf"),
    ),
    (
        "libncurses.so",
        include_str!("../../prototypes/libncurses.so.conf"),
    ),
    (
        "libncursesw.so",
        include_str!("../../prototypes/libncursesw.so.conf"),
    ),
    ("libpam.so", include_str!("../../prototypes/libpam.so.conf")),
    (
        "libpcre2-8.so",
        include_str!("../../prototypes/libpcre2-8.so.conf"),
    ),
    (
        "libproc2.so",
        include_str!("../../prototypes/libproc2.so.conf"),
    ),
    (
        "libpthread.so",
        include_str!("../../prototypes/libpthread.so.conf"),
    ),
    (
        "libreadline.so",
        include_str!("../../prototypes/libreadline.so.conf"),
    ),
    (
        "libresolv.so",
        include_str!("../../prototypes/libresolv.so.conf"),
    ),
    ("librt.so", include_str!("../../prototypes/librt.so.conf")),
    (
        "libselinux.so",
        include_str!("../../prototypes/libselinux.so.conf"),
    ),
    (
        "libsmartcols.so",
        include_str!("../../prototypes/libsmartcols.so.conf"),
    ),
    (
        "libsqlite3.so",
        include_str!("../../prototypes/libsqlite3.so.conf"),
    ),
    ("libssl.so", include_str!("../../prototypes/libssl.so.conf")),
    (
        "libstdc++.so",
        include_str!("../../prototypes/libstdc++.so.conf"),
    ),
    (
        "libtinfo.so",
        include_str!("../../prototypes/libtinfo.so.conf"),
    ),
    (
        "libutil.so",
        include_str!("../../prototypes/libutil.so.conf"),
    ),
    (
        "libuuid.so",
        include_str!("../../prototypes/libuuid.so.conf"),
    ),
    (
        "libxml2.so",
        include_str!("../../prototypes/libxml2.so.conf"),
    ),
    (
        "libLLVM.so",
        include_str!("../../prototypes/libLLVM.so.conf"),
    ),
    ("libbfd.so", include_str!("../../prototypes/libbfd.so.conf")),
    ("libctf.so", include_str!("../../prototypes/libctf.so.conf")),
    ("libjli.so", include_str!("../../prototypes/libjli.so.conf")),
    (
        "libpython.so",
        include_str!("../../prototypes/libpython.so.conf"),
    ),
    (
        "libruby.so",
        include_str!("../../prototypes/libruby.so.conf"),
    ),
    (
        "libsodium.so",
        include_str!("../../prototypes/libsodium.so.conf"),
    ),
    (
        "libsystemd.so",
        include_str!("../../prototypes/libsystemd.so.conf"),
    ),
    ("syscalls", include_str!("../../prototypes/syscalls.conf")),
    ("libz.so", include_str!("../../prototypes/libz.so.conf")),
    (
        "libzstd.so",
        include_str!("../../prototypes/libzstd.so.conf"),
    ),
];
