//! `[[phases]]`: when what is taken.

use super::parse;
use crate::core::{Call, Phase, Schedule};
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
    /// Whether a call auction takes cancels; left out, it does.
    #[serde(default)]
    pub cancels: Option<bool>,
}

/// See [`Phase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// See [`Call::Opening`].
    OpeningCall,
    /// See [`Call::Closing`].
    ClosingCall,
    /// See [`Phase::Continuous`].
    Continuous,
    /// See [`Phase::Break`].
    Break,
    /// See [`Phase::Closed`].
    Closed,
}

pub(super) fn schedule(phases: &[PhaseConfig]) -> Result<Schedule, Invalid> {
    let one = |(at, config): (usize, &PhaseConfig)| {
        let call = |call| Phase::Call { call, cancels: config.cancels.unwrap_or(true) };
        let phase = match config.phase {
            PhaseName::OpeningCall => call(Call::Opening),
            PhaseName::ClosingCall => call(Call::Closing),
            PhaseName::Continuous => Phase::Continuous,
            PhaseName::Break => Phase::Break,
            PhaseName::Closed => Phase::Closed,
        };
        if config.cancels.is_some() && !matches!(phase, Phase::Call { .. }) {
            return Err(Invalid::new(format!("phases[{at}].cancels"), "only a call auction has this"));
        }
        Ok((parse(&config.from, || format!("phases[{at}].from"))?, phase))
    };
    let phases = phases.iter().enumerate().map(one).collect::<Result<_, Invalid>>()?;
    Schedule::new(phases).map_err(|error| Invalid::new("phases", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use crate::core::{Call, Phase, Schedule};

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
            ("\"break\"", "\"break\"\ncancels = true", "`phases[1].cancels`: only a call auction has this"),
            ("\"break\"", "\"opening_call\"\ncancels = 1", "cancels"),
        ];
        for (good, bad, expected) in cases {
            let error = read(&TWO.replace(good, bad)).unwrap_err();
            assert!(error.contains(expected), "{bad}\n{error}");
        }
    }

    #[test]
    fn the_exchanges_own_day_can_be_said() {
        let phase = |from, phase, rest| format!("[[phases]]\nfrom = \"{from}\"\nphase = \"{phase}\"\n{rest}");
        let day = [
            phase("09:15:00", "opening_call", "cancels = true\n"),
            phase("09:20:00", "opening_call", "cancels = false\n"),
            phase("09:25:00", "break", ""),
            phase("09:30:00", "continuous", ""),
            phase("14:57:00", "closing_call", "cancels = false\n"),
            phase("15:00:00", "closed", ""),
        ];
        let said = read(&day.concat()).unwrap().schedule().unwrap();
        let at = |text: &str| text.parse().unwrap();
        let call = |call, cancels| Phase::Call { call, cancels };
        let expected = [
            (at("09:15:00"), call(Call::Opening, true)),
            (at("09:20:00"), call(Call::Opening, false)),
            (at("09:25:00"), Phase::Break),
            (at("09:30:00"), Phase::Continuous),
            (at("14:57:00"), call(Call::Closing, false)),
            (at("15:00:00"), Phase::Closed),
        ];
        assert_eq!(said, Schedule::new(expected.to_vec()).unwrap());
    }

    #[test]
    fn a_day_is_of_its_phases() {
        let of = |text: &str| read(text).unwrap().fingerprint();
        assert_ne!(of(""), of(TWO));
        assert_ne!(of(TWO), of(&TWO.replace("11:30:00", "11:30:01")));
        let call = TWO.replace("break", "closing_call");
        assert_ne!(of(&call), of(&(call.clone() + "cancels = false\n")));
        assert_eq!(of(TWO), of(TWO));
    }
}
