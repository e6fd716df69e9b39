//! See `hookward_fuzz::urlencoded`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::urlencoded(data));
