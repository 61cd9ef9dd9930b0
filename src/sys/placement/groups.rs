//! What the tracer may do of the scheduler, and whether it has a share of the processors of its own.

use crate::base::Tid;
use crate::sys::proc;
use nix::sys::resource::{Resource, getrlimit};
use std::fs;
use std::path::Path;

/// Sessions get a fair share each: autogrouping is on, and we are not in a control group that has a
/// share of its own, within which it does nothing.
pub(super) fn has_autogroups() -> bool {
    let enabled = fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled");
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    enabled.is_ok_and(|text| text.trim() == "1") && !has_cpu_group(&groups, Path::exists)
}

/// Whether one of our control groups shares out the processors, by the lines of /proc/PID/cgroup
/// (cgroups(7)). In version 2 it is one that has the file `cpu.weight`, ours or one above it; the root
/// has none, but the root that a container sees may.
fn has_cpu_group(groups: &str, exists: fn(&Path) -> bool) -> bool {
    groups.lines().any(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        if !controllers.is_empty() {
            return controllers.split(',').any(|name| name == "cpu") && path != "/";
        }
        let inside = path.trim_start_matches('/');
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .iter()
            .any(|mount| {
                let group = Path::new(mount).join(inside);
                group
                    .ancestors()
                    .take_while(|above| above.starts_with(mount))
                    .any(|above| exists(&above.join("cpu.weight")))
            })
    })
}

/// Whether we may leave SCHED_IDLE again: CAP_SYS_NICE, bit 23 (capabilities(7)), or a limit that allows our nice value
/// (getrlimit(2), RLIMIT_NICE; sched(7), "SCHED_IDLE").
pub(super) fn may_raise() -> bool {
    let effective = proc::status_field(Tid(std::process::id() as i32), "CapEff");
    let capable = effective
        .and_then(|hex| u64::from_str_radix(&hex, 16).ok())
        .is_some_and(|set| set & (1 << 23) != 0);
    // SAFETY: numbers only; zero is the calling thread. From 20 to -19 in the limit's terms.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let limit = getrlimit(Resource::RLIMIT_NICE).map_or(0, |(soft, _)| soft);
    capable || limit >= u64::try_from(20 - nice).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::has_cpu_group;
    use std::path::Path;

    #[test]
    fn control_groups_that_share_out_processors() {
        let check = |groups, exists, expected| {
            assert_eq!(has_cpu_group(groups, exists), expected, "{groups}");
        };
        let none = |_: &Path| false;
        let slice = |path: &Path| path == Path::new("/sys/fs/cgroup/user.slice/cpu.weight");
        let root = |path: &Path| path == Path::new("/sys/fs/cgroup/cpu.weight");
        check("0::/\n", none, false);
        check("0::/\n", root, true);
        check("0::/user.slice/a.scope\n", none, false);
        check("0::/user.slice/a.scope\n", slice, true);
        check("4:memory:/x\n1:cpu,cpuacct:/\n0::/\n", none, false);
        check("4:memory:/x\n1:cpu,cpuacct:/y\n0::/\n", none, true);
        check("2:cpuset:/y\n3:cpuacct:/y\n", none, false);
        check("", none, false);
        check("garbage", none, false);
    }
}
