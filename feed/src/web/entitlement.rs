//! Whose browser it is, and what it may see: of entitlement, what browsers need is here.

use crate::config::Account;
use crate::entitlement::{Doorkeeper, Held, Market, Renewed};
use crate::web::code::Code;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use wire::szse::session::LogonRefusal;
use wire::szse::{Logon, Password, Text};

/// Lets browsers in, by HTTP's basic authentication where the configuration has accounts or rights.
pub(super) struct Gate {
    accounts: Arc<[Account]>,
    doorkeeper: Option<Doorkeeper>,
}

/// Who looks: an account with its right; none where everyone who is let in sees everything.
pub(super) struct Viewer(Option<Held>);

impl Gate {
    pub(super) fn new(accounts: Arc<[Account]>, doorkeeper: Option<Doorkeeper>) -> Self {
        Self { accounts, doorkeeper }
    }

    /// Whether who asks is known: for what is no quote.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(doorkeeper) = &self.doorkeeper else { return self.has_account(headers) };
        said(headers).is_some_and(|logon| doorkeeper.knows(&logon))
    }

    /// Who asks, with one of its account's connections taken.
    ///
    /// # Errors
    /// Why it is not let in.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Viewer, &'static str> {
        match &self.doorkeeper {
            None if self.has_account(headers) => Ok(Viewer(None)),
            None => Err(LogonRefusal::Credentials.text()),
            Some(doorkeeper) => {
                let logon = said(headers).ok_or(LogonRefusal::Credentials.text())?;
                let held = doorkeeper.admit(&logon, None).map_err(LogonRefusal::text)?;
                if is_live(&held) {
                    Ok(Viewer(Some(held)))
                } else {
                    Err("delayed quotes are not for browsers")
                }
            }
        }
    }

    /// Looks at the right again if rights have changed; false where there is none any more.
    pub(super) fn renew(&self, viewer: &mut Viewer) -> bool {
        match (&self.doorkeeper, &mut viewer.0) {
            (Some(doorkeeper), Some(held)) if doorkeeper.has_news_for(Some(held)) => {
                let renewed = doorkeeper.renew(held);
                matches!(renewed, Renewed::Same | Renewed::Other | Renewed::Moved) && is_live(held)
            }
            _ => true,
        }
    }

    fn has_account(&self, headers: &HeaderMap) -> bool {
        self.accounts.is_empty()
            || said(headers).is_some_and(|said| {
                let account = self.accounts.iter().find(|account| account.comp_id == said.sender_comp_id);
                account.is_some_and(|account| account.password.is(&said.password))
            })
    }
}

impl Viewer {
    /// Whether it may see a security.
    pub(super) fn may_see(&self, code: &Code) -> bool {
        self.0.as_ref().is_none_or(|held| held.right().markets.contains(Market::of(&code.source)))
    }

    /// Whether it may see trades, and what is made of them.
    pub(super) fn sees_ticks(&self) -> bool {
        self.0.as_ref().is_none_or(|held| held.right().sees_ticks())
    }
}

/// Browsers are shown the market as it is: who has bought it late is not among them.
fn is_live(held: &Held) -> bool {
    held.right().delay_min == 0
}

/// The user and password of a request, as a logon says them.
fn said(headers: &HeaderMap) -> Option<Logon> {
    let said = headers.get(header::AUTHORIZATION)?.as_bytes().strip_prefix(b"Basic ")?;
    let said = STANDARD.decode(said).ok()?;
    let colon = said.iter().position(|byte| *byte == b':')?;
    let sender_comp_id = Text::new(&said[..colon]).ok()?;
    let password = Password::new(&said[colon + 1..]).ok()?;
    Some(Logon { sender_comp_id, password, ..Logon::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_known(said: &str) -> bool {
        let text = "[[subscribers.accounts]]\ncomp_id = \"desk\"\npassword = \"hush\"\n";
        let config: crate::Config = service::config::parse(text, "feed.toml").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, said.parse().unwrap());
        let gate = Gate::new(config.subscribers.accounts.into(), None);
        assert_eq!(gate.knows(&headers), gate.admit(&headers).is_ok());
        gate.knows(&headers)
    }

    #[test]
    fn where_there_are_accounts_only_they_look() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert!(is_known(&basic("desk:hush")));
        let bad = ["desk:hash", "desk", "disk:hush", ":", "desk:hush, hush and hush", "桌:hush"];
        bad.iter().for_each(|text| assert!(!is_known(&basic(text)), "{text}"));
        assert!(!is_known("Basic ***") && !is_known("Bearer x"));
        assert!(Gate::new(Arc::new([]), None).knows(&HeaderMap::new()));
    }
}
