//! The pre-trade rules: each with its code, its text and its counter. `docs/checks.md` has the sources.

use std::fmt;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $group:ident, $text:literal;)*) => {
        /// A pre-trade rule that an order or a cancel does not keep. The first three digits of its text are its code, which
        /// is BusinessRejectReason too.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// All of them, in the order of their counters.
            pub const ALL: [Self; [$($code),*].len()] = [$(Self::$name),*];

            /// The code: its hundreds are the group's place in the chain.
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// BusinessRejectText, and the counter's label.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($code, ": ", $text),)*
                }
            }

            /// What it belongs to.
            pub const fn group(self) -> Group {
                match self {
                    $(Self::$name => Group::$group,)*
                }
            }
        }
    };
}

rules! {
    /// More requests of a session than it may send.
    SessionThrottled = 101, Throttle, "too many orders of the session";
    /// More requests of an account than it may send.
    AccountThrottled = 102, Throttle, "too many orders of the account";
    /// Outside all phases, or not a trading day.
    MarketClosed = 201, Phase, "market closed";
    /// The phase takes no such orders.
    OrdTypeNow = 202, Phase, "OrdType not taken in this phase";
    /// The phase takes no cancels.
    NoCancelNow = 203, Phase, "no cancel in this phase";
    /// The tables are of another day: they are being made.
    OtherDay = 204, Phase, "rules of the day not loaded";
    /// Not in the reference data.
    UnknownSecurity = 301, Security, "unknown security";
    /// Suspended from trading.
    Suspended = 302, Security, "security suspended";
    /// Not a whole number of shares, or not a quantity in which this board trades.
    Lot = 401, Lot, "OrderQty not in lots";
    /// Fewer than the board's least quantity.
    TooSmall = 402, Lot, "OrderQty below the least";
    /// The price is not a multiple of the tick.
    Tick = 501, Tick, "Price not a multiple of the tick";
    /// The price is above the upper limit.
    AboveLimit = 601, Limit, "Price above the upper limit";
    /// The price is below the lower limit.
    BelowLimit = 602, Limit, "Price below the lower limit";
    /// A buy too far above the market.
    CageBuy = 701, Cage, "buy price above the cage";
    /// A sell too far below the market.
    CageSell = 702, Cage, "sell price below the cage";
    /// The market's prices are too old to say, where that refuses.
    CageStale = 703, Cage, "no fresh quote for the cage";
    /// More shares than the board takes in one order of this type.
    TooLarge = 801, Largest, "OrderQty above the largest order";
    /// More money than one order may be worth here.
    Notional = 802, Largest, "order value above the largest";
    /// It could trade with an order of the same account.
    SelfCross = 811, SelfCross, "crosses an own order";
    /// The account has too many open orders in the security to look at them all.
    OpenOrders = 812, SelfCross, "too many open orders in the security";
    /// It would make the account a high-frequency one by the second.
    HighFrequencySecond = 821, Rate, "high frequency: requests in a second";
    /// It would make the account a high-frequency one by the day.
    HighFrequencyDay = 822, Rate, "high frequency: requests in a day";
    /// No security that may be bought on margin.
    NoMarginBuy = 901, Margin, "not to be bought on margin";
    /// No security that may be sold short.
    NoShortSale = 902, Margin, "not to be sold short";
    /// A short sale below the last trade.
    ShortSalePrice = 903, Margin, "short sale below the last price";
    /// A short sale without a price.
    ShortSaleMarket = 904, Margin, "short sale needs a limit price";
    /// The market's prices are too old to say, where that refuses.
    ShortSaleStale = 905, Margin, "no fresh quote for a short sale";
    /// The account's kill switch.
    KilledAccount = 951, Kill, "trading of the account stopped";
    /// The gateway's kill switch.
    KilledGateway = 952, Kill, "trading at this gateway stopped";
    /// The kill switch of all gateways.
    KilledGlobal = 953, Kill, "all trading stopped";
}

/// Rules that are switched together, in the order of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Requests per second of a session and an account, as the operator grants them.
    Throttle,
    /// Trading phases.
    Phase,
    /// Known and tradable.
    Security,
    /// Round lots and least quantities.
    Lot,
    /// Price steps.
    Tick,
    /// The day's price limits.
    Limit,
    /// Prices near the market's.
    Cage,
    /// Largest quantity and value.
    Largest,
    /// Own orders on the other side.
    SelfCross,
    /// High-frequency marks.
    Rate,
    /// Margin trading.
    Margin,
    /// Kill switches.
    Kill,
}

impl Group {
    /// All, in the order of the chain.
    pub const ALL: [Self; 12] = [
        Self::Throttle,
        Self::Phase,
        Self::Security,
        Self::Lot,
        Self::Tick,
        Self::Limit,
        Self::Cage,
        Self::Largest,
        Self::SelfCross,
        Self::Rate,
        Self::Margin,
        Self::Kill,
    ];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Phase => "phase",
            Self::Security => "security",
            Self::Lot => "lot",
            Self::Tick => "tick",
            Self::Limit => "limit",
            Self::Cage => "cage",
            Self::Largest => "largest",
            Self::SelfCross => "self-cross",
            Self::Rate => "rate",
            Self::Margin => "margin",
            Self::Kill => "kill",
        }
    }

    /// Whether it means nothing without reference data, so that it can be switched off where there is some.
    pub const fn needs_securities(self) -> bool {
        matches!(
            self,
            Self::Phase
                | Self::Security
                | Self::Lot
                | Self::Tick
                | Self::Limit
                | Self::Cage
                | Self::Largest
                | Self::Margin
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_texts_are_one_each_and_fit() {
        for (index, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(rule as usize, index);
            assert!(rule.text().len() <= 50, "{rule}");
            assert!(rule.text().starts_with(&rule.code().to_string()), "{rule}");
            assert_eq!(Rule::ALL.iter().filter(|other| other.code() == rule.code()).count(), 1, "{rule}");
        }
    }

    #[test]
    fn codes_ascend_in_the_order_of_the_chain() {
        let place = |rule: &Rule| Group::ALL.iter().position(|group| *group == rule.group());
        assert!(Rule::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
        assert!(Rule::ALL.windows(2).all(|pair| place(&pair[0]) <= place(&pair[1])));
        let mut names: Vec<_> = Group::ALL.map(Group::name).into();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Group::ALL.len());
    }
}
