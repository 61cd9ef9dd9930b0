//! Profiles that the tests of this module share.

use super::{Frame, Profile, ValueKind};

/// A frame of this function.
pub(super) fn frame(function: &str) -> Frame {
    Frame {
        function: function.to_owned(),
        module: Some("/usr/bin/server".to_owned()),
        build_id: Some("c0ffee".to_owned()),
        address: 0x1000,
        ..Frame::default()
    }
}

/// A profile of blocks and bytes, without samples.
pub(super) fn heap() -> Profile {
    Profile {
        kinds: vec![
            ValueKind::new("inuse_objects", "count"),
            ValueKind::new("inuse_space", "bytes"),
        ],
        ..Profile::default()
    }
}
