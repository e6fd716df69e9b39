//! See `hookward_fuzz::token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::token(data));
