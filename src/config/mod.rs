//! The organisation's rules. Parameters stay plain values here; the engine gives them their types.

pub mod valid;
