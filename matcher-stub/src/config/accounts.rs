//! `[[accounts]]` and `[[short_inventory]]`: who is limited, and to what.

use super::parse;
use crate::core::{Account, Accounts, Listings, Shares};
use serde::Deserialize;
use service::config::Invalid;

/// An account that is limited to what it has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// AccountID.
    pub id: String,
    /// Cash at the start of the day.
    #[serde(default = "nothing")]
    pub cash: String,
    /// Money that it may owe.
    #[serde(default = "nothing")]
    pub financing_limit: String,
    /// Shares at the start of the day.
    #[serde(default)]
    pub positions: Vec<SharesConfig>,
}

/// Shares of a security.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharesConfig {
    /// SecurityID.
    pub security: String,
    /// How many.
    pub quantity: String,
}

fn nothing() -> String {
    "0".to_owned()
}

/// What is listed, at the start of the day.
pub(super) fn accounts(
    accounts: &[AccountConfig],
    short_inventory: &[SharesConfig],
    listings: &Listings,
) -> Result<Accounts, Invalid> {
    let mut list = Vec::with_capacity(accounts.len());
    for (at, account) in accounts.iter().enumerate() {
        let key = |field: &str| format!("accounts[{at}].{field}");
        list.push(Account {
            id: parse(&account.id, || key("id"))?,
            cash: parse(&account.cash, || key("cash"))?,
            financing_limit: parse(&account.financing_limit, || key("financing_limit"))?,
            positions: shares(&account.positions, &key("positions"))?,
        });
    }
    let inventory = shares(short_inventory, "short_inventory")?;
    Accounts::new(&list, &inventory, listings).map_err(|error| Invalid::new("accounts", error.to_string()))
}

fn shares(list: &[SharesConfig], key: &str) -> Result<Vec<Shares>, Invalid> {
    let one = |(at, shares): (usize, &SharesConfig)| {
        Ok(Shares {
            security: parse(&shares.security, || format!("{key}[{at}].security"))?,
            quantity: parse(&shares.quantity, || format!("{key}[{at}].quantity"))?,
        })
    };
    list.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn read(text: &str) -> Result<Config, String> {
        service::config::parse(text, "matcher.toml").map_err(|error| error.to_string())
    }

    const ONE: &str = "[[accounts]]\nid = \"A1\"\ncash = \"1000.00\"\nfinancing_limit = \"500\"\n\
        positions = [{ security = \"000001\", quantity = \"300\" }]\n";

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        let short = "[[short_inventory]]\nsecurity = \"000001\"\nquantity = \"1000\"\n";
        let cases = [
            (ONE.replace("A1", ""), "`accounts`: an account without id"),
            (ONE.replace("A1", "more than 12 letters"), "`accounts[0].id`"),
            (ONE.replace("1000.00", "1000.00001"), "matcher.toml:3:8: `accounts[0].cash`"),
            (ONE.replace("1000.00", "-1"), "account A1: cash and financing_limit must not be below 0"),
            (ONE.replace("\"500\"", "\"much\""), "`accounts[0].financing_limit`"),
            (ONE.replace("000001", "600519"), "security 600519 is not traded here"),
            (ONE.replace("\"300\"", "\"-300\""), "security 000001: the quantity must not be below 0"),
            (ONE.replace("\"300\"", "300"), "matcher.toml:5:48: expected text in quotes"),
            (ONE.replace("\"300\"", "\"0.001\""), "`accounts[0].positions[0].quantity`"),
            (ONE.to_owned() + ONE, "account A1 is listed twice"),
            (format!("{ONE}{short}{short}"), "security 000001 is named twice"),
            (ONE.to_owned() + "limit = 1\n", "unknown field `limit`"),
        ];
        for (text, expected) in cases {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }

    #[test]
    fn a_day_is_of_its_accounts() {
        let of = |text: &str| read(text).unwrap().fingerprint();
        let short = "[[short_inventory]]\nsecurity = \"000001\"\nquantity = \"1000\"\n";
        let texts = [
            "",
            ONE,
            &ONE.replace("1000.00", "1000.01"),
            &ONE.replace("300", "400"),
            &format!("{ONE}{short}"),
        ];
        let mut days = texts.map(of).to_vec();
        assert_eq!(of(ONE), days[1]);
        days.sort_unstable();
        days.dedup();
        assert_eq!(days.len(), texts.len());
    }
}
