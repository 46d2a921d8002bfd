//! The order gateway: clients log on, send orders and cancels, and get their reports; each request is checked and
//! goes to the core that it is for.

pub mod accounts;
pub mod check;
pub mod counts;
pub mod desk;
mod index;
pub mod line;
pub mod link;
pub mod orders;
pub mod route;
