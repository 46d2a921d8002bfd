//! Bounds on the handshakes of one peer address: how many are under way at a time, and how many begin in a second.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use thiserror::Error;

/// Addresses that are kept account of at a time, 48 bytes each. When there are more (a flood from a whole botnet), those
/// beyond share the bound of all handshakes only, and are counted.
const ADDRESSES_MAX: usize = 16_384;
/// How often accounts that hold nothing are looked for, at most: looking costs time in proportion to their number.
const SWEEP_NS: u64 = 1_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
/// What one customer gets of IPv6, and so what counts as one address.
const IPV6_PREFIX_BITS: u8 = 64;

/// Addresses with a common beginning, such as `10.1.0.0/16`; a lone address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// A text that is no network.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is neither an address nor a network such as \"10.1.0.0/16\"")]
pub struct NotANetwork(String);

impl Network {
    /// Whether an address is one of it. An IPv4 address within IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        prefix(address.to_canonical(), self.prefix_bits) == Some(self.address)
    }
}

/// The address with all bits behind the first `bits` cleared; `None`: it has not so many.
fn prefix(address: IpAddr, bits: u8) -> Option<IpAddr> {
    let bits = u32::from(bits);
    Some(match address {
        IpAddr::V4(address) => {
            let behind = 32_u32.checked_sub(bits)?;
            IpAddr::V4((u32::from(address) & u32::MAX.checked_shl(behind).unwrap_or(0)).into())
        }
        IpAddr::V6(address) => {
            let behind = 128_u32.checked_sub(bits)?;
            IpAddr::V6((u128::from(address) & u128::MAX.checked_shl(behind).unwrap_or(0)).into())
        }
    })
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let not = || NotANetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| not())?)),
        };
        let address: IpAddr = address.parse().map_err(|_| not())?;
        let prefix_bits = bits.unwrap_or(if address.is_ipv4() { 32 } else { 128 });
        let address = prefix(address, prefix_bits).ok_or_else(not)?;
        Ok(Self { address, prefix_bits })
    }
}

impl TryFrom<String> for Network {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.address, network.prefix_bits)
    }
}

/// The bounds of each address; 0 is none.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Under way at a time.
    pub(super) under_way_max: u32,
    /// Begun in a second; as many may begin at once after a second without any.
    pub(super) per_s_max: u32,
    /// Who has no bounds: balancers, behind which all clients have one address.
    pub(super) exempt: Vec<Network>,
}

/// Why a handshake is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many as an address may have are under way.
    UnderWay,
    /// As many as an address may begin in a second were begun.
    Rate,
}

/// What an address is given for a handshake that begins, and gives back at its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It counts for this account.
    Of(IpAddr),
    /// It is exempt.
    Exempt,
    /// There are more addresses than are kept account of.
    Untracked,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    under_way: u32,
    /// When all that was begun is paid for: each handshake moves it on by a second's share. It is at most one second ahead.
    paid_ns: u64,
}

/// The accounts of all addresses.
#[derive(Debug)]
pub(super) struct Peers {
    bounds: Bounds,
    accounts: HashMap<IpAddr, Account>,
    swept_ns: Option<u64>,
}

impl Peers {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, accounts: HashMap::new(), swept_ns: None }
    }

    /// A handshake of this address begins.
    pub(super) fn begin(&mut self, peer: IpAddr, now_ns: u64) -> Result<Place, Refused> {
        if self.is_exempt(peer) {
            return Ok(Place::Exempt);
        }
        let key = key_of(peer);
        if !self.accounts.contains_key(&key) && !self.has_room(now_ns) {
            return Ok(Place::Untracked);
        }
        let share_ns = self.share_ns();
        let account = self.accounts.entry(key).or_default();
        let paid_ns = account.paid_ns.max(now_ns) + share_ns;
        if self.bounds.under_way_max > 0 && account.under_way >= self.bounds.under_way_max {
            return Err(Refused::UnderWay);
        }
        if paid_ns > now_ns + SECOND_NS {
            return Err(Refused::Rate);
        }
        account.under_way += 1;
        account.paid_ns = paid_ns;
        Ok(Place::Of(key))
    }

    /// Its end.
    pub(super) fn end(&mut self, place: &Place, now_ns: u64) {
        let Place::Of(key) = place else { return };
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.under_way = account.under_way.saturating_sub(1);
        if account.holds_nothing(now_ns) {
            self.accounts.remove(key);
        }
    }

    /// Whether an address has used more than half of what it may.
    pub(super) fn is_busy(&self, peer: IpAddr, now_ns: u64) -> bool {
        let Some(account) = self.accounts.get(&key_of(peer)) else { return false };
        let Bounds { under_way_max, .. } = self.bounds;
        (under_way_max > 0 && account.under_way > under_way_max / 2)
            || account.paid_ns > now_ns + SECOND_NS / 2
    }

    fn is_exempt(&self, peer: IpAddr) -> bool {
        let unbounded = self.bounds.under_way_max == 0 && self.bounds.per_s_max == 0;
        unbounded || self.bounds.exempt.iter().any(|network| network.contains(peer))
    }

    /// A second's share for each handshake that may begin in it; 0 without a bound.
    fn share_ns(&self) -> u64 {
        SECOND_NS.checked_div(u64::from(self.bounds.per_s_max)).unwrap_or(0)
    }

    fn has_room(&mut self, now_ns: u64) -> bool {
        if self.accounts.len() < ADDRESSES_MAX {
            return true;
        }
        if self.swept_ns.is_some_and(|swept_ns| now_ns < swept_ns + SWEEP_NS) {
            return false;
        }
        self.swept_ns = Some(now_ns);
        self.accounts.retain(|_, account| !account.holds_nothing(now_ns));
        self.accounts.len() < ADDRESSES_MAX
    }
}

impl Account {
    fn holds_nothing(&self, now_ns: u64) -> bool {
        self.under_way == 0 && self.paid_ns <= now_ns
    }
}

fn key_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            prefix(IpAddr::V6(address), IPV6_PREFIX_BITS).unwrap_or(Ipv6Addr::UNSPECIFIED.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(under_way_max: u32, per_s_max: u32, exempt: &[&str]) -> Peers {
        let exempt = exempt.iter().map(|text| text.parse().unwrap()).collect();
        Peers::new(Bounds { under_way_max, per_s_max, exempt })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_has_so_many_at_a_time_and_others_have_theirs() {
        let mut peers = peers(2, 0, &[]);
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let first = peers.begin(one, 0).unwrap();
        peers.begin(one, 0).unwrap();
        assert_eq!(peers.begin(one, 0), Err(Refused::UnderWay));
        assert!(peers.is_busy(one, 0) && !peers.is_busy(other, 0));
        peers.begin(other, 0).unwrap();
        peers.end(&first, 0);
        peers.begin(one, 0).unwrap();
        assert_eq!(peers.begin(one, 0), Err(Refused::UnderWay));
    }

    #[test]
    fn one_address_begins_so_many_in_a_second() {
        let mut peers = peers(0, 10, &[]);
        let one = ip("192.0.2.1");
        let mut begin = |now_ns| peers.begin(one, now_ns).map(|place| peers.end(&place, now_ns));
        for _ in 0..10 {
            begin(0).unwrap();
        }
        assert_eq!(begin(0), Err(Refused::Rate));
        assert_eq!(begin(SECOND_NS / 10 - 1), Err(Refused::Rate));
        begin(SECOND_NS / 10).unwrap();
        assert_eq!(begin(SECOND_NS / 10), Err(Refused::Rate));
        // What was not used in a long time does not add up.
        let later_ns = 100 * SECOND_NS;
        for _ in 0..10 {
            begin(later_ns).unwrap();
        }
        assert_eq!(begin(later_ns), Err(Refused::Rate));
    }

    #[test]
    fn balancers_are_exempt() {
        let mut peers = peers(1, 1, &["10.0.0.0/8", "::1"]);
        for _ in 0..100 {
            for exempt in ["10.255.0.1", "::ffff:10.0.0.1", "::1"] {
                assert_eq!(peers.begin(ip(exempt), 0), Ok(Place::Exempt));
            }
        }
        peers.begin(ip("11.0.0.1"), 0).unwrap();
        peers.begin(ip("11.0.0.1"), 0).unwrap_err();
    }

    #[test]
    fn a_customers_ipv6_network_is_one_address() {
        let mut peers = peers(1, 0, &[]);
        peers.begin(ip("2001:db8:1:1::1"), 0).unwrap();
        peers.begin(ip("2001:db8:1:1:ffff::2"), 0).unwrap_err();
        peers.begin(ip("2001:db8:1:2::1"), 0).unwrap();
        peers.begin(ip("::ffff:192.0.2.1"), 0).unwrap();
        peers.begin(ip("192.0.2.1"), 0).unwrap_err();
    }

    #[test]
    fn memory_is_bounded_and_accounts_that_hold_nothing_make_room() {
        let mut peers = peers(4, 1, &[]);
        let address = |i: usize| IpAddr::V4((0x0a00_0000 + i as u32).into());
        let places: Vec<_> = (0..ADDRESSES_MAX).map(|i| peers.begin(address(i), 0).unwrap()).collect();
        assert_eq!(peers.begin(address(ADDRESSES_MAX), 0), Ok(Place::Untracked));
        for place in &places {
            peers.end(place, 0);
        }
        // They hold their second's share yet.
        assert_eq!(peers.accounts.len(), ADDRESSES_MAX);
        assert_eq!(peers.begin(address(ADDRESSES_MAX), SECOND_NS - 1), Ok(Place::Untracked));
        let place = peers.begin(address(ADDRESSES_MAX), SECOND_NS).unwrap();
        assert_eq!(place, Place::Of(address(ADDRESSES_MAX)));
        assert_eq!(peers.accounts.len(), 1);
        peers.end(&place, 3 * SECOND_NS);
        assert_eq!(peers.accounts.len(), 0);
    }

    #[test]
    fn networks_are_read_and_written() {
        for (text, written) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::1", "2001:db8::1/128"),
        ] {
            assert_eq!(String::from(text.parse::<Network>().unwrap()), written);
        }
        for text in ["", "10.1", "10.0.0.0/33", "::/129", "10.0.0.0/x", "10.0.0.0/", "host"] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork(text.to_owned())));
        }
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains(ip("192.0.2.1")));
        assert!(!"0.0.0.0/0".parse::<Network>().unwrap().contains(ip("2001:db8::1")));
    }
}
