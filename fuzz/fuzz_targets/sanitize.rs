//! See `hookward_fuzz::sanitize`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::sanitize(data));
