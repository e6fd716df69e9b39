//! See `hookward_fuzz::schema`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookward_fuzz::schema(data));
