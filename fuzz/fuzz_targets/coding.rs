//! See `hookward_fuzz::coding`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::coding(data));
