//! An area of the recorder in the test's own process: tracer and target in one.

use ltrace::base::addr::{Addr, Vaddr};
use ltrace::base::regs::{Unknown, View};
use ltrace::base::time::Timestamp;
use ltrace::base::{Pid, Tid};
use ltrace::decode::Decoder;
use ltrace::engine::hit::{self, Hit, What};
use ltrace::event::{CallId, Kind as EventKind};
use ltrace::plan::{self, ModuleName, Returns, Stack, Tracepoint};
use ltrace::proto::parse::parse;
use ltrace::record::{
    Caps, Code, Kind, Layout, Reader, Record, Seen, Shape, Shared, Stub, Target, header, threads,
};
use ltrace::value::Limits;
use ltrace::value::render::{list, render};
use nix::libc;
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What of a value is shown.
pub(crate) const CAPS: Caps = Caps {
    text: 32,
    array: 4,
    arguments: true,
    in_order: false,
};

pub(crate) struct Area {
    pub(crate) layout: Layout,
    pub(crate) code: Code,
    pub(crate) shared: Shared<'static>,
    pub(crate) points: Vec<Arc<Tracepoint>>,
    rings: u32,
}

/// The thread pointer: what is at `fs:0` (System V ABI, thread-local storage).
pub(crate) fn thread_pointer() -> u64 {
    let pointer;
    // SAFETY: the first word of the thread control block points to itself.
    unsafe {
        std::arch::asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, readonly));
    }
    pointer
}

impl Area {
    pub(crate) fn new(rings: u32, ring_bytes: u64) -> Area {
        let layout = Layout::new(0, rings, ring_bytes);
        let length = layout.total_bytes() as usize;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping where the kernel wants it.
        let base = unsafe { libc::mmap(null_mut(), length, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(base, libc::MAP_FAILED);
        let layout = layout.at(base as u64);
        let shared = map_parts(&layout);
        shared.store(header::OWNER, u64::from(std::process::id()));
        Area {
            layout,
            code: Code::new(layout, 4096).expect("code"),
            shared,
            points: vec![point("", None)],
            rings: 0,
        }
    }

    /// A stub for the function at this address, with the prototype of `f` that the text ends with.
    pub(crate) fn stub(&mut self, prototype: Option<&str>, function: usize) -> Stub {
        self.stub_of(point("f", prototype), function)
    }

    pub(crate) fn stub_of(&mut self, point: Arc<Tracepoint>, function: usize) -> Stub {
        self.stub_from(None, point, function)
    }

    /// The same, only for calls that return to this range.
    pub(crate) fn stub_from(
        &mut self,
        caller: Option<Range<u64>>,
        point: Arc<Tracepoint>,
        function: usize,
    ) -> Stub {
        let shape = Shape::asking(&point, CAPS).expect("a shape");
        let target = Target::Code(function as u64);
        let shape = Arc::new(shape);
        let stub = self.code.add(&shape, target, caller.as_ref(), self.shared);
        let stub = stub.expect("a stub");
        self.points.push(point);
        self.write();
        stub
    }

    /// What stands in for the function whose address is in this slot.
    pub(crate) fn find_object(&mut self, slot: u64) -> u64 {
        let entry = self.code.add_find_object(slot, self.shared);
        self.points.push(point("", None));
        self.write();
        entry.expect("a function")
    }

    /// Writes code as a tracer does, and lets it be used.
    pub(crate) fn write(&mut self) {
        let memory = File::options().write(true).open("/proc/self/mem");
        let memory = memory.expect("/proc/self/mem");
        for piece in self.code.take_written() {
            memory
                .write_all_at(&piece.bytes, piece.at)
                .expect("written");
        }
        self.code.publish(self.shared);
    }

    /// Gives the calling thread a ring.
    pub(crate) fn ring(&mut self) -> Reader {
        let ring = self.rings;
        self.rings += 1;
        let reader = Reader::new(&self.layout, ring, self.shared);
        assert!(threads::assign(
            &self.layout,
            self.shared,
            thread_pointer(),
            ring
        ));
        reader
    }

    pub(crate) fn enable(&self, value: u8) {
        let at = self.layout.enabled() as *mut u8;
        // SAFETY: the control page is mapped and written by nobody else at this time.
        unsafe { at.write_volatile(value) };
    }

    pub(crate) fn is_enabled(&self) -> bool {
        let at = self.layout.enabled() as *const u8;
        // SAFETY: the control page is mapped.
        unsafe { at.read_volatile() != 0 }
    }

    /// What is in a ring, as the decoder shows it.
    pub(crate) fn lines(&self, reader: &mut Reader) -> Vec<String> {
        let mut decoder = Decoder::new(Limits::default());
        let mut open: Vec<(u32, u64, u64)> = Vec::new();
        let mut lines = Vec::new();
        while reader.time(self.shared, self.code.shapes()).is_some() {
            let record = reader.take(self.code.shapes()).expect("a record");
            lines.push(self.line(&record, &mut decoder, &mut open));
        }
        assert_eq!(reader.corrupted(), 0);
        let _ = reader.release(self.shared);
        lines
    }

    fn line(
        &self,
        record: &Record<'_>,
        decoder: &mut Decoder,
        open: &mut Vec<(u32, u64, u64)>,
    ) -> String {
        let point = &self.points[record.number as usize];
        let id = match record.kind {
            Kind::Return => {
                let found = open.iter().rposition(|(number, frame, _)| {
                    (*number, *frame) == (record.number, record.frame)
                });
                found.map_or(999, |index| open[index].2)
            }
            _ => {
                let id = open.len() as u64;
                open.push((record.number, record.frame, id));
                id
            }
        };
        let mut regs = Seen::registers(thread_pointer());
        let seen = Seen::new(record, &mut regs, 0);
        let line = shown(decoder, point, (record.kind, id), seen.view(&Unknown));
        match record.kind {
            Kind::CallOnly => line + " only",
            _ => line,
        }
    }
}

/// A call as far as its arguments, or its return, and its number.
pub(crate) fn shown(
    decoder: &mut Decoder,
    point: &Arc<Tracepoint>,
    (kind, id): (Kind, u64),
    view: View<'_>,
) -> String {
    let (id, depth, return_address) = (CallId(id), 0, Addr(0));
    let what = match kind {
        Kind::Return => What::Return {
            call: hit::Call {
                id,
                depth,
                point,
                return_address,
                view,
            },
            began: Timestamp(Duration::ZERO),
        },
        _ => What::Call(hit::Call {
            id,
            depth,
            point,
            return_address,
            view,
        }),
    };
    let event = decoder.event(&Hit {
        pid: Pid(1),
        tid: Tid(1),
        time: Timestamp(Duration::ZERO),
        what,
    });
    let shown = |values: &[_]| {
        let mut text = String::new();
        list(&mut text, values);
        text
    };
    match &event.kind {
        EventKind::Call { args, .. } => format!("{}({})", point.symbol, shown(args)),
        EventKind::Return {
            out_args, result, ..
        } => format!("({}) = {}", shown(out_args), render(result)),
        kind => panic!("{kind:?}"),
    }
}

/// A tracepoint of this name. The text's last line is the prototype, of `f`.
pub(crate) fn point(symbol: &str, text: Option<&str>) -> Arc<Tracepoint> {
    let prototype = text.map(|text| {
        let (parsed, complaints) = parse("test.conf", text);
        assert_eq!(complaints, [], "{text}");
        parsed.functions["f"].clone()
    });
    Arc::new(Tracepoint {
        module: Arc::new(ModuleName {
            name: "m".to_owned(),
            path: "/m".to_owned(),
            is_main: true,
        }),
        symbol: symbol.into(),
        kind: plan::Kind::Entry { entry: Vaddr(0) },
        prototype,
        capture: Default::default(),
        returns: Returns::Once,
        stack: Stack::Unwanted,
    })
}

/// Maps code, control and shared memory over the room that was reserved.
fn map_parts(layout: &Layout) -> Shared<'static> {
    let map = |range: std::ops::Range<u64>, protection, flags, fd| {
        let length = (range.end - range.start) as usize;
        let at = range.start as *mut libc::c_void;
        // SAFETY: lies in the room that was just reserved, which nobody else knows.
        let at = unsafe { libc::mmap(at, length, protection, flags | libc::MAP_FIXED, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        at
    };
    let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    map(
        layout.code(),
        libc::PROT_READ | libc::PROT_EXEC,
        private,
        -1,
    );
    let read_write = libc::PROT_READ | libc::PROT_WRITE;
    let control = map(layout.control(), read_write, private, -1);
    // SAFETY: the page was just mapped.
    let advised = unsafe { libc::madvise(control, 4096, libc::MADV_WIPEONFORK) };
    assert_eq!(advised, 0);
    let shared = layout.shared();
    let length = shared.end - shared.start;
    // SAFETY: a new file; the name ends with a NUL.
    let fd = unsafe { libc::memfd_create(c"rings".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: the descriptor is new and nobody else's.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(length).expect("room");
    let at = map(
        shared,
        read_write,
        libc::MAP_SHARED | libc::MAP_NORESERVE,
        file.as_raw_fd(),
    );
    // SAFETY: mapped for good, as long as this, and aligned to a page; all access is atomic.
    Shared(unsafe { std::slice::from_raw_parts(at as *const AtomicU64, length as usize / 8) })
}
