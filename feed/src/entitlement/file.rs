//! Rights from a file: TOML, unknown keys refused, checked whole before any of it counts.

use super::{Credentials, Entitlement, Grant, Level, Market, Markets, Right};
use crate::config::{Secret, text};
use serde::Deserialize;
use service::config::{Config, Invalid};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use wire::szse::Text;

/// What stands in the file; `entitlement.toml` has every key with its meaning.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rights {
    /// Accounts and what they may see.
    pub accounts: Vec<AccountRight>,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountRight {
    /// Its name.
    pub name: String,
    /// Common name of its certificate.
    #[serde(default)]
    pub certificate: Option<String>,
    /// SenderCompID of its logon; blank: any.
    #[serde(deserialize_with = "text", default = "blank")]
    pub comp_id: Text<20>,
    /// Password of its logon.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Token in its logon's password.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Markets; `None` is all.
    #[serde(default)]
    pub markets: Option<Vec<Market>>,
    /// How much of them.
    pub level: Level,
    /// How far behind the market, minutes; 0 is live.
    #[serde(default)]
    pub delay_min: u16,
    /// Connections at a time.
    pub connections_max: u32,
}

const fn blank() -> Text<20> {
    Text::BLANK
}

impl AccountRight {
    fn right(&self) -> Right {
        let markets = self.markets.as_ref();
        Right {
            markets: markets.map_or(Markets::ALL, |markets| markets.iter().copied().collect()),
            level: self.level,
            delay_min: self.delay_min,
            connections_max: self.connections_max,
        }
    }

    /// Whether a logon shows all that this account names.
    fn fits(&self, who: &Credentials<'_>) -> bool {
        let secrets = [&self.password, &self.token];
        let secret = secrets.into_iter().flatten().all(|secret| secret.is(who.password));
        let certificate = self.certificate.as_deref().is_none_or(|name| who.certificate == Some(name));
        secret && certificate && (self.comp_id.is_blank() || self.comp_id == *who.comp_id)
    }

    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let (named, certified) = (!self.comp_id.is_blank(), self.certificate.is_some());
        match (named, self.password.is_some(), certified, self.token.is_some()) {
            (true, true, _, false) | (_, false, true, false) | (false, false, _, true) => {}
            (_, _, _, true) => return Err(("token", "expected neither comp_id nor password beside it")),
            (false, true, ..) => return Err(("password", "expected comp_id beside it")),
            (true, false, false, _) => return Err(("comp_id", "expected password or certificate beside it")),
            (false, false, false, false) => return Err(("name", "expected comp_id, certificate or token")),
        }
        if self.name.is_empty() {
            return Err(("name", "expected a name"));
        }
        let empty = |secret: &Option<Secret>| secret.as_ref() == Some(&Secret::default());
        if empty(&self.password) || empty(&self.token) {
            return Err(("name", "expected a password or token that is not empty"));
        }
        if self.markets.as_ref().is_some_and(Vec::is_empty) {
            return Err(("markets", "expected at least one; left out, it is all"));
        }
        if self.delay_min > 0 && self.level != Level::One {
            return Err(("level", "expected 1 with a delay: ticks are not held so long"));
        }
        if self.connections_max == 0 {
            return Err(("connections_max", "expected more than 0; an account without rights is left out"));
        }
        Ok(())
    }
}

impl Config for Rights {
    const DEFAULT_TOML: &'static str = include_str!("entitlement.toml");

    fn validate(&self) -> Result<(), Invalid> {
        // What was cut short by a full disk must not end every session.
        if self.accounts.is_empty() {
            return Err(Invalid::new("accounts", "expected at least one"));
        }
        let (mut names, mut comp_ids) = (HashMap::new(), HashMap::new());
        for (index, account) in self.accounts.iter().enumerate() {
            let invalid =
                |(key, problem): (&str, &str)| Invalid::new(format!("accounts[{index}].{key}"), problem);
            account.check().map_err(invalid)?;
            if names.insert(account.name.as_str(), index).is_some() {
                return Err(invalid(("name", "expected a name that no other account has")));
            }
            let shown = (account.comp_id, account.certificate.as_deref());
            if account.token.is_none() && comp_ids.insert(shown, index).is_some() {
                let problem = "expected another CompID or certificate: a logon must fit one account";
                return Err(invalid(("name", problem)));
            }
        }
        Ok(())
    }
}

/// The rights in force, ready to be asked.
#[derive(Debug)]
struct Table {
    accounts: Vec<AccountRight>,
    by_name: HashMap<Arc<str>, usize>,
    by_comp_id: HashMap<Text<20>, Vec<usize>>,
    by_certificate: HashMap<String, Vec<usize>>,
    with_token: Vec<usize>,
}

impl Table {
    fn new(Rights { accounts }: Rights) -> Self {
        let (mut by_name, mut by_comp_id, mut by_certificate) =
            (HashMap::new(), HashMap::new(), HashMap::new());
        let mut with_token = Vec::new();
        for (index, account) in accounts.iter().enumerate() {
            by_name.insert(account.name.as_str().into(), index);
            if account.token.is_some() {
                with_token.push(index);
            } else if !account.comp_id.is_blank() {
                by_comp_id.entry(account.comp_id).or_insert_with(Vec::new).push(index);
            } else if let Some(name) = &account.certificate {
                by_certificate.entry(name.clone()).or_insert_with(Vec::new).push(index);
            }
        }
        Self { accounts, by_name, by_comp_id, by_certificate, with_token }
    }

    /// The account that a logon fits: by CompID, else by certificate, else by token.
    fn find(&self, who: &Credentials<'_>) -> Option<&AccountRight> {
        let by_comp_id = self.by_comp_id.get(who.comp_id);
        let by_certificate = who.certificate.and_then(|name| self.by_certificate.get(name));
        let candidates = by_comp_id.into_iter().chain(by_certificate).chain([&self.with_token]).flatten();
        candidates.map(|index| &self.accounts[*index]).find(|account| account.fits(who))
    }
}

/// Rights from a file.
#[derive(Debug)]
pub struct RightsFile {
    path: PathBuf,
    delays_min: Vec<u16>,
    table: RwLock<Arc<Table>>,
    epoch: AtomicU64,
}

impl RightsFile {
    /// Reads a file, for a feed that offers these delays, minutes.
    ///
    /// # Errors
    /// It cannot be read, or not be used: with the line, the key and what was expected.
    pub fn open(path: &Path, delays_min: &[u16]) -> Result<Self, Invalid> {
        let table = RwLock::new(Arc::new(load(path, delays_min)?));
        let delays_min = delays_min.to_vec();
        Ok(Self { path: path.to_owned(), delays_min, table, epoch: AtomicU64::new(0) })
    }

    /// Reads the file again and puts it in force; returns the accounts in it.
    ///
    /// # Errors
    /// As [`Self::open`]; what was in force stays.
    pub fn reload(&self) -> Result<usize, Invalid> {
        let table = Arc::new(load(&self.path, &self.delays_min)?);
        let accounts = table.accounts.len();
        *self.table.write().expect("no holder of this lock panics") = table;
        self.epoch.fetch_add(1, Ordering::Release);
        Ok(accounts)
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().expect("no holder of this lock panics").clone()
    }
}

/// What names the file.
const KEY: &str = "entitlement.file";

fn load(path: &Path, delays_min: &[u16]) -> Result<Table, Invalid> {
    let rights: Rights = service::config::load_named(KEY, path)?;
    let offered =
        |account: &&AccountRight| account.delay_min != 0 && !delays_min.contains(&account.delay_min);
    if let Some(AccountRight { name, delay_min, .. }) = rights.accounts.iter().find(offered) {
        let problem = format!(
            "account \"{name}\": delay_min = {delay_min} is not among entitlement.delays_min of the feed"
        );
        return Err(Invalid::in_file(KEY, path, problem));
    }
    Ok(Table::new(rights))
}

impl Entitlement for RightsFile {
    fn admit(&self, who: &Credentials<'_>) -> Option<Grant> {
        let table = self.table();
        let account = table.find(who)?;
        Some(Grant { account: account.name.as_str().into(), right: account.right() })
    }

    fn right(&self, account: &str) -> Option<Right> {
        let table = self.table();
        table.by_name.get(account).map(|index| table.accounts[*index].right())
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::config::parse;
    use wire::szse::Password;

    const ACCOUNTS: &str = r#"
        accounts = [
          { name = "a", comp_id = "A", password = "pa", markets = ["SSE"], level = 2, connections_max = 1 },
          { name = "b", comp_id = "B", certificate = "b.example", level = 1, connections_max = 2 },
          { name = "c", certificate = "c.example", level = 1, connections_max = 3 },
          { name = "t", token = "0123456789abcdef", level = 1, connections_max = 4 },
        ]
    "#;

    fn found(comp_id: &'static str, password: &str, certificate: Option<&str>) -> Option<String> {
        let table = Table::new(parse(ACCOUNTS, "rights.toml").unwrap());
        let (comp_id, password) = (Text::literal(comp_id), Password::new(password.as_bytes()).unwrap());
        let account = table.find(&Credentials { comp_id: &comp_id, password: &password, certificate });
        account.map(|account| account.name.clone())
    }

    #[test]
    fn a_logon_finds_the_account_whose_every_sign_it_shows() {
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(found("A", "pa", None), some("a"));
        assert_eq!(found("A", "pb", None), None);
        assert_eq!(found("B", "pa", None), None, "without its certificate");
        assert_eq!(found("B", "", Some("b.example")), some("b"));
        assert_eq!(found("X", "", Some("b.example")), None, "another CompID");
        assert_eq!(found("X", "", Some("c.example")), some("c"));
        assert_eq!(found("X", "0123456789abcdef", None), some("t"));
        assert_eq!(found("X", "0123456789abcdeg", None), None);
        assert_eq!(found("X", "", None), None);
    }

    #[test]
    fn the_example_is_a_file_of_rights() {
        let rights: Rights = parse(Rights::DEFAULT_TOML, "entitlement.toml").unwrap();
        assert_eq!(rights.accounts[0].right().markets, [Market::Szse].into_iter().collect());
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        let error = |text: &str| parse::<Rights>(text, "r.toml").unwrap_err().to_string();
        let account = |keys: &str| {
            let rest = "name = \"a\"\nlevel = 1\nconnections_max = 1\n";
            error(&format!("[[accounts]]\n{keys}\n{rest}"))
        };
        assert!(error("").contains("`accounts`: expected at least one"));
        assert!(account("").contains("expected comp_id, certificate or token"));
        assert!(account("comp_id = \"A\"").contains("expected password or certificate"));
        assert!(account("password = \"p\"").contains("expected comp_id beside it"));
        assert!(account("comp_id = \"A\"\ntoken = \"t\"").contains("expected neither comp_id nor password"));
        assert!(account("comp_id = \"A\"\npassword = \"\"").contains("not empty"));
        let known = "comp_id = \"A\"\npassword = \"hush\"";
        assert!(account(&format!("{known}\nmarkets = []")).contains("`accounts[0].markets`"));
        assert!(account(&format!("{known}\nmarkets = [\"LSE\"]")).contains("unknown variant `LSE`"));
        assert!(account(&format!("{known}\nmarket = 1")).starts_with("r.toml:4:1: unknown field"));
        let text = format!("[[accounts]]\n{known}\nname = \"a\"\nlevel = 3\nconnections_max = 1\n");
        assert!(error(&text).contains("expected 1 (snapshots) or 2"), "{}", error(&text));
        assert!(!error(&text).contains("hush"));
        let good = text.replace("level = 3", "level = 2");
        assert!(error(&good.repeat(2)).contains("`accounts[1].name`: expected a name that no other"));
        let alike = good.clone() + &good.replace("\"a\"", "\"b\"");
        assert!(error(&alike).contains("a logon must fit one account"));
        let late = good.replace("level = 2", "level = 2\ndelay_min = 15");
        assert!(error(&late).contains("`accounts[0].level`: expected 1 with a delay"));
        assert!(error(&good.replace("max = 1", "max = 0")).contains("`accounts[0].connections_max`"));
    }

    #[test]
    fn a_file_with_an_error_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rights.toml");
        std::fs::write(&path, ACCOUNTS).unwrap();
        let file = RightsFile::open(&path, &[]).unwrap();
        std::fs::write(&path, "accounts = [").unwrap();
        assert!(file.reload().is_err());
        assert_eq!((file.epoch(), file.right("a").is_some()), (0, true));
        let late = ACCOUNTS
            .replace("level = 1, connections_max = 3", "level = 1, delay_min = 9, connections_max = 3");
        std::fs::write(&path, late).unwrap();
        assert!(file.reload().unwrap_err().to_string().contains("\"c\": delay_min = 9 is not among"));
        std::fs::write(&path, ACCOUNTS.replace("\"a\"", "\"z\"")).unwrap();
        assert_eq!(file.reload().unwrap(), 4);
        assert_eq!((file.epoch(), file.right("a").is_some()), (1, false));
    }
}
