use super::*;
use ::sm4::cipher::{BlockCipherEncrypt, KeyInit};

const KEY: [u8; 16] = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128.to_be_bytes();

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|b| b.is_available())
}

/// GB/T 32907-2016, appendix A.1.
#[test]
fn the_standards_first_example_on_every_backend() {
    for backend in backends() {
        let key = Key::with_backend(&KEY, backend).unwrap();
        let mut block = KEY;
        key.encrypt_block(&mut block);
        assert_eq!(block, 0x681e_df34_d206_965e_86b3_e94f_536e_4246_u128.to_be_bytes(), "{backend}");
        key.decrypt_block(&mut block);
        assert_eq!(block, KEY, "{backend}");
    }
}

/// GB/T 32907-2016, appendix A.2: a million times over.
#[test]
fn the_standards_millionfold_example_on_every_backend() {
    for backend in backends() {
        let key = Key::with_backend(&KEY, backend).unwrap();
        let mut block = KEY;
        (0..1_000_000).for_each(|_| key.encrypt_block(&mut block));
        assert_eq!(block, 0x5952_98c7_c6fd_271f_0402_f804_c33d_3f66_u128.to_be_bytes(), "{backend}");
    }
}

#[test]
fn every_backend_agrees_with_two_other_implementations_on_random_blocks() {
    use proptest::prelude::*;
    let blocks = proptest::collection::vec(any::<[u8; 16]>(), 1..100);
    proptest!(|(key: [u8; 16], plain in blocks)| {
        // That one fills up to whole blocks behind the message.
        let wanted = sm_crypto::sm4::CryptSM4ECB::new(&key).encrypt_ecb(plain.as_flattened());
        let theirs = ::sm4::Sm4::new(&key.into());
        for (plain, wanted) in plain.iter().zip(wanted.as_chunks::<16>().0) {
            let mut block = (*plain).into();
            theirs.encrypt_block(&mut block);
            prop_assert_eq!(&block[..], wanted);
        }
        for backend in backends() {
            let ours = Key::with_backend(&key, backend).unwrap();
            let mut blocks = plain.clone();
            ours.encrypt_blocks(&mut blocks);
            prop_assert_eq!(blocks.as_flattened(), &wanted[..16 * plain.len()], "{}", backend);
            ours.decrypt_blocks(&mut blocks);
            prop_assert_eq!(&blocks, &plain, "{}", backend);
        }
    });
}

#[test]
fn every_backend_agrees_with_another_implementation_on_blocks() {
    for backend in backends() {
        for n in 0..40usize {
            let key: [u8; 16] = std::array::from_fn(|i| (i * 7 + n * 31) as u8);
            let ours = Key::with_backend(&key, backend).unwrap();
            let theirs = ::sm4::Sm4::new(&key.into());
            let mut blocks: Vec<[u8; 16]> =
                (0..n).map(|b| std::array::from_fn(|i| (b * 53 + i * 17 + n) as u8)).collect();
            let plain = blocks.clone();
            ours.encrypt_blocks(&mut blocks);
            for (block, plain) in blocks.iter().zip(&plain) {
                let mut wanted = (*plain).into();
                theirs.encrypt_block(&mut wanted);
                assert_eq!(block[..], wanted[..], "{backend}, {n} blocks");
            }
            ours.decrypt_blocks(&mut blocks);
            assert_eq!(blocks, plain, "{backend}, {n} blocks");
        }
    }
}

/// That one fills up to whole blocks behind the message, so all but its last block is to be compared.
#[test]
fn every_backend_agrees_with_a_third_implementation_on_blocks() {
    for n in 1..40usize {
        let key: [u8; 16] = std::array::from_fn(|i| (i * 11 + n * 29) as u8);
        let mut blocks: Vec<[u8; 16]> =
            (0..n).map(|b| std::array::from_fn(|i| (b * 7 + i * 41 + n) as u8)).collect();
        let plain = blocks.clone();
        let wanted = sm_crypto::sm4::CryptSM4ECB::new(&key).encrypt_ecb(plain.as_flattened());
        for backend in backends() {
            blocks.clone_from(&plain);
            Key::with_backend(&key, backend).unwrap().encrypt_blocks(&mut blocks);
            assert_eq!(blocks.as_flattened(), &wanted[..16 * n], "{backend}, {n} blocks");
        }
    }
}

#[test]
fn every_backend_agrees_on_ctr_across_the_wrap_of_the_counter() {
    let reference = Key::with_backend(&KEY, Backend::Portable).unwrap();
    for backend in backends() {
        let key = Key::with_backend(&KEY, backend).unwrap();
        for len in (0..600).step_by(7) {
            let mut wanted = vec![0x5a; len];
            let mut data = wanted.clone();
            reference.apply_ctr(&[9; 12], u32::MAX - 3, &mut wanted);
            key.apply_ctr(&[9; 12], u32::MAX - 3, &mut data);
            assert_eq!(data, wanted, "{backend}, {len} bytes");
        }
    }
}

#[test]
fn a_backend_the_cpu_lacks_is_refused() {
    for backend in Backend::ALL {
        assert_eq!(Key::with_backend(&KEY, backend).is_ok(), backend.is_available());
    }
}
