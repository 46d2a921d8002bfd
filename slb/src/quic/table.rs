//! Which session a datagram belongs to: by connection ID, and by the client's address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use slab::Slab;
use transport::quic_route::{CONNECTION_ID_BYTES_MAX, Header};

/// Connection IDs of a session at most. A client's first one, a server's for its address' proof and its own are three.
const IDS_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Id {
    len: u8,
    bytes: [u8; CONNECTION_ID_BYTES_MAX],
}

impl Id {
    /// Nothing where there is no ID, and of what is too long to be one.
    fn new(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; CONNECTION_ID_BYTES_MAX];
        bytes.get_mut(..id.len()).filter(|room| !room.is_empty())?.copy_from_slice(id);
        Some(Self { len: id.len() as u8, bytes })
    }
}

/// Who chose a connection ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChosenBy {
    /// The client, for its first datagrams.
    Client,
    /// The backend: who knows it has heard it, or hears what clients are sent.
    Backend,
}

/// See the module. The caller bounds the number of sessions.
#[derive(Debug)]
pub(crate) struct Table<S> {
    sessions: Slab<Entry<S>>,
    by_id: HashMap<Id, (usize, ChosenBy)>,
    by_client: HashMap<SocketAddr, Vec<usize>>,
    of_address: HashMap<IpAddr, usize>,
    /// The lengths of IDs that backends chose, one bit each: in short headers their length is not said.
    lengths: u32,
}

#[derive(Debug)]
struct Entry<S> {
    client: SocketAddr,
    ids: Vec<Id>,
    session: S,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self {
            sessions: Slab::new(),
            by_id: HashMap::new(),
            by_client: HashMap::new(),
            of_address: HashMap::new(),
            lengths: 0,
        }
    }
}

impl<S: Clone> Table<S> {
    /// Adds a session of a client; `make` is given its number here.
    pub(crate) fn add(&mut self, client: SocketAddr, make: impl FnOnce(usize) -> S) -> S {
        let vacant = self.sessions.vacant_entry();
        let (at, session) = (vacant.key(), make(vacant.key()));
        vacant.insert(Entry { client, ids: Vec::new(), session: session.clone() });
        self.by_client.entry(client).or_default().push(at);
        *self.of_address.entry(client.ip()).or_default() += 1;
        session
    }

    pub(crate) fn remove(&mut self, at: usize) {
        let Some(Entry { client, ids, .. }) = self.sessions.try_remove(at) else { return };
        for id in ids {
            // It may be another session's by now.
            if self.by_id.get(&id).is_some_and(|(of, _)| *of == at) {
                self.by_id.remove(&id);
            }
        }
        if let Some(own) = self.by_client.get_mut(&client) {
            own.retain(|of| *of != at);
            if own.is_empty() {
                self.by_client.remove(&client);
            }
        }
        if let Some(count) = self.of_address.get_mut(&client.ip()) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&client.ip());
            }
        }
    }

    /// A connection ID leads to a session from now on, whomever it led to before. Beyond a session's most it is not noted.
    pub(crate) fn note(&mut self, at: usize, id: &[u8], chosen_by: ChosenBy) {
        let Some(id) = Id::new(id) else { return };
        let Some(entry) = self.sessions.get_mut(at) else { return };
        // A server that takes the client's own ID for its own has told it nothing.
        if chosen_by == ChosenBy::Backend && self.by_id.get(&id) == Some(&(at, ChosenBy::Client)) {
            return;
        }
        if !entry.ids.contains(&id) {
            if entry.ids.len() == IDS_MAX {
                return;
            }
            entry.ids.push(id);
        }
        if chosen_by == ChosenBy::Backend {
            self.lengths |= 1 << id.len;
        }
        self.by_id.insert(id, (at, chosen_by));
    }

    /// The session that a packet's connection ID leads to, that ID, and who chose it.
    pub(crate) fn find<'a>(&self, header: &Header<'a>) -> Option<(S, &'a [u8], ChosenBy)> {
        let found = |id: &'a [u8]| {
            let (at, chosen_by) = *self.by_id.get(&Id::new(id)?)?;
            Some((self.sessions.get(at)?.session.clone(), id, chosen_by))
        };
        match *header {
            Header::Long { destination, .. } => found(destination),
            // A client's own ID never stands here: what strangers make up must not pass for the beginning of a backend's. The
            // longest first, as one may begin with another.
            Header::Short { destination } => {
                let lengths = (1..=CONNECTION_ID_BYTES_MAX).rev();
                let given = lengths.filter(|len| self.lengths & (1 << len) != 0);
                let mut of_backends = given.filter_map(|len| found(destination.get(..len)?));
                of_backends.find(|(.., chosen_by)| *chosen_by == ChosenBy::Backend)
            }
        }
    }

    /// The sessions of a client, the latest first.
    pub(crate) fn of_client(&self, client: SocketAddr) -> impl Iterator<Item = &S> {
        let own = self.by_client.get(&client).into_iter().flatten().rev();
        own.filter_map(|at| self.sessions.get(*at)).map(|entry| &entry.session)
    }

    /// How many sessions an address has, with all its ports.
    pub(crate) fn count_of(&self, address: IpAddr) -> usize {
        self.of_address.get(&address).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn short(id: &[u8]) -> Header<'_> {
        Header::Short { destination: id }
    }

    #[test]
    fn an_id_leads_to_its_session_whatever_follows_it_and_from_wherever_it_comes() {
        let mut table = Table::default();
        let one = table.add(client(1), |at| at);
        let other = table.add(client(2), |at| at);
        table.note(one, b"12345678", ChosenBy::Client);
        table.note(one, b"abcd", ChosenBy::Backend);
        table.note(other, b"87654321", ChosenBy::Backend);
        let long = Header::Long { may_begin: true, destination: b"12345678", source: b"" };
        assert_eq!(table.find(&long), Some((one, &b"12345678"[..], ChosenBy::Client)));
        assert_eq!(table.find(&short(b"abcd and more")), Some((one, &b"abcd"[..], ChosenBy::Backend)));
        assert_eq!(table.find(&short(b"87654321!")), Some((other, &b"87654321"[..], ChosenBy::Backend)));
        assert_eq!(table.find(&short(b"8765")), None);
        table.note(other, b"abcd", ChosenBy::Backend);
        assert_eq!(table.find(&short(b"abcd")).map(|(at, ..)| at), Some(other), "it has moved");
        table.remove(one);
        assert_eq!(table.find(&long), None);
        assert_eq!(table.find(&short(b"abcd")).map(|(at, ..)| at), Some(other));
    }

    #[test]
    fn a_short_header_has_a_whole_id_of_a_backend_and_none_of_a_clients() {
        let mut table = Table::default();
        let (one, other, third) =
            (table.add(client(1), |at| at), table.add(client(2), |at| at), table.add(client(3), |at| at));
        table.note(one, b"a", ChosenBy::Client);
        table.note(one, b"abcdef", ChosenBy::Client);
        table.note(third, b"ab", ChosenBy::Backend);
        table.note(third, b"ghijkl", ChosenBy::Backend);
        table.note(other, b"abcd", ChosenBy::Backend);
        assert_eq!(table.find(&short(b"abcdef")), Some((other, &b"abcd"[..], ChosenBy::Backend)));
        assert_eq!(table.find(&short(b"abc")), Some((third, &b"ab"[..], ChosenBy::Backend)));
        assert_eq!(table.find(&short(b"a, and no other")), None);
    }

    #[test]
    fn nothing_is_left_of_sessions_that_are_over_and_none_has_more_than_its_ids() {
        let mut table = Table::default();
        for round in 0..3_u8 {
            let all: Vec<usize> = (1..=10).map(|port| table.add(client(port % 4), |at| at)).collect();
            assert_eq!(table.count_of(client(0).ip()), 10);
            for (number, at) in all.iter().enumerate() {
                for id in 0..20 {
                    table.note(*at, &[round, number as u8, id], ChosenBy::Backend);
                }
            }
            assert_eq!(table.by_id.len(), 10 * IDS_MAX);
            assert_eq!(table.of_client(client(1)).copied().collect::<Vec<_>>(), [all[8], all[4], all[0]]);
            all.iter().for_each(|at| table.remove(*at));
        }
        table.remove(0);
        table.note(0, b"late", ChosenBy::Backend);
        assert!(table.by_id.is_empty() && table.by_client.is_empty() && table.of_address.is_empty());
        table.note(0, b"", ChosenBy::Client);
        assert_eq!(table.find(&short(b"")), None);
    }
}
