use super::*;

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|b| b.is_available())
}

fn hex<const N: usize>(s: &str) -> [u8; N] {
    std::array::from_fn(|i| u8::from_str_radix(&s[2 * i..2 * i + 2], 16).unwrap())
}

/// RFC 8998, appendix A.2.
#[test]
fn the_example_of_rfc_8998() {
    let plain: [u8; 64] = hex(
        "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccddddddddddddddddeeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
    );
    let cipher: [u8; 64] = hex(
        "48af93501fa62adbcd414cce6034d895dda1bf8f132f042098661572e7483094fd12e518ce062c98acee28d95df4416bed31a2f04476c18bb40c84a74b97dc5b",
    );
    let aad: [u8; 20] = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    for backend in backends() {
        let key = Key::with_backend(&hex("0123456789abcdeffedcba9876543210"), backend).unwrap();
        let nonce = hex("00001234567800000000abcd");
        let mut data = plain;
        let tag = key.seal(&nonce, &aad, &mut data);
        assert_eq!(data, cipher, "{backend}");
        assert_eq!(tag, hex("16842d4fa186f56ab33256971fa110f4"), "{backend}");
        key.open(&nonce, &aad, &mut data, &tag).unwrap();
        assert_eq!(data, plain, "{backend}");
    }
}

/// Wycheproof (C2SP/wycheproof, testvectors_v1/sm4_ccm_test.json): 96-bit nonces, 128-bit tags.
#[test]
fn wycheproof_on_every_backend() {
    let vectors = crate::vectors::aead(include_str!("../../vectors/sm4_ccm.txt"));
    assert_eq!(vectors.len(), 78);
    for backend in backends() {
        for v in &vectors {
            let key = Key::with_backend(v.key[..].try_into().unwrap(), backend).unwrap();
            let nonce = v.nonce[..].try_into().unwrap();
            let tag = v.tag[..].try_into().unwrap();
            let mut data = v.ciphertext.clone();
            assert_eq!(
                key.open(nonce, &v.aad, &mut data, tag).is_ok(),
                v.valid,
                "test {} on {backend}",
                v.id
            );
            if v.valid {
                assert_eq!(data, v.message, "test {} on {backend}", v.id);
                assert_eq!(key.seal(nonce, &v.aad, &mut data), *tag, "test {} on {backend}", v.id);
                assert_eq!(data, v.ciphertext, "test {} on {backend}", v.id);
            } else {
                assert!(data.iter().all(|&byte| byte == 0), "test {} on {backend}", v.id);
            }
        }
    }
}

/// Additional data at and over the change of its length encoding, which no published vector reaches.
#[test]
fn long_additional_data_is_bound_to_the_message() {
    let key = Key::new(&[3; 16]);
    for len in [0xfeff, 0xff00, 0x1_0000] {
        let mut aad = vec![1; len];
        let mut data = *b"message";
        let tag = key.seal(&[0; 12], &aad, &mut data);
        key.open(&[0; 12], &aad, &mut data.clone(), &tag).unwrap();
        aad[len - 1] ^= 1;
        assert_eq!(key.open(&[0; 12], &aad, &mut data, &tag), Err(OpenError));
    }
}
