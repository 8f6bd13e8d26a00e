//! Header blocks, written as literals: no Huffman code, and nothing indexed unless an attack asks
//! for it.

use bytes::{BufMut as _, BytesMut};

/// The path of the only method for requests.
const PROCESS_PATH: &str = "/grid.wire/Process";

/// Returns the block of a request to a mailbox whose caller waits for `seconds`.
pub(crate) fn request_block(seconds: u32) -> Vec<u8> {
    let mut block = HeaderBlock::default();
    block.request(PROCESS_PATH, seconds);
    block.take()
}

/// A header block under construction.
#[derive(Debug, Default)]
pub(crate) struct HeaderBlock {
    bytes: BytesMut,
}

impl HeaderBlock {
    /// Writes the headers that every gRPC request has.
    pub(crate) fn request(&mut self, path: &str, seconds: u32) -> &mut Self {
        self.literal(":method", b"POST")
            .literal(":scheme", b"http")
            .literal(":path", path.as_bytes())
            .literal(":authority", b"127.0.0.1")
            .literal("te", b"trailers")
            .literal("content-type", b"application/grpc")
            .literal("grpc-timeout", format!("{seconds}S").as_bytes())
    }

    /// Writes a header that leaves the receiver's table unchanged.
    pub(crate) fn literal(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.header(0x00, name, value)
    }

    /// Writes a header that the receiver adds to the front of its table.
    pub(crate) fn indexed(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.header(0x40, name, value)
    }

    /// Writes a reference to a header in the receiver's table, whose dynamic entries begin at 62.
    pub(crate) fn table_entry(&mut self, index: usize) -> &mut Self {
        self.number(0x80, 7, index);
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns what was written, and leaves nothing behind.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.bytes.split().to_vec()
    }

    fn header(&mut self, first: u8, name: &str, value: &[u8]) -> &mut Self {
        self.bytes.put_u8(first);
        self.string(name.as_bytes());
        self.string(value);
        self
    }

    fn string(&mut self, text: &[u8]) {
        self.number(0x00, 7, text.len());
        self.bytes.put_slice(text);
    }

    /// Writes a number into the low `bits` of the first byte, and into further bytes if it does not
    /// fit.
    fn number(&mut self, first: u8, bits: u32, number: usize) {
        let full = (1_usize << bits) - 1;
        if number < full {
            self.bytes.put_u8(first | number as u8);
            return;
        }
        self.bytes.put_u8(first | full as u8);
        let mut rest = number - full;
        while rest >= 128 {
            self.bytes.put_u8((rest % 128) as u8 | 0x80);
            rest /= 128;
        }
        self.bytes.put_u8(rest as u8);
    }
}

#[cfg(test)]
mod tests {
    use httlib_hpack::Decoder;

    use super::*;

    fn read(decoder: &mut Decoder<'_>, mut block: Vec<u8>) -> Vec<(String, Vec<u8>)> {
        let mut headers = Vec::new();
        decoder.decode(&mut block, &mut headers).unwrap();
        let texts = headers.into_iter();
        texts
            .map(|(name, value, _)| (String::from_utf8(name).unwrap(), value))
            .collect()
    }

    #[test]
    fn a_reader_of_hpack_reads_the_headers_of_a_request() {
        let headers = read(&mut Decoder::default(), request_block(10));
        assert_eq!(headers[2], (":path".to_owned(), PROCESS_PATH.into()));
        assert_eq!(headers[6], ("grpc-timeout".to_owned(), b"10S".into()));
        assert_eq!(headers.len(), 7);
    }

    #[test]
    fn long_strings_and_headers_of_the_table_are_read_too() {
        let mut decoder = Decoder::default();
        let mut block = HeaderBlock::default();
        let long = vec![b'v'; 3_000];
        block
            .indexed("large", &long)
            .table_entry(62)
            .table_entry(62);
        let headers = read(&mut decoder, block.take());
        assert_eq!(headers, vec![("large".to_owned(), long); 3]);
    }
}
