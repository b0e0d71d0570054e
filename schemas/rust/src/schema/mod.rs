//! The types that `generate.py` writes; formatted by it, so rustfmt leaves them alone.

#[rustfmt::skip]
pub mod base;
#[rustfmt::skip]
pub mod events;
#[rustfmt::skip]
pub mod jobs;
#[rustfmt::skip]
pub mod notify;
#[rustfmt::skip]
pub mod tasks;
