//! What a process has loaded, planned before it is stopped: to parse a large file and to search its code takes
//! seconds, in which no process is to be held. Nothing is believed of what is seen of a process that runs. Once it stands
//! still, the dynamic linker's list says what is loaded, and what was planned is found by the file's identity.

use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::machine::Machine;
use crate::engine::supervisor::state::Supervisor;
use crate::process::auxv;
use crate::process::files::GoneFiles;
use crate::process::machine;
use crate::process::module::Found;
use crate::sys::memory::ProcessMemory;
use crate::sys::proc;
use std::collections::HashSet;

impl Supervisor {
    /// Plans the files that a running process executes. What cannot be read is told of once it is stopped. What comes
    /// back are copies of those that are gone.
    pub(in crate::engine) fn plan_ahead(&mut self, pid: Pid) -> GoneFiles {
        let mut copies = GoneFiles::default();
        let memory = ProcessMemory::new(pid, machine(pid).unwrap_or(Machine::Amd64));
        let maps = proc::maps(pid).unwrap_or_default();
        // First of all the program, which need not be a file that we may open.
        let program = proc::program(pid).unwrap_or_default();
        let first = maps.iter().find(|m| m.path == program && m.executable);
        first.map(|m| Found::ahead(pid, &maps, m, &memory, &mut copies));
        let runs_linker = self.plan_program_ahead(pid, &memory, &copies);
        let mut seen = HashSet::new();
        let mut files = Vec::new();
        for mapping in maps.iter().filter(|mapping| mapping.executable) {
            if self.is_ending() {
                break;
            }
            if !seen.insert((mapping.file, &mapping.path)) {
                continue;
            }
            // Not every file is a module.
            let Some(found) = Found::ahead(pid, &maps, mapping, &memory, &mut copies) else {
                continue;
            };
            let Ok(planned) = self.planned(&found) else {
                continue;
            };
            let image = &planned.image;
            if runs_linker && image.interpreter.is_some() && image.soname.is_none() {
                let _ = self.planned(&found.run_by_linker());
            }
            files.push(planned);
        }
        self.type_ahead(pid, &files);
        copies
    }

    /// Whether it is a dynamic linker, which runs another program.
    fn plan_program_ahead(&mut self, pid: Pid, memory: &ProcessMemory, copies: &GoneFiles) -> bool {
        let execfn = auxv::read(pid, memory).map_or(Addr(0), |auxv| auxv.execfn);
        let found = Found::program(pid, execfn, memory, copies).ok();
        let planned = found.and_then(|found| self.planned(&found).ok());
        planned.is_some_and(|planned| planned.is_linker)
    }
}
