//! The primitives that the log is built on, replaced by loom's under `--cfg loom`.

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, atomic};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex, atomic};

#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;

/// `std`'s cell behind the interface of loom's, so that `segment.rs` is the same code under both.
#[cfg(not(loom))]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
