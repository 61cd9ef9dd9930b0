//! The real binary on real programs: fixtures in `fixtures/`, built by `support`, and what is
//! installed. One module for each thing a user can do.
#![allow(clippy::unwrap_used)]
#![allow(missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod attach;
mod bad_input;
mod children;
mod control_flow;
mod damaged_debug_info;
mod deaf_files;
mod documents;
mod entries;
mod exports;
mod faults;
mod filters;
mod fixtures;
mod following;
mod go;
mod hostile_files;
mod hostile_names;
mod html;
mod launch;
mod leak_allocators;
mod leak_ends;
mod leak_heap;
mod leak_input;
mod leak_jit;
mod leak_json;
mod leak_memcheck;
mod leak_options;
mod leak_pairs;
mod leak_programs;
mod leak_python;
mod leak_servers;
mod leak_stacks;
mod leak_verdicts;
mod leaks;
mod leaving;
mod leftovers;
mod libraries;
mod linker;
mod m32;
mod offspring;
mod options;
mod per_process;
mod placement;
mod prefixes;
mod programs;
mod prototypes;
mod recording;
mod servers;
mod shapes;
mod shared_memory;
mod signals;
mod slips;
mod small_stacks;
mod source_lines;
mod stacks;
mod surroundings;
mod survival;
mod threads;
mod unwinding;
mod values;
mod view;
