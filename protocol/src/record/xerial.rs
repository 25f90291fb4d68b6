//! Snappy as Kafka has it: blocks in the framing of Java's `SnappyOutputStream` (the "xerial" framing), which every
//! client reads. Some clients write one raw snappy block instead, so both are read.
//!
//! ```text
//! magic [u8; 8] | version i32 = 1 | lowest compatible version i32 = 1 | { length i32 | raw snappy block } ...
//! ```

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const VERSION: i32 = 1;
const HEADER_LEN: usize = 16;
/// As Java's default.
const BLOCK_LEN: usize = 32 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("larger than the limit")]
    TooLarge,
    #[error("truncated framing")]
    Truncated,
    #[error("framing of version {0}")]
    Version(i32),
    #[error("a block that claims more than its bytes can hold")]
    Claim,
    #[error("{0}")]
    Block(#[from] snap::Error),
}

pub(super) fn compress(input: &[u8], output: &mut Vec<u8>) -> Result<(), Error> {
    output.extend_from_slice(&MAGIC);
    output.extend_from_slice(&VERSION.to_be_bytes());
    output.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(BLOCK_LEN) {
        let length_at = output.len();
        let block_at = length_at + 4;
        output.resize(block_at + snap::raw::max_compress_len(block.len()), 0);
        let len = encoder.compress(block, &mut output[block_at..])?;
        output[length_at..block_at].copy_from_slice(&(len as u32).to_be_bytes());
        output.truncate(block_at + len);
    }
    Ok(())
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let mut output = Vec::new();
    if !input.starts_with(&MAGIC) {
        block(input, &mut output, limit)?;
        return Ok(output);
    }
    let mut rest = input;
    while !rest.is_empty() {
        // Streams may be concatenated: a header can stand wherever a block can.
        if rest.starts_with(&MAGIC) {
            let header = rest.first_chunk::<HEADER_LEN>().ok_or(Error::Truncated)?;
            let compatible = i32::from_be_bytes([header[12], header[13], header[14], header[15]]);
            if compatible > VERSION {
                return Err(Error::Version(compatible));
            }
            rest = &rest[HEADER_LEN..];
            continue;
        }
        let (length, blocks) = rest.split_first_chunk::<4>().ok_or(Error::Truncated)?;
        let (first, following) =
            blocks.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or(Error::Truncated)?;
        block(first, &mut output, limit)?;
        rest = following;
    }
    Ok(output)
}

/// Appends one raw block, decompressed.
fn block(input: &[u8], output: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
    let start = output.len();
    let len = snap::raw::decompress_len(input)?;
    if len > limit - start {
        return Err(Error::TooLarge);
    }
    // No snappy element makes more than 64 bytes of 3, so a larger claim is refused before it is allocated.
    if len > input.len().saturating_mul(64) / 3 {
        return Err(Error::Claim);
    }
    output.resize(start + len, 0);
    snap::raw::Decoder::new().decompress(input, &mut output[start..])?;
    Ok(())
}
