//! The admission protocol: from the bytes of a review to the bytes of its answer.
//!
//! `handler -> review -> engine::evaluate -> decide`. Only the handler knows of HTTP and of time.

pub mod decide;
pub mod handler;
pub mod review;
pub mod sampling;
