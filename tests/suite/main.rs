//! The one integration binary.

mod sheets;
mod tidy;

mod intake;
