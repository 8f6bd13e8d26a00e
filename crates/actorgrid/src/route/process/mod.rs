//! The unary route, shared with the Go library.
