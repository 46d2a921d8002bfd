//! Reads the published vectors under `vectors/` (facts of C2SP/wycheproof, one test a line).

pub(crate) struct Aead {
    pub(crate) id: u32,
    pub(crate) valid: bool,
    pub(crate) key: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
    pub(crate) aad: Vec<u8>,
    pub(crate) message: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) tag: Vec<u8>,
}

pub(crate) struct Mac {
    pub(crate) id: u32,
    pub(crate) valid: bool,
    pub(crate) key: Vec<u8>,
    pub(crate) message: Vec<u8>,
    pub(crate) tag: Vec<u8>,
}

fn hex(field: &str) -> Vec<u8> {
    let digits = field.trim_start_matches('-').as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace().collect())
}

/// `id result key nonce aad message ciphertext tag`, empty fields as `-`.
pub(crate) fn aead(text: &str) -> Vec<Aead> {
    lines(text)
        .map(|f| Aead {
            id: f[0].parse().unwrap(),
            valid: f[1] == "valid",
            key: hex(f[2]),
            nonce: hex(f[3]),
            aad: hex(f[4]),
            message: hex(f[5]),
            ciphertext: hex(f[6]),
            tag: hex(f[7]),
        })
        .collect()
}

/// `id result key message tag`, empty fields as `-`.
pub(crate) fn mac(text: &str) -> Vec<Mac> {
    lines(text)
        .map(|f| Mac {
            id: f[0].parse().unwrap(),
            valid: f[1] == "valid",
            key: hex(f[2]),
            message: hex(f[3]),
            tag: hex(f[4]),
        })
        .collect()
}
