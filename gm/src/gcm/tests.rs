use super::*;
use aes_gcm::aead::{AeadInOut, KeyInit, inout::InOutBuf};

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|b| b.is_available())
}

fn hex<const N: usize>(s: &str) -> [u8; N] {
    std::array::from_fn(|i| u8::from_str_radix(&s[2 * i..2 * i + 2], 16).unwrap())
}

fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (seed.wrapping_mul(0x9e37_79b1) ^ i.wrapping_mul(0x85eb_ca6b)).to_le_bytes()[2])
        .collect()
}

/// RFC 8998, appendix A.1.
#[test]
fn the_example_of_rfc_8998() {
    let plain: [u8; 64] = hex(
        "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccddddddddddddddddeeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
    );
    let cipher: [u8; 64] = hex(
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d",
    );
    let aad: [u8; 20] = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    for backend in backends() {
        let key = Key::with_backend(&hex("0123456789abcdeffedcba9876543210"), backend).unwrap();
        let nonce = hex("00001234567800000000abcd");
        let mut data = plain;
        let tag = key.seal(&nonce, &aad, &mut data);
        assert_eq!(data, cipher, "{backend}");
        assert_eq!(tag, hex("83de3541e4c2b58177e065a9bf7b62ec"), "{backend}");
        key.open(&nonce, &aad, &mut data, &tag).unwrap();
        assert_eq!(data, plain, "{backend}");
    }
}

#[test]
fn every_backend_agrees_with_another_implementation_at_every_length() {
    type Other = aes_gcm::AesGcm<::sm4::Sm4, aes_gcm::aead::consts::U12>;
    for backend in backends() {
        for len in (0..1100).chain([4095, 4096, 4097, 16384, 16385]) {
            let (raw, nonce) = (bytes(len, 16).try_into().unwrap(), bytes(len + 1, 12).try_into().unwrap());
            let aad = bytes(len + 2, len % 37);
            let plain = bytes(len + 3, len);
            let mut wanted = plain.clone();
            let wanted_tag = Other::new(&<[u8; 16]>::into(raw))
                .encrypt_inout_detached(&<[u8; 12]>::into(nonce), &aad, InOutBuf::from(&mut wanted[..]))
                .unwrap();
            let key = Key::with_backend(&raw, backend).unwrap();
            let mut data = plain.clone();
            let tag = key.seal(&nonce, &aad, &mut data);
            assert_eq!(data, wanted, "{backend}, {len} bytes");
            assert_eq!(tag[..], wanted_tag[..], "{backend}, {len} bytes");
            key.open(&nonce, &aad, &mut data, &tag).unwrap();
            assert_eq!(data, plain, "{backend}, {len} bytes");
        }
    }
}

#[test]
fn any_altered_bit_is_refused_and_leaves_zeros() {
    for backend in backends() {
        let key = Key::with_backend(&[7; 16], backend).unwrap();
        for len in [0, 1, 64, 300, 1000] {
            let mut sealed = bytes(len, len);
            let tag = key.seal(&[1; 12], b"header", &mut sealed);
            for bit in (0..8 * len).step_by(61) {
                let mut data = sealed.clone();
                data[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(key.open(&[1; 12], b"header", &mut data, &tag), Err(OpenError));
                assert!(data.iter().all(|&b| b == 0));
            }
            for bit in 0..128 {
                let mut bad = tag;
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(key.open(&[1; 12], b"header", &mut sealed.clone(), &bad), Err(OpenError));
            }
            assert_eq!(key.open(&[2; 12], b"header", &mut sealed.clone(), &tag), Err(OpenError));
            assert_eq!(key.open(&[1; 12], b"hexder", &mut sealed.clone(), &tag), Err(OpenError));
        }
    }
}

#[test]
fn lanes_give_what_each_key_gives_alone() {
    for backend in backends() {
        let keys: Vec<Key> =
            (0..LANES as u8).map(|i| Key::with_backend(&[i; 16], backend).unwrap()).collect();
        for len in (0..400).chain([1024, 4099]) {
            let count = 1 + len % LANES;
            let (plain, aad) = (bytes(len, len), bytes(1, len % 20));
            let mut out = vec![vec![0; len + TAG_BYTES]; count];
            let mut lanes: Lanes<'_> = Default::default();
            for (i, (sealed, key)) in out.iter_mut().zip(&keys).enumerate() {
                // Not only the first places: empty ones may be anywhere.
                lanes[(i + len) % LANES] = Some(Lane { key, nonce: [i as u8; 12], sealed });
            }
            seal_lanes(&mut lanes, &aad, &plain);
            for (i, (sealed, key)) in out.iter().zip(&keys).enumerate() {
                let mut wanted = plain.clone();
                let tag = key.seal(&[i as u8; 12], &aad, &mut wanted);
                assert_eq!(sealed[..len], wanted, "{backend}, {len} bytes, lane {i} of {count}");
                assert_eq!(sealed[len..], tag, "{backend}, {len} bytes, lane {i} of {count}");
            }
        }
    }
}

/// Wycheproof (C2SP/wycheproof, testvectors_v1/sm4_gcm_test.json): the vectors with 96-bit nonces.
#[test]
fn wycheproof_on_every_backend() {
    let vectors = crate::vectors::aead(include_str!("../../vectors/sm4_gcm.txt"));
    assert_eq!(vectors.len(), 65);
    for backend in backends() {
        for v in &vectors {
            let key = Key::with_backend(v.key[..].try_into().unwrap(), backend).unwrap();
            let nonce = v.nonce[..].try_into().unwrap();
            let tag = v.tag[..].try_into().unwrap();
            let mut data = v.ciphertext.clone();
            let opened = key.open(nonce, &v.aad, &mut data, tag);
            assert_eq!(opened.is_ok(), v.valid, "test {} on {backend}", v.id);
            if v.valid {
                assert_eq!(data, v.message, "test {} on {backend}", v.id);
                assert_eq!(key.seal(nonce, &v.aad, &mut data), *tag, "test {} on {backend}", v.id);
                assert_eq!(data, v.ciphertext, "test {} on {backend}", v.id);
            }
        }
    }
}

/// Wycheproof (the same file): the valid vectors with nonces of other lengths. Nothing here takes such nonces, but with
/// them the counter begins anywhere, at its wrap too: so by the parts that GCM is made of.
#[test]
fn wycheproof_counters_on_every_backend() {
    let vectors = crate::vectors::aead(include_str!("../../vectors/sm4_gcm_other_nonces.txt"));
    assert_eq!(vectors.len(), 37);
    for backend in backends() {
        for v in &vectors {
            let key = Key::with_backend(v.key[..].try_into().unwrap(), backend).unwrap();
            let hash = |aad: &[u8], data: &[u8]| {
                let mut hasher = Hasher::new(&key.hash);
                hasher.absorb_padded(aad);
                hasher.absorb_padded(data);
                hasher.absorb(&length_block(aad.len(), data.len()));
                hasher.finish()
            };
            let start = hash(&[], &v.nonce);
            let (nonce, counter) = start.split_first_chunk().unwrap();
            let counter = u32::from_be_bytes(counter.try_into().unwrap());
            let mut data = v.message.clone();
            key.cipher.apply_ctr(nonce, counter.wrapping_add(1), &mut data);
            assert_eq!(data, v.ciphertext, "test {} on {backend}", v.id);
            let mut tag = hash(&v.aad, &data);
            key.cipher.apply_ctr(nonce, counter, &mut tag);
            assert_eq!(tag[..], v.tag, "test {} on {backend}", v.id);
        }
    }
}
