//! Which instructions to use, found out at run time, and the one place that dispatches to them.

use super::portable;
#[cfg(target_arch = "x86_64")]
use super::x86;
use std::fmt;
use thiserror::Error;

/// An implementation of SM4 and of GCM over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Boolean circuits on 64-bit words; any CPU.
    Portable,
    /// x86-64 with AES-NI, AVX2 and PCLMULQDQ.
    Aes,
    /// The same with VAES.
    Vaes,
    /// x86-64 with GFNI, AVX2 and PCLMULQDQ.
    Gfni,
    /// aarch64 with the SM4 instructions of the crypto extension.
    Sm4e,
}

/// The CPU lacks the instructions of the backend that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this CPU lacks the instructions for the SM4 backend {0}")]
pub struct BackendUnavailable(pub Backend);

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Aes => "aes-avx2",
            Self::Vaes => "vaes-avx2",
            Self::Gfni => "gfni-avx2",
            Self::Sm4e => "sm4e",
        })
    }
}

/// Calls `$function` in the module of the backend, or evaluates `$portable`. A backend other than `Portable` must
/// have come out of [`Backend::best`] or past [`Backend::is_available`]; [`super::Key`] keeps to that.
#[cfg(target_arch = "x86_64")]
macro_rules! dispatch {
    ($backend:expr, $function:ident($($argument:expr),*), $portable:expr) => {
        match $backend {
            $crate::sm4::Backend::Portable => $portable,
            // SAFETY: the CPU has this backend (see above), so every instruction set that the module's functions are
            // compiled for: `is_available` asks for the same list.
            $crate::sm4::Backend::Aes => unsafe { $crate::sm4::x86::aes::$function($($argument),*) },
            // SAFETY: as above.
            $crate::sm4::Backend::Vaes => unsafe { $crate::sm4::x86::vaes::$function($($argument),*) },
            // SAFETY: as above.
            $crate::sm4::Backend::Gfni => unsafe { $crate::sm4::x86::gfni::$function($($argument),*) },
            $crate::sm4::Backend::Sm4e => unreachable!("invariant: no such backend is available"),
        }
    };
}
#[cfg(not(target_arch = "x86_64"))]
macro_rules! dispatch {
    ($backend:expr, $function:ident($($argument:expr),*), $portable:expr) => {{
        let backend = $backend;
        debug_assert!(backend.is_available(), "invariant: {backend} is not available");
        $portable
    }};
}
pub(crate) use dispatch;

impl Backend {
    /// All backends, slowest first.
    pub const ALL: [Self; 5] = [Self::Portable, Self::Aes, Self::Vaes, Self::Gfni, Self::Sm4e];

    /// The fastest this CPU has.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().rev().find(|b| b.is_available()).unwrap_or(Self::Portable)
    }

    /// Whether this CPU has the instructions.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            _ => {
                let common = is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("aes")
                    && is_x86_feature_detected!("pclmulqdq");
                common
                    && match self {
                        Self::Portable | Self::Aes => true,
                        Self::Vaes => is_x86_feature_detected!("vaes"),
                        Self::Gfni => is_x86_feature_detected!("gfni"),
                        Self::Sm4e => false,
                    }
            }
            #[cfg(target_arch = "aarch64")]
            Self::Sm4e => super::arm::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
}

impl Backend {
    /// Brings plain round keys into the form the backend adds.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(clippy::unused_self, unused_variables, reason = "plain ones")
    )]
    pub(super) fn map_round_keys(self, round_keys: &mut [u32; 32]) {
        #[cfg(target_arch = "x86_64")]
        if self != Self::Portable {
            round_keys.iter_mut().for_each(|key| *key = x86::round_key(*key));
        }
    }

    pub(super) fn crypt(self, round_keys: &[u32; 32], blocks: &mut [[u8; 16]]) {
        #[cfg(target_arch = "aarch64")]
        if self == Self::Sm4e {
            // SAFETY: the CPU has this backend, see `dispatch`.
            return unsafe { super::arm::crypt(round_keys, blocks) };
        }
        dispatch!(self, crypt(round_keys, blocks), portable::crypt(round_keys, blocks));
    }

    pub(super) fn apply_ctr(self, round_keys: &[u32; 32], nonce: &[u8; 12], counter: u32, data: &mut [u8]) {
        #[cfg(target_arch = "aarch64")]
        if self == Self::Sm4e {
            // SAFETY: the CPU has this backend, see `dispatch`.
            return unsafe { super::arm::apply_ctr(round_keys, nonce, counter, data) };
        }
        dispatch!(
            self,
            apply_ctr(round_keys, nonce, counter, data),
            portable::apply_ctr(round_keys, nonce, counter, data)
        );
    }
}
