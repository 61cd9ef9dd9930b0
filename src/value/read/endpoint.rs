//! Socket addresses: what stands behind the family (`struct sockaddr` and its kin: ip(7), ipv6(7), unix(7)).

use super::{Reading, Source};
use crate::value::Value;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

/// `AF_UNIX`, `AF_INET`, `AF_INET6` of `bits/socket.h`.
const UNIX: u16 = 1;
const INET: u16 = 2;
const INET6: u16 = 10;

/// The longest of them, `sizeof(struct sockaddr_un)`.
const LONGEST: u64 = 110;

impl Reading<'_> {
    /// Where a socket is bound or connected to, for the families that have a common way to write it.
    /// So many bytes of its address are there.
    pub(super) fn endpoint(&self, source: Source<'_>, filled: u64) -> Option<Value> {
        let most = LONGEST.min(filled);
        let block = self.block(source, most).ok()?.0;
        let bytes = match source {
            Source::Bytes(bytes) => &bytes[..bytes.len().min(most as usize)],
            _ => &block,
        };
        match u16::from_le_bytes(part(bytes, 0)?) {
            INET => {
                let address = Ipv4Addr::from(part::<4>(bytes, 4)?);
                let endpoint = SocketAddrV4::new(address, port(bytes)?);
                Some(Value::Name(endpoint.to_string().into()))
            }
            INET6 => {
                let address = Ipv6Addr::from(part::<16>(bytes, 8)?);
                let scope = u32::from_le_bytes(part(bytes, 24)?);
                let endpoint = SocketAddrV6::new(address, port(bytes)?, 0, scope);
                Some(Value::Name(endpoint.to_string().into()))
            }
            UNIX => Some(self.path(bytes.get(2..)?)),
            _ => None,
        }
    }

    /// A path ends at a NUL. A name that is not in the file system begins with one.
    fn path(&self, field: &[u8]) -> Value {
        let nul = field.iter().skip(1).position(|byte| *byte == 0);
        let path = &field[..nul.map_or(field.len(), |at| at + 1)];
        let path = if path == [0] { &[] } else { path };
        let shown = path.len().min(self.limits.string);
        Value::Bytes {
            bytes: path[..shown].into(),
            cut: shown < path.len(),
        }
    }
}

/// In the byte order of the network.
fn port(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(part(bytes, 2)?))
}

fn part<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset + N)?.try_into().ok()
}
