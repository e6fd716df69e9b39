//! See `hookward_fuzz::places`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::places(data));
