//! Launches a program and prints the stack of each of its calls of malloc whose size is asked for:
//! `stacks FIRST-SIZE LAST-SIZE PROGRAM [ARGS]`. Shows how engine, unwinder and symbolizer fit
//! together.
#![allow(clippy::print_stdout)]

use ltrace::base::Pid;
use ltrace::base::addr::{Addr, Bias, Vaddr};
use ltrace::config::Launch;
use ltrace::elf::Image;
use ltrace::engine::ptrace::{Follow, PtraceEngine};
use ltrace::engine::{Hit, What};
use ltrace::plan::Plan;
use ltrace::plan::filter::Filter;
use ltrace::proto::library::Library;
use ltrace::stack::names::abbreviate;
use ltrace::stack::{
    Bytes, Frame, Location, Module, Moment, RawStack, Stacks, Symbolizer, Unwinder,
};
use ltrace::sys::{file, interrupt, proc};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// As much of a stack as is copied.
const COPY: usize = 16 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let mut size = || args.next()?.to_str()?.parse::<u64>().ok();
    let sizes = size().zip(size()).ok_or("which sizes?")?;
    let launch = Launch {
        command: args.next().ok_or("which program?")?,
        args: args.collect(),
        user: None,
    };
    let plan = Plan {
        calls: None,
        libraries: Vec::new(),
        entries: vec![Filter::parse("malloc@libc.so.6")?],
        prototypes: Library::shipped(),
    };
    interrupt::listen(Duration::from_millis(100))?;
    let mut engine = PtraceEngine::new(plan, Follow::Threads);
    let mut stacks = Stacks::default();
    let mut symbolizer = Symbolizer::new(open);
    let mut on_hit = |hit: &Hit<'_>| {
        if let What::Call { view, .. } = hit.what
            && (sizes.0..=sizes.1).contains(&view.regs.rdi)
        {
            let mut bytes = vec![0; COPY];
            let got = view.memory.read(Addr(view.regs.rsp), &mut bytes);
            bytes.truncate(got.unwrap_or(0));
            let raw = RawStack::new(view.regs, Moment::Entry, bytes.into());
            let unwound = unwinder(hit.pid, &mut stacks).unwind(&raw, 256);
            println!("malloc({})", view.regs.rdi);
            for frame in &unwound.frames {
                print(&symbolizer.resolve(&stacks, frame), frame);
            }
            println!("  {:?}", unwound.end);
        }
        ControlFlow::Continue(())
    };
    engine.launch(&ltrace::program::command(&launch)?, &mut on_hit)?;
    engine.run(&mut on_hit)?;
    Ok(())
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

fn open(path: &Path) -> Option<Bytes> {
    Some(file::map(&File::open(path).ok()?).ok()?.into())
}

/// The unwind information of all that a process has mapped.
fn unwinder(pid: Pid, stacks: &mut Stacks) -> Unwinder {
    let mut unwinder = Unwinder::new();
    let mut files = BTreeMap::new();
    for mapping in proc::maps(pid).unwrap_or_default() {
        if mapping.path.is_absolute() {
            let (first, range) = files
                .entry(mapping.path.clone())
                .or_insert((mapping.clone(), mapping.range.clone()));
            range.end = mapping.range.end.max(first.range.end);
        }
    }
    for (path, (first, range)) in files {
        let Some(bytes) = proc::open_mapped(pid, &first)
            .ok()
            .and_then(|file| Some(Bytes::from(file::map(&file).ok()?)))
        else {
            continue;
        };
        let Ok(image) = Image::parse(&bytes) else {
            continue;
        };
        let start = image.segments.first().map_or(Vaddr(0), |s| s.vaddr);
        let bias = Bias(range.start.wrapping_sub(start.0));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let id = stacks.add_module(Module {
            name: name.into_owned(),
            path: path.to_string_lossy().into_owned(),
            build_id: image.build_id,
            file: bytes.clone(),
        });
        unwinder.add_module(id, range, bias, &bytes);
    }
    unwinder
}
