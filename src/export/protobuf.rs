//! The little of protocol buffers that writing a message takes.
//! Source: protobuf.dev/programming-guides/encoding.

/// A message in the making. Fields of value 0 are left out, as proto3 has it.
#[derive(Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

/// How a field's value is laid out.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Length = 2,
}

impl Message {
    /// What it is on the wire.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// An unsigned number, or a truth value.
    pub(super) fn uint(&mut self, field: u32, value: impl Into<u64>) {
        let value = value.into();
        if value != 0 {
            self.tag(field, Wire::Varint);
            self.varint(value);
        }
    }

    /// A signed number, in two's complement.
    pub(super) fn int(&mut self, field: u32, value: i64) {
        self.uint(field, value as u64);
    }

    /// Numbers, packed. Negative ones are given in two's complement.
    pub(super) fn packed(&mut self, field: u32, values: impl IntoIterator<Item = u64>) {
        let mut packed = Message::default();
        for value in values {
            packed.varint(value);
        }
        if !packed.bytes.is_empty() {
            self.message(field, &packed);
        }
    }

    /// A text, even an empty one: it has its place among those that are repeated.
    pub(super) fn string(&mut self, field: u32, text: &str) {
        self.delimited(field, text.as_bytes());
    }

    /// Another message, even an empty one.
    pub(super) fn message(&mut self, field: u32, message: &Message) {
        self.delimited(field, &message.bytes);
    }

    fn delimited(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, Wire::Length);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn tag(&mut self, field: u32, wire: Wire) {
        self.varint(u64::from(field) << 3 | wire as u64);
    }

    /// Seven bits a byte, low ones first; all but the last byte have the high bit set.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fill: impl Fn(&mut Message), expected: &[u8]) {
        let mut message = Message::default();
        fill(&mut message);
        assert_eq!(message.bytes(), expected);
    }

    #[test]
    fn encoding() {
        // The examples of the encoding guide.
        check(|m| m.uint(1, 150u64), &[0x08, 0x96, 0x01]);
        check(|m| m.string(2, "testing"), b"\x12\x07testing");
        let mut inner = Message::default();
        inner.uint(1, 150u64);
        check(|m| m.message(3, &inner), &[0x1a, 0x03, 0x08, 0x96, 0x01]);
        check(
            |m| m.packed(6, [3, 270, 86942]),
            &[0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05],
        );
        check(
            |m| m.int(1, -2),
            &[8, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        );
        check(|m| m.uint(1, 0u64), &[]);
        check(|m| m.uint(7, true), &[0x38, 1]);
        check(|m| m.packed(1, []), &[]);
        check(|m| m.string(6, ""), &[0x32, 0]);
        check(|m| m.uint(16, 127u64), &[0x80, 0x01, 0x7f]);
    }
}
