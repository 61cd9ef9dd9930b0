//! Launches a program and prints the stack of each of its calls of malloc whose size is asked for:
//! `stacks FIRST-SIZE LAST-SIZE PROGRAM [ARGS]`. Shows how engine, unwinder and symbolizer fit
//! together.
#![allow(clippy::print_stdout)]

use ltrace::base::addr::Addr;
use ltrace::base::regs::View;
use ltrace::config::Launch;
use ltrace::engine::hit::{Hit, What};
use ltrace::engine::supervisor::realise::Instrument;
use ltrace::engine::supervisor::state::{Follow, Supervisor};
use ltrace::plan::filter::Filter;
use ltrace::plan::resources::Resources;
use ltrace::plan::{Plan, Stack};
use ltrace::program;
use ltrace::proto::library::Library;
use ltrace::stack::names::abbreviate;
use ltrace::stack::{
    Bytes, Frame, Location, Module, Moment, RawStack, Stacks, Symbolizer, Unwinder,
};
use ltrace::sys::front::{self, Duties, Link, Side, Stops, UserRequests};
use ltrace::sys::{file, interrupt};
use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::Path;
use std::time::Duration;

/// As much of a stack as is copied.
const COPY: usize = 16 << 10;
const FRAMES: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let duties = Duties {
        stops: Stops::AsCommand,
        user_requests: UserRequests::Unknown,
        terminal: None,
    };
    match front::split(duties)? {
        Side::Tracer(link) => trace(&mut args, link),
        Side::Front(front) => {
            front.stand()?;
            Ok(())
        }
    }
}

fn trace(args: &mut dyn Iterator<Item = OsString>, link: Link) -> Result<(), Box<dyn Error>> {
    let mut size = || args.next()?.to_str()?.parse::<u64>().ok();
    let sizes = size().zip(size()).ok_or("which sizes?")?;
    let launch = Launch {
        command: args.next().ok_or("which program?")?,
        args: args.collect(),
        env: Vec::new(),
        user: None,
    };
    let plan = Plan {
        calls: None,
        libraries: Vec::new(),
        entries: vec![Filter::parse("malloc")?],
        stacks: Stack::Unwanted,
        system_calls: None,
        resources: Resources::default(),
        prototypes: Library::shipped(),
        conditions: Vec::new(),
        files: false,
    };
    interrupt::listen(Duration::from_millis(100))?;
    let mut engine = Supervisor::new(plan, Follow::Threads, Instrument::Stop, link);
    let mut printer = Printer {
        sizes: sizes.0..=sizes.1,
        stacks: Stacks::default(),
        unwinder: Unwinder::new(),
        symbolizer: Symbolizer::new(|_, path| open(path).into_iter().collect()),
    };
    let mut on_hit = |hit: &Hit<'_>| {
        printer.take(hit);
        ControlFlow::Continue(())
    };
    engine.launch(&program::command(&launch)?, &mut on_hit)?;
    engine.run(&mut on_hit)?;
    Ok(())
}

fn open(path: &Path) -> Option<Bytes> {
    Some(file::map(&File::open(path).ok()?).ok()?.into())
}

struct Printer {
    sizes: RangeInclusive<u64>,
    stacks: Stacks,
    unwinder: Unwinder,
    symbolizer: Symbolizer,
}

impl Printer {
    fn take(&mut self, hit: &Hit<'_>) {
        match &hit.what {
            What::Loaded {
                module,
                range,
                bias,
                ..
            } => {
                let Some(file) = open(Path::new(&module.path)) else {
                    return;
                };
                let id = self.stacks.add_module(Module {
                    name: module.name.clone(),
                    path: module.path.clone(),
                    build_id: None,
                    root: None,
                    file: file.clone(),
                });
                self.unwinder.add_module(id, range.clone(), *bias, &file);
            }
            What::Unloaded { range, .. } => self.unwinder.remove_module(range.start),
            What::Call(call) if self.sizes.contains(&call.view.regs.rdi) => self.print(&call.view),
            _ => {}
        }
    }

    fn print(&mut self, view: &View<'_>) {
        let mut bytes = vec![0; COPY];
        let got = view.memory.read(Addr(view.regs.rsp), &mut bytes);
        bytes.truncate(got.unwrap_or(0));
        let raw = RawStack::new(view.regs, Moment::Entry, bytes.into());
        let unwound = self.unwinder.unwind(&raw, FRAMES);
        println!("malloc({})", view.regs.rdi);
        for frame in &unwound.frames {
            print(&self.symbolizer.resolve(&self.stacks, frame), frame);
        }
        println!("  {:?}", unwound.end);
    }
}

fn print(locations: &[Location], frame: &Frame) {
    if locations.is_empty() {
        println!("  {}", frame.vaddr);
    }
    for l in locations {
        let path = l.file.as_deref().unwrap_or("?");
        let file = Path::new(path).file_name().unwrap_or_default();
        let inlined = if l.inlined { " (inlined)" } else { "" };
        println!(
            "  {} {}:{}{inlined}",
            abbreviate(&l.function, l.language),
            file.display(),
            l.line.unwrap_or(0)
        );
    }
}
