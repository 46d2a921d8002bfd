//! Where in a file something is wrong, and what is said of it: for people who did not write the program.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A line that has this in it may hold a password: none of its values is shown.
const PASSWORD: &str = "pass";
/// The key of what a balancer's probe sends, which may be a logon: its value is not shown either.
const SENT: &str = "send";

/// Line and column of `span`, counted from 1, and its line with a mark under it. Passwords are left out.
pub(super) fn excerpt(text: &str, span: &Range<usize>) -> (usize, usize, String) {
    let (start, line_start) = line_at(text, span.start);
    let number = text[..line_start].matches('\n').count() + 1;
    let column = text[line_start..start].chars().count();
    let excerpt = if let Some(shown) = without_secret(text, line_start) {
        format!("\n {number} | {shown}")
    } else {
        let line = line(text, line_start);
        let marked = text.get(start..span.end).and_then(|marked| marked.lines().next());
        let marks = marked.map_or(1, |marked| marked.chars().count()).max(1);
        let gutter = number.to_string().len();
        format!("\n {number} | {line}\n {:gutter$} | {:column$}{}", "", "", "^".repeat(marks))
    };
    (number, column + 1, excerpt)
}

/// `at` itself or, where that is within a character, the text's beginning; and where its line begins.
fn line_at(text: &str, at: usize) -> (usize, usize) {
    let start = if text.is_char_boundary(at) { at } else { 0 };
    (start, text[..start].rfind('\n').map_or(0, |newline| newline + 1))
}

/// The line that begins at `start`.
fn line(text: &str, start: usize) -> &str {
    text[start..].lines().next().unwrap_or_default()
}

/// What may be shown of the line that begins at `start`, if a secret may be in it.
fn without_secret(text: &str, start: usize) -> Option<String> {
    let line = line(text, start);
    if let Some(key) = secret_key(line) {
        let end = line[key..].find('=').map_or(key + word_len(&line[key..]), |equals| key + equals + 1);
        return Some(format!("{} (not shown)", &line[..end]));
    }
    // The lines of a string that was opened further up have no key.
    let marks = |line: &str| line.matches("\"\"\"").count() + line.matches("'''").count();
    let opened = text[..start].lines().rfind(|&line| marks(line) > 0)?;
    (marks(opened) == 1 && secret_key(opened).is_some()).then(|| "(not shown)".to_owned())
}

/// Where in a line the first key begins whose value is a secret.
fn secret_key(line: &str) -> Option<usize> {
    let line = line.to_ascii_lowercase();
    // `send_proxy` and `sender_comp_id` are other keys.
    let is_sent = |at: usize| !line[..at].ends_with(in_word) && word_len(&line[at..]) == SENT.len();
    let sent = line.match_indices(SENT).map(|(at, _)| at).find(|&at| is_sent(at));
    line.find(PASSWORD).into_iter().chain(sent).min()
}

/// Bytes of the word that `text` begins with.
fn word_len(text: &str) -> usize {
    text.find(|char: char| !in_word(char)).unwrap_or(text.len())
}

/// Whether a key without quotation marks may have it.
fn in_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '-')
}

/// What the parser says, in words that say what to write instead.
pub(super) fn explain(text: &str, span: Option<Range<usize>>, message: &str) -> String {
    let (line, value, secret) = match &span {
        Some(span) => {
            let (_, start) = line_at(text, span.start);
            let secret = without_secret(text, start).is_some();
            (line(text, start), text.get(span.clone()).unwrap_or_default(), secret)
        }
        None => ("", "", false),
    };
    let table = line.trim().strip_prefix('[').and_then(|line| line.split(']').next());
    match (message, message.split_once(", expected ")) {
        ("invalid type: map, expected a sequence", _) if table.is_some_and(|name| !name.starts_with('[')) => {
            let name = table.unwrap_or_default();
            format!("there may be several of these: write [[{name}]] for each, not [{name}]")
        }
        ("duplicate key", _) if table.is_some() => {
            let name = table.unwrap_or_default().trim_start_matches('[');
            format!("[{name}] is there already; what there may be several of is written [[{name}]] each time")
        }
        ("invalid socket address syntax", _) | (_, Some((_, "socket address"))) => {
            "expected IP:PORT, such as \"127.0.0.1:7000\", with a port of at most 65535".to_owned()
        }
        (_, Some((_, expected))) if expected.starts_with("struct ") => {
            let key = line.split('=').next().unwrap_or_default().trim();
            format!("`{key}` is a section with keys of its own: [{key}]")
        }
        (_, Some((_, "a string"))) if secret => "expected text in quotes".to_owned(),
        (_, Some((_, "a string"))) if !value.contains(['\n', '"', '\'']) => {
            format!("expected text in quotes: \"{value}\"")
        }
        (_, Some((what, expected))) if secret && what.starts_with("invalid ") => {
            format!("expected {expected}")
        }
        _ => message.to_owned(),
    }
}

/// Where the value of `key` stands in `text`; the nearest enclosing table when the key itself is
/// left to its default.
pub(super) fn locate(text: &str, key: &str) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut table = Some(root.get_ref());
    for part in key.split('.') {
        let (name, index) = match part.strip_suffix(']').and_then(|part| part.split_once('[')) {
            Some((name, index)) => (name, index.parse::<usize>().ok()),
            None => (part, None),
        };
        let Some(mut value) = table.take().and_then(|table| table.get(name)) else { break };
        if let (DeValue::Array(items), Some(index)) = (value.get_ref(), index) {
            let Some(item) = items.get(index) else { break };
            value = item;
        }
        found = Some(value.span());
        table = match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        sources: Vec<Source>,
        log: Source,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Source {
        address: Option<std::net::SocketAddr>,
        price: String,
        password: String,
        send: String,
        send_proxy: u32,
    }

    fn said(text: &str) -> (String, String) {
        let error = toml::from_str::<Sample>(text).unwrap_err();
        let span = error.span().unwrap();
        (explain(text, Some(span.clone()), error.message()), excerpt(text, &span).2)
    }

    #[test]
    fn what_is_meant_is_said_rather_than_what_the_parser_met() {
        assert_eq!(
            said("[sources]\nprice = \"1\"\n").0,
            "there may be several of these: write [[sources]] for each, not [sources]"
        );
        for (first, second) in
            [("[sources]", "[sources]"), ("[[sources]]", "[sources]"), ("[sources]", "[[sources]]")]
        {
            let twice = said(&format!("{first}\nprice = \"1\"\n{second}\nprice = \"2\"\n"));
            let expected =
                "[sources] is there already; what there may be several of is written [[sources]] each time";
            assert_eq!(twice.0, expected);
            assert!(twice.1.starts_with(&format!("\n 3 | {second}")), "{twice:?}");
        }
        assert_eq!(said("[log]\nprice = \"1\"\nprice = \"2\"\n").0, "duplicate key");
        let address = said("[[sources]]\naddress = \"127.0.0.1:99999\"\n");
        assert!(address.0.starts_with("expected IP:PORT"), "{address:?}");
        assert!(address.1.contains("99999"), "{address:?}");
        assert!(said("[[sources]]\naddress = 7001\n").0.starts_with("expected IP:PORT"));
        assert_eq!(said("log = \"x\"\n").0, "`log` is a section with keys of its own: [log]");
        assert_eq!(said("[[sources]]\nprice = 10.00\n").0, "expected text in quotes: \"10.00\"");
        assert_eq!(said("[[sources]]\nprice = [1]\n").0, "expected text in quotes: \"[1]\"");
        assert_eq!(said("sources = 1\n").0, "invalid type: integer `1`, expected a sequence");
    }

    #[test]
    fn a_password_is_never_shown() {
        for line in [
            "password = 4711471147",
            "password = [\"4711471147\"]",
            "password = \"4711471147",
            "password = \"4711471147\"\"",
            "passwort = \"4711471147\"",
            "Password = \"4711471147\"",
            "password = 4711471147x",
            "send = 4711471147",
            "send = \"4711471147",
            "\"send\" = [\"4711471147\"]",
        ] {
            let (message, excerpt) = said(&format!("[[sources]]\n{line}\n"));
            assert!(!message.contains("4711") && !excerpt.contains("4711"), "{line}: {message}{excerpt}");
            assert!(excerpt.contains("2 | ") && excerpt.ends_with("= (not shown)"), "{line}: {excerpt}");
        }
        let inline = said("sources = [{ price = \"1\", password = \"hush\", addres = 1 }]\n");
        assert!(!inline.1.contains("hush"), "{inline:?}");
        let probe = said("sources = [{ price = \"1\", send = \"hush\", addres = 1 }]\n");
        assert!(!probe.1.contains("hush"), "{probe:?}");
        assert!(said("[[sources]]\npassword \"hush\"\n").1.ends_with("password (not shown)"));
        // A probe's lines are without a key.
        for end in ["\\q\"\"\"\n", "\n4711\\q\"\"\"\n", "\"\"\" 4711\n", "\n"] {
            let said = said(&format!("[[sources]]\nsend = \"\"\"hex:\n4711{end}"));
            assert!(!said.0.contains("4711") && said.1.ends_with("(not shown)"), "{end:?}: {said:?}");
        }
        let other = said("[[sources]]\nsend_proxy = \"v3\"\n");
        assert!(other.1.contains("v3"), "what is no secret is shown: {other:?}");
    }
}
