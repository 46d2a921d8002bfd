//! PEM (RFC 7468).

use zeroize::Zeroizing;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `der` as PEM with the label, in lines of 64 characters. In zeroized memory, as it may be a secret key; its time
/// tells nothing of a short key that its length does not, but for the cache lines of the alphabet (one).
#[must_use]
pub fn encode_pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(der.len() * 2 + 80));
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let mut bytes = [0; 4];
            bytes[1..=group.len()].copy_from_slice(group);
            let word = u32::from_be_bytes(bytes);
            for i in 0..4 {
                let symbol = ALPHABET[(word >> (18 - 6 * i)) as usize & 63];
                out.push(if i <= group.len() { char::from(symbol) } else { '=' });
            }
        }
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// The sections of a PEM text with their labels, in order; text around them and sections that cannot be read are
/// passed over.
#[must_use]
pub fn decode_pem(text: &str) -> Vec<(String, Zeroizing<Vec<u8>>)> {
    let mut lines = text.lines().map(str::trim_end);
    let mut sections = Vec::new();
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|l| l.strip_suffix("-----")) else {
            continue;
        };
        let body: Zeroizing<String> =
            Zeroizing::new(lines.by_ref().take_while(|line| !line.starts_with("-----END ")).collect());
        sections.extend(decode_base64(&body).map(|der| (label.to_owned(), der)));
    }
    sections
}

fn decode_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let symbols = text.trim_end_matches('=').as_bytes();
    let mut out = Zeroizing::new(Vec::with_capacity(symbols.len() / 4 * 3 + 3));
    for group in symbols.chunks(4) {
        let mut word = 0;
        for i in 0..4 {
            let value = match group.get(i) {
                None => 0,
                Some(symbol) => ALPHABET.iter().position(|s| s == symbol)?,
            };
            word = word << 6 | value as u32;
        }
        out.extend(&word.to_be_bytes()[1..group.len().max(1)]);
    }
    Some(out)
}
