//! `fuzz::multi_prog`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::multi_prog(data));
