use super::*;
use ::sm3::Digest as _;

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// GB/T 32905-2016, appendix A.
#[test]
fn the_standards_examples() {
    assert_eq!(hex(&digest(b"abc")), "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0");
    assert_eq!(
        hex(&digest(&b"abcd".repeat(16))),
        "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"
    );
}

#[test]
fn every_length_agrees_with_two_other_implementations() {
    let data: Vec<u8> = (0..700u32).map(|i| ((i * i) >> 3) as u8).collect();
    for len in 0..data.len() {
        let ours = digest(&data[..len]);
        assert_eq!(ours[..], ::sm3::Sm3::digest(&data[..len])[..], "{len} bytes");
        assert_eq!(hex(&ours), sm_crypto::sm3::sm3_hash(&data[..len]), "{len} bytes");
    }
}

#[test]
fn it_does_not_matter_how_the_input_is_cut() {
    let data: Vec<u8> = (0..300u32).map(|i| i as u8).collect();
    for cut in 0..data.len() {
        let mut hash = Sm3::new();
        hash.update(&data[..cut]);
        for piece in data[cut..].chunks(1 + cut % 70) {
            hash.update(piece);
        }
        assert_eq!(hash.finish(), digest(&data), "cut at {cut}");
    }
}
