//! The quote server: several sources in, one copy in order out to thousands of subscribers.

pub mod arbiter;
pub mod securities;
pub mod snapshots;
pub mod subscription;
