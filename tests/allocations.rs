//! The way of a call from its hit to its line allocates nothing, once it has been gone.

#[path = "support/pipeline.rs"]
mod pipeline;

use std::io;

#[test]
fn a_call_needs_no_heap() {
    for workload in pipeline::workloads() {
        let mut pipe = workload.pipe(Box::new(io::sink()));
        pipe.run(100);
        let counted = allocation_counter::measure(|| pipe.run(1000));
        assert_eq!(counted.count_total, 0, "{}", workload.name);
    }
}
