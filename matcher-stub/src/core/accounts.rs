//! Hot path: what accounts own and owe, cash and credit. An order freezes what it may need, each fill settles its part,
//! what is left of it at its end is given back.
//!
//! Rules: no allocation, no lock, no log; one look-up an order, and none where no account is listed. Tables of all
//! accounts times all securities are made at the start. Money is price times quantity, raw, and exact: nothing is ever
//! rounded, and there are no fees.
//!
//! An account that is not listed is unlimited: nothing is kept of it.
//!
//! What it is not: a credit system. No haircuts, no maintenance ratio, no interest, no forced closing; the margin that an
//! order of credit needs is taken to have been checked by the broker.

use super::check::Terms;
use super::listing::{Listing, Listings, SecurityNo};
use super::refusal::Refusal;
use crate::book::Side;
use foldhash::{HashMap, HashMapExt};
use wire::szse::code::CashMargin;
use wire::szse::trading::NewOrder;
use wire::szse::{Amount, Price, Qty, SecurityId, Text};

/// Shares bought today are sold tomorrow (T+1): so it is for shares. Some funds may be sold on the day (?), which
/// listings do not tell.
pub const SOLD_ON_DAY_OF_PURCHASE: bool = false;

/// Shares that were bought back for the lender are not lent again on that day (?).
pub const LENT_AGAIN_ON_DAY_OF_RETURN: bool = false;

/// Most accounts times securities: each takes 40 bytes from the start.
pub const HOLDINGS_MAX: usize = 2_000_000;

/// Shares of a security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// SecurityID.
    pub security: SecurityId,
    /// How many, 0 or more.
    pub quantity: Qty,
}

/// An account at the start of its day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// AccountID.
    pub id: Text<12>,
    /// Cash, 0 or more.
    pub cash: Amount,
    /// What it may owe in money, 0 or more.
    pub financing_limit: Amount,
    /// What it owns and may sell today.
    pub positions: Vec<Shares>,
}

/// Why a list of accounts is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// An order without AccountID is no order.
    #[error("an account without id")]
    NoId,
    /// Each account is listed once.
    #[error("account {0} is listed twice")]
    Twice(Text<12>),
    /// Cash and limits are 0 or more.
    #[error("account {0}: cash and financing_limit must not be below 0")]
    Money(Text<12>),
    /// Shares are of a security that is traded here.
    #[error("security {0} is not traded here")]
    Unlisted(SecurityId),
    /// Each security is named once.
    #[error("security {0} is named twice")]
    SecurityTwice(SecurityId),
    /// Quantities are 0 or more.
    #[error("security {0}: the quantity must not be below 0")]
    Quantity(SecurityId),
    /// The table has its memory from the start.
    #[error("accounts times securities must be at most {HOLDINGS_MAX}")]
    TooMany,
}

/// Price times quantity, raw.
type Money = i128;

/// [`Money`] in one raw unit of an [`Amount`].
const MONEY_PER_AMOUNT: Money = (Price::SCALE * Qty::SCALE / Amount::SCALE) as Money;

/// An account's place in the list of accounts.
type AccountNo = u32;

/// What an order does, by its side and CashMargin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deal {
    /// Buys for cash.
    Buy,
    /// Sells for cash.
    Sell,
    /// Buys for money lent (融资买入).
    BuyOnCredit,
    /// Sells shares lent (融券卖出).
    SellShort,
    /// Sells to repay money (卖券还款).
    SellToRepay,
    /// Buys to return shares (买券还券).
    BuyToReturn,
}

impl Deal {
    fn of(side: Side, code: CashMargin) -> Self {
        match (side, code) {
            (Side::Buy, CashMargin::MARGIN_OPEN) => Self::BuyOnCredit,
            (Side::Sell, CashMargin::MARGIN_OPEN) => Self::SellShort,
            (Side::Buy, CashMargin::MARGIN_CLOSE) => Self::BuyToReturn,
            (Side::Sell, CashMargin::MARGIN_CLOSE) => Self::SellToRepay,
            // A desk takes no other value.
            (Side::Buy, _) => Self::Buy,
            (Side::Sell, _) => Self::Sell,
        }
    }
}

/// What an order has frozen for each unit that it may still trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    account: AccountNo,
    deal: Deal,
    /// Money frozen for a unit, where the deal freezes money: the worst price that it may trade at.
    price: i64,
}

/// An account's money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Purse {
    /// Its own.
    pub(super) cash: Money,
    /// Proceeds of short sales: they buy shares to return and nothing else, until no shares are owed.
    pub(super) collateral: Money,
    /// Of the cash, for orders that buy.
    pub(super) frozen: Money,
    /// Of collateral and, beyond it, cash: for orders that buy shares to return.
    pub(super) frozen_to_return: Money,
    /// Money owed.
    pub(super) debt: Money,
    /// Of the limit, for orders that buy on credit.
    pub(super) frozen_credit: Money,
    limit: Money,
    /// Shares owed, of all securities.
    shares_owed: i64,
}

impl Purse {
    /// Cash that nothing is frozen of.
    pub(super) fn free(&self) -> Money {
        self.cash - self.frozen - (self.frozen_to_return - self.collateral).max(0)
    }

    /// What may buy shares to return.
    pub(super) fn free_to_return(&self) -> Money {
        self.cash + self.collateral - self.frozen - self.frozen_to_return
    }

    /// What may still be lent.
    pub(super) fn free_credit(&self) -> Money {
        self.limit - self.debt - self.frozen_credit
    }
}

/// What an account has of a security, raw quantities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    /// From before today.
    pub(super) sellable: i64,
    /// Of it, for orders that sell.
    pub(super) frozen: i64,
    /// Bought today.
    pub(super) bought: i64,
    /// Shares owed.
    pub(super) debt: i64,
    /// Wanted by orders that buy shares to return.
    pub(super) claimed: i64,
}

impl Holding {
    fn receive(&mut self, quantity: i64) {
        let part = if SOLD_ON_DAY_OF_PURCHASE { &mut self.sellable } else { &mut self.bought };
        *part += quantity;
    }
}

/// What the lender has of a security, raw quantities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    /// May be lent.
    pub(super) free: i64,
    /// For short sales that have not traded.
    pub(super) frozen: i64,
    /// Came back today.
    pub(super) returned: i64,
}

impl Inventory {
    fn take_back(&mut self, quantity: i64) {
        let part = if LENT_AGAIN_ON_DAY_OF_RETURN { &mut self.free } else { &mut self.returned };
        *part += quantity;
    }
}

/// All accounts that are listed, and what is lent to them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    by_id: HashMap<Text<12>, AccountNo>,
    pub(super) purses: Vec<Purse>,
    /// By account, by security.
    pub(super) holdings: Vec<Holding>,
    /// By security.
    pub(super) inventory: Vec<Inventory>,
}

impl Accounts {
    /// Accounts at the start of their day, and what may be lent of each security in short sales; a security that is not
    /// named there is not lent.
    ///
    /// # Errors
    /// [`AccountError`] for the first thing that is not as it must be.
    pub fn new(
        list: &[Account],
        short_inventory: &[Shares],
        listings: &Listings,
    ) -> Result<Self, AccountError> {
        let securities = listings.as_slice().len();
        let holdings = list.len().saturating_mul(securities);
        if holdings > HOLDINGS_MAX {
            return Err(AccountError::TooMany);
        }
        let mut accounts = Self {
            by_id: HashMap::with_capacity(list.len()),
            purses: Vec::with_capacity(list.len()),
            holdings: vec![Holding::default(); holdings],
            inventory: vec![Inventory::default(); securities],
        };
        each(short_inventory, listings, |security, raw| accounts.inventory[security].free = raw)?;
        for (number, account) in (0..).zip(list) {
            if account.id.is_blank() {
                return Err(AccountError::NoId);
            }
            if account.cash < Amount::ZERO || account.financing_limit < Amount::ZERO {
                return Err(AccountError::Money(account.id));
            }
            if accounts.by_id.insert(account.id, number).is_some() {
                return Err(AccountError::Twice(account.id));
            }
            let money = |amount: Amount| Money::from(amount.raw()) * MONEY_PER_AMOUNT;
            let (cash, limit) = (money(account.cash), money(account.financing_limit));
            accounts.purses.push(Purse { cash, limit, ..Purse::default() });
            let row = number as usize * securities;
            each(&account.positions, listings, |security, raw| {
                accounts.holdings[row + security].sellable = raw;
            })?;
        }
        Ok(accounts)
    }

    /// Freezes what a checked order may need, or says what there is too little of and changes nothing. `None` for an
    /// account that is not listed.
    #[inline]
    pub(super) fn freeze(
        &mut self,
        request: &NewOrder,
        (security, listing): (SecurityNo, &Listing),
        terms: &Terms,
    ) -> Result<Option<Hold>, Refusal> {
        if self.by_id.is_empty() {
            return Ok(None);
        }
        let Some(&account) = self.by_id.get(&request.account_id) else { return Ok(None) };
        let deal = Deal::of(terms.side, request.ext.cash_margin);
        // What has no limit of its own may trade up to that of the day.
        let price = terms.limit().unwrap_or(listing.limit_up.raw());
        let hold = Hold { account, deal, price };
        let quantity = terms.quantity;
        let money = value(price, quantity);
        let (purse, holding, inventory) = self.of(hold, security);
        match deal {
            Deal::Buy if purse.free() < money => return Err(Refusal::Cash),
            Deal::Buy => purse.frozen += money,
            Deal::Sell | Deal::SellToRepay if holding.sellable - holding.frozen < quantity => {
                return Err(Refusal::Position);
            }
            Deal::Sell | Deal::SellToRepay => holding.frozen += quantity,
            Deal::BuyOnCredit if purse.free_credit() < money => return Err(Refusal::FinancingLimit),
            Deal::BuyOnCredit => purse.frozen_credit += money,
            Deal::SellShort if inventory.free < quantity => return Err(Refusal::ShortInventory),
            Deal::SellShort => {
                inventory.free -= quantity;
                inventory.frozen += quantity;
            }
            Deal::BuyToReturn => {
                // Buys come in lots: the last of them may bring more than is owed, which is then the account's own.
                let lot = listing.lot.raw();
                let owed = (holding.debt - holding.claimed).max(0);
                if quantity > owed.saturating_add(lot - 1) / lot * lot {
                    return Err(Refusal::SharesOwed);
                }
                if purse.free_to_return() < money {
                    return Err(Refusal::Cash);
                }
                purse.frozen_to_return += money;
                holding.claimed += quantity;
            }
        }
        Ok(Some(hold))
    }

    /// A part of an order traded, at its price or a better one.
    #[inline]
    pub(super) fn settle(&mut self, hold: Hold, security: SecurityNo, price: i64, quantity: i64) {
        let money = value(price, quantity);
        let (purse, holding, inventory) = self.of(hold, security);
        match hold.deal {
            Deal::Buy => {
                purse.cash -= money;
                holding.receive(quantity);
            }
            Deal::BuyOnCredit => {
                purse.debt += money;
                holding.receive(quantity);
            }
            Deal::Sell => {
                holding.sellable -= quantity;
                purse.cash += money;
            }
            Deal::SellToRepay => {
                holding.sellable -= quantity;
                let repaid = money.min(purse.debt);
                purse.debt -= repaid;
                purse.cash += money - repaid;
            }
            Deal::SellShort => {
                // It is lent, and gone from what the release below would give back.
                inventory.free -= quantity;
                holding.debt += quantity;
                purse.shares_owed += quantity;
                purse.collateral += money;
            }
            Deal::BuyToReturn => {
                let of_collateral = money.min(purse.collateral);
                purse.collateral -= of_collateral;
                purse.cash -= money - of_collateral;
                let returned = quantity.min(holding.debt);
                holding.debt -= returned;
                holding.receive(quantity - returned);
                inventory.take_back(returned);
                purse.shares_owed -= returned;
                if purse.shares_owed == 0 {
                    purse.cash += std::mem::take(&mut purse.collateral);
                }
            }
        }
        self.release(hold, security, quantity);
    }

    /// A part of an order has no more need of what it froze.
    #[inline]
    pub(super) fn release(&mut self, hold: Hold, security: SecurityNo, quantity: i64) {
        let money = value(hold.price, quantity);
        let (purse, holding, inventory) = self.of(hold, security);
        match hold.deal {
            Deal::Buy => purse.frozen -= money,
            Deal::Sell | Deal::SellToRepay => holding.frozen -= quantity,
            Deal::BuyOnCredit => purse.frozen_credit -= money,
            Deal::SellShort => {
                inventory.free += quantity;
                inventory.frozen -= quantity;
            }
            Deal::BuyToReturn => {
                purse.frozen_to_return -= money;
                holding.claimed -= quantity;
            }
        }
    }

    fn of(&mut self, hold: Hold, security: SecurityNo) -> (&mut Purse, &mut Holding, &mut Inventory) {
        let (account, security) = (hold.account as usize, security as usize);
        let row = account * self.inventory.len();
        (&mut self.purses[account], &mut self.holdings[row + security], &mut self.inventory[security])
    }
}

fn value(price: i64, quantity: i64) -> Money {
    Money::from(price) * Money::from(quantity)
}

/// Shares by the number of their security.
fn each(
    shares: &[Shares],
    listings: &Listings,
    mut take: impl FnMut(usize, i64),
) -> Result<(), AccountError> {
    let mut seen: HashMap<SecurityId, ()> = HashMap::with_capacity(shares.len());
    for Shares { security, quantity } in shares {
        let number = listings.find(security).ok_or(AccountError::Unlisted(*security))?;
        if *quantity < Qty::ZERO {
            return Err(AccountError::Quantity(*security));
        }
        if seen.insert(*security, ()).is_some() {
            return Err(AccountError::SecurityTwice(*security));
        }
        take(number as usize, quantity.raw());
    }
    Ok(())
}
