//! What browsers ask, as JSON, and what is wrong with it when it is.

use serde::Deserialize;

/// A browser's message.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Request {
    /// Wants to be told of these, from their whole state on.
    Subscribe {
        codes: Vec<String>,
        /// What of them; nothing means everything.
        #[serde(default)]
        want: Vec<Part>,
    },
    /// Wants to hear no more of these.
    Unsubscribe { codes: Vec<String> },
    /// Which securities have a code or a name that begins like this?
    Search { text: String },
    /// To be answered at once with the same number.
    Ping { id: u64 },
}

/// A part of a security's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    Snapshot,
    Depth,
    Trade,
    Line,
}

impl Part {
    /// Whether it is for who sees ticks, or does not: trades and the line are made of them.
    pub(super) fn is_for(self, ticks: bool) -> bool {
        ticks || matches!(self, Self::Snapshot | Self::Depth)
    }
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    NotText,
    BadCode,
    TooMany,
    NotEntitled,
}

impl Refusal {
    /// As the browser is told, and as the metric's label.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotText => "not_text",
            Self::BadCode => "bad_code",
            Self::TooMany => "too_many_subscriptions",
            Self::NotEntitled => "not_entitled",
        }
    }
}

impl Request {
    /// # Errors
    /// What is wrong with it, in serde's words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_document_says_and_nothing_else() {
        let codes = vec!["000001.SZ".to_owned()];
        assert_eq!(
            Request::parse(r#"{"op":"subscribe","codes":["000001.SZ"],"want":["depth","line"]}"#),
            Ok(Request::Subscribe { codes: codes.clone(), want: vec![Part::Depth, Part::Line] })
        );
        assert_eq!(
            Request::parse(r#"{"op":"unsubscribe","codes":["000001.SZ"]}"#),
            Ok(Request::Unsubscribe { codes })
        );
        assert_eq!(Request::parse(r#"{"op":"ping","id":7}"#), Ok(Request::Ping { id: 7 }));
        let bad = [
            "",
            "null",
            "[]",
            r#"{"op":"sell"}"#,
            r#"{"op":"ping","id":-1}"#,
            r#"{"op":"search","text":"0","x":1}"#,
        ];
        bad.iter().for_each(|text| assert!(Request::parse(text).is_err(), "{text}"));
        assert!(Request::parse(&"[".repeat(10_000)).is_err());
    }
}
