//! `[[phases]]`: when what is taken.

use super::parse;
use crate::core::{Phase, Schedule};
use serde::Deserialize;
use service::config::Invalid;

/// A phase of the day.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseConfig {
    /// When it begins: HH:MM:SS in the exchange's local time.
    pub from: String,
    /// What it is.
    pub phase: PhaseName,
}

/// See [`Phase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhaseName {
    /// See [`Phase::Continuous`].
    Continuous,
    /// See [`Phase::Break`].
    Break,
    /// See [`Phase::Closed`].
    Closed,
}

pub(super) fn schedule(phases: &[PhaseConfig]) -> Result<Schedule, Invalid> {
    let one = |(at, config): (usize, &PhaseConfig)| {
        let phase = match config.phase {
            PhaseName::Continuous => Phase::Continuous,
            PhaseName::Break => Phase::Break,
            PhaseName::Closed => Phase::Closed,
        };
        Ok((parse(&config.from, || format!("phases[{at}].from"))?, phase))
    };
    let phases = phases.iter().enumerate().map(one).collect::<Result<_, Invalid>>()?;
    Schedule::new(phases).map_err(|error| Invalid::new("phases", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn read(text: &str) -> Result<Config, String> {
        service::config::parse(text, "matcher.toml").map_err(|error| error.to_string())
    }

    const TWO: &str = "[[phases]]\nfrom = \"09:30:00\"\nphase = \"continuous\"\n\
        [[phases]]\nfrom = \"11:30:00\"\nphase = \"break\"\n";

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        let cases = [
            ("09:30:00", "9:30", "matcher.toml:2:8: `phases[0].from`: expected a time"),
            ("11:30:00", "24:00:00", "`phases[1].from`"),
            ("11:30:00", "11:60:00", "`phases[1].from`"),
            ("11:30:00", "09:30:00", "`phases`: each phase must begin later"),
            ("break", "auction", "auction"),
        ];
        for (good, bad, expected) in cases {
            let error = read(&TWO.replace(good, bad)).unwrap_err();
            assert!(error.contains(expected), "{bad}\n{error}");
        }
    }

    #[test]
    fn a_day_is_of_its_phases() {
        let of = |text: &str| read(text).unwrap().fingerprint();
        assert_ne!(of(""), of(TWO));
        assert_ne!(of(TWO), of(&TWO.replace("11:30:00", "11:30:01")));
        assert_eq!(of(TWO), of(TWO));
    }
}
