//! The first bytes of a link, by which a port that serves several protocols recognizes it.

/// The bytes with which a client begins, before its `Hello`. The first one is neither printable,
/// nor the `P` of HTTP/2's preface, nor the 0x16 of a TLS record.
pub(crate) const GREETING: [u8; 8] = *b"\xacAGLINK\n";

/// The protocol of a connection, as far as its first bytes show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sniffed {
    /// A link; its frames begin behind the greeting.
    Link,
    Other,
    /// The bytes so far are a part of the greeting.
    Undecided,
}

/// Decides from the first bytes of a connection whether it is a link.
pub(crate) fn sniff(first: &[u8]) -> Sniffed {
    if first.starts_with(&GREETING) {
        Sniffed::Link
    } else if GREETING.starts_with(first) {
        Sniffed::Undecided
    } else {
        Sniffed::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_a_link_by_eight_bytes() {
        assert_eq!(sniff(b"\xacAGLINK\n"), Sniffed::Link);
        assert_eq!(sniff(b"\xacAGLINK\nmore"), Sniffed::Link);
        for length in 0..GREETING.len() {
            assert_eq!(sniff(&GREETING[..length]), Sniffed::Undecided);
        }
        let others: [&[u8]; 4] = [b"P", b"PRI * HTTP/2.0", &[0x16, 3, 1], b"\xacAGLINK\r"];
        for other in others {
            assert_eq!(sniff(other), Sniffed::Other);
        }
    }

    #[test]
    fn the_first_byte_is_that_of_no_other_protocol() {
        let [first, ..] = GREETING;
        assert!(!first.is_ascii() && first != 0x16);
    }
}
