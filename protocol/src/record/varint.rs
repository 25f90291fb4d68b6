//! Zigzag varints as records use them (Protocol Buffers' `sint32` and `sint64`).
//!
//! As in Kafka's `ByteUtils`, forms longer than needed are accepted and bits beyond the type are dropped, but a
//! varint never runs past 5 (10) bytes.

/// Takes a varint off `input`; `None` where it does not end within 5 bytes or the input.
#[inline]
pub(super) fn take_i32(input: &mut &[u8]) -> Option<i32> {
    let raw = take_raw(input, 5)? as u32;
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes a varint off `input`; `None` where it does not end within 10 bytes or the input.
#[inline]
pub(super) fn take_i64(input: &mut &[u8]) -> Option<i64> {
    let raw = take_raw(input, 10)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

#[inline]
fn take_raw(input: &mut &[u8], max_len: usize) -> Option<u64> {
    let mut raw = 0;
    for (at, byte) in input.iter().take(max_len).enumerate() {
        raw |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *input = &input[at + 1..];
            return Some(raw);
        }
    }
    None
}

pub(super) fn put_i32(output: &mut Vec<u8>, value: i32) {
    put_i64(output, i64::from(value));
}

pub(super) fn put_i64(output: &mut Vec<u8>, value: i64) {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        output.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    output.push(raw as u8);
}

/// Bytes that `value` takes; the same for both widths.
pub(super) fn len(value: i64) -> usize {
    let bits = u64::BITS - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_forms() {
        for (value, bytes) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut written = Vec::new();
            put_i32(&mut written, value);
            assert_eq!(written, bytes);
            assert_eq!(len(i64::from(value)), bytes.len());
            let mut input = bytes;
            assert_eq!(take_i32(&mut input), Some(value));
            assert!(input.is_empty());
            let mut cut = &bytes[..bytes.len() - 1];
            assert_eq!(take_i32(&mut cut), None);
        }
        assert_eq!(take_i32(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..]), None);
        assert_eq!(take_i32(&mut &[0x82, 0x00][..]), Some(1));
        assert_eq!(take_i64(&mut &[0xff; 11][..]), None);
    }

    proptest::proptest! {
        #[test]
        fn round_trip(value: i64) {
            let mut written = Vec::new();
            put_i64(&mut written, value);
            proptest::prop_assert_eq!(written.len(), len(value));
            proptest::prop_assert_eq!(take_i64(&mut &written[..]), Some(value));
        }
    }
}
