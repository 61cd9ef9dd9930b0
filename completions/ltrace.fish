complete -c ltrace -s e -d 'Calls of imported functions: `malloc+free`, `-str*`, `%heap`, `@libz.so*`' -r
complete -c ltrace -s l -l library -d 'Calls, from anywhere, of what a library exports: `libz.so*`' -r
complete -c ltrace -s x -d 'Functions wherever they are called from: `main`, `ns::f*`, `@libz.so*`' -r
complete -c ltrace -l list -d 'List what could be traced, and run nothing' -r
complete -c ltrace -l prototype -d 'Tell how a function is typed, and by what; with a command, as its calls would be. Nothing is run' -r
complete -c ltrace -l syscalls -d 'Of system calls, as -S shows them, those that a filter means: `read+write`, `-futex`, `%file`' -r
complete -c ltrace -l min-time -d 'Only calls that take at least this time: `1ms`' -r
complete -c ltrace -l depth -d 'Only calls within fewer than N others' -r
complete -c ltrace -l caller -d 'Only calls that such a function makes: by its name and the module that it is in' -r
complete -c ltrace -l arg -d 'Only calls of which this holds: `read: arg1 == 3 && ret < 0`' -r
complete -c ltrace -s P -l path -d 'Only calls that are given this path, or a descriptor that is open on it; with a `/` at its end, on what is below it; as -y' -r
complete -c ltrace -l trigger -d 'Only from a call of such a function on, which is traced' -r
complete -c ltrace -l stop -d 'Only up to a call of such a function, which is traced' -r
complete -c ltrace -l until -d 'Let go after N calls, or after a time: `5s`' -r
complete -c ltrace -s p -l attach -d 'Attach to running processes: `-p 1,2`; Ctrl-C lets go of them' -r
complete -c ltrace -l instrument -d 'How calls are seen: stop (each call stops its task), record (code in the process records them where that is possible), or auto (record, unless the trace goes to where the program writes)' -r -f -a "auto\t''
record\t''
stop\t''"
complete -c ltrace -s E -l env -d 'Set a variable in the command\'s environment; VAR alone takes it out' -r
complete -c ltrace -s u -l user -d 'Run the command as this user' -r
complete -c ltrace -s o -l output -d 'Write the trace to a file, or to a command: `-o \'|less\'`' -r
complete -c ltrace -l format -d 'The form of the trace: text, tree, json or chrome; of reports of --leaks: text, json or mtrace (a table of live blocks) [default: text]' -r
complete -c ltrace -l json -d 'The trace as JSON as well, an object a line; of --leaks the last report' -r
complete -c ltrace -l chrome -d 'The trace for Perfetto, speedscope or chrome://tracing as well' -r
complete -c ltrace -l html -d 'A page to look at as well: time line, flame graph, table of functions' -r
complete -c ltrace -l record -d 'Record the trace as well, to be shown later by --replay' -r
complete -c ltrace -l replay -d 'Show what was recorded, by any options; nothing is run' -r -F
complete -c ltrace -l serve -d 'Serve what is known by HTTP while the trace goes on: /metrics for Prometheus, /debug/pprof/calls, and with --leaks /debug/pprof/heap. An address of this machine, or a port of it alone' -r
complete -c ltrace -l summary-columns -d 'Columns of the table of -c: share, seconds, self, usecs, calls, errors, min, p50, p99, max, module, function' -r
complete -c ltrace -l sort -d 'Rows of the table by this column [default: seconds]; sites of --leaks by bytes, blocks, rate or age [default: bytes]' -r
complete -c ltrace -l color -d 'Colours: auto (on a terminal), always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c ltrace -s w -l where -d 'Show N of the calls that led to each, below it' -r
complete -c ltrace -s n -l indent -d 'Indent nested calls by N blanks for each level' -r
complete -c ltrace -s a -l align -d 'The column of results [default: 5/8 of the terminal\'s width]' -r
complete -c ltrace -s s -l string-limit -d 'Characters of a string to show [default: 32]' -r
complete -c ltrace -s A -d 'Elements of an array to show [default: 4]' -r
complete -c ltrace -s F -l config -d 'Prototypes: files and directories of them, with `:` between' -r
complete -c ltrace -l for -d 'Watch for so long, then report and let go: 10s, 5m' -r
complete -c ltrace -l every -d 'Report so often [default: 5s with -p, 1s in the view]' -r
complete -c ltrace -l window -d 'Trap calls only so long, then let the program run at full speed; what of it is still there is found out by the C library\'s heap' -r
complete -c ltrace -l sample -d 'See few allocations: one byte in so many is drawn, and the blocks of these are followed; amounts are estimates, and who holds what is not checked: 512KiB' -r
complete -c ltrace -l top -d 'Sites to show [default: 10]' -r
complete -c ltrace -l kinds -d 'Verdicts to show: lost,indirect,possible,reachable [default: lost,possible, and what grows]' -r
complete -c ltrace -l check -d 'When it is checked who still holds what, for which the process is held for some milliseconds: report (each one), final or off [default: report]' -r
complete -c ltrace -l freeze -d 'How memory is kept for the check: copy, fork (a child that the process is made to have: quicker where there is much of it) or auto [default: auto]' -r
complete -c ltrace -l older -d 'Only blocks of at least this age [default: 500ms]' -r
complete -c ltrace -l min-size -d 'Only blocks of at least so many bytes' -r
complete -c ltrace -l max-size -d 'Only blocks of no more than so many bytes' -r
complete -c ltrace -l site -d 'Only stacks with a function or FILE:LINE that fits' -r
complete -c ltrace -l thread -d 'Only what this thread asked for, by its id or name' -r
complete -c ltrace -l skip-first -d 'Not what was allocated in the first TIME' -r
complete -c ltrace -l suppress -d 'Not what a file names, in LeakSanitizer\'s or memcheck\'s language' -r -F
complete -c ltrace -l per -d 'How much stays for each call of this function' -r
complete -c ltrace -l context -d 'Which call of these its thread made last before an allocation: send,write' -r
complete -c ltrace -l frames -d 'Frames of a stack: user, all, or the first N [default: user]' -r
complete -c ltrace -l pairs -d 'Other things than the heap, too: new,fd,file,dir,sqlite,dl,thread,mmap,socket' -r
complete -c ltrace -l pair -d 'Things of your own, too: \'my_open(_, out h) -> my_close(h) if ret==0\'' -r
complete -c ltrace -l alloc-sym -d 'The allocator\'s functions, where they have other names or, in a stripped program, none: malloc=my_malloc,free=0x401136' -r
complete -c ltrace -l pprof -d 'A profile for pprof' -r -F
complete -c ltrace -l folded -d 'Folded stacks, for flame graph tools' -r -F
complete -c ltrace -l save -d 'The last report, for --diff; and on each SIGUSR2 to ltrace one as FILE.1, FILE.2' -r -F
complete -c ltrace -l diff -d 'Compare two that were saved: what grew, by site' -r -F
complete -c ltrace -l fail-on -d 'Exit with 99 when this is found: lost, indirect, possible or reachable, maybe with a limit: `lost>1000`' -r
complete -c ltrace -s D -l debug -d 'Tell what ltrace does, for a mistake in it: an octal mask or names; -Dh lists them' -r
complete -c ltrace -s L -d 'Nothing by default: only what -x names'
complete -c ltrace -l list-filters -d 'List the named sets of functions, for filters: `%heap`'
complete -c ltrace -s S -d 'System calls as well'
complete -c ltrace -s z -l successful-only -d 'Only calls that succeed'
complete -c ltrace -s Z -l failed-only -d 'Only calls that fail: that return an error or -1'
complete -c ltrace -l detach -d 'Take out of the processes of -p what an ltrace that was killed has left in them'
complete -c ltrace -s f -l follow-forks -d 'Follow child processes; -ff -o FILE: each into a file of its own, FILE.PID'
complete -c ltrace -l tree -d 'Calls as an indented graph with times'
complete -c ltrace -l append -d 'Do not empty the file of -o first'
complete -c ltrace -s c -l summary-only -d 'A table of calls and times at the end; -cc: behind the trace'
complete -c ltrace -l summary -d 'The same as -cc'
complete -c ltrace -s C -l demangle -d 'Names of C++ and Rust as in the source; -CC with their parameters'
complete -c ltrace -s b -l no-signals -d 'Do not show signals'
complete -c ltrace -s q -l quiet -d 'Do not show how processes end'
complete -c ltrace -s t -l timestamps -d 'Begin lines with the time of day; -tt: with microseconds; -ttt: since 1970'
complete -c ltrace -s r -l relative-timestamps -d 'Begin lines with the time since the line before'
complete -c ltrace -s T -l call-times -d 'Show how long each call took'
complete -c ltrace -s i -l instruction-pointer -d 'Show where each call returns to'
complete -c ltrace -s k -l stack-trace -d 'The same, with all of them'
complete -c ltrace -l arg-names -d 'Show what the source calls arguments: NAME=VALUE'
complete -c ltrace -s y -l decode-fds -d 'Show what descriptors are open on: `3</etc/passwd>`'
complete -c ltrace -l leaks -d 'Show what is allocated or opened and never given back, by call stack'
complete -c ltrace -l contents -d 'The first bytes of three blocks of each site'
complete -c ltrace -l no-heap -d 'Not the heap'
complete -c ltrace -l gen-suppress -d 'Suppressions for what is told, after the report'
complete -c ltrace -s h -l help -d 'Show this text'
complete -c ltrace -l help-all -d 'Show all options'
complete -c ltrace -s V -l version -d 'Show the version'
