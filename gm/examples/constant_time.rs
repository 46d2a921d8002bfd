//! Asks valgrind whether a branch or an address depends on a secret: keys and plaintext are marked as undefined
//! memory, and memcheck reports every jump and every index that is computed from them (the method of Langley's
//! `ctgrind`). One operation a run, so that a report has its name:
//!
//! `cargo build --release -p gm --example constant_time`
//! `valgrind --error-exitcode=1 --suppressions=gm/examples/constant_time.supp target/release/examples/constant_time OPERATION`
//!
//! The file of suppressions names what may be reported and why; `control` must be reported. x86-64 only; valgrind
//! has no VAES, GFNI and AVX-512, whose code differs from the AES-NI and AVX2 paths by single instructions.
#![allow(unsafe_code, reason = "the instruction sequence that valgrind listens for")]
#![allow(clippy::print_stderr, reason = "a program for the command line")]

use gm::sm2::{EphemeralKey, SecretKey};
use gm::sm4::{self, Backend};
use gm::{ccm, gcm, hmac, sm3};

/// Tells memcheck that the bytes are secret (undefined), or that they may be known.
fn mark(bytes: &[u8], secret: bool) {
    #[cfg(target_arch = "x86_64")]
    {
        // Requests 0 and 1 of the tool "MC" are "no access" and "undefined", 2 is "defined".
        let request =
            [0x4d43_0000 + if secret { 1 } else { 2 }, bytes.as_ptr() as u64, bytes.len() as u64, 0, 0, 0];
        // SAFETY: rotations by 128 bits in all and an exchange of a register with itself: without valgrind, nothing.
        unsafe {
            std::arch::asm!(
                "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
                in("rax") request.as_ptr(), inout("rdx") 0u64 => _, out("rdi") _,
            );
        }
    }
    std::hint::black_box((bytes, secret));
}

fn secret<const N: usize>() -> [u8; N] {
    let bytes = std::array::from_fn(|i| (i * 37 + 11) as u8);
    mark(&bytes, true);
    bytes
}

/// What came out may be known, and is used.
fn publish(bytes: &[u8]) {
    mark(bytes, false);
    std::hint::black_box(bytes.iter().fold(0u8, |sum, byte| sum ^ byte));
}

fn seal(backend: Backend) {
    for len in [0, 1, 64, 300, 1024, 3000] {
        let mut data = secret::<3000>();
        let raw = secret();
        if let (Ok(gcm), Ok(ccm)) =
            (gcm::Key::with_backend(&raw, backend), ccm::Key::with_backend(&raw, backend))
        {
            publish(&gcm.seal(&[2; 12], b"header", &mut data[..len]));
            publish(&ccm.seal(&[3; 12], b"header", &mut data[..len]));
        }
        publish(&data);
    }
}

fn lanes(backend: Backend) {
    let keys: Vec<_> =
        (0..gcm::LANES).filter_map(|_| gcm::Key::with_backend(&secret(), backend).ok()).collect();
    let plain = secret::<100>();
    let mut out = vec![vec![0; plain.len() + gcm::TAG_BYTES]; keys.len()];
    let mut lanes = gcm::Lanes::default();
    for ((lane, key), sealed) in lanes.iter_mut().zip(&keys).zip(&mut out) {
        *lane = Some(gcm::Lane { key, nonce: [1; 12], sealed });
    }
    gcm::seal_lanes(&mut lanes, b"header", &plain);
    out.iter().for_each(|sealed| publish(sealed));
}

fn blocks(backend: Backend) {
    let mut blocks = [secret::<16>(); 9];
    if let Ok(key) = sm4::Key::with_backend(&secret(), backend) {
        key.encrypt_blocks(&mut blocks);
        key.decrypt_blocks(&mut blocks);
    }
    publish(blocks.as_flattened());
}

fn hash() {
    publish(&sm3::digest(&secret::<200>()));
    publish(&hmac::Key::new(&secret::<40>()).tag(&[&secret::<100>()]));
}

fn sign() -> Result<(), String> {
    let key = SecretKey::from_bytes(&secret()).map_err(|error| error.to_string())?;
    let signature = key.sign(b"id", b"message").map_err(|error| error.to_string())?;
    publish(&signature.r);
    publish(&signature.s);
    Ok(())
}

fn agree() -> Result<(), String> {
    let peer = EphemeralKey::generate().map_err(|error| error.to_string())?;
    let key = SecretKey::from_bytes(&secret()).map_err(|error| error.to_string())?;
    publish(&key.diffie_hellman(peer.public_key())[..]);
    Ok(())
}

fn main() -> Result<(), String> {
    let operation = std::env::args().nth(1).unwrap_or_default();
    let each = |run: fn(Backend)| Backend::ALL.into_iter().for_each(run);
    match operation.as_str() {
        "seal" => each(seal),
        "lanes" => each(lanes),
        "blocks" => each(blocks),
        "hash" => hash(),
        "sign" => sign()?,
        "agree" => agree()?,
        // That it finds something at all: a table looked up by a secret, as the crate `sm4` does.
        "control" => {
            let table: [u8; 256] = std::array::from_fn(|i| i as u8 ^ 0x5a);
            let [index] = secret();
            publish(&[std::hint::black_box(&table)[usize::from(index)]]);
        }
        _ => return Err("name one of: seal lanes blocks hash sign agree control".into()),
    }
    Ok(())
}
