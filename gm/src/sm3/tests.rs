use super::*;
use ::sm3::Digest as _;
use compress::Path;
use proptest::prelude::*;

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn paths() -> impl Iterator<Item = Path> {
    Path::ALL.into_iter().filter(|path| path.is_available())
}

/// The digest by one way to compress, with a padding of its own.
fn digest_by(path: Path, data: &[u8]) -> Digest {
    let zeros = (BLOCK_BYTES - (data.len() + 9) % BLOCK_BYTES) % BLOCK_BYTES;
    let padded = [data, &[0x80], &vec![0; zeros], &(data.len() as u64 * 8).to_be_bytes()].concat();
    let mut hash = Sm3::new();
    // SAFETY: `paths` gives those that are available.
    unsafe { path.compress(&mut hash.state, padded.as_chunks().0) };
    hash.words_to_bytes()
}

/// GB/T 32905-2016, appendix A, by every way to compress.
#[test]
fn the_standards_examples() {
    let examples = [
        (b"abc".to_vec(), "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
        (b"abcd".repeat(16), "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
    ];
    for (message, wanted) in examples {
        assert_eq!(hex(&digest(&message)), wanted);
        for path in paths() {
            assert_eq!(hex(&digest_by(path, &message)), wanted, "{path:?}");
        }
    }
}

#[test]
fn every_length_agrees_with_two_other_implementations() {
    let data: Vec<u8> = (0..700u32).map(|i| ((i * i) >> 3) as u8).collect();
    for len in 0..data.len() {
        let theirs: Digest = ::sm3::Sm3::digest(&data[..len]).into();
        assert_eq!(hex(&theirs), sm_crypto::sm3::sm3_hash(&data[..len]), "{len} bytes");
        assert_eq!(digest(&data[..len]), theirs, "{len} bytes");
        for path in paths() {
            assert_eq!(digest_by(path, &data[..len]), theirs, "{len} bytes by {path:?}");
        }
    }
}

#[test]
fn random_messages_agree_with_another_implementation_by_every_path() {
    proptest!(|(data in proptest::collection::vec(any::<u8>(), 0..5000))| {
        let theirs: Digest = ::sm3::Sm3::digest(&data).into();
        for path in paths() {
            prop_assert_eq!(digest_by(path, &data), theirs, "{:?}", path);
        }
    });
}

/// What no message leads to as an intermediate state has to come out alike too.
#[test]
fn every_path_agrees_from_any_state() {
    proptest!(|(state: [u32; 8], halves in proptest::collection::vec(any::<[[u8; 32]; 2]>(), 0..9))| {
        let blocks = halves.as_flattened().as_flattened().as_chunks().0;
        let by = |path: Path| {
            let mut state = state;
            // SAFETY: `paths` gives those that are available.
            unsafe { path.compress(&mut state, blocks) };
            state
        };
        for path in paths() {
            prop_assert_eq!(by(path), by(Path::Portable), "{:?}", path);
        }
    });
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
