//! Names of the errors that system calls end with.

use syscalls::Errno;

/// What the kernel's headers call the error, those included that no program sees.
pub fn name(number: i32) -> Option<&'static str> {
    Errno::new(number).name()
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_of_errors() {
        assert_eq!(name(2), Some("ENOENT"));
        assert_eq!(name(512), Some("ERESTARTSYS"));
        assert_eq!(name(4000), None);
    }
}
