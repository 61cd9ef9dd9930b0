//! Live blocks in the table of mtrace(1), one a line.

use crate::leak::report::model::{Line, Origin, Report};
use std::fmt::Write as _;
use std::sync::Arc;

/// The table, after what was freed wrongly.
pub(crate) fn mtrace(report: &Report) -> String {
    let mut text = String::new();
    for misuse in &report.misuses {
        let _ = writeln!(
            text,
            "- {:#018x} {} {}",
            misuse.value,
            misuse.what,
            caller(&misuse.stack)
        );
    }
    if report.blocks.is_empty() {
        text.push_str("No memory leaks.\n");
        return text;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str("Memory not freed:\n-----------------\n           Address     Size     Caller\n");
    for block in &report.blocks {
        let _ = writeln!(
            text,
            "{:#018x} {:#8x}  {}",
            block.address,
            block.size,
            caller(&block.stack)
        );
    }
    text
}

fn caller(stack: &[Arc<Line>]) -> String {
    let user = stack
        .iter()
        .find(|line| line.origin == Origin::User)
        .or(stack.last());
    match user.map(|line| (line, &line.file, line.line)) {
        Some((_, Some(file), Some(number))) => format!("at {file}:{number}"),
        Some((line, ..)) if line.is_unnamed() => format!("at {}:[{:#x}]", line.module, line.vaddr),
        Some((line, ..)) => match line.offset {
            Some(offset) => format!("at {}:({}+{offset:#x})", line.module, line.function),
            None => format!("at {}:({})[{:#x}]", line.module, line.function, line.vaddr),
        },
        None => "at an unknown place".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Block;
    use super::*;

    #[test]
    fn the_table() {
        assert_eq!(mtrace(&Report::default()), "No memory leaks.\n");
        let line = |function: &str, origin, number: Option<u32>| Line {
            function: function.to_owned(),
            file: number.map(|_| "/src/a.c".to_owned()),
            line: number,
            module: "a".to_owned(),
            vaddr: 0x1155,
            offset: number.is_none().then_some(0x16),
            origin,
            ..Line::default()
        };
        let malloc = Arc::new(line("malloc", Origin::Allocator, None));
        let block = |address, size, rest| Block {
            address,
            size,
            stack: vec![malloc.clone(), Arc::new(rest)],
        };
        let report = Report {
            blocks: vec![
                block(0x5555_0000_12a0, 148, line("make", Origin::User, Some(5))),
                block(0x5555_0000_1340, 1 << 20, line("f", Origin::User, None)),
                block(0x5555_0010_1350, 8, line("0x1155", Origin::User, None)),
            ],
            ..Report::default()
        };
        assert_eq!(
            mtrace(&report),
            "\
Memory not freed:
-----------------
           Address     Size     Caller
0x00005555000012a0     0x94  at /src/a.c:5
0x0000555500001340 0x100000  at a:(f+0x16)
0x0000555500101350      0x8  at a:[0x1155]
"
        );
    }
}
