//! Who is next: pure functions over the weights and loads of a pool's backends.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::backend::Backend;

/// How a pool chooses the backend of a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// In turn, by weight, spread evenly: smooth weighted round robin.
    #[default]
    Wrr,
    /// In turn, all alike.
    Rr,
    /// The fewest open connections for its weight.
    Wlc,
    /// By the client's address (without port): the same client comes to the same backend, and when
    /// a backend goes, only its own clients move.
    Source,
    /// By addresses and ports of the client and of the listener: a client's connections are spread, and
    /// each goes the same way in every balancer.
    Tuple,
}

/// Which of the other zones' backends are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Zones {
    /// Zones do not count.
    #[default]
    Any,
    /// Those of other zones only while no backend of the own zone takes connections.
    Prefer,
    /// None.
    Only,
}

/// Who connects to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) client: SocketAddr,
    pub(crate) listener: SocketAddr,
}

impl Flow {
    /// By the client's address. A client of IPv4 is the same client on a socket of IPv6.
    pub(crate) fn source_hash(&self) -> u64 {
        match self.client.ip().to_canonical() {
            IpAddr::V4(ip) => stable_hash(&ip.octets()),
            IpAddr::V6(ip) => stable_hash(&ip.octets()),
        }
    }

    pub(crate) fn tuple_hash(&self) -> u64 {
        let mut bytes = ArrayBytes { bytes: [0; 36], len: 0 };
        for end in [self.client, self.listener] {
            match end.ip().to_canonical() {
                IpAddr::V4(ip) => bytes.add(&ip.octets()),
                IpAddr::V6(ip) => bytes.add(&ip.octets()),
            }
            bytes.add(&end.port().to_be_bytes());
        }
        stable_hash(bytes.filled())
    }
}

/// Room for two addresses and ports.
struct ArrayBytes {
    bytes: [u8; 36],
    len: usize,
}

impl ArrayBytes {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Backends that were already tried for a connection, by their numbers: their places in the pool may be those of others
/// once the configuration has changed.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<u64>);

impl Tried {
    pub(crate) fn add(&mut self, backend: &Backend) {
        self.0.push(backend.number);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, backend: &Backend) -> bool {
        self.0.contains(&backend.number)
    }

    /// How many of those that stand at `places` were tried; a place may be there more than once.
    pub(crate) fn count_of(&self, backends: &[Arc<Backend>], places: &[u16]) -> usize {
        let stands = |number| places.iter().any(|&at| backends[usize::from(at)].number == number);
        self.0.iter().filter(|&&number| stands(number)).count()
    }
}

/// The order in which backends take turns, one period of it: each backend as often as its weight
/// says (by the smallest numbers of that ratio), and as far apart as possible. Weight 0 has none.
#[must_use]
pub fn smooth_turns(weights: &[u32]) -> Vec<u16> {
    let divisor = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / divisor)).collect();
    let total: i64 = weights.iter().sum();
    let mut credits = vec![0; weights.len()];
    (0..total)
        .map(|_| {
            // Everyone earns its weight, the richest goes and pays for all.
            credits.iter_mut().zip(&weights).for_each(|(credit, weight)| *credit += weight);
            let richest = first_max(&credits);
            credits[richest] -= total;
            richest as u16
        })
        .collect()
}

fn first_max(credits: &[i64]) -> usize {
    (1..credits.len()).fold(0, |best, at| if credits[at] > credits[best] { at } else { best })
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Whether one more connection is a lighter load on the first than on the second.
#[must_use]
pub fn lighter(open: u32, weight: u32, than_open: u32, than_weight: u32) -> bool {
    (u64::from(open) + 1) * u64::from(than_weight) < (u64::from(than_open) + 1) * u64::from(weight)
}

/// Of some backends, each with the hash of its name and its weight, the one that takes a client, which is the hash of its
/// address. Weighted rendezvous hashing: shares follow weights, and a backend's going or coming moves only the clients that it
/// had or gets.
pub fn most_attracted<B: Copy>(
    client: u64,
    backends: impl Iterator<Item = B>,
    hash_and_weight: impl Fn(B) -> (u64, u32),
) -> Option<B> {
    let pulls = backends.map(|backend| {
        let (hash, weight) = hash_and_weight(backend);
        (backend, attraction(client, hash, weight))
    });
    pulls.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(backend, _)| backend)
}

fn attraction(client: u64, backend: u64, weight: u32) -> f64 {
    // 53 bits are what an f64 holds; half a step keeps it away from 0 and 1.
    let uniform = ((mix(client ^ backend) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    f64::from(weight) / -uniform.ln()
}

/// A hash that is the same in every process and version (FNV-1a, then mixed), so that two
/// balancers with one configuration send a client to the same backend.
#[must_use]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}

/// The finaliser of SplitMix64: every input bit moves every output bit.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn turns_are_spread_not_bunched() {
        assert_eq!(smooth_turns(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(smooth_turns(&[100, 100]), [0, 1]);
        assert_eq!(smooth_turns(&[0, 50, 0]), [1]);
        assert!(smooth_turns(&[0, 0]).is_empty() && smooth_turns(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn turns_follow_weights_exactly(weights in prop::collection::vec(0u32..=100, 1..12)) {
            let turns = smooth_turns(&weights);
            let total: u32 = weights.iter().sum();
            for (backend, weight) in weights.iter().enumerate() {
                let count = turns.iter().filter(|&&turn| usize::from(turn) == backend).count();
                prop_assert_eq!(count as u64 * u64::from(total), turns.len() as u64 * u64::from(*weight));
            }
        }

        #[test]
        fn no_prefix_of_turns_favours_anyone_by_a_whole_round(
            weights in prop::collection::vec(1u32..=100, 1..8),
        ) {
            let turns = smooth_turns(&weights);
            let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
            let mut counts = vec![0.0; weights.len()];
            for (taken, &turn) in turns.iter().enumerate() {
                counts[usize::from(turn)] += 1.0;
                for (count, &weight) in counts.iter().zip(&weights) {
                    let fair = (taken + 1) as f64 * f64::from(weight) / total;
                    prop_assert!(f64::abs(count - fair) < weights.len() as f64, "{counts:?} of {weights:?}");
                }
            }
        }
    }

    #[test]
    fn load_is_compared_by_weight() {
        assert!(lighter(0, 100, 1, 100));
        assert!(!lighter(1, 100, 1, 100));
        assert!(lighter(1, 100, 0, 10), "two tenths weigh less than one whole");
    }

    fn choose(client: u64, weights: &[u32], gone: Option<usize>) -> usize {
        let there = (0..weights.len()).filter(|&at| Some(at) != gone);
        most_attracted(stable_hash(&client.to_be_bytes()), there, |at| {
            (stable_hash(&[at as u8]), weights[at])
        })
        .unwrap()
    }

    #[test]
    fn rendezvous_shares_by_weight_and_moves_only_the_clients_of_who_left() {
        let weights = [100, 50, 50];
        let mut counts = [0; 3];
        for client in 0..20_000 {
            let home = choose(client, &weights, None);
            counts[home] += 1;
            let moved = choose(client, &weights, Some(0));
            assert!(home == 0 || moved == home, "a client moved whose backend stayed");
        }
        assert!((9_600..10_400).contains(&counts[0]), "{counts:?}");
        assert!((4_700..5_300).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn hashes_never_change() {
        // Pinned: two versions side by side must send a client to the same backend.
        assert_eq!(stable_hash(b""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(stable_hash(&[10, 0, 0, 1]), 0xe7a7_7091_5e3a_6bb4);
    }

    #[test]
    fn hashes_of_flows_are_pinned_and_see_through_mapped_addresses() {
        let flow = |client: &str| Flow {
            client: client.parse().unwrap(),
            listener: "10.9.9.9:7000".parse().unwrap(),
        };
        assert_eq!(flow("10.0.0.1:1").source_hash(), stable_hash(&[10, 0, 0, 1]));
        assert_eq!(flow("10.0.0.1:1").source_hash(), flow("[::ffff:10.0.0.1]:2").source_hash());
        let expected = stable_hash(&[10, 0, 0, 1, 0, 1, 10, 9, 9, 9, 27, 88]);
        assert_eq!(flow("10.0.0.1:1").tuple_hash(), expected);
        assert_eq!(flow("[::ffff:10.0.0.1]:1").tuple_hash(), expected);
        assert_ne!(flow("10.0.0.1:2").tuple_hash(), expected);
    }
}
