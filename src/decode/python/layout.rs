//! Where CPython keeps what: its versions differ.
//!
//! The offsets of 3.11 and 3.12 are those of the structures in `Include/internal` (pycore_frame.h,
//! pycore_interp.h, pycore_runtime.h) and `Include/cpython` (code.h, pystate.h, unicodeobject.h), built for
//! x86-64; they are the same in all releases of a minor version. From 3.13 on the runtime begins with a table
//! of them (`struct _Py_DebugOffsets`, pycore_runtime.h).

use crate::base::addr::Addr;
use crate::base::memory::Memory;

/// Offsets of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// In the runtime: the first interpreter.
    pub interpreters: u64,
    /// In an interpreter: the next one, and its first thread.
    pub next_interpreter: u64,
    pub threads: u64,
    pub thread: Thread,
    pub frame: Frame,
    pub code: Code,
    pub text: Text,
}

/// `PyThreadState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    pub next: u64,
    /// What pthread_self(3) says there.
    pub id: u64,
    pub frame: u64,
    /// In what the field above points at, where that is not the frame itself.
    pub through: Option<u64>,
}

/// `_PyInterpreterFrame`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub code: u64,
    pub previous: u64,
    pub instruction: u64,
    pub entry: Entry,
}

/// How the frames tell which of them one call of the evaluator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A flag at this offset marks the outermost.
    Marked(u64),
    /// Another frame stands beyond the outermost, whose owner at this offset is the C stack.
    Bounded(u64),
}

/// `FRAME_OWNED_BY_CSTACK` (pycore_frame.h).
pub(super) const OWNED_BY_C_STACK: u8 = 3;

/// `PyCodeObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub first_line: u64,
    pub file: u64,
    pub name: u64,
    pub lines: u64,
    pub instructions: u64,
}

/// `PyASCIIObject` and `PyCompactUnicodeObject`: where their characters begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub ascii: u64,
    pub compact: u64,
}

const PYTHON_3_11: Layout = Layout {
    interpreters: 40,
    next_interpreter: 0,
    threads: 16,
    thread: Thread {
        next: 8,
        id: 152,
        frame: 56,
        through: Some(8),
    },
    frame: Frame {
        code: 32,
        previous: 48,
        instruction: 56,
        entry: Entry::Marked(68),
    },
    code: Code {
        first_line: 72,
        file: 112,
        name: 128,
        lines: 136,
        instructions: 184,
    },
    text: Text {
        ascii: 48,
        compact: 72,
    },
};

const PYTHON_3_12: Layout = Layout {
    interpreters: 40,
    next_interpreter: 0,
    threads: 72,
    thread: Thread {
        next: 8,
        id: 136,
        frame: 56,
        through: Some(0),
    },
    frame: Frame {
        code: 0,
        previous: 8,
        instruction: 56,
        entry: Entry::Bounded(70),
    },
    code: Code {
        first_line: 68,
        file: 112,
        name: 128,
        lines: 136,
        instructions: 192,
    },
    text: Text {
        ascii: 40,
        compact: 56,
    },
};

/// The size of `struct _Py_DebugOffsets` in 3.13.
const TABLE: usize = 584;

impl Layout {
    /// That of the interpreter with this `Py_Version` (patchlevel.h: `PY_VERSION_HEX`) and this runtime;
    /// `None` for versions that are not known.
    pub(super) fn of(version: u32, runtime: Addr, memory: &dyn Memory) -> Option<Layout> {
        match version >> 16 {
            0x030b => Some(PYTHON_3_11),
            0x030c => Some(PYTHON_3_12),
            0x030d => {
                let mut table = [0; TABLE];
                memory.read_exact(runtime, &mut table).ok()?;
                Layout::from_table(&table)
            }
            _ => None,
        }
    }

    /// By `struct _Py_DebugOffsets` of 3.13.
    fn from_table(table: &[u8; TABLE]) -> Option<Layout> {
        let at = |place: usize| {
            let bytes = table.get(place..)?.first_chunk()?;
            Some(u64::from_le_bytes(*bytes))
        };
        // Larger ones than any object has would have us read far away.
        let near = |place| at(place).filter(|&offset| offset < super::OBJECT as u64 - 8);
        let far = |place| at(place).filter(|&offset| offset < 1 << 24);
        const FREE_THREADED: usize = 16;
        if !table.starts_with(b"xdebugpy") || at(FREE_THREADED) != Some(0) {
            return None;
        }
        let ascii = near(560)?;
        Some(Layout {
            interpreters: far(40)?,
            next_interpreter: far(64)?,
            threads: far(72)?,
            thread: Thread {
                next: near(168)?,
                id: near(192)?,
                frame: near(184)?,
                through: None,
            },
            frame: Frame {
                code: near(240)?,
                previous: near(232)?,
                instruction: near(248)?,
                entry: Entry::Bounded(near(264)?),
            },
            code: Code {
                first_line: near(312)?,
                file: near(280)?,
                name: near(296)?,
                lines: near(304)?,
                instructions: near(344)?,
            },
            text: Text {
                ascii,
                // Two words more: the length in UTF-8, and where that is.
                compact: ascii + 16,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of a plain build of 3.13.
    fn table() -> [u8; TABLE] {
        let mut table = [0; TABLE];
        table[..8].copy_from_slice(b"xdebugpy");
        let fields: [(usize, u64); 17] = [
            (40, 632),
            (64, 7264),
            (72, 7344),
            (168, 8),
            (184, 72),
            (192, 152),
            (232, 8),
            (240, 0),
            (248, 56),
            (264, 70),
            (280, 112),
            (296, 128),
            (304, 136),
            (312, 68),
            (344, 200),
            (560, 40),
            (16, 0),
        ];
        for (place, offset) in fields {
            table[place..place + 8].copy_from_slice(&offset.to_le_bytes());
        }
        table
    }

    #[test]
    fn by_the_table() {
        let layout = Layout::from_table(&table()).expect("a layout");
        assert_eq!(layout.threads, 7344);
        assert_eq!(layout.thread.id, 152);
        assert_eq!(layout.frame.entry, Entry::Bounded(70));
        assert_eq!(layout.code.instructions, 200);
        assert_eq!(layout.text, PYTHON_3_12.text);
    }

    #[test]
    fn tables_that_are_none() {
        let mut broken = table();
        broken[0] = b'y';
        assert_eq!(Layout::from_table(&broken), None);
        let mut free_threaded = table();
        free_threaded[16] = 1;
        assert_eq!(Layout::from_table(&free_threaded), None);
        let mut far = table();
        far[192..200].fill(0xff);
        assert_eq!(Layout::from_table(&far), None);
    }

    #[test]
    fn versions() {
        let nothing = crate::base::memory::Stretch::default();
        let of = |version| Layout::of(version, Addr(0), &nothing);
        assert_eq!(of(0x030b_07f0), Some(PYTHON_3_11));
        assert_eq!(of(0x030c_01f0), Some(PYTHON_3_12));
        assert_eq!(of(0x030a_0df0), None);
        assert_eq!(of(0x030d_00f0), None);
        assert_eq!(of(0), None);
    }
}
