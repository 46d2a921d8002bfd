//! Hot path: kill switches: of an account, of this gateway, of all gateways.
//!
//! They stop orders, not cancels: who is stopped must be able to get out of the market. Rules: no allocation, no lock.

use crate::check::rule::Rule;
use crate::orders::AccountKey;

/// What is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One account.
    Account(AccountKey),
    /// All that comes to this gateway.
    Gateway,
    /// All gateways: set at each of them alike.
    Global,
}

/// The switches.
#[derive(Clone, Debug)]
pub struct Kill {
    global: bool,
    gateway: bool,
    /// By account.
    accounts: Box<[bool]>,
}

impl Kill {
    /// None is on. Accounts have the keys 1 to `accounts`.
    pub fn new(accounts: usize) -> Self {
        Self { global: false, gateway: false, accounts: vec![false; accounts + 1].into() }
    }

    /// Switches on or off; whether that changed anything.
    pub fn set(&mut self, scope: Scope, on: bool) -> bool {
        let switch = match scope {
            Scope::Account(account) => match self.accounts.get_mut(account as usize) {
                Some(switch) => switch,
                None => return false,
            },
            Scope::Gateway => &mut self.gateway,
            Scope::Global => &mut self.global,
        };
        std::mem::replace(switch, on) != on
    }

    /// Whether one is on.
    pub fn is_on(&self, scope: Scope) -> bool {
        match scope {
            Scope::Account(account) => self.accounts.get(account as usize).is_some_and(|on| *on),
            Scope::Gateway => self.gateway,
            Scope::Global => self.global,
        }
    }

    /// Accounts that are stopped.
    pub fn accounts(&self) -> impl Iterator<Item = AccountKey> + '_ {
        self.accounts.iter().enumerate().filter(|(_, on)| **on).map(|(key, _)| key as AccountKey)
    }

    /// Whether an account may trade.
    ///
    /// # Errors
    /// The switch that is on.
    #[inline]
    pub fn order(&self, account: AccountKey) -> Result<(), Rule> {
        if self.global {
            return Err(Rule::KilledGlobal);
        }
        if self.gateway {
            return Err(Rule::KilledGateway);
        }
        if self.is_on(Scope::Account(account)) { Err(Rule::KilledAccount) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_stops_what_it_is_for() {
        let mut kill = Kill::new(2);
        assert_eq!([1, 2].map(|account| kill.order(account)), [Ok(()); 2]);
        assert!(kill.set(Scope::Account(2), true));
        assert!(!kill.set(Scope::Account(2), true), "it is on");
        assert!(!kill.set(Scope::Account(3), true), "nobody's");
        assert_eq!([1, 2].map(|account| kill.order(account)), [Ok(()), Err(Rule::KilledAccount)]);
        assert_eq!(kill.accounts().collect::<Vec<_>>(), [2]);
        kill.set(Scope::Gateway, true);
        assert_eq!([1, 2].map(|account| kill.order(account)), [Err(Rule::KilledGateway); 2]);
        kill.set(Scope::Global, true);
        assert_eq!(kill.order(1), Err(Rule::KilledGlobal));
        kill.set(Scope::Global, false);
        kill.set(Scope::Gateway, false);
        assert_eq!([1, 2].map(|account| kill.order(account)), [Ok(()), Err(Rule::KilledAccount)]);
    }
}
