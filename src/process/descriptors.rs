//! What the descriptors of a task are open on: paths, and whom a socket talks to.

use super::{machine, streams};
use crate::base::addr::Addr;
use crate::base::{Pid, Tid};
use crate::sys::memory::ProcessMemory;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Looks at descriptors. Whom a connected socket talks to does not change, and is looked for once.
#[derive(Default)]
pub struct Descriptors {
    /// By the numbers of their inodes.
    connected: HashMap<u64, String>,
}

/// A table of sockets is read so far: a busy machine has very many.
const MOST: u64 = 8 << 20;
/// So many sockets are remembered.
const REMEMBERED: usize = 4096;

/// TCP_ESTABLISHED (include/net/tcp_states.h), as /proc/net/tcp and udp write it.
const ESTABLISHED: &str = "01";

impl Descriptors {
    /// What a task's descriptor is open on: a path, `TCP:[1.2.3.4:5->6.7.8.9:10]`, or what the kernel calls it.
    /// `None` when the task has no such descriptor.
    pub fn describe(&mut self, tid: Tid, descriptor: i64) -> Option<String> {
        let link = fs::read_link(format!("/proc/{tid}/fd/{descriptor}")).ok()?;
        let text = String::from_utf8_lossy(link.as_os_str().as_bytes()).into_owned();
        let inode = text
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']')?.parse().ok());
        match inode {
            Some(inode) => Some(self.socket(tid, inode).unwrap_or(text)),
            None => Some(text),
        }
    }

    /// The descriptor of a task's stream, a `FILE *`, and what it is open on.
    pub fn stream(&mut self, tid: Tid, at: Addr) -> Option<(i64, String)> {
        let pid = Pid(tid.0);
        let memory = ProcessMemory::new(pid, machine(pid)?);
        let number = streams::descriptor(&memory, at)?;
        Some((number, self.describe(tid, number)?))
    }

    fn socket(&mut self, tid: Tid, inode: u64) -> Option<String> {
        if let Some(known) = self.connected.get(&inode) {
            return Some(known.clone());
        }
        let table = |name: &str| table(tid, name);
        let internet = [
            ("TCP", "tcp"),
            ("TCP", "tcp6"),
            ("UDP", "udp"),
            ("UDP", "udp6"),
        ];
        let mut internet = internet.iter();
        let found = internet.find_map(|(kind, name)| {
            let (text, is_connected) = endpoints(&table(name)?, inode)?;
            Some((format!("{kind}:[{text}]"), is_connected))
        });
        let Some((text, is_connected)) = found else {
            return Some(format!("UNIX:[{}]", unix_path(&table("unix")?, inode)?));
        };
        if is_connected {
            if self.connected.len() >= REMEMBERED {
                self.connected.clear();
            }
            self.connected.insert(inode, text.clone());
        }
        Some(text)
    }
}

/// Of the task's own network namespace.
fn table(tid: Tid, name: &str) -> Option<String> {
    let path = Path::new("/proc")
        .join(tid.to_string())
        .join("net")
        .join(name);
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(MOST)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Both ends of a socket, or its own when there is no other yet, by /proc/net/tcp and its like (proc_pid_net(5)).
fn endpoints(table: &str, inode: u64) -> Option<(String, bool)> {
    let inode = inode.to_string();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[_, local, remote, state, _, _, _, _, _, number, ..] = fields.as_slice() else {
            return None;
        };
        if number != inode {
            return None;
        }
        let (local, remote) = (endpoint(local)?, endpoint(remote)?);
        let is_connected = state == ESTABLISHED;
        Some(match is_connected {
            true => (format!("{local}->{remote}"), true),
            false => (local.to_string(), false),
        })
    })
}

/// `0100007F:1F90`: words of the address in the order of this machine, the port in that of readers.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok();
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?.to_ne_bytes())),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(8 * index)?.to_ne_bytes());
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The path of a socket, which may have none.
fn unix_path(table: &str, inode: u64) -> Option<String> {
    let inode = inode.to_string();
    table.lines().skip(1).find_map(|line| {
        // Address, references, protocol, flags, type and state stand before the inode.
        let rest = (0..6).try_fold(line, |line, _| Some(line.split_once(' ')?.1))?;
        let mut rest = rest.trim_start().splitn(2, ' ');
        (rest.next() == Some(&*inode)).then(|| rest.next().unwrap_or(&inode).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener;

    fn own() -> Tid {
        Tid(std::process::id() as i32)
    }

    #[test]
    fn addresses() {
        let check = |text, expected: Option<&str>| {
            let found = endpoint(text).map(|found| found.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("0100007F:1F90", Some("127.0.0.1:8080"));
        check("00000000000000000000000001000000:0016", Some("[::1]:22"));
        check("0100007F", None);
        check("é:1F90", None);
        check("0100007F:x", None);
    }

    #[test]
    fn files_and_sockets() {
        let mut descriptors = Descriptors::default();
        let file = File::open("/etc/passwd").expect("a file");
        let of = |descriptors: &mut Descriptors, fd: i32| descriptors.describe(own(), fd.into());
        assert_eq!(
            of(&mut descriptors, file.as_raw_fd()).as_deref(),
            Some("/etc/passwd")
        );
        assert_eq!(of(&mut descriptors, 1_000_000), None);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("bound");
        let text = of(&mut descriptors, listener.as_raw_fd());
        assert_eq!(text, Some(format!("TCP:[{at}]")));
        let client = TcpStream::connect(at).expect("connected");
        let from = client.local_addr().expect("bound");
        let text = of(&mut descriptors, client.as_raw_fd());
        assert_eq!(text, Some(format!("TCP:[{from}->{at}]")));
        let dir = std::env::temp_dir().join(format!("descriptors-{}", std::process::id()));
        let unix = UnixListener::bind(&dir).expect("a path");
        let text = of(&mut descriptors, unix.as_raw_fd());
        let _ = fs::remove_file(&dir);
        assert_eq!(text, Some(format!("UNIX:[{}]", dir.display())));
    }
}
