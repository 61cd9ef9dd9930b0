//! Where the threads of a program have their errno.

use crate::base::addr::Addr;
use crate::elf::Errno;
use crate::engine::space::Space;
use crate::process::errno;

impl Space {
    /// Finds out where errno is: the first C library's, in the order of the program's own list. To be done whenever modules
    /// have been loaded or relocated.
    pub fn find_errno(&mut self) {
        let own = self.modules.iter().filter(|module| module.namespace == 0);
        let mut tellers = own.filter_map(|module| Some((module.bias, module.planned.errno?)));
        self.errno = match tellers.next() {
            Some((bias, Errno::Function(at))) => {
                let at = bias.addr(at);
                errno::offset(&self.code_at(at, errno::MOST_CODE), at, &self.memory)
            }
            Some((_, Errno::Offset(offset))) => Some(offset),
            None => None,
        };
        if let Some(recorder) = &self.recorder {
            recorder.set_errno(self.errno);
        }
    }

    /// Where the errno of a thread is.
    pub fn errno(&self, thread_pointer: u64) -> Option<Addr> {
        Some(Addr(thread_pointer).offset(self.errno?))
    }
}
