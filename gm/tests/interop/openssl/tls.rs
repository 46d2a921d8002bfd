//! TLS of OpenSSL over memory.

use super::key::Key;
use super::x509::Certificate;
use super::{Error, Owned, Result, check, ffi, made, to_der};
use std::ffi::{CStr, c_int, c_long};
use std::ptr::null_mut;

/// What a side presents.
pub(crate) struct Identity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Key,
}

/// What a side is willing to do; empty texts leave OpenSSL's own choice.
#[derive(Clone, Copy)]
pub(crate) struct Settings<'a> {
    pub(crate) suites: &'a CStr,
    pub(crate) groups: &'a CStr,
    pub(crate) signatures: &'a CStr,
    pub(crate) tls_1_2_at_most: bool,
    pub(crate) identity: Option<&'a Identity>,
    /// The authority that the peer's certificate must come from. None: a server does not ask for one, a client
    /// does not look at it.
    pub(crate) root: Option<&'a [u8]>,
    /// When certificates are looked at, in seconds since 1970.
    pub(crate) now_s: u64,
    /// Tickets that a server sends after a handshake.
    pub(crate) tickets: usize,
}

/// Everything of RFC 8998.
pub(crate) const SHANGMI: Settings<'static> = Settings {
    suites: c"TLS_SM4_GCM_SM3",
    groups: c"curveSM2",
    signatures: c"sm2sig_sm3",
    tls_1_2_at_most: false,
    identity: None,
    root: None,
    now_s: 0,
    tickets: 2,
};

pub(crate) struct Context {
    context: Owned<ffi::SslCtx>,
    server: bool,
}

impl Context {
    pub(crate) fn client(settings: &Settings<'_>) -> Self {
        // SAFETY: gives a constant.
        Self::new(unsafe { ffi::TLS_client_method() }, settings, false)
    }

    pub(crate) fn server(settings: &Settings<'_>) -> Self {
        // SAFETY: gives a constant.
        Self::new(unsafe { ffi::TLS_server_method() }, settings, true)
    }

    fn new(method: *const ffi::SslMethod, settings: &Settings<'_>, server: bool) -> Self {
        // SAFETY: makes a context; certificates, keys and texts are copied or counted references.
        unsafe {
            let context = Owned::new(ffi::SSL_CTX_new(method), ffi::SSL_CTX_free).unwrap();
            let ctx = context.get();
            let text = |command: c_int, text: &CStr| {
                let result = ffi::SSL_CTX_ctrl(ctx, command, 0, text.as_ptr().cast_mut().cast());
                check(result as c_int).unwrap();
            };
            let number = |command: c_int, number: c_long| ffi::SSL_CTX_ctrl(ctx, command, number, null_mut());
            check(ffi::SSL_CTX_set_ciphersuites(ctx, settings.suites.as_ptr())).unwrap();
            if !settings.groups.is_empty() {
                text(ffi::SSL_CTRL_GROUPS, settings.groups);
            }
            if !settings.signatures.is_empty() {
                text(ffi::SSL_CTRL_SIGALGS, settings.signatures);
            }
            if settings.tls_1_2_at_most {
                check(number(ffi::SSL_CTRL_MAX_VERSION, ffi::TLS1_2_VERSION) as c_int).unwrap();
            }
            if let Some(Identity { certificate, key }) = settings.identity {
                let len = certificate.len() as c_int;
                check(ffi::SSL_CTX_use_certificate_ASN1(ctx, len, certificate.as_ptr())).unwrap();
                check(ffi::SSL_CTX_use_PrivateKey(ctx, key.get())).unwrap();
            }
            let verify = match settings.root {
                None => ffi::SSL_VERIFY_NONE,
                Some(root) => {
                    let root = Certificate::from_der(root).unwrap();
                    check(ffi::X509_STORE_add_cert(ffi::SSL_CTX_get_cert_store(ctx), root.get())).unwrap();
                    ffi::SSL_VERIFY_PEER | ffi::SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                }
            };
            ffi::SSL_CTX_set_verify(ctx, verify, None);
            ffi::X509_VERIFY_PARAM_set_time(ffi::SSL_CTX_get0_param(ctx), settings.now_s.cast_signed());
            check(ffi::SSL_CTX_set_num_tickets(ctx, settings.tickets)).unwrap();
            // Sessions of a server that asks for certificates belong to a named context.
            check(ffi::SSL_CTX_set_session_id_context(ctx, b"gm".as_ptr(), 2)).unwrap();
            if !server {
                number(ffi::SSL_CTRL_SESS_CACHE_MODE, ffi::SSL_SESS_CACHE_CLIENT);
            }
            Self { context, server }
        }
    }

    /// A connection; a client expects to meet `localhost`.
    pub(crate) fn connection(&self) -> Peer {
        // SAFETY: makes a connection, which takes over both memory buffers and keeps a reference to the context.
        unsafe {
            let ssl = Owned::new(ffi::SSL_new(self.context.get()), ffi::SSL_free).unwrap();
            let input = made(ffi::BIO_new(ffi::BIO_s_mem())).unwrap().as_ptr();
            let output = made(ffi::BIO_new(ffi::BIO_s_mem())).unwrap().as_ptr();
            ffi::SSL_set_bio(ssl.get(), input, output);
            if self.server {
                ffi::SSL_set_accept_state(ssl.get());
            } else {
                ffi::SSL_set_connect_state(ssl.get());
                check(ffi::SSL_set1_host(ssl.get(), c"localhost".as_ptr())).unwrap();
            }
            Peer { ssl, input, output }
        }
    }
}

/// A session to be resumed.
pub(crate) struct Session(Owned<ffi::SslSession>);

/// One end of a connection. The buffers belong to `ssl`.
pub(crate) struct Peer {
    ssl: Owned<ffi::Ssl>,
    input: *mut ffi::Bio,
    output: *mut ffi::Bio,
}

impl Peer {
    /// Bytes from the other end.
    pub(crate) fn give(&mut self, bytes: &[u8]) {
        // SAFETY: copies the slice.
        let taken = unsafe { ffi::BIO_write(self.input, bytes.as_ptr().cast(), bytes.len() as c_int) };
        assert!(bytes.is_empty() || taken == bytes.len() as c_int);
    }

    /// No more bytes will come.
    pub(crate) fn give_end(&mut self) {
        // SAFETY: sets what an empty buffer answers: the end.
        unsafe { ffi::BIO_ctrl(self.input, ffi::BIO_SET_EOF_RETURN, 0, null_mut()) };
    }

    /// Bytes for the other end.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        // SAFETY: writes as many bytes as the buffer says it holds.
        unsafe {
            let len = ffi::BIO_ctrl(self.output, ffi::BIO_CTRL_PENDING, 0, null_mut());
            let mut bytes = vec![0; len as usize];
            let read = ffi::BIO_read(self.output, bytes.as_mut_ptr().cast(), len as c_int);
            assert!(bytes.is_empty() || c_long::from(read) == len);
            bytes
        }
    }

    /// Goes on with the handshake, as far as what was given allows.
    pub(crate) fn shake(&mut self) -> Result<()> {
        // SAFETY: works on its own buffers.
        let status = unsafe { ffi::SSL_do_handshake(self.ssl.get()) };
        self.outcome(status).map(|_| ())
    }

    fn outcome(&self, status: c_int) -> Result<usize> {
        if status > 0 {
            return Ok(status as usize);
        }
        // SAFETY: reads the connection.
        match unsafe { ffi::SSL_get_error(self.ssl.get(), status) } {
            ffi::SSL_ERROR_WANT_READ => Ok(0),
            code => Err(Error(format!("{}; SSL error {code}; {}", Error::take().0, self.verification()))),
        }
    }

    pub(crate) fn is_shaken(&self) -> bool {
        // SAFETY: reads the connection.
        unsafe { ffi::SSL_is_init_finished(self.ssl.get()) == 1 }
    }

    /// What the check of the peer's certificate gave.
    pub(crate) fn verification(&self) -> String {
        // SAFETY: the text is a constant.
        unsafe { text(ffi::X509_verify_cert_error_string(ffi::SSL_get_verify_result(self.ssl.get()))) }
    }

    /// Appends what the other end wrote.
    pub(crate) fn read(&mut self, data: &mut Vec<u8>) -> Result<()> {
        loop {
            let mut piece = [0u8; 4096];
            // SAFETY: writes at most the piece.
            let status =
                unsafe { ffi::SSL_read(self.ssl.get(), piece.as_mut_ptr().cast(), piece.len() as c_int) };
            match self.outcome(status)? {
                0 => return Ok(()),
                len => data.extend(&piece[..len]),
            }
        }
    }

    pub(crate) fn write(&mut self, data: &[u8]) -> Result<()> {
        // SAFETY: reads the slice; memory takes all of it.
        let status = unsafe { ffi::SSL_write(self.ssl.get(), data.as_ptr().cast(), data.len() as c_int) };
        assert_eq!(self.outcome(status)?, data.len());
        Ok(())
    }

    /// Takes new keys with the next write and asks the other end to do so too.
    pub(crate) fn update_keys(&mut self) {
        // SAFETY: works on the connection; 1 is "update requested".
        check(unsafe { ffi::SSL_key_update(self.ssl.get(), 1) }).unwrap();
    }

    pub(crate) fn suite(&self) -> String {
        // SAFETY: the text is a constant.
        unsafe { text(ffi::SSL_CIPHER_get_name(ffi::SSL_get_current_cipher(self.ssl.get()))) }
    }

    pub(crate) fn group(&self) -> String {
        // SAFETY: the text lives as long as the connection.
        unsafe { text(ffi::SSL_get0_group_name(self.ssl.get())) }
    }

    pub(crate) fn peer_certificate(&self) -> Vec<u8> {
        // SAFETY: the certificate lives as long as the connection.
        let certificate = made(unsafe { ffi::SSL_get0_peer_certificate(self.ssl.get()) }).unwrap();
        to_der(certificate.as_ptr(), ffi::i2d_X509)
    }

    pub(crate) fn exported(&self, label: &str) -> [u8; 32] {
        let mut secret = [0; 32];
        let (label, len) = (label.as_ptr().cast(), label.len());
        // SAFETY: writes the 32 bytes that it is told.
        let status = unsafe {
            let (ssl, out) = (self.ssl.get(), secret.as_mut_ptr());
            ffi::SSL_export_keying_material(ssl, out, secret.len(), label, len, null_mut(), 0, 0)
        };
        check(status).unwrap();
        secret
    }

    pub(crate) fn is_resumed(&self) -> bool {
        // SAFETY: reads the connection.
        unsafe { ffi::SSL_session_reused(self.ssl.get()) == 1 }
    }

    /// Ends the connection, as a session is not resumed of one that was dropped, and gives its session.
    pub(crate) fn into_session(self) -> Session {
        // SAFETY: works on the connection, and gives a reference that we own.
        let session = unsafe {
            assert_eq!(ffi::SSL_shutdown(self.ssl.get()), 0, "sent, not yet answered");
            ffi::SSL_get1_session(self.ssl.get())
        };
        Session(Owned::new(session, ffi::SSL_SESSION_free).unwrap())
    }

    pub(crate) fn resume(&mut self, session: &Session) {
        // SAFETY: takes its own reference.
        check(unsafe { ffi::SSL_set_session(self.ssl.get(), session.0.get()) }).unwrap();
    }
}

/// # Safety
/// A text that ends with a zero byte, or nothing.
unsafe fn text(pointer: *const std::ffi::c_char) -> String {
    assert!(!pointer.is_null());
    // SAFETY: by the caller.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
