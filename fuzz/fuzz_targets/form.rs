//! See `hookward_fuzz::form`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::form(data));
