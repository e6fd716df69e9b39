//! What the process itself may do and have: descriptors, core dumps, privileges of programs that it starts.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors of the process as a whole: logs, policies that are being read, watched files, the private listener with its 64 connections.
const OF_THE_PROCESS: u64 = 128;

/// Descriptors of a worker's runtime.
const OF_A_WORKER: u64 = 4;

/// What the system did not do, and why.
pub(super) type Undone = (&'static str, io::Error);

/// Keeps secrets out of core dumps, and the process's memory and environment from other processes of the same user. What could not be done is answered.
pub(super) fn harden() -> Vec<Undone> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let core = setrlimit(Resource::Core, none).err().map(|error| ("RLIMIT_CORE", error.into()));
    core.into_iter().chain(gain_nothing()).chain(hide()).collect()
}

/// Keeps the process, and any that it might start, from rights that it does not have.
#[cfg(target_os = "linux")]
fn gain_nothing() -> Option<Undone> {
    Some(("PR_SET_NO_NEW_PRIVS", rustix::thread::set_no_new_privs(true).err()?.into()))
}

/// The part of [`harden`] that ends when the process becomes another user's.
#[cfg(target_os = "linux")]
pub(super) fn hide() -> Option<Undone> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Some(("PR_SET_DUMPABLE", set_dumpable_behavior(DumpableBehavior::NotDumpable).err()?.into()))
}

/// Other systems have no such switch.
#[cfg(not(target_os = "linux"))]
const fn gain_nothing() -> Option<Undone> {
    None
}

/// Other systems have no such switch.
#[cfg(not(target_os = "linux"))]
pub(super) const fn hide() -> Option<Undone> {
    None
}

/// Raises the number of descriptors that the process may have as far as it may, and answers it.
pub(super) fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(u64::MAX),
    }
}

/// Connections to upstreams that descriptors are kept for, where there are many: most connections of clients wait for a delivery.
const OF_UPSTREAMS_MAX: u64 = 4_096;

/// The descriptors that are left for connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room(u64);

impl Room {
    /// What of `limit` nothing else needs; `others` are sockets that listen and health checks that may be under way.
    pub(super) fn of(limit: u64, workers: usize, others: usize) -> Self {
        let reserved = OF_THE_PROCESS.saturating_add(OF_A_WORKER.saturating_mul(wide(workers)));
        Self(limit.saturating_sub(reserved.saturating_add(wide(others))))
    }

    /// How many connections of clients fit beside those to upstreams, which must not fail for want of a descriptor because clients have them all: these have
    /// half of what there is, and [`OF_UPSTREAMS_MAX`] at most.
    pub(super) fn clients_max(self) -> usize {
        usize::try_from((self.0 / 2).max(self.0.saturating_sub(OF_UPSTREAMS_MAX))).unwrap_or(usize::MAX)
    }

    /// How many connections to upstreams fit beside so many of clients: one of HTTP/2 brings many deliveries.
    pub(super) fn beside(self, clients: usize) -> u32 {
        u32::try_from(self.0.saturating_sub(wide(clients))).unwrap_or(u32::MAX)
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_left_of_the_descriptors_is_for_clients_and_all_but_what_upstreams_need_where_there_are_many() {
        assert_eq!(Room::of(1_000, 2, 4).beside(100), 760);
        // 128 + 2 × 4 + 4 are reserved.
        for (limit, fits) in [
            (0, 0),
            (141, 0),
            (142, 1),
            (143, 1),
            (144, 2),
            (1_024, 442),
            (8_332, 4_096),
            (8_334, 4_098),
            (20_000, 15_764),
            (u64::MAX, usize::MAX),
        ] {
            let room = Room::of(limit, 2, 4);
            let found = room.clients_max();
            assert!(found == fits || limit == u64::MAX && found > 1 << 40, "{limit}: {found}");
            assert!(room.beside(found) >= u32::try_from(found.min(4_096)).unwrap(), "{limit}");
        }
    }
}
