//! See `hookward_fuzz::route`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::route(data));
