//! The functions of libcrypto and libssl that the tests call, as `openssl/*.h` of OpenSSL 4 declares them.

use std::ffi::{c_char, c_int, c_long, c_uchar, c_uint, c_ulong, c_void};

macro_rules! opaque {
    ($($name:ident)*) => {
        $(
            /// Only ever behind a pointer.
            #[repr(C)]
            pub(crate) struct $name([u8; 0]);
        )*
    };
}
opaque!(
    Bio BioMethod Cipher CipherCtx Digest DigestCtx ExtensionCtx LibCtx Pkcs8 Pkey PkeyCtx
    Ssl SslCipher SslCtx SslMethod SslSession VerifyParam X509 X509Algor X509Extension X509Name X509Req X509Sig
    X509Store X509Time
);

pub(crate) const AEAD_SET_IV_BYTES: c_int = 0x9;
pub(crate) const AEAD_GET_TAG: c_int = 0x10;
pub(crate) const AEAD_SET_TAG: c_int = 0x11;
pub(crate) const BIO_CTRL_PENDING: c_int = 10;
pub(crate) const BIO_SET_EOF_RETURN: c_int = 130;
pub(crate) const MBSTRING_UTF8: c_int = 0x1000;
pub(crate) const NID_EXT_KEY_USAGE: c_int = 126;
pub(crate) const NID_BASIC_CONSTRAINTS: c_int = 87;
pub(crate) const NID_SUBJECT_ALT_NAME: c_int = 85;
pub(crate) const NID_HMAC_WITH_SHA256: c_int = 799;
pub(crate) const NID_HMAC_WITH_SM3: c_int = 1281;
pub(crate) const SSL_CTRL_SESS_CACHE_MODE: c_int = 44;
pub(crate) const SSL_CTRL_GROUPS: c_int = 92;
pub(crate) const SSL_CTRL_SIGALGS: c_int = 98;
pub(crate) const SSL_CTRL_MAX_VERSION: c_int = 124;
pub(crate) const SSL_SESS_CACHE_CLIENT: c_long = 1;
pub(crate) const SSL_VERIFY_NONE: c_int = 0;
pub(crate) const SSL_VERIFY_PEER: c_int = 1;
pub(crate) const SSL_VERIFY_FAIL_IF_NO_PEER_CERT: c_int = 2;
pub(crate) const SSL_ERROR_WANT_READ: c_int = 2;
pub(crate) const TLS1_2_VERSION: c_long = 0x303;

type VerifyCallback = Option<unsafe extern "C" fn(c_int, *mut c_void) -> c_int>;

#[link(name = "crypto", kind = "static")]
unsafe extern "C" {
    pub(crate) fn OpenSSL_version_num() -> c_ulong;
    pub(crate) fn ERR_get_error() -> c_ulong;
    pub(crate) fn ERR_error_string_n(code: c_ulong, text: *mut c_char, len: usize);

    pub(crate) fn BIO_new(method: *const BioMethod) -> *mut Bio;
    pub(crate) fn BIO_s_mem() -> *const BioMethod;
    pub(crate) fn BIO_read(bio: *mut Bio, data: *mut c_void, len: c_int) -> c_int;
    pub(crate) fn BIO_write(bio: *mut Bio, data: *const c_void, len: c_int) -> c_int;
    pub(crate) fn BIO_ctrl(bio: *mut Bio, command: c_int, number: c_long, pointer: *mut c_void) -> c_long;

    pub(crate) fn EVP_sm3() -> *const Digest;
    pub(crate) fn EVP_sha256() -> *const Digest;
    pub(crate) fn EVP_Digest(
        data: *const c_void,
        len: usize,
        out: *mut c_uchar,
        out_len: *mut c_uint,
        digest: *const Digest,
        engine: *mut c_void,
    ) -> c_int;

    pub(crate) fn EVP_Q_mac(
        lib: *mut LibCtx,
        name: *const c_char,
        query: *const c_char,
        sub_algorithm: *const c_char,
        params: *const c_void,
        key: *const c_void,
        key_len: usize,
        data: *const c_uchar,
        data_len: usize,
        out: *mut c_uchar,
        out_size: usize,
        out_len: *mut usize,
    ) -> *mut c_uchar;

    pub(crate) fn EVP_CIPHER_fetch(
        lib: *mut LibCtx,
        name: *const c_char,
        query: *const c_char,
    ) -> *mut Cipher;
    pub(crate) fn EVP_CIPHER_free(cipher: *mut Cipher);
    pub(crate) fn EVP_CIPHER_CTX_new() -> *mut CipherCtx;
    pub(crate) fn EVP_CIPHER_CTX_free(ctx: *mut CipherCtx);
    pub(crate) fn EVP_CIPHER_CTX_ctrl(
        ctx: *mut CipherCtx,
        kind: c_int,
        number: c_int,
        pointer: *mut c_void,
    ) -> c_int;
    pub(crate) fn EVP_CipherInit_ex(
        ctx: *mut CipherCtx,
        cipher: *const Cipher,
        engine: *mut c_void,
        key: *const c_uchar,
        iv: *const c_uchar,
        encrypt: c_int,
    ) -> c_int;
    pub(crate) fn EVP_CipherUpdate(
        ctx: *mut CipherCtx,
        out: *mut c_uchar,
        out_len: *mut c_int,
        data: *const c_uchar,
        len: c_int,
    ) -> c_int;
    pub(crate) fn EVP_CipherFinal_ex(ctx: *mut CipherCtx, out: *mut c_uchar, out_len: *mut c_int) -> c_int;

    pub(crate) fn EVP_PKEY_Q_keygen(
        lib: *mut LibCtx,
        query: *const c_char,
        kind: *const c_char,
        ...
    ) -> *mut Pkey;
    pub(crate) fn EVP_PKEY_free(key: *mut Pkey);
    pub(crate) fn EVP_PKEY_CTX_new(key: *mut Pkey, engine: *mut c_void) -> *mut PkeyCtx;
    pub(crate) fn EVP_PKEY_CTX_free(ctx: *mut PkeyCtx);
    pub(crate) fn EVP_PKEY_CTX_set1_id(ctx: *mut PkeyCtx, id: *const c_void, len: c_int) -> c_int;
    pub(crate) fn EVP_PKEY_get1_encoded_public_key(key: *mut Pkey, point: *mut *mut c_uchar) -> usize;
    pub(crate) fn EVP_PKEY_set1_encoded_public_key(
        key: *mut Pkey,
        point: *const c_uchar,
        len: usize,
    ) -> c_int;
    pub(crate) fn EVP_PKEY_new() -> *mut Pkey;
    pub(crate) fn EVP_PKEY_copy_parameters(to: *mut Pkey, from: *const Pkey) -> c_int;
    pub(crate) fn EVP_PKEY_derive_init(ctx: *mut PkeyCtx) -> c_int;
    pub(crate) fn EVP_PKEY_derive_set_peer(ctx: *mut PkeyCtx, peer: *mut Pkey) -> c_int;
    pub(crate) fn EVP_PKEY_derive(ctx: *mut PkeyCtx, secret: *mut c_uchar, len: *mut usize) -> c_int;
    pub(crate) fn CRYPTO_free(pointer: *mut c_void, file: *const c_char, line: c_int);
    pub(crate) fn EVP_PKEY_encrypt_init(ctx: *mut PkeyCtx) -> c_int;
    pub(crate) fn EVP_PKEY_decrypt_init(ctx: *mut PkeyCtx) -> c_int;
    pub(crate) fn EVP_PKEY_encrypt(
        ctx: *mut PkeyCtx,
        out: *mut c_uchar,
        out_len: *mut usize,
        data: *const c_uchar,
        len: usize,
    ) -> c_int;
    pub(crate) fn EVP_PKEY_decrypt(
        ctx: *mut PkeyCtx,
        out: *mut c_uchar,
        out_len: *mut usize,
        data: *const c_uchar,
        len: usize,
    ) -> c_int;
    pub(crate) fn EVP_MD_CTX_new() -> *mut DigestCtx;
    pub(crate) fn EVP_MD_CTX_free(ctx: *mut DigestCtx);
    pub(crate) fn EVP_MD_CTX_set_pkey_ctx(ctx: *mut DigestCtx, key: *mut PkeyCtx);
    pub(crate) fn EVP_DigestSignInit(
        ctx: *mut DigestCtx,
        key_ctx: *mut *mut PkeyCtx,
        digest: *const Digest,
        engine: *mut c_void,
        key: *mut Pkey,
    ) -> c_int;
    pub(crate) fn EVP_DigestVerifyInit(
        ctx: *mut DigestCtx,
        key_ctx: *mut *mut PkeyCtx,
        digest: *const Digest,
        engine: *mut c_void,
        key: *mut Pkey,
    ) -> c_int;
    pub(crate) fn EVP_DigestSign(
        ctx: *mut DigestCtx,
        signature: *mut c_uchar,
        signature_len: *mut usize,
        data: *const c_uchar,
        len: usize,
    ) -> c_int;
    pub(crate) fn EVP_DigestVerify(
        ctx: *mut DigestCtx,
        signature: *const c_uchar,
        signature_len: usize,
        data: *const c_uchar,
        len: usize,
    ) -> c_int;

    pub(crate) fn d2i_PUBKEY(key: *mut *mut Pkey, der: *mut *const c_uchar, len: c_long) -> *mut Pkey;
    pub(crate) fn i2d_PUBKEY(key: *const Pkey, der: *mut *mut c_uchar) -> c_int;
    pub(crate) fn EVP_PKCS82PKEY(info: *const Pkcs8) -> *mut Pkey;
    pub(crate) fn EVP_PKEY2PKCS8(key: *const Pkey) -> *mut Pkcs8;
    pub(crate) fn PKCS8_PRIV_KEY_INFO_free(info: *mut Pkcs8);
    pub(crate) fn d2i_PKCS8_PRIV_KEY_INFO(
        info: *mut *mut Pkcs8,
        der: *mut *const c_uchar,
        len: c_long,
    ) -> *mut Pkcs8;
    pub(crate) fn i2d_PKCS8_PRIV_KEY_INFO(info: *const Pkcs8, der: *mut *mut c_uchar) -> c_int;
    pub(crate) fn PKCS5_pbe2_set_iv(
        cipher: *const Cipher,
        iterations: c_int,
        salt: *mut c_uchar,
        salt_len: c_int,
        iv: *mut c_uchar,
        prf: c_int,
    ) -> *mut X509Algor;
    pub(crate) fn PKCS8_set0_pbe(
        password: *const c_char,
        len: c_int,
        info: *mut Pkcs8,
        algorithm: *mut X509Algor,
    ) -> *mut X509Sig;
    pub(crate) fn PKCS8_decrypt(sealed: *const X509Sig, password: *const c_char, len: c_int) -> *mut Pkcs8;
    pub(crate) fn X509_SIG_free(sealed: *mut X509Sig);
    pub(crate) fn d2i_X509_SIG(
        sealed: *mut *mut X509Sig,
        der: *mut *const c_uchar,
        len: c_long,
    ) -> *mut X509Sig;
    pub(crate) fn i2d_X509_SIG(sealed: *const X509Sig, der: *mut *mut c_uchar) -> c_int;

    pub(crate) fn X509_new() -> *mut X509;
    pub(crate) fn X509_free(certificate: *mut X509);
    pub(crate) fn d2i_X509(certificate: *mut *mut X509, der: *mut *const c_uchar, len: c_long) -> *mut X509;
    pub(crate) fn i2d_X509(certificate: *const X509, der: *mut *mut c_uchar) -> c_int;
    pub(crate) fn X509_set_version(certificate: *mut X509, version: c_long) -> c_int;
    pub(crate) fn X509_get_serialNumber(certificate: *mut X509) -> *mut c_void;
    pub(crate) fn ASN1_INTEGER_set(integer: *mut c_void, number: c_long) -> c_int;
    pub(crate) fn X509_getm_notBefore(certificate: *const X509) -> *mut X509Time;
    pub(crate) fn X509_getm_notAfter(certificate: *const X509) -> *mut X509Time;
    pub(crate) fn ASN1_TIME_set(time: *mut X509Time, seconds: i64) -> *mut X509Time;
    pub(crate) fn X509_set_pubkey(certificate: *mut X509, key: *mut Pkey) -> c_int;
    pub(crate) fn X509_get_subject_name(certificate: *const X509) -> *mut X509Name;
    pub(crate) fn X509_set_issuer_name(certificate: *mut X509, name: *const X509Name) -> c_int;
    pub(crate) fn X509_set_subject_name(certificate: *mut X509, name: *const X509Name) -> c_int;
    pub(crate) fn X509_NAME_new() -> *mut X509Name;
    pub(crate) fn X509_NAME_free(name: *mut X509Name);
    pub(crate) fn X509_NAME_add_entry_by_txt(
        name: *mut X509Name,
        field: *const c_char,
        kind: c_int,
        bytes: *const c_uchar,
        len: c_int,
        at: c_int,
        set: c_int,
    ) -> c_int;
    pub(crate) fn X509V3_EXT_conf_nid(
        conf: *mut c_void,
        ctx: *mut ExtensionCtx,
        nid: c_int,
        value: *const c_char,
    ) -> *mut X509Extension;
    pub(crate) fn X509_add_ext(certificate: *mut X509, extension: *const X509Extension, at: c_int) -> c_int;
    pub(crate) fn X509_EXTENSION_free(extension: *mut X509Extension);
    pub(crate) fn X509_sign(certificate: *mut X509, key: *mut Pkey, digest: *const Digest) -> c_int;
    pub(crate) fn X509_verify(certificate: *mut X509, key: *mut Pkey) -> c_int;
    pub(crate) fn X509_REQ_new() -> *mut X509Req;
    pub(crate) fn X509_REQ_free(request: *mut X509Req);
    pub(crate) fn d2i_X509_REQ(
        request: *mut *mut X509Req,
        der: *mut *const c_uchar,
        len: c_long,
    ) -> *mut X509Req;
    pub(crate) fn i2d_X509_REQ(request: *const X509Req, der: *mut *mut c_uchar) -> c_int;
    pub(crate) fn X509_REQ_set_subject_name(request: *mut X509Req, name: *const X509Name) -> c_int;
    pub(crate) fn X509_REQ_set_pubkey(request: *mut X509Req, key: *mut Pkey) -> c_int;
    pub(crate) fn X509_REQ_get0_pubkey(request: *const X509Req) -> *mut Pkey;
    pub(crate) fn X509_REQ_sign(request: *mut X509Req, key: *mut Pkey, digest: *const Digest) -> c_int;
    pub(crate) fn X509_REQ_verify(request: *mut X509Req, key: *mut Pkey) -> c_int;
    pub(crate) fn X509_STORE_add_cert(store: *mut X509Store, certificate: *mut X509) -> c_int;
    pub(crate) fn X509_VERIFY_PARAM_set_time(parameters: *mut VerifyParam, seconds: i64);
    pub(crate) fn X509_verify_cert_error_string(code: c_long) -> *const c_char;
}

#[link(name = "ssl", kind = "static")]
unsafe extern "C" {
    pub(crate) fn TLS_client_method() -> *const SslMethod;
    pub(crate) fn TLS_server_method() -> *const SslMethod;
    pub(crate) fn SSL_CTX_new(method: *const SslMethod) -> *mut SslCtx;
    pub(crate) fn SSL_CTX_free(ctx: *mut SslCtx);
    pub(crate) fn SSL_CTX_ctrl(
        ctx: *mut SslCtx,
        command: c_int,
        number: c_long,
        pointer: *mut c_void,
    ) -> c_long;
    pub(crate) fn SSL_CTX_set_ciphersuites(ctx: *mut SslCtx, names: *const c_char) -> c_int;
    pub(crate) fn SSL_CTX_use_certificate_ASN1(ctx: *mut SslCtx, len: c_int, der: *const c_uchar) -> c_int;
    pub(crate) fn SSL_CTX_use_PrivateKey(ctx: *mut SslCtx, key: *mut Pkey) -> c_int;
    pub(crate) fn SSL_CTX_get_cert_store(ctx: *const SslCtx) -> *mut X509Store;
    pub(crate) fn SSL_CTX_get0_param(ctx: *mut SslCtx) -> *mut VerifyParam;
    pub(crate) fn SSL_CTX_set_verify(ctx: *mut SslCtx, mode: c_int, callback: VerifyCallback);
    pub(crate) fn SSL_CTX_set_session_id_context(ctx: *mut SslCtx, id: *const c_uchar, len: c_uint) -> c_int;
    pub(crate) fn SSL_CTX_set_num_tickets(ctx: *mut SslCtx, number: usize) -> c_int;
    pub(crate) fn SSL_new(ctx: *mut SslCtx) -> *mut Ssl;
    pub(crate) fn SSL_free(ssl: *mut Ssl);
    pub(crate) fn SSL_set_bio(ssl: *mut Ssl, input: *mut Bio, output: *mut Bio);
    pub(crate) fn SSL_set_connect_state(ssl: *mut Ssl);
    pub(crate) fn SSL_set_accept_state(ssl: *mut Ssl);
    pub(crate) fn SSL_set1_host(ssl: *mut Ssl, name: *const c_char) -> c_int;
    pub(crate) fn SSL_do_handshake(ssl: *mut Ssl) -> c_int;
    pub(crate) fn SSL_is_init_finished(ssl: *const Ssl) -> c_int;
    pub(crate) fn SSL_read(ssl: *mut Ssl, data: *mut c_void, len: c_int) -> c_int;
    pub(crate) fn SSL_write(ssl: *mut Ssl, data: *const c_void, len: c_int) -> c_int;
    pub(crate) fn SSL_shutdown(ssl: *mut Ssl) -> c_int;
    pub(crate) fn SSL_key_update(ssl: *mut Ssl, kind: c_int) -> c_int;
    pub(crate) fn SSL_get_error(ssl: *const Ssl, result: c_int) -> c_int;
    pub(crate) fn SSL_get_verify_result(ssl: *const Ssl) -> c_long;
    pub(crate) fn SSL_get0_group_name(ssl: *mut Ssl) -> *const c_char;
    pub(crate) fn SSL_get_current_cipher(ssl: *const Ssl) -> *const SslCipher;
    pub(crate) fn SSL_CIPHER_get_name(cipher: *const SslCipher) -> *const c_char;
    pub(crate) fn SSL_session_reused(ssl: *const Ssl) -> c_int;
    pub(crate) fn SSL_get1_session(ssl: *mut Ssl) -> *mut SslSession;
    pub(crate) fn SSL_set_session(ssl: *mut Ssl, session: *mut SslSession) -> c_int;
    pub(crate) fn SSL_SESSION_free(session: *mut SslSession);
    pub(crate) fn SSL_get0_peer_certificate(ssl: *const Ssl) -> *mut X509;
    pub(crate) fn SSL_export_keying_material(
        ssl: *mut Ssl,
        out: *mut c_uchar,
        len: usize,
        label: *const c_char,
        label_len: usize,
        context: *const c_uchar,
        context_len: usize,
        use_context: c_int,
    ) -> c_int;
}
