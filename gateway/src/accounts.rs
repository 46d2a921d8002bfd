//! Who may log on and which accounts they may trade: read from the configuration, never changed while running.

use crate::index::{Index, Seed};
use crate::orders::AccountKey;
use flow::{Filter, KeySet};
use wire::szse::{Password, Text};

/// Accounts that one CompID may trade, at most: a cancel without an OrderID may have to look at each.
pub const ACCOUNTS_OF_COMP_MAX: usize = 256;

/// A CompID's place in the configuration.
pub type CompNo = usize;

/// A client: one CompID.
pub struct Comp {
    /// Its name.
    pub comp_id: Text<20>,
    password: Password,
    /// The accounts that it may trade, ascending; of a drop copy, those whose reports it gets.
    pub accounts: Box<[AccountKey]>,
    /// A drop copy: it sees reports and sends nothing.
    pub read_only: bool,
}

impl Comp {
    /// Whether an account is one of its own.
    #[inline]
    pub fn owns(&self, account: AccountKey) -> bool {
        self.accounts.binary_search(&account).is_ok()
    }

    /// The reports that it sees.
    pub fn filter(&self) -> Filter {
        match *self.accounts {
            [account] => Filter::Key(account),
            _ => Filter::Keys(self.accounts.iter().copied().collect::<KeySet>()),
        }
    }
}

/// One CompID as the configuration has it.
pub struct Credentials {
    /// The name.
    pub comp_id: Text<20>,
    /// The password.
    pub password: Password,
    /// The accounts that it may trade.
    pub accounts: Vec<Text<12>>,
    /// It sees their reports and sends nothing.
    pub read_only: bool,
}

/// All CompIDs and accounts.
pub struct Accounts {
    comps: Vec<Comp>,
    /// Ascending by name.
    by_comp_id: Vec<(Text<20>, CompNo)>,
    /// `AccountKey` counts from 1 along this list.
    names: Vec<Text<12>>,
    by_name: Index,
    seed: Seed,
}

impl Accounts {
    /// Interns the accounts. An account may belong to several CompIDs.
    pub fn new(credentials: Vec<Credentials>) -> Self {
        let total: usize = credentials.iter().map(|comp| comp.accounts.len()).sum();
        let places_max =
            u32::try_from(total).expect("invariant: a configuration holds fewer than 2^32 names");
        let mut accounts = Self {
            comps: Vec::with_capacity(credentials.len()),
            by_comp_id: Vec::with_capacity(credentials.len()),
            names: Vec::with_capacity(total),
            by_name: Index::new(places_max),
            seed: Seed::random(),
        };
        for Credentials { comp_id, password, accounts: names, read_only } in credentials {
            let mut keys: Vec<AccountKey> = names.iter().map(|name| accounts.intern(*name)).collect();
            keys.sort_unstable();
            keys.dedup();
            accounts.by_comp_id.push((comp_id, accounts.comps.len()));
            accounts.comps.push(Comp { comp_id, password, accounts: keys.into_boxed_slice(), read_only });
        }
        accounts.by_comp_id.sort_unstable();
        accounts
    }

    fn intern(&mut self, name: Text<12>) -> AccountKey {
        self.key(name).unwrap_or_else(|| {
            self.by_name.insert(self.seed.hash(padded(name)), self.names.len() as u32);
            self.names.push(name);
            self.names.len() as AccountKey
        })
    }

    /// The key of an account; `None` for one that nobody here may trade.
    #[inline]
    pub fn key(&self, name: Text<12>) -> Option<AccountKey> {
        let hash = self.seed.hash(padded(name));
        self.by_name.find(hash, |place| self.names[place as usize] == name).map(|place| place + 1)
    }

    /// The CompID with this name.
    pub fn find(&self, comp_id: Text<20>) -> Option<CompNo> {
        let found = self.by_comp_id.binary_search_by_key(&comp_id, |(name, _)| *name).ok();
        found.map(|at| self.by_comp_id[at].1)
    }

    /// The CompID with this name and password. Takes as long for a wrong name as for a wrong password.
    pub fn authenticate(&self, comp_id: Text<20>, password: &Password) -> Option<CompNo> {
        let found = self.by_comp_id.binary_search_by_key(&comp_id, |(name, _)| *name).ok();
        let comp_no = found.map(|at| self.by_comp_id[at].1);
        let expected = comp_no.map_or_else(Password::default, |comp_no| self.comps[comp_no].password);
        let right = expected == *password;
        comp_no.filter(|_| right)
    }

    /// The accounts of a CompID that no other one may trade.
    pub fn only_of(&self, comp_no: CompNo) -> impl Iterator<Item = AccountKey> + '_ {
        let shared = move |account: AccountKey| {
            let mut others =
                self.comps.iter().enumerate().filter(|(no, comp)| *no != comp_no && !comp.read_only);
            others.any(|(_, comp)| comp.owns(account))
        };
        self.comps[comp_no].accounts.iter().copied().filter(move |account| !shared(*account))
    }

    /// The names of all accounts, that with key 1 first.
    pub fn names(&self) -> &[Text<12>] {
        &self.names
    }

    /// How many accounts there are: their keys are 1 to this.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of an account.
    pub fn name(&self, account: AccountKey) -> Option<Text<12>> {
        self.names.get((account as usize).checked_sub(1)?).copied()
    }

    /// How many CompIDs there are.
    pub fn comps_len(&self) -> usize {
        self.comps.len()
    }
}

impl std::ops::Index<CompNo> for Accounts {
    type Output = Comp;

    fn index(&self, comp_no: CompNo) -> &Comp {
        &self.comps[comp_no]
    }
}

#[inline]
fn padded(name: Text<12>) -> [u8; 16] {
    let mut key = [0; 16];
    key[..12].copy_from_slice(name.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::Tag;

    fn accounts() -> Accounts {
        let comp = |comp_id: &str, password: &[u8], accounts: &[&str]| Credentials {
            comp_id: comp_id.parse().unwrap(),
            password: Password::new(password).unwrap(),
            accounts: accounts.iter().map(|name| name.parse().unwrap()).collect(),
            read_only: false,
        };
        Accounts::new(vec![comp("beta", b"b", &["2", "1"]), comp("alpha", b"a", &["3", "2", "2"])])
    }

    #[test]
    fn who_may_log_on() {
        let accounts = accounts();
        let logon = |comp_id: &str, password: &[u8]| {
            accounts.authenticate(comp_id.parse().unwrap(), &Password::new(password).unwrap())
        };
        assert_eq!(logon("beta", b"b"), Some(0));
        assert_eq!(logon("alpha", b"a"), Some(1));
        assert_eq!(logon("alpha", b"b"), None);
        assert_eq!(logon("gamma", b""), None, "an unknown name has no password, not a blank one");
    }

    #[test]
    fn what_they_may_trade_and_see() {
        let accounts = accounts();
        let keys = ["1", "2", "3"].map(|name| accounts.key(name.parse().unwrap()).unwrap());
        assert!(accounts.key("4".parse().unwrap()).is_none());
        assert!(!keys.contains(&Tag::EVERYONE));
        assert_eq!(keys.map(|key| accounts[0].owns(key)), [true, true, false]);
        assert_eq!(keys.map(|key| accounts[1].owns(key)), [false, true, true]);
        let sees = |key| accounts[1].filter().passes(Tag { lane: 1, number: 1, key });
        assert_eq!(keys.map(sees), [false, true, true]);
        let only_of = |comp_no| accounts.only_of(comp_no).collect::<Vec<_>>();
        assert_eq!([only_of(0), only_of(1)], [[keys[0]], [keys[2]]]);
    }
}
