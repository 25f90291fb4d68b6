//! The four codecs of record batches, as Kafka's clients write and read them.
//!
//! Decompression never yields more than its limit: a batch that would is an error before the excess is kept. While
//! it runs it holds, besides the output, a codec's own state: some 200 KiB for zstd, the frame's block size twice for
//! lz4 (at most 8 MiB), less for the others; zstd decodes straight into the output, so a frame's claimed window is
//! never allocated.

use std::io::{self, Read, Write};

use zstd::zstd_safe;

use super::Codec;
use super::xerial;

/// How an LZ4 frame begins.
const LZ4_MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// The flag of an LZ4 frame whose blocks can each be read alone.
const LZ4_INDEPENDENT_BLOCKS: u8 = 0x20;

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "a message names its fields")]
pub enum CompressionError {
    /// The bytes are not what the codec writes.
    #[error("{codec} data: {reason}", codec = codec.name())]
    Malformed { codec: Codec, reason: String },
    /// There is more in them than is allowed, in bytes.
    #[error("more than {limit} bytes when decompressed")]
    TooLarge { limit: usize },
    /// The codec cannot try that hard.
    #[error("{codec} has no compression level {level}", codec = codec.name())]
    Level { codec: Codec, level: i32 },
    /// The codec failed.
    #[error("compressing failed: {0}")]
    Failed(String),
}

/// A codec and how hard it should try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    codec: Codec,
    level: i32,
}

impl Compression {
    /// No compression.
    pub const NONE: Compression = Compression { codec: Codec::None, level: 0 };

    /// The codec at Kafka's default level.
    pub fn new(codec: Codec) -> Compression {
        let level = match codec {
            Codec::None | Codec::Snappy => 0,
            Codec::Gzip => -1,
            Codec::Lz4 => 9,
            Codec::Zstd => 3,
        };
        Compression { codec, level }
    }

    /// The codec at a level in Kafka's range (`compression.gzip.level` and its siblings): gzip 1 to 9 or -1, lz4 1
    /// to 17, zstd -131072 to 22. Every lz4 level compresses alike: lz4_flex has no high-compression mode, and what
    /// it writes is valid at any level.
    pub fn with_level(codec: Codec, level: i32) -> Result<Compression, CompressionError> {
        let known = match codec {
            Codec::None | Codec::Snappy => level == 0,
            Codec::Gzip => level == -1 || (1..=9).contains(&level),
            Codec::Lz4 => (1..=17).contains(&level),
            Codec::Zstd => (-131_072..=22).contains(&level),
        };
        if known { Ok(Compression { codec, level }) } else { Err(CompressionError::Level { codec, level }) }
    }

    /// The codec.
    pub fn codec(self) -> Codec {
        self.codec
    }
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Compression {
        Compression::new(codec)
    }
}

/// Appends `input` to `output`, compressed. On an error `output` holds a part.
pub fn compress(compression: Compression, input: &[u8], output: &mut Vec<u8>) -> Result<(), CompressionError> {
    let failed = |error: io::Error| CompressionError::Failed(error.to_string());
    match compression.codec {
        Codec::None => output.extend_from_slice(input),
        Codec::Gzip => {
            let level = match compression.level {
                -1 => flate2::Compression::default(),
                level => flate2::Compression::new(level as u32),
            };
            let mut encoder = flate2::write::GzEncoder::new(output, level);
            encoder.write_all(input).and_then(|()| encoder.try_finish()).map_err(failed)?;
        }
        Codec::Snappy => {
            xerial::compress(input, output).map_err(|error| CompressionError::Failed(error.to_string()))?
        }
        Codec::Lz4 => {
            // What Java writes and all that it reads: independent blocks; 64 KiB keep its consumers' buffers small.
            let frame = lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Independent)
                .block_size(lz4_flex::frame::BlockSize::Max64KB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, output);
            encoder.write_all(input).map_err(failed)?;
            encoder.finish().map_err(|error| CompressionError::Failed(error.to_string()))?;
        }
        Codec::Zstd => {
            let compressed = zstd::bulk::compress(input, compression.level).map_err(failed)?;
            output.extend_from_slice(&compressed);
        }
    }
    Ok(())
}

/// Whether compressed data begins as Java's decoders want it, by its first bytes alone: for data that is stored unopened.
pub fn check_beginning(codec: Codec, input: &[u8]) -> Result<(), CompressionError> {
    match (codec, input) {
        (Codec::None | Codec::Snappy, _) => Ok(()),
        (Codec::Gzip, [0x1f, 0x8b, ..]) | (Codec::Zstd, [0x28, 0xb5, 0x2f, 0xfd, ..]) => Ok(()),
        // lz4_flex also reads legacy frames and linked blocks, with larger buffers; Java reads neither.
        (Codec::Lz4, [a, b, c, d, flags, ..]) if [*a, *b, *c, *d] == LZ4_MAGIC => {
            match flags & LZ4_INDEPENDENT_BLOCKS {
                0 => Err(malformed(codec, "linked blocks are not supported")),
                _ => Ok(()),
            }
        }
        _ => Err(malformed(codec, "not the beginning of a frame")),
    }
}

/// Decompresses the whole of `input` into at most `limit` bytes. Truncated data and bytes left over are errors.
pub fn decompress(codec: Codec, input: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    if codec != Codec::None && input.is_empty() {
        return Err(malformed(codec, "no data"));
    }
    match codec {
        Codec::None if input.len() > limit => Err(CompressionError::TooLarge { limit }),
        Codec::None => Ok(input.to_vec()),
        Codec::Gzip => {
            let mut decoder = flate2::bufread::MultiGzDecoder::new(input);
            read_up_to(codec, &mut decoder, input.len(), limit)
        }
        Codec::Snappy => xerial::decompress(input, limit).map_err(|error| match error {
            xerial::Error::TooLarge => CompressionError::TooLarge { limit },
            other => malformed(codec, other),
        }),
        Codec::Lz4 => decompress_lz4(input, limit),
        Codec::Zstd => decompress_zstd(input, limit),
    }
}

fn decompress_lz4(input: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    check_beginning(Codec::Lz4, input)?;
    let mut decoder = lz4_flex::frame::FrameDecoder::new(Input { rest: input, starved: false });
    let output = read_up_to(Codec::Lz4, &mut decoder, input.len(), limit)?;
    let input = decoder.get_ref();
    if input.starved {
        return Err(malformed(Codec::Lz4, "truncated"));
    }
    if !input.rest.is_empty() {
        return Err(malformed(Codec::Lz4, "bytes after the frame"));
    }
    Ok(output)
}

/// Remembers that more was asked for than there is: to lz4_flex, the input's end is a frame's end.
struct Input<'a> {
    rest: &'a [u8],
    starved: bool,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.starved |= self.rest.is_empty() && !buffer.is_empty();
        self.rest.read(buffer)
    }
}

/// One-shot, because the streaming decoder would allocate the window that a frame claims, up to 128 MiB.
fn decompress_zstd(input: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    const TOO_SMALL: usize =
        0_usize.wrapping_sub(zstd_safe::zstd_sys::ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize);
    /// A frame's densest block: 128 KiB in 4 bytes.
    const MOST_PER_BYTE: usize = 32 * 1024;
    let claimed = match zstd_safe::get_frame_content_size(input) {
        Ok(Some(size)) => usize::try_from(size).unwrap_or(usize::MAX).min(input.len().saturating_mul(MOST_PER_BYTE)),
        Ok(None) => input.len().saturating_mul(4).max(16 * 1024),
        Err(_) => return Err(malformed(Codec::Zstd, "not a zstd frame")),
    };
    let mut context = zstd_safe::DCtx::try_create().ok_or_else(|| malformed(Codec::Zstd, "out of memory"))?;
    let mut output = Vec::with_capacity(claimed.min(limit));
    loop {
        match context.decompress(&mut output, input) {
            Ok(len) if len > limit => return Err(CompressionError::TooLarge { limit }),
            Ok(_) => return Ok(output),
            Err(TOO_SMALL) if output.capacity() >= limit => return Err(CompressionError::TooLarge { limit }),
            // Again from the start, with four times the room: at most a third more work than knowing the size.
            Err(TOO_SMALL) => {
                let capacity = output.capacity().max(4 * 1024).saturating_mul(4).min(limit);
                output = Vec::with_capacity(capacity);
            }
            Err(code) => return Err(malformed(Codec::Zstd, zstd_safe::get_error_name(code))),
        }
    }
}

/// Reads to the end, growing the output by doubling but never beyond `limit`.
fn read_up_to(
    codec: Codec,
    decoder: &mut impl Read,
    compressed_len: usize,
    limit: usize,
) -> Result<Vec<u8>, CompressionError> {
    let mut output = Vec::with_capacity(compressed_len.saturating_mul(4).min(limit));
    loop {
        let room = output.capacity().min(limit) - output.len();
        let read =
            decoder.by_ref().take(room as u64).read_to_end(&mut output).map_err(|error| malformed(codec, error))?;
        if read < room {
            return Ok(output);
        }
        if output.len() == limit {
            let more = decoder.read(&mut [0]).map_err(|error| malformed(codec, error))?;
            return if more == 0 { Ok(output) } else { Err(CompressionError::TooLarge { limit }) };
        }
        output.reserve_exact(output.len().max(4 * 1024).min(limit - output.len()));
    }
}

fn malformed(codec: Codec, reason: impl ToString) -> CompressionError {
    CompressionError::Malformed { codec, reason: reason.to_string() }
}
