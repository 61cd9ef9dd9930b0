//! Options of strace, uftrace and other tracers that we lack, and what does their work here.

/// What does the work of an option, by its name without dashes.
pub(super) fn answer(option: &str) -> Option<&'static str> {
    let known = OPTIONS.iter().find(|(names, _)| names.contains(&option));
    known.map(|(_, answer)| *answer)
}

const NOT_NEEDED: &str =
    "it is not needed here: programs are traced as they are, without preparation";
const ONLY_LOOKS: &str = "ltrace looks only, and changes nothing that a program does";

const OPTIONS: &[(&[&str], &str)] = &[
    // What is traced.
    (
        &["trace", "filter", "expr", "events", "match"],
        "the filter is -e FILTER, with patterns as `str*' or `/str.*/'",
    ),
    (
        &["hide", "H", "notrace", "N"],
        "a `-' before a name leaves it out: -e '-NAME'",
    ),
    (
        &[
            "entry",
            "symbol",
            "function",
            "func",
            "patch",
            "unpatch",
            "U",
            "size-filter",
            "loc-filter",
            "no-libcall",
        ],
        "functions of the program's own are -x FILTER, and with -L nothing else",
    ),
    (
        &["nest-libcall"],
        "-e '*' shows what libraries call as well, -l PATTERN calls of a library",
    ),
    (
        &["symbols", "list-event"],
        "--list shows what could be traced",
    ),
    (
        &[
            "kernel",
            "kernel-full",
            "kernel-only",
            "kernel-depth",
            "kernel-skip-out",
            "kernel-buffer",
            "K",
            "syscall",
            "syscall-number",
            "seccomp-bpf",
            "event",
            "Event",
            "event-full",
            "no-event",
            "no-sched",
            "no-sched-preempt",
        ],
        "system calls are shown by -S, some of them by --syscalls FILTER",
    ),
    (&["g"], "since ltrace 0.7 it is -L"),
    // Which calls are shown.
    (&["trace-path"], "-P PATH shows calls that touch a path"),
    (
        &["status"],
        "-z shows calls that succeed, -Z those that fail",
    ),
    (&["time-filter"], "--min-time TIME leaves out short calls"),
    (
        &["time-range", "disable", "detach-on"],
        "--trigger FILTER and --stop FILTER say between which calls, --until N|TIME when to let go",
    ),
    (
        &["caller-filter"],
        "--caller FILTER shows what a function calls, -w N who calls it",
    ),
    (&["signal", "signals"], "-b leaves out signals"),
    (
        &["task", "tid"],
        "--json FILE has process and thread of each call, -ff -o FILE a file for each process",
    ),
    // Processes.
    (&["fork", "forks"], "-f follows child processes"),
    (
        &["output-separately"],
        "-ff -o FILE writes a file for each process",
    ),
    (&["agent"], "-p PID attaches to a running process"),
    (
        &["daemonize", "interruptible", "I"],
        "with -o FILE it may run in the background; Ctrl-C lets go of the processes of -p",
    ),
    (
        &["decode-pids", "pidns-translation", "Y"],
        "ids of processes are those of ltrace's own namespace",
    ),
    (&["fault", "inject", "run-cmd", "rt-prio"], ONLY_LOOKS),
    (
        &["no-randomize-addr"],
        "setarch -R ltrace COMMAND keeps addresses the same",
    ),
    // Values.
    (
        &["v", "verbose", "no-abbrev", "abbrev"],
        "-s N and -A N show more of strings and arrays; -V shows the version",
    ),
    (
        &["read", "write"],
        "-s N shows N bytes of what is read and written: -e read+write -s 4096",
    ),
    (
        &["raw", "const-print-style", "X", "strings-in-hex"],
        "--json FILE has the words that were passed, and bytes in hexadecimal",
    ),
    (
        &["argument", "auto-args", "retval", "R"],
        "arguments and results are shown by themselves; -F FILE tells more of their types",
    ),
    (&["no-args"], "-c shows no arguments"),
    (&["kvm"], "-S shows what ioctl asks of it"),
    (
        &["with-syms"],
        "debug information is found beside the program, or by its build id below /usr/lib/debug",
    ),
    (
        &["watch", "W"],
        "--trigger FILTER, --stop FILTER and --arg CONDITION watch calls; gdb watches memory",
    ),
    // Lines and tables.
    (
        &["backtrace", "srcline"],
        "-w N shows N calls that led to each, with source lines, -k all; -i shows where each call returns to",
    ),
    (&["elapsed", "duration"], "how long a call took is -T"),
    (
        &[
            "output-fields",
            "column-view",
            "column-offset",
            "task-newline",
            "flat",
            "no-merge",
            "no-comment",
        ],
        "--tree shows calls as a graph; columns of lines are -t, -r, -T and -i",
    ),
    (
        &["libname"],
        "-e and -l show who calls, --summary-columns=module,calls,function whose functions are called",
    ),
    (
        &["report"],
        "-c makes a table, --replay FILE -c one of what was recorded",
    ),
    (
        &[
            "avg-self",
            "avg-total",
            "U",
            "O",
            "summary-syscall-overhead",
            "summary-wall-clock",
        ],
        "times of -c are those on the clock; --summary-columns=self,usecs,min,p99,max,calls,function shows more of them",
    ),
    (
        &["sort-column", "diff-policy"],
        "--sort COLUMN sorts the table",
    ),
    // Outputs.
    (&["file", "logfile"], "-o FILE is the file"),
    (&["no-pager"], "there is none; -o '|less' is one"),
    (
        &["data"],
        "--record FILE keeps a trace, --replay FILE shows it",
    ),
    (
        &["flame-graph", "graphviz", "sample-time"],
        "--html FILE has a flame graph and a time line",
    ),
    (
        &["host", "port"],
        "--serve ADDRESS:PORT serves figures and profiles by HTTP",
    ),
    (
        &["script", "S"],
        "--json FILE is for scripts, also as a pipe: --json '|jq .function'",
    ),
    // The tracer itself.
    (&["d", "debug-domain"], "-D MASK tells what ltrace does"),
    (
        &["usage", "tips"],
        "--help has the usual options, and examples",
    ),
    (
        &["opt-file"],
        "options in a file are those of the shell: ltrace $(cat FILE) COMMAND",
    ),
    (
        &[
            "buffer",
            "b",
            "clock",
            "estimate-return",
            "force",
            "keep-pid",
            "libmcount-path",
            "libmcount-single",
            "max-stack",
            "no-pltbind",
            "nop",
            "num-thread",
        ],
        NOT_NEEDED,
    ),
];
