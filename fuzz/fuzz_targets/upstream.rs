//! See `hookward_fuzz::upstream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::upstream(data));
