//! Which backend a client came to last, for a while and in bounded memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Clients remembered at most, some 5 MB for a pool. In two halves: when the younger one is full, it becomes
/// the older one, and those of the older one that did not come meanwhile are forgotten.
const CLIENTS_MAX: usize = 100_000;

/// See the module. A backend is known by its number.
#[derive(Debug, Default)]
pub(crate) struct Persistence {
    young: HashMap<IpAddr, Stay>,
    old: HashMap<IpAddr, Stay>,
}

#[derive(Clone, Copy, Debug)]
struct Stay {
    backend: u64,
    since: Instant,
}

impl Persistence {
    /// The backend that a client came to no longer than `time` ago.
    pub(crate) fn find(&self, client: IpAddr, time: Duration, now: Instant) -> Option<u64> {
        let stay = self.young.get(&client).or_else(|| self.old.get(&client))?;
        (now.saturating_duration_since(stay.since) < time).then_some(stay.backend)
    }

    /// A client came to a backend.
    pub(crate) fn keep(&mut self, client: IpAddr, backend: u64, now: Instant) {
        if self.young.len() >= CLIENTS_MAX / 2 && !self.young.contains_key(&client) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(client, Stay { backend, since: now });
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn a_client_is_remembered_from_its_last_connection_on() {
        let (mut table, start, time) = (Persistence::default(), Instant::now(), Duration::from_secs(10));
        table.keep(client(1), 7, start);
        assert_eq!(table.find(client(1), time, start + time / 2), Some(7));
        assert_eq!(table.find(client(1), time, start + time), None);
        assert_eq!(table.find(client(2), time, start), None);
        table.keep(client(1), 8, start + time);
        assert_eq!(table.find(client(1), time, start + time), Some(8));
    }

    #[test]
    fn it_forgets_who_was_longest_away_and_never_grows_beyond_its_bound() {
        let (mut table, now, time) = (Persistence::default(), Instant::now(), Duration::from_secs(10));
        for number in 0..3 * CLIENTS_MAX as u32 {
            table.keep(client(number), 1, now);
            table.keep(client(0), 2, now);
            assert!(table.young.len() + table.old.len() <= CLIENTS_MAX);
        }
        assert_eq!(table.find(client(0), time, now), Some(2), "it came all the time");
        assert_eq!(table.find(client(1), time, now), None);
        assert_eq!(table.find(client(3 * CLIENTS_MAX as u32 - 1), time, now), Some(1));
    }
}
