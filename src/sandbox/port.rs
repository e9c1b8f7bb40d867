//! A TCP port that stays one server's own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{SandboxError, SandboxErrorKind, cache};

/// A port of 127.0.0.1, reserved among all processes that use the same cache, until it is dropped.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _reservation: File,
}

impl Port {
    /// Reserves a port that nobody listens on.
    ///
    /// A port that the system hands out for "any" is unsafe here: while the server is down for a restart, any outgoing
    /// connection of this machine may be given the same one. So the port lies outside of that range.
    pub(super) fn reserve() -> Result<Self, SandboxError> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let locks = cache::subfolder("ports")?;
        let range = candidates(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default());
        let span = range.end - range.start;
        // Processes begin at different places, so that they rarely try the same port.
        let first = (std::process::id().wrapping_mul(97) % u32::from(span)) as u16;
        for _ in 0..span {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % span;
            let number = range.start + (u32::from(first) + u32::from(step)).rem_euclid(u32::from(span)) as u16;
            if let Some(port) = Self::try_reserve(number, &locks)? {
                return Ok(port);
            }
        }
        Err(SandboxError::new(
            SandboxErrorKind::Start,
            format!("no free port of 127.0.0.1 between {} and {}", range.start, range.end),
        ))
    }

    fn try_reserve(number: u16, locks: &Path) -> Result<Option<Self>, SandboxError> {
        let path = locks.join(number.to_string());
        let reservation = File::create(&path)
            .map_err(|error| SandboxError::io(format_args!("reserve a port in {}", path.display()), error))?;
        let free = reservation.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        Ok(free.then_some(Self { number, _reservation: reservation }))
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

/// The ports to choose from: below those that the system hands out (`first last`, as the kernel tells), where there is
/// room, else above.
fn candidates(handed_out: &str) -> Range<u16> {
    let mut bounds = handed_out.split_whitespace().map_while(|bound| bound.parse::<u16>().ok());
    let first = bounds.next().unwrap_or(32_768);
    let last = bounds.next().unwrap_or(60_999);
    if first >= 12_000 {
        first.saturating_sub(12_000).max(10_000)..first
    } else if last <= 64_500 {
        last + 1..65_535
    } else {
        10_000..32_768
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_lie_outside_of_the_ports_that_the_system_hands_out() {
        assert_eq!(candidates("32768\t60999\n"), 20_768..32_768);
        assert_eq!(candidates("15000 65535"), 10_000..15_000);
        assert_eq!(candidates("1024 60999"), 61_000..65_535);
        assert_eq!(candidates("1024 65535"), 10_000..32_768);
        assert_eq!(candidates(""), 20_768..32_768);
    }

    #[test]
    fn a_port_is_reserved_until_it_is_dropped() {
        let locks = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let port = Port::try_reserve(free, locks.path()).unwrap().expect("a port nobody listens on");
        assert!(Port::try_reserve(free, locks.path()).unwrap().is_none());
        drop(port);
        let port = Port::try_reserve(free, locks.path()).unwrap();
        assert_eq!(port.map(|port| port.number()), Some(free));
    }
}
