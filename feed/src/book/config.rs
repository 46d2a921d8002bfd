//! The section `[book]` of the configuration.

use super::Limits;
use serde::Deserialize;
use service::config::Invalid;

/// The depth of each security, rebuilt from its ticks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BookConfig {
    /// Securities, at most.
    pub securities_max: usize,
    /// Orders of all books, at most.
    pub orders_max: usize,
    /// Orders of one book, at most, and levels.
    pub orders_per_security_max: usize,
    /// How often books that have changed are published as snapshots, milliseconds; 0: never.
    pub publish_interval_ms: u64,
    /// ChannelNo of those snapshots.
    pub publish_channel: u16,
}

impl Default for BookConfig {
    fn default() -> Self {
        let Limits { securities_max, orders_max, orders_per_security_max } = Limits::default();
        Self {
            securities_max,
            orders_max,
            orders_per_security_max,
            publish_interval_ms: 0,
            publish_channel: 9_910,
        }
    }
}

impl BookConfig {
    pub(crate) fn validate(&self) -> Result<(), Invalid> {
        let nonzero = [
            ("securities_max", self.securities_max),
            ("orders_max", self.orders_max),
            ("orders_per_security_max", self.orders_per_security_max),
        ];
        if let Some((name, _)) = nonzero.iter().find(|(_, value)| *value == 0) {
            return Err(Invalid::new(format!("book.{name}"), "expected more than 0"));
        }
        if self.publish_interval_ms != 0 && !(20..=60_000).contains(&self.publish_interval_ms) {
            return Err(Invalid::new("book.publish_interval_ms", "expected 0, or 20 to 60000"));
        }
        Ok(())
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            securities_max: self.securities_max,
            orders_max: self.orders_max,
            orders_per_security_max: self.orders_per_security_max,
        }
    }

    /// The channel of snapshots made of books, ours or those of a feed that is a source of ours.
    pub(crate) fn channel(book: Option<&Self>) -> u16 {
        book.map_or_else(|| Self::default().publish_channel, |book| book.publish_channel)
    }

    /// Nanoseconds between two snapshots of a book, if there are any.
    pub(crate) fn publish_interval_ns(&self) -> Option<u64> {
        (self.publish_interval_ms > 0).then_some(self.publish_interval_ms * 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use service::config::{Config as _, parse};

    fn error(text: &str) -> String {
        parse::<Config>(text, "feed.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_default_text_shows_what_books_may_hold() {
        let text = Config::DEFAULT_TOML.replace("# [book]", "[book]");
        let keys = [
            "securities_max",
            "orders_max",
            "orders_per_security_max",
            "publish_interval_ms",
            "publish_channel",
        ];
        let begin = text.find("[book]").unwrap();
        let (before, section) = text.split_at(begin);
        let (section, after) = section.split_at(section.find("\n\n").unwrap());
        let uncomment = |text: String, key: &&str| text.replace(&format!("# {key} ="), &format!("{key} ="));
        let section = keys.iter().fold(section.to_owned(), uncomment);
        let config: Config = parse(&format!("{before}{section}{after}"), "feed.toml").unwrap();
        assert_eq!(config.book, Some(BookConfig::default()));
        let error = |keys: &str| error(&format!("[book]\n{keys}\n"));
        assert!(error("orders_max = 0").contains("`book.orders_max`: expected more than 0"));
        assert!(
            error("publish_interval_ms = 1")
                .contains("`book.publish_interval_ms`: expected 0, or 20 to 60000")
        );
    }
}
