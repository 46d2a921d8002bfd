//! OpenSSL 4 behind an interface that the tests can read. Errors are the texts of its queue.

pub(crate) mod cipher;
mod ffi;
pub(crate) mod key;
pub(crate) mod tls;
pub(crate) mod x509;

use std::ffi::{c_int, c_long, c_uchar};
use std::ptr::NonNull;

/// What OpenSSL says went wrong, the first cause first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error(pub(crate) String);

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Major version: `interop` is about 4.
pub(crate) fn major_version() -> u64 {
    // SAFETY: takes nothing.
    let number: u64 = unsafe { ffi::OpenSSL_version_num() };
    number >> 28
}

impl Error {
    /// Takes what the thread's queue holds.
    fn take() -> Self {
        let mut texts = Vec::new();
        loop {
            let mut text = [0u8; 256];
            // SAFETY: the text is cut to the buffer's length and ends with a zero byte.
            unsafe {
                match ffi::ERR_get_error() {
                    0 => break,
                    code => ffi::ERR_error_string_n(code, text.as_mut_ptr().cast(), text.len()),
                }
            }
            let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
            texts.push(String::from_utf8_lossy(&text[..end]).into_owned());
        }
        Self(texts.join("; "))
    }
}

/// Most functions give 1 for success.
fn check(status: c_int) -> Result<()> {
    if status > 0 { Ok(()) } else { Err(Error::take()) }
}

/// The others give an object or nothing.
fn made<T>(pointer: *mut T) -> Result<NonNull<T>> {
    NonNull::new(pointer).ok_or_else(Error::take)
}

/// An object that one function frees.
struct Owned<T> {
    pointer: NonNull<T>,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Result<Self> {
        Ok(Self { pointer: made(pointer)?, free })
    }

    fn get(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: we own the object, and nobody uses it after us.
        unsafe { (self.free)(self.pointer.as_ptr()) }
    }
}

/// Reads an object from DER that it fills to the end.
fn from_der<T>(
    der: &[u8],
    decode: unsafe extern "C" fn(*mut *mut T, *mut *const c_uchar, c_long) -> *mut T,
    free: unsafe extern "C" fn(*mut T),
) -> Result<Owned<T>> {
    let mut at = der.as_ptr();
    // SAFETY: reads at most the slice and makes a new object.
    let object = Owned::new(unsafe { decode(std::ptr::null_mut(), &mut at, der.len() as c_long) }, free)?;
    assert_eq!(at, der.as_ptr_range().end, "DER with something behind it");
    Ok(object)
}

fn to_der<T>(
    object: *const T,
    encode: unsafe extern "C" fn(*const T, *mut *mut c_uchar) -> c_int,
) -> Vec<u8> {
    // SAFETY: without an output it tells the length, which the second call writes.
    unsafe {
        let len = usize::try_from(encode(object, std::ptr::null_mut())).unwrap();
        let mut der = vec![0; len];
        assert_eq!(encode(object, &mut der.as_mut_ptr()), len as c_int);
        der
    }
}
