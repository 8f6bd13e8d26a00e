//! Derive macros of `actorgrid`.
