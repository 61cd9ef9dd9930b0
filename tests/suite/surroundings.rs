//! Other users, roots and namespaces; programs whose files are gone, or that nobody may look into. It
//! works, or one line says why not, and the program goes on.

use crate::support::fixture::fixture;
use crate::support::outsider::Outsider;
use crate::support::program::{Program, Running};
use crate::support::server::{assert_still_works, assert_unharmed, start_server};
use crate::support::skip::{command, is_root, skip, unshare};
use crate::support::text::{assert_text_untouched, wait_until_guarded, wait_until_planted};
use crate::support::trace::calls;
use crate::support::{ltrace, scratch};
use ltrace::elf::Sections;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Attached to `vanish`, the tracer sees what its library is called with, and what it calls itself.
#[track_caller]
fn assert_sees_the_library(target: &mut Running, tracer: Program) {
    let pid = target.pid().to_string();
    let options = ["-e", "malloc@libvanish*", "-x", "vanish_work", "-p", &pid];
    let tracer = tracer.args(options).start();
    wait_until_guarded(target.pid());
    target.say(b"a");
    target.wait_for_stdout("did 197\n");
    tracer.wait_for_stderr("libvanish.so->malloc(197)");
    tracer.wait_for_stderr("vanish_work@libvanish.so(197");
    tracer.signal(Signal::SIGINT);
    let run = tracer.finish().exits(0);
    assert!(!run.stderr.contains("ltrace: "), "{}", run.told());
    target.say(b"b");
    target.wait_for_stdout("did 198\n");
}

/// A copy of `vanish` that is ready, in a directory of its own.
fn vanishing(dir: &Path, start: impl Fn(&Path) -> Program) -> Option<Running> {
    let program = fixture("vanish")?;
    for name in ["vanish", "libvanish.so"] {
        fs::copy(program.with_file_name(name), dir.join(name)).unwrap();
    }
    let target = start(&dir.join("vanish")).start();
    target.wait_for_stdout("ready\n");
    Some(target)
}

/// Something else is where the program and its library were.
fn replace(dir: &Path) {
    for name in ["vanish", "libvanish.so"] {
        fs::remove_file(dir.join(name)).unwrap();
        fs::copy("/bin/true", dir.join(name)).unwrap();
    }
}

#[test]
fn deleted_and_replaced_files() {
    if !is_root() {
        return;
    }
    let dir = scratch("vanish");
    let Some(mut target) = vanishing(&dir, |path| Program::new(path)) else {
        return;
    };
    replace(&dir);
    assert_sees_the_library(&mut target, ltrace([""; 0]));
    fs::remove_dir_all(&dir).unwrap();
    assert_sees_the_library(&mut target, ltrace([""; 0]));
    target.finish().exits(4);
}

/// Without root's ways to a file that is gone, what is in memory must do.
#[test]
fn deleted_and_replaced_files_of_nobody() {
    let Some(nobody) = Outsider::new("vanish") else {
        return;
    };
    let dir = nobody.dir().join("dir");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let Some(mut target) = vanishing(&dir, |path| nobody.program(path)) else {
        return;
    };
    replace(&dir);
    assert_sees_the_library(&mut target, nobody.ltrace());
    fs::remove_dir_all(&dir).unwrap();
    assert_sees_the_library(&mut target, nobody.ltrace());
    target.finish().exits(4);
}

/// A directory with a program and all that it needs to run.
fn jail(name: &str, program: &Path) -> std::path::PathBuf {
    let dir = scratch(name);
    let listing = Program::new("ldd").arg(program).finish().exits(0).stdout;
    let words = listing
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    for library in words {
        let copy = dir.join(&library[1..]);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(library, copy).unwrap();
    }
    fs::copy(program, dir.join("program")).unwrap();
    dir
}

#[test]
fn another_root() {
    let (Some(program), Some(chroot)) = (fixture("idle"), command("chroot")) else {
        return;
    };
    if !is_root() {
        return;
    }
    let dir = jail("jail", &program);
    let options = ["-f", "-b", "-e", "malloc@MAIN", "-x", "malloc@libc.so*"];
    let run = ltrace(options)
        .arg(&chroot)
        .arg(&dir)
        .arg("/program")
        .input("a")
        .finish()
        .exits(1);
    let traced = calls(&run.stderr);
    assert!(traced.contains(&"program->malloc"), "{}", run.told());
    assert!(
        run.stderr.contains("malloc@libc.so.6(197)"),
        "{}",
        run.told()
    );

    let mut target = Program::new(chroot).arg(&dir).arg("/program").start();
    target.wait_for_stdout("ready\n");
    let tracer = ltrace(["-x", "malloc@libc.so*", "-p", &target.pid().to_string()]).start();
    wait_until_planted(target.pid());
    target.say(b"b");
    tracer.wait_for_stderr("malloc@libc.so.6(198)");
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    target.finish().exits(1);
}

/// What a program in another root names is looked for there: a debug file that we do not have.
#[test]
fn debug_files_in_another_root() {
    let (Some(program), Some(chroot)) = (fixture("leak_window"), command("chroot")) else {
        return;
    };
    let Some(objcopy) = command("objcopy").filter(|_| is_root()) else {
        return;
    };
    let dir = jail("debug-jail", &program);
    let objcopy = |args: &[&str]| {
        let copied = Program::new(&objcopy).args(args).dir(&dir).finish();
        copied.exits(0);
    };
    objcopy(&["--only-keep-debug", "program", "program.debug"]);
    objcopy(&[
        "--strip-all",
        "--add-gnu-debuglink=program.debug",
        "program",
    ]);
    // Where it is looked for leads there only below that root.
    fs::create_dir(dir.join(".debug")).unwrap();
    fs::rename(dir.join("program.debug"), dir.join("lines")).unwrap();
    symlink("/lines", dir.join(".debug/program.debug")).unwrap();
    let run = ltrace(["--leaks", "-f"])
        .arg(&chroot)
        .arg(&dir)
        .arg("/program")
        .input("a\n")
        .finish()
        .exits(0);
    assert!(run.stderr.contains(" leak_window.c:"), "{}", run.told());

    // The same by the build id, and for a process that is attached to.
    fs::remove_dir_all(dir.join(".debug")).unwrap();
    let file = fs::read(dir.join("program")).unwrap();
    let image = Sections::read(&file).unwrap();
    let Some(id) = image.build_id() else { return };
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let place = dir.join("usr/lib/debug/.build-id").join(&id[..2]);
    fs::create_dir_all(&place).unwrap();
    fs::rename(dir.join("lines"), place.join(format!("{}.debug", &id[2..]))).unwrap();
    let mut target = Program::new(chroot).arg(&dir).arg("/program").start();
    target.wait_for_stdout("ready\n");
    let tracer = ltrace(["--leaks", "--check", "off", "--older", "0"])
        .args(["-p", &target.pid().to_string()])
        .start();
    wait_until_guarded(target.pid());
    target.say(b"a\n");
    target.wait_for_stdout("done\n");
    target.finish().exits(0);
    let run = tracer.finish();
    assert!(run.stderr.contains(" leak_window.c:"), "{}", run.told());
}

#[test]
fn other_pid_and_mount_namespaces() {
    let (Some(program), Some(unshare)) = (fixture("fork"), unshare()) else {
        return;
    };
    let run = ltrace(["-f", "-e", "malloc"])
        .arg(&unshare)
        .args(["--pid", "--fork", "--mount", "--mount-proc"])
        .arg(&program)
        .finish()
        .exits(0);
    // A hundred calls of the child's child; it has another id where it lives.
    let count = run.stderr.matches(" fork->malloc(").count();
    assert_eq!(count, 101, "{}", run.told());
    // And the tracer may live there as well.
    let run = Program::new(&unshare)
        .args([
            "--pid",
            "--fork",
            "--mount",
            "--mount-proc",
            env!("CARGO_BIN_EXE_ltrace"),
        ])
        .arg(&program)
        .finish()
        .exits(0);
    assert_eq!(run.count("malloc(10)"), 1, "{}", run.told());
}

/// Nothing can be written to /proc/PID/mem there.
#[test]
fn a_proc_that_can_only_be_read() {
    let (Some(unshare), Some(program), Some(server)) =
        (unshare(), fixture("threads"), fixture("server"))
    else {
        return;
    };
    let script =
        "mount --bind /proc /proc && mount -o remount,bind,ro /proc || exit 77; exec \"$@\"";
    let ltrace = |options: &[&str]| {
        Program::new(&unshare)
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(env!("CARGO_BIN_EXE_ltrace"))
            .args(options)
    };
    let run = ltrace(&[]).arg(&program).args(["4", "50"]).finish();
    if run.code() == 77 {
        return skip("/proc cannot be mounted here");
    }
    let run = run.exits(0);
    assert!(!run.stderr.contains("ltrace: "), "{}", run.told());
    let begun = calls(&run.stderr)
        .iter()
        .filter(|f| **f == "malloc")
        .count();
    assert_eq!(begun, 4 * 50, "{}", run.told());
    let mut target = start_server(&server, 3);
    for _ in 0..3 {
        let tracer = ltrace(&["-p", &target.pid().to_string()]).start();
        tracer.wait_for_stderr("malloc(1002");
        tracer.signal(Signal::SIGINT);
        let run = tracer.finish().exits(0);
        assert!(!run.stderr.contains("ltrace: "), "{}", run.told());
        assert_still_works(&mut target);
    }
    assert_unharmed(target);
}

#[test]
fn a_proc_of_another_namespace() {
    let Some(unshare) = unshare() else { return };
    let run = Program::new(unshare)
        .args(["--pid", "--fork", env!("CARGO_BIN_EXE_ltrace"), "true"])
        .finish()
        .exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(
        run.stderr
            .starts_with("ltrace: /proc belongs to another pid namespace"),
        "{}",
        run.told()
    );
}

#[test]
fn as_another_user() {
    let (Some(nobody), Some(program)) = (Outsider::new("user"), fixture("idle")) else {
        return;
    };
    let program = nobody.adopt(&program);
    let run = ltrace(["-u", "nobody", "-x", "malloc@libc.so*"])
        .arg(&program)
        .input("a")
        .dir("/")
        .finish()
        .exits(1);
    assert!(
        run.stderr.contains("malloc@libc.so.6(197)"),
        "{}",
        run.told()
    );
    let id = ltrace(["-o", "/dev/null", "-u", "nobody", "id", "-u"])
        .dir("/")
        .finish()
        .exits(0);
    assert_eq!(id.stdout, "65534\n");
    // All the user's groups, and none of ours.
    let groups = |program: Program| program.dir("/").finish().exits(0).stdout;
    let users = groups(Program::new("id").args(["-G", "nobody"]));
    let traced = ltrace(["-o", "/dev/null", "-u", "nobody", "id", "-G"]);
    assert_eq!(groups(traced), users);
    let run = ltrace(["-u", "no-such-user-here", "true"])
        .finish()
        .exits(1);
    assert_eq!(run.stderr, "ltrace: cannot find user `no-such-user-here'\n");
    // Who has no right to it is told so.
    let run = nobody
        .ltrace()
        .args(["-u", "root", "true"])
        .finish()
        .exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(
        run.stderr.contains("cannot become user root"),
        "{}",
        run.told()
    );
}

#[test]
fn set_user_id_programs() {
    let (Some(nobody), Some(program)) = (Outsider::new("setuid"), fixture("exit_status")) else {
        return;
    };
    let program = nobody.copy(&program, 0o4755);
    let line = format!(
        "ltrace: {} is a set-user-ID program; traced, it runs without the rights of its file (run ltrace as root \
         to keep them)",
        program.display()
    );
    let exec = ["sh", "-c", "exec \"$0\" exit 9"];
    for command in [
        &[program.to_str().unwrap(), "exit", "9"][..],
        &[&exec[..], &[program.to_str().unwrap()]].concat(),
    ] {
        let run = nobody
            .ltrace()
            .args(["-e", "setrlimit"])
            .args(command)
            .finish()
            .exits(9);
        assert_eq!(
            run.stderr.lines().filter(|l| **l == *line).count(),
            1,
            "{}",
            run.told()
        );
        assert!(
            run.stderr.contains("exit_status->setrlimit("),
            "{}",
            run.told()
        );
        // Root keeps them, and is told nothing.
        let run = ltrace(["-u", "nobody", "-e", "setrlimit"])
            .args(command)
            .dir("/")
            .finish()
            .exits(9);
        assert!(!run.stderr.contains("ltrace: "), "{}", run.told());
    }
}

#[test]
fn programs_that_may_not_be_read() {
    let (Some(nobody), Some(program)) = (Outsider::new("unreadable"), fixture("exit_status"))
    else {
        return;
    };
    for mode in [0o711, 0o4711] {
        let program = nobody.copy(&program, mode);
        let run = nobody
            .ltrace()
            .arg(&program)
            .args(["exit", "9"])
            .finish()
            .exits(9);
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{}", run.told());
        assert!(
            lines[0].contains("permission denied; its calls are not shown"),
            "{}",
            run.told()
        );
        assert_eq!(lines[1], "+++ exited (status 9) +++");
        let script = format!("{} exit 8; echo $?; exit 3", program.display());
        let run = nobody
            .ltrace()
            .args(["-f", "-e", "waitpid", "sh", "-c", &script])
            .finish()
            .exits(3);
        assert_eq!(run.stdout, "8\n", "{}", run.told());
    }
}

#[test]
fn programs_that_nobody_may_look_into() {
    let (Some(nobody), Some(program)) = (Outsider::new("closed"), fixture("not_dumpable")) else {
        return;
    };
    let program = nobody.copy(&program, 0o755);
    // Traced before it closed itself, it goes on being.
    for options in [&["-b"][..], &["-b", "-f"]] {
        let run = nobody
            .ltrace()
            .args(options)
            .arg(&program)
            .input("ab")
            .finish()
            .exits(2);
        for size in [50, 197, 198] {
            let count = run.stderr.matches(&format!("malloc({size})")).count();
            assert_eq!(count, 1, "malloc({size})\n{}", run.told());
        }
        let told = run.count("ltrace: the memory of process ");
        assert_eq!(told, options.len() - 1, "{}", run.told());
    }
    // Afterwards only root can begin to.
    let mut target = nobody.program(&program).start();
    target.wait_for_stdout("ready\n");
    let pid = target.pid().to_string();
    let run = nobody.ltrace().args(["-p", &pid]).finish().exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(run.stderr.contains("PR_SET_DUMPABLE"), "{}", run.told());
    let tracer = ltrace(["-p", &pid]).start();
    wait_until_planted(target.pid());
    target.say(b"c");
    tracer.wait_for_stderr("malloc(199)");
    tracer.signal(Signal::SIGINT);
    tracer.finish().exits(0);
    assert_text_untouched(target.pid());
    target.finish().exits(1);
}

#[test]
fn sandboxed_programs_of_nobody() {
    let (Some(nobody), Some(program)) = (Outsider::new("sandbox"), fixture("seccomp")) else {
        return;
    };
    let program = nobody.copy(&program, 0o755);
    let mut target = nobody.program(&program).start();
    target.wait_for_stdout("ready\n");
    for option in [&["-p"][..], &["-x", "malloc", "-p"]] {
        let run = nobody
            .ltrace()
            .args(option)
            .arg(target.pid().to_string())
            .finish()
            .exits(1);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
        assert!(
            run.stderr.contains("it is in a seccomp sandbox"),
            "{}",
            run.told()
        );
        assert_text_untouched(target.pid());
    }
    target.say(b"a");
    target.wait_for_stdout("malloc(197)");
    target.finish().exits(1);
    // Traced before it went into its sandbox, it goes on being, and lives on when we leave.
    let mut tracer = nobody.ltrace().arg(&program).start();
    tracer.wait_for_stdout("ready\n");
    tracer.say(b"a");
    tracer.wait_for_stderr("malloc(197)");
    tracer.signal(Signal::SIGTERM);
    tracer.wait();
    let so_far = tracer.stdout.len();
    tracer.say(b"b");
    tracer.wait_for_stdout_beyond(so_far, "malloc(198)");
    drop(tracer);
}

/// Someone else's processes.
#[test]
fn processes_of_another_user() {
    let (Some(nobody), Some(program)) = (Outsider::new("other"), fixture("idle")) else {
        return;
    };
    let target = Program::new(program).start();
    target.wait_for_stdout("ready\n");
    let run = nobody
        .ltrace()
        .args(["-p", &target.pid().to_string()])
        .finish()
        .exits(1);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.told());
    assert!(
        run.stderr.contains("it belongs to another user"),
        "{}",
        run.told()
    );
    kill(Pid::from_raw(target.pid()), None).unwrap();
    target.finish().exits(0);
}

/// CAP_SYS_PTRACE is no right to files: not to those of /proc that belong to the process's user, nor to a program
/// that only he may read.
#[test]
fn with_the_right_to_trace_and_no_other() {
    let (Some(nobody), Some(program)) = (Outsider::new("right"), fixture("idle")) else {
        return;
    };
    for mode in [0o755, 0o700] {
        let program = nobody.copy(&program, mode);
        let linker = Path::new("/lib64/ld-linux-x86-64.so.2");
        for words in [&[&*program][..], &[linker, &program]] {
            let target = Program::new(words[0]).args(&words[1..]).start();
            target.wait_for_stdout("ready\n");
            assert_seen_by_right_alone(&nobody, target);
        }
    }
}

#[track_caller]
fn assert_seen_by_right_alone(nobody: &Outsider, mut target: Running) {
    let pid = target.pid().to_string();
    let options = ["-x", "malloc@libc.so*", "-p", &pid];
    let tracer = nobody.ltrace_with_right_to_trace().args(options).start();
    wait_until_guarded(target.pid());
    target.say(b"a");
    tracer.wait_for_stderr("malloc@libc.so.6(197)");
    tracer.wait_for_stderr("free(");
    tracer.signal(Signal::SIGINT);
    let run = tracer.finish().exits(0);
    assert_eq!(run.count("malloc(197"), 1, "{}", run.told());
    assert!(!run.stderr.contains("ltrace: "), "{}", run.told());
    assert_text_untouched(target.pid());
    target.finish().exits(1);
}

/// It is no right to send signals either, by which the copy of a process is ended that a check is made of.
#[test]
fn leaks_with_the_right_to_trace_and_no_other() {
    let (Some(nobody), Some(program)) = (Outsider::new("right-leaks"), fixture("idle")) else {
        return;
    };
    let target = Program::new(&program).start();
    target.wait_for_stdout("ready\n");
    let pid = target.pid().to_string();
    let options = ["--leaks", "--freeze", "fork", "--for", "0.2s"];
    let tracer = nobody.ltrace_with_right_to_trace().args(options);
    let run = tracer
        .args(["--format", "json", "-p", &pid])
        .finish()
        .exits(0);
    let why = r#""not_forked":"kill: Operation not permitted""#;
    assert!(run.stderr.contains(why), "{}", run.told());
    assert_text_untouched(target.pid());
    kill(Pid::from_raw(target.pid()), Signal::SIGKILL).unwrap();
    target.finish();
}

/// A tracer of ours that follows children takes what we start.
#[test]
fn under_another_tracer() {
    let Some(program) = fixture("basic") else {
        return;
    };
    let inner = env!("CARGO_BIN_EXE_ltrace");
    let outer = |options: &[&str]| ltrace(options).arg(inner).arg(&program).finish();
    let run = outer(&["-f", "-o", "/dev/null"]).exits(1);
    let why = "ltrace is traced itself, by process ";
    assert!(run.stderr.contains(why), "{}", run.told());
    outer(&["-o", "/dev/null"]).exits(0);
}
