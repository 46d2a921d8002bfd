use super::*;
use crate::sm2::scalar::Scalar;
use ::sm2::dsa::signature::{Signer, Verifier};
use ::sm2::elliptic_curve::sec1::ToSec1Point;

fn hex<const N: usize>(s: &str) -> [u8; N] {
    std::array::from_fn(|i| u8::from_str_radix(&s[2 * i..2 * i + 2], 16).unwrap())
}

/// The key pair of the examples on the recommended curve (GB/T 32918.5-2017, appendices A and C).
fn example_key() -> SecretKey {
    SecretKey::from_bytes(&hex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")).unwrap()
}

fn example_k() -> Scalar {
    Scalar::from_bytes(&hex("59276e27d506861a16680f3ad9c02dccef3cc1fa3cdbe4ce6d54b80deac1bc21")).unwrap()
}

/// GB/T 32918.5-2017, appendix A.2.
#[test]
fn the_standards_signature() {
    let key = example_key();
    let public: [u8; 65] = hex(
        "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13",
    );
    assert_eq!(key.public_key().to_sec1(), public);
    let z = key.public_key().identity_hash(DEFAULT_ID);
    assert_eq!(z, hex("b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3"));
    let e = key.public_key().message_hash(DEFAULT_ID, b"message digest");
    let signature = key.sign_hash(&e, &example_k()).unwrap();
    assert_eq!(signature.r, hex("f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"));
    assert_eq!(signature.s, hex("b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"));
    key.public_key().verify(DEFAULT_ID, b"message digest", &signature).unwrap();
}

/// GB/T 32918.5-2017, appendix B.2. The exchange of GB/T 32918.3 is not spoken here, as TLS agrees by ECDH; but its
/// example tells of every multiplication that ECDH needs too.
#[test]
fn the_standards_exchange_by_its_parts() {
    use super::multiply::{multiply, multiply_sum_public};
    let scalar = |text: &str| Scalar::from_bytes(&hex(text)).unwrap();
    let (own, own_once) = (
        scalar("81eb26e941bb5af16df116495f90695272ae2cd63d6c4ae1678418be48230029"),
        scalar("d4de15474db74d06491c440d305e012400990f3e390c7e87153c12db2ea60bb3"),
    );
    let (peer, peer_once) = (
        scalar("785129917d45a9ea5437a59356b82338eaadda6ceb199088f14ae10defa229b5"),
        scalar("7e07124814b309489125eaed101113164ebf0f3458c5bd88335c1f9d596243d6"),
    );
    let public = |scalar: &Scalar| *SecretKey::from_bytes(&scalar.to_bytes()).unwrap().public_key();
    let keys = [&own, &own_once, &peer, &peer_once].map(public);
    for (key, x) in keys.iter().zip([
        "160e12897df4edb61dd812feb96748fbd3ccf4ffe26aa6f6db9540af49c94232",
        "64ced1bdbc99d590049b434d0fd73428cf608a5db8fe5ce07f15026940bae40e",
        "6ae848c57c53c7b1b5fa99eb2286af078ba64c64591b8b566f7357d576f16dfb",
        "acc27688a6f7b706098bc91ff3ad1bff7dc2802cdb14ccccdb0a90471f9bd707",
    ]) {
        assert_eq!(key.to_sec1()[1..33], hex::<32>(x));
    }
    let [own_key, own_once_key, peer_key, peer_once_key] = keys;
    // The lower 127 bits of x, and 2^127.
    let shortened = |key: &PublicKey| {
        let mut bytes = key.point.x.to_bytes();
        bytes[..16].fill(0);
        bytes[16] |= 0x80;
        Scalar::from_bytes(&bytes).unwrap()
    };
    // t = d + x'·r; U = t·(P + x'·R) of the other side, once by each side.
    let exchange = |d: Scalar, r: Scalar, r_key: &PublicKey, other: &PublicKey, other_once: &PublicKey| {
        let t = d.add(shortened(r_key).multiply(r));
        let product = multiply(&other_once.point, &shortened(other_once));
        let sum = product.add(&other.point.into(), super::field::Portable);
        multiply(&sum.to_affine(), &t).to_affine()
    };
    let common = exchange(own, own_once, &own_once_key, &peer_key, &peer_once_key);
    assert_eq!(common, exchange(peer, peer_once, &peer_once_key, &own_key, &own_once_key));
    // The same by the sum that verifying uses, with the peer's secrets: (d + x'·r)·t·G, in two halves.
    let t = own.add(shortened(&own_once_key).multiply(own_once));
    let rest = shortened(&peer_once_key).multiply(t);
    let halves = multiply_sum_public(&peer.multiply(t), &peer_once_key.point, &rest).to_affine();
    assert_eq!(common, halves);
    let mut hash = crate::sm3::Sm3::new();
    hash.update(&common.x.to_bytes());
    hash.update(&common.y.to_bytes());
    hash.update(&own_key.identity_hash(DEFAULT_ID));
    hash.update(&peer_key.identity_hash(DEFAULT_ID));
    hash.update(&1u32.to_be_bytes());
    assert_eq!(hash.finish()[..16], hex::<16>("6c89347354de2484c60b4ab1fde4c6e5"));
}

/// GB/T 32918.5-2017, appendix C.2.
#[test]
fn the_standards_ciphertext() {
    let key = example_key();
    let plain =
        key.public_key().encrypt_with(b"encryption standard", CiphertextFormat::Plain, &example_k()).unwrap();
    let wanted: [u8; 116] = hex(concat!(
        "0404ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73",
        "e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0",
        "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766",
        "21886ca989ca9c7d58087307ca93092d651efa",
    ));
    assert_eq!(plain, wanted);
    assert_eq!(key.decrypt(&plain, CiphertextFormat::Plain).unwrap()[..], b"encryption standard"[..]);
}

#[test]
fn signatures_are_understood_by_another_implementation_and_the_other_way_round() {
    for i in 0..24u8 {
        let key = SecretKey::generate().unwrap();
        let message = vec![i; usize::from(i) * 7];
        let theirs = ::sm2::dsa::SigningKey::from_slice("identity", &key.to_bytes()[..]).unwrap();
        let ours = key.sign(b"identity", &message).unwrap();
        let as_theirs = ::sm2::dsa::Signature::from_der(&ours.to_der()).unwrap();
        theirs.verifying_key().verify(&message, &as_theirs).unwrap();
        let signed: ::sm2::dsa::Signature = theirs.sign(&message);
        let signed = Signature::from_der(signed.to_der().as_bytes()).unwrap();
        key.public_key().verify(b"identity", &message, &signed).unwrap();
    }
}

#[test]
fn agreement_gives_what_another_implementation_gives() {
    for _ in 0..16 {
        let (ours, peer) = (SecretKey::generate().unwrap(), EphemeralKey::generate().unwrap());
        let common = ours.diffie_hellman(peer.public_key());
        assert_eq!(common, peer.diffie_hellman(ours.public_key()));
        let theirs = ::sm2::SecretKey::from_slice(&ours.to_bytes()[..]).unwrap();
        assert_eq!(theirs.public_key().to_sec1_point(false).as_bytes(), ours.public_key().to_sec1());
        let public = ::sm2::PublicKey::from_sec1_bytes(&peer.public_key().to_sec1()).unwrap();
        let secret = elliptic_curve::ecdh::diffie_hellman(theirs.to_nonzero_scalar(), public.as_affine());
        assert_eq!(secret.raw_secret_bytes()[..], common[..]);
    }
}

#[test]
fn nothing_altered_verifies() {
    let key = SecretKey::generate().unwrap();
    let signature = key.sign(TLS13_ID, b"message").unwrap();
    let public = key.public_key();
    public.verify(TLS13_ID, b"message", &signature).unwrap();
    assert_eq!(public.verify(DEFAULT_ID, b"message", &signature), Err(InvalidSignature));
    assert_eq!(public.verify(TLS13_ID, b"massage", &signature), Err(InvalidSignature));
    for bit in 0..256 {
        let (mut r, mut s) = (signature, signature);
        r.r[bit / 8] ^= 1 << (bit % 8);
        s.s[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(public.verify(TLS13_ID, b"message", &r), Err(InvalidSignature));
        assert_eq!(public.verify(TLS13_ID, b"message", &s), Err(InvalidSignature));
    }
    let zero = Signature { r: [0; 32], ..signature };
    assert_eq!(public.verify(TLS13_ID, b"message", &zero), Err(InvalidSignature));
}

#[test]
fn ciphertexts_open_in_both_formats_and_not_when_altered() {
    let key = SecretKey::generate().unwrap();
    for format in [CiphertextFormat::Plain, CiphertextFormat::Der] {
        for len in [1, 31, 32, 33, 500] {
            let message: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let sealed = key.public_key().encrypt(&message, format).unwrap();
            assert_eq!(key.decrypt(&sealed, format).unwrap()[..], message[..]);
            for at in 0..sealed.len() {
                let mut bad = sealed.clone();
                bad[at] ^= 1;
                assert_eq!(key.decrypt(&bad, format), Err(DecryptError), "{format:?} byte {at}");
                assert_eq!(key.decrypt(&sealed[..at], format), Err(DecryptError), "{format:?} cut at {at}");
            }
        }
    }
    assert_eq!(key.public_key().encrypt(b"", CiphertextFormat::Der), Err(EncryptError::Length));
}

#[test]
fn signatures_are_understood_by_a_third_implementation_and_the_other_way_round() {
    let text = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for i in 0..6u8 {
        let key = SecretKey::generate().unwrap();
        // It wants the public key without its leading 04.
        let (secret, public) = (text(&key.to_bytes()[..]), text(&key.public_key().to_sec1()[1..]));
        let message = vec![i; 1 + usize::from(i) * 31];
        let ours = key.sign(b"identity", &message).unwrap();
        assert!(sm_crypto::sm2::Verify::new_with_id(b"identity", &public).verify_der(
            &message,
            &ours.to_der(),
            true
        ));
        let theirs = sm_crypto::sm2::Sign::new_with_id(b"identity", &secret).sign_der(&message, true);
        let theirs = Signature::from_der(&theirs).unwrap();
        key.public_key().verify(b"identity", &message, &theirs).unwrap();
    }
}

/// The other implementation writes C1 without its leading 04.
#[test]
fn ciphertexts_are_understood_by_another_implementation() {
    let key = example_key();
    let text = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let sealed = key.public_key().encrypt(b"a message", CiphertextFormat::Plain).unwrap();
    let secret = text(&key.to_bytes()[..]);
    let theirs = sm_crypto::sm2::Decrypt::new(&secret);
    assert_eq!(theirs.decrypt(&sealed[1..]), b"a message");
    let public = text(&key.public_key().to_sec1());
    let sealed = sm_crypto::sm2::Encrypt::new(&public).encrypt(b"an answer");
    let sealed = [&[4], &sealed[..]].concat();
    assert_eq!(key.decrypt(&sealed, CiphertextFormat::Plain).unwrap()[..], b"an answer"[..]);
}

#[test]
fn what_is_no_key_is_refused() {
    assert_eq!(SecretKey::from_bytes(&[0; 32]).err(), Some(InvalidSecretKey));
    assert_eq!(SecretKey::from_bytes(&[0xff; 32]).err(), Some(InvalidSecretKey));
    let order_less_one = hex("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54122");
    assert_eq!(SecretKey::from_bytes(&order_less_one).err(), Some(InvalidSecretKey));
    let public = example_key().public_key().to_sec1();
    for bad in [&public[..64], &public[1..], &[&[2], &public[1..33]].concat(), &[0; 65], &[]] {
        assert_eq!(PublicKey::from_sec1(bad), Err(InvalidPublicKey));
    }
    let mut off_curve = public;
    off_curve[64] ^= 1;
    assert_eq!(PublicKey::from_sec1(&off_curve), Err(InvalidPublicKey));
    // x = p is zero modulo p, but not below it.
    let mut over = public;
    over[1..33]
        .copy_from_slice(&hex::<32>("fffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffff"));
    assert_eq!(PublicKey::from_sec1(&over), Err(InvalidPublicKey));
}
