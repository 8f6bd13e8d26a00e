//! Any bytes of a link: nothing panics, and the frames do not depend on how the bytes are cut. A
//! property of the library's tests calls the same function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| actorgrid::__private::read_link_bytes(bytes));
