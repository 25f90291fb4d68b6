//! How values look on the wire: the two directions of every primitive, string, payload and array, and what goes wrong.
//!
//! Reading runs over `&[u8]` within one frame. Nothing is allocated before its length was checked against what is left
//! of the frame, and all the memory that arrays take is charged to a budget of a small multiple of the frame, so that
//! no peer can make us spend much more than it sent. Payloads share the frame's memory.
//!
//! Writing goes to a [`Writer`], which copies small values into one buffer and splices payloads by reference.

mod error;
mod writer;

use std::cell::Cell;

use bytes::Bytes;
use nom::{Parser, number::complete::be_u8};

pub(crate) use self::error::fail;
use self::error::fail_with;
pub use self::{
    error::{Malformed, Reason, Refusal, Unencodable},
    writer::{Chunk, FileRange, SPLICE_MIN, Writer},
};
use crate::{Uuid, schema::Field};

/// What a read returns: the input that is left and the value, as nom has it.
pub type Read<'a, T> = nom::IResult<&'a [u8], T, Malformed>;

/// The version of a message that is read or written, and whether that version is flexible (KIP-482: compact lengths and
/// tagged fields).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The API's version, or a stored record's.
    pub number: i16,
    /// Whether lengths are compact and structs end with tagged fields.
    pub flexible: bool,
}

/// What a read needs to know besides its input: the version, the frame that payloads are slices of, and how much memory
/// arrays may still take.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    /// The version that is read.
    pub version: Version,
    frame: &'a Bytes,
    budget: &'a Cell<usize>,
}

/// Memory that arrays may take for each byte of the frame. Kafka's own messages stay below 8 for sensible content (the
/// worst is a partition of DescribeTopicPartitions: 20 bytes that become 136); only rows of empty strings need more.
const BUDGET_PER_BYTE: usize = 16;
/// Memory that arrays may take whatever the size of the frame, in bytes.
const BUDGET_BASE: usize = 32 * 1024;
/// What an array may allocate ahead of its elements, in bytes, even where less is left of the frame.
const ARRAY_STEP: usize = 4096;

/// The memory budget of a message that fills this frame, in bytes.
pub(crate) fn budget(frame: &Bytes) -> Cell<usize> {
    Cell::new(frame.len().saturating_mul(BUDGET_PER_BYTE).saturating_add(BUDGET_BASE))
}

impl<'a> Cx<'a> {
    pub(crate) fn new(version: Version, frame: &'a Bytes, budget: &'a Cell<usize>) -> Self {
        Cx { version, frame, budget }
    }

    /// A piece of the input as a part of the frame.
    #[inline]
    pub(crate) fn slice(&self, input: &[u8]) -> Bytes {
        self.frame.slice_ref(input)
    }

    /// Takes memory from the budget, before it is allocated.
    #[inline]
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), Reason> {
        let left = self.budget.get().checked_sub(bytes).ok_or(Reason::Budget)?;
        self.budget.set(left);
        Ok(())
    }
}

/// What a type looks like on the wire, as data: for tests and tools that walk messages without knowing their types.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the names are those of types in Kafka's schemas")]
pub enum Form {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    String,
    /// Bytes, or records.
    Bytes,
    Array(&'static Form),
    Nullable(&'static Form),
    Struct(&'static [FieldForm]),
}

/// A field of a struct, as data.
#[derive(Debug, Clone, Copy)]
pub struct FieldForm {
    /// Its name in Rust.
    pub name: &'static str,
    /// Its versions and tag.
    pub field: Field,
    /// What it holds.
    pub form: Form,
}

/// A value with a form on the wire, in every version of the messages that hold it.
pub trait Wire: Sized {
    /// What it looks like.
    const FORM: Form;

    /// Reads the value from the front of `input`, which lies within the frame of `cx`.
    fn read<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Self>;

    /// Writes the value. What was written before an error is of no use.
    fn write(&self, w: &mut Writer, version: Version) -> Result<(), Unencodable>;

    /// Reads so many values, one after the other. `count` is no larger than what is left of the frame.
    ///
    /// Allocates in steps, charged to the budget: ahead of the values as much as is left of the frame, then as much again
    /// as there are, and never more than `count` asks for.
    fn read_many<'a>(mut input: &'a [u8], cx: Cx<'a>, count: usize) -> Read<'a, Vec<Self>> {
        let size = size_of::<Self>().max(1);
        let ahead = (ARRAY_STEP.max(input.len()) / size).max(1).min(count);
        cx.charge(ahead * size).or_else(fail_with)?;
        let mut items = Vec::with_capacity(ahead);
        for index in 0..count {
            if index == items.capacity() {
                let step = index.min(count - index);
                cx.charge(step * size).or_else(fail_with)?;
                items.reserve_exact(step);
            }
            match Self::read(input, cx) {
                Ok((rest, item)) => {
                    input = rest;
                    items.push(item);
                }
                Err(error) => return Err(error.map(|malformed| malformed.at(index))),
            }
        }
        Ok((input, items))
    }

    /// Writes the values, one after the other.
    fn write_many(items: &[Self], w: &mut Writer, version: Version) -> Result<(), Unencodable> {
        for (index, item) in items.iter().enumerate() {
            item.write(w, version).map_err(|error| error.at(index))?;
        }
        Ok(())
    }

    /// As [`Wire::read`], for a field whose version does or does not allow null. Only `Option` makes a difference.
    #[inline]
    fn read_field<'a>(input: &'a [u8], cx: Cx<'a>, _nullable: bool) -> Read<'a, Self> {
        Self::read(input, cx)
    }

    /// As [`Wire::write`], for a field whose version does or does not allow null. Only `Option` makes a difference.
    #[inline]
    fn write_field(&self, w: &mut Writer, version: Version, _nullable: bool) -> Result<(), Unencodable> {
        self.write(w, version)
    }

    /// As [`Wire::read_field`], for a tagged field.
    #[inline]
    fn read_tagged<'a>(input: &'a [u8], cx: Cx<'a>, nullable: bool) -> Read<'a, Self> {
        Self::read_field(input, cx, nullable)
    }

    /// As [`Wire::write_field`], for a tagged field.
    #[inline]
    fn write_tagged(&self, w: &mut Writer, version: Version, nullable: bool) -> Result<(), Unencodable> {
        self.write_field(w, version, nullable)
    }

    /// Tells all error codes in it: what the fields called `error_code` hold. `is_code` where it is in such a field itself.
    #[inline]
    fn each_error_code(&self, _is_code: bool, _tell: &mut impl FnMut(i16)) {}
}

/// A value that has a form for null on the wire: a length of -1 (0 when compact), or a struct's marker byte.
pub trait Nullable: Wire {
    /// Reads the value or null.
    fn read_nullable<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Option<Self>>;

    /// Writes the value or null.
    fn write_nullable(value: Option<&Self>, w: &mut Writer, version: Version) -> Result<(), Unencodable>;

    /// Reads the value or null from a tagged field. Only a struct makes a difference, by its marker.
    fn read_tagged_nullable<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Option<Self>> {
        Self::read_nullable(input, cx)
    }

    /// Writes the value or null into a tagged field. Only a struct makes a difference, by its marker.
    fn write_tagged_nullable(value: Option<&Self>, w: &mut Writer, version: Version) -> Result<(), Unencodable> {
        Self::write_nullable(value, w, version)
    }
}

impl<T: Nullable> Wire for Option<T> {
    const FORM: Form = Form::Nullable(&T::FORM);

    #[inline]
    fn read<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Self> {
        T::read_nullable(input, cx)
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), Unencodable> {
        T::write_nullable(self.as_ref(), w, version)
    }

    #[inline]
    fn read_field<'a>(input: &'a [u8], cx: Cx<'a>, nullable: bool) -> Read<'a, Self> {
        if nullable {
            return T::read_nullable(input, cx);
        }
        let (rest, value) = T::read(input, cx)?;
        Ok((rest, Some(value)))
    }

    fn write_field(&self, w: &mut Writer, version: Version, nullable: bool) -> Result<(), Unencodable> {
        match self {
            value if nullable => T::write_nullable(value.as_ref(), w, version),
            Some(value) => value.write(w, version),
            None => Err(Unencodable::new(Refusal::Null)),
        }
    }

    fn read_tagged<'a>(input: &'a [u8], cx: Cx<'a>, nullable: bool) -> Read<'a, Self> {
        if nullable { T::read_tagged_nullable(input, cx) } else { Self::read_field(input, cx, nullable) }
    }

    fn write_tagged(&self, w: &mut Writer, version: Version, nullable: bool) -> Result<(), Unencodable> {
        match nullable {
            true => T::write_tagged_nullable(self.as_ref(), w, version),
            false => self.write_field(w, version, nullable),
        }
    }

    #[inline]
    fn each_error_code(&self, is_code: bool, tell: &mut impl FnMut(i16)) {
        if let Some(value) = self {
            value.each_error_code(is_code, tell);
        }
    }
}

macro_rules! numbers {
    ($($ty:ty: $form:ident $({ $($more:tt)* })?;)*) => {$(
        impl Wire for $ty {
            const FORM: Form = Form::$form;

            #[inline]
            fn read<'a>(input: &'a [u8], _: Cx<'a>) -> Read<'a, Self> {
                // One load, where nom's numbers are a loop over bytes.
                match input.split_first_chunk() {
                    Some((bytes, rest)) => Ok((rest, <$ty>::from_be_bytes(*bytes))),
                    None => fail(Reason::Truncated),
                }
            }

            #[inline]
            fn write(&self, w: &mut Writer, _: Version) -> Result<(), Unencodable> {
                w.put_array(self.to_be_bytes());
                Ok(())
            }

            /// As large in memory as on the wire, so that one look at the input is enough.
            fn read_many<'a>(input: &'a [u8], cx: Cx<'a>, count: usize) -> Read<'a, Vec<Self>> {
                const SIZE: usize = size_of::<$ty>();
                let Some((bytes, rest)) = input.split_at_checked(count.saturating_mul(SIZE)) else {
                    return Err(nom::Err::Error(Malformed::new(Reason::Truncated).at(input.len() / SIZE)));
                };
                cx.charge(bytes.len()).or_else(fail_with)?;
                let (numbers, _) = bytes.as_chunks();
                Ok((rest, numbers.iter().map(|bytes| <$ty>::from_be_bytes(*bytes)).collect()))
            }

            fn write_many(items: &[Self], w: &mut Writer, _: Version) -> Result<(), Unencodable> {
                w.put_arrays(items, |item| item.to_be_bytes());
                Ok(())
            }

            $($($more)*)?
        }
    )*};
}

numbers! {
    i8: Int8;
    i16: Int16 {
        #[inline]
        fn each_error_code(&self, is_code: bool, tell: &mut impl FnMut(i16)) {
            if is_code {
                tell(*self);
            }
        }
    };
    u16: Uint16;
    i32: Int32;
    u32: Uint32;
    i64: Int64;
    f64: Float64;
}

impl Wire for bool {
    const FORM: Form = Form::Bool;

    #[inline]
    fn read<'a>(input: &'a [u8], _: Cx<'a>) -> Read<'a, Self> {
        be_u8.map(|byte| byte != 0).parse_complete(input)
    }

    #[inline]
    fn write(&self, w: &mut Writer, _: Version) -> Result<(), Unencodable> {
        w.put_array([u8::from(*self)]);
        Ok(())
    }
}

impl Wire for Uuid {
    const FORM: Form = Form::Uuid;

    #[inline]
    fn read<'a>(input: &'a [u8], _: Cx<'a>) -> Read<'a, Self> {
        match input.split_first_chunk() {
            Some((bytes, rest)) => Ok((rest, Uuid(*bytes))),
            None => fail(Reason::Truncated),
        }
    }

    #[inline]
    fn write(&self, w: &mut Writer, _: Version) -> Result<(), Unencodable> {
        w.put_array(self.0);
        Ok(())
    }
}

/// Reads an unsigned varint of up to five bytes. Bits beyond 32 are dropped, as Kafka does.
#[inline]
pub fn read_uvarint(input: &[u8]) -> Read<'_, u32> {
    match input {
        // Nearly all of them.
        [byte @ 0..0x80, rest @ ..] => Ok((rest, u32::from(*byte))),
        [low, high @ 0..0x80, rest @ ..] => Ok((rest, u32::from(low & 0x7f) | u32::from(*high) << 7)),
        _ => read_long_uvarint(input),
    }
}

fn read_long_uvarint(input: &[u8]) -> Read<'_, u32> {
    let mut value = 0u32;
    for (at, byte) in input.iter().enumerate().take(5) {
        value |= u32::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((input.get(at + 1..).unwrap_or_default(), value));
        }
    }
    fail(if input.len() < 5 { Reason::Truncated } else { Reason::Varint })
}

/// The longest string, in bytes, in every version.
const STRING_MAX: usize = i16::MAX as usize;

/// Lengths of strings are 16 bits in the classic form, all others 32.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Short,
    Int,
}

/// Reads a length; null is `None`. What it counts is not yet checked against the input.
#[inline]
fn read_length<'a>(input: &'a [u8], cx: Cx<'a>, width: Width) -> Read<'a, Option<usize>> {
    let (rest, length) = if cx.version.flexible {
        let (rest, length) = read_uvarint(input)?;
        (rest, i64::from(length) - 1)
    } else if width == Width::Short {
        let (rest, length) = i16::read(input, cx)?;
        (rest, i64::from(length))
    } else {
        let (rest, length) = i32::read(input, cx)?;
        (rest, i64::from(length))
    };
    match length {
        -1 => Ok((rest, None)),
        _ => match usize::try_from(length) {
            Ok(length) => Ok((rest, Some(length))),
            Err(_) => fail(Reason::Length),
        },
    }
}

/// Reads a length and that many bytes.
#[inline]
fn read_sized<'a>(input: &'a [u8], cx: Cx<'a>, width: Width) -> Read<'a, Option<&'a [u8]>> {
    let (rest, length) = read_length(input, cx, width)?;
    let Some(length) = length else { return Ok((rest, None)) };
    match rest.split_at_checked(length) {
        Some((value, rest)) => Ok((rest, Some(value))),
        None => fail(Reason::Length),
    }
}

/// Turns null into an error.
#[inline]
fn required<T>(read: Read<'_, Option<T>>) -> Read<'_, T> {
    match read? {
        (rest, Some(value)) => Ok((rest, value)),
        (_, None) => fail(Reason::Null),
    }
}

impl Wire for String {
    const FORM: Form = Form::String;

    fn read<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Self> {
        required(Self::read_nullable(input, cx))
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), Unencodable> {
        Self::write_nullable(Some(self), w, version)
    }
}

impl Nullable for String {
    fn read_nullable<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Option<Self>> {
        let (rest, bytes) = read_sized(input, cx, Width::Short)?;
        // The compact form could say more, but Kafka refuses it.
        if bytes.is_some_and(|bytes| bytes.len() > STRING_MAX) {
            return fail(Reason::TooLong);
        }
        match bytes.map(std::str::from_utf8).transpose() {
            Ok(text) => Ok((rest, text.map(str::to_owned))),
            Err(_) => fail(Reason::Utf8),
        }
    }

    fn write_nullable(value: Option<&Self>, w: &mut Writer, version: Version) -> Result<(), Unencodable> {
        w.put_length(value.map(String::len), version, Width::Short)?;
        w.put_slice(value.map(String::as_bytes).unwrap_or_default());
        Ok(())
    }
}

/// A nullable string whose bytes need not be UTF-8: what is not is replaced, as Java does.
pub(crate) fn read_text_lossy<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Option<String>> {
    let (rest, bytes) = read_sized(input, cx, Width::Short)?;
    Ok((rest, bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())))
}

/// Shares the frame's memory.
impl Wire for Bytes {
    const FORM: Form = Form::Bytes;

    #[inline]
    fn read<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Self> {
        let (rest, bytes) = required(read_sized(input, cx, Width::Int))?;
        Ok((rest, cx.slice(bytes)))
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), Unencodable> {
        Self::write_nullable(Some(self), w, version)
    }
}

impl Nullable for Bytes {
    #[inline]
    fn read_nullable<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Option<Self>> {
        match read_sized(input, cx, Width::Int)? {
            (rest, Some(bytes)) => Ok((rest, Some(cx.slice(bytes)))),
            (rest, None) => Ok((rest, None)),
        }
    }

    fn write_nullable(value: Option<&Self>, w: &mut Writer, version: Version) -> Result<(), Unencodable> {
        w.put_length(value.map(Bytes::len), version, Width::Int)?;
        if let Some(bytes) = value {
            w.put_payload(bytes);
        }
        Ok(())
    }
}

/// Records of a Fetch answer: bytes in memory, or a range of a file that goes to the socket without being read. What is
/// decoded is always in memory.
#[derive(Debug, Clone, PartialEq)]
pub enum Records {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    File(FileRange),
}

impl Records {
    /// The size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Records::Bytes(bytes) => bytes.len(),
            Records::File(range) => range.len,
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, where they are in memory.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Records::Bytes(bytes) => Some(bytes),
            Records::File(_) => None,
        }
    }
}

impl Default for Records {
    fn default() -> Self {
        Records::Bytes(Bytes::new())
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Records::Bytes(bytes)
    }
}

impl From<FileRange> for Records {
    fn from(range: FileRange) -> Self {
        Records::File(range)
    }
}

impl Wire for Records {
    const FORM: Form = Form::Bytes;

    fn read<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Self> {
        required(Self::read_nullable(input, cx))
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), Unencodable> {
        Self::write_nullable(Some(self), w, version)
    }
}

impl Nullable for Records {
    fn read_nullable<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Option<Self>> {
        let (rest, bytes) = Bytes::read_nullable(input, cx)?;
        Ok((rest, bytes.map(Records::Bytes)))
    }

    fn write_nullable(value: Option<&Self>, w: &mut Writer, version: Version) -> Result<(), Unencodable> {
        w.put_length(value.map(Records::len), version, Width::Int)?;
        match value {
            Some(Records::Bytes(bytes)) => w.put_payload(bytes),
            Some(Records::File(range)) => w.splice(Chunk::File(range.clone())),
            None => {}
        }
        Ok(())
    }
}

impl<T: Wire> Wire for Vec<T> {
    const FORM: Form = Form::Array(&T::FORM);

    fn read<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Self> {
        let (input, count) = required(read_count(input, cx))?;
        if count == 0 { Ok((input, Vec::new())) } else { T::read_many(input, cx, count) }
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), Unencodable> {
        w.put_length(Some(self.len()), version, Width::Int)?;
        T::write_many(self, w, version)
    }

    #[inline]
    fn each_error_code(&self, is_code: bool, tell: &mut impl FnMut(i16)) {
        self.iter().for_each(|item| item.each_error_code(is_code, tell));
    }
}

impl<T: Wire> Nullable for Vec<T> {
    fn read_nullable<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Option<Self>> {
        let (input, count) = read_count(input, cx)?;
        let Some(count) = count else { return Ok((input, None)) };
        let (input, items) = T::read_many(input, cx, count)?;
        Ok((input, Some(items)))
    }

    fn write_nullable(value: Option<&Self>, w: &mut Writer, version: Version) -> Result<(), Unencodable> {
        match value {
            Some(items) => items.write(w, version),
            None => w.put_length(None, version, Width::Int),
        }
    }
}

/// Reads an array's length. One larger than what is left of the frame is refused at once, as Kafka does: each element
/// takes at least a byte.
#[inline]
fn read_count<'a>(input: &'a [u8], cx: Cx<'a>) -> Read<'a, Option<usize>> {
    let (input, count) = read_length(input, cx, Width::Int)?;
    if count.is_some_and(|count| count > input.len()) {
        return fail(Reason::Count);
    }
    Ok((input, count))
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    const CLASSIC: Version = Version { number: 0, flexible: false };
    const FLEXIBLE: Version = Version { number: 0, flexible: true };

    fn read<T: Wire>(bytes: &[u8], version: Version) -> Result<(T, usize), Reason> {
        let frame = Bytes::copy_from_slice(bytes);
        let budget = budget(&frame);
        match T::read(&frame, Cx::new(version, &frame, &budget)) {
            Ok((rest, value)) => Ok((value, rest.len())),
            Err(error) => Err(Malformed::from(error).reason()),
        }
    }

    fn same<T: Wire + PartialEq + Debug>(value: T, version: Version, bytes: &[u8]) {
        let mut w = Writer::new();
        value.write(&mut w, version).unwrap();
        assert_eq!(w.into_bytes(), bytes, "{value:?}");
        assert_eq!(read::<T>(bytes, version), Ok((value, 0)));
    }

    #[test]
    fn values_have_kafkas_forms() {
        same(-2i8, CLASSIC, b"\xfe");
        same(0x1234u16, CLASSIC, b"\x12\x34");
        same(-2i32, FLEXIBLE, b"\xff\xff\xff\xfe");
        same(u32::MAX, FLEXIBLE, b"\xff\xff\xff\xff");
        same(i64::MIN, CLASSIC, b"\x80\0\0\0\0\0\0\0");
        same(1.5f64, CLASSIC, b"\x3f\xf8\0\0\0\0\0\0");
        same(true, CLASSIC, b"\x01");
        same("\u{e9}".to_owned(), CLASSIC, b"\0\x02\xc3\xa9");
        same("\u{e9}".to_owned(), FLEXIBLE, b"\x03\xc3\xa9");
        same(None::<String>, CLASSIC, b"\xff\xff");
        same(None::<String>, FLEXIBLE, b"\0");
        same(Some(Bytes::new()), CLASSIC, b"\0\0\0\0");
        same(None::<Bytes>, CLASSIC, b"\xff\xff\xff\xff");
        same(vec![1i16, 2], CLASSIC, b"\0\0\0\x02\0\x01\0\x02");
        same(vec![vec![1i8], vec![]], FLEXIBLE, b"\x03\x02\x01\x01");
        same(None::<Vec<i8>>, CLASSIC, b"\xff\xff\xff\xff");
        same(None::<Vec<i8>>, FLEXIBLE, b"\0");
        same(Some(Records::from(Bytes::from_static(b"r"))), FLEXIBLE, b"\x02r");
        assert_eq!(read::<bool>(b"\x07", CLASSIC), Ok((true, 0)));
    }

    #[test]
    fn wrong_bytes_are_refused_with_the_reason() {
        let refused = |bytes: &[u8], version| read::<String>(bytes, version).unwrap_err();
        assert_eq!(refused(b"\0", CLASSIC), Reason::Truncated);
        assert_eq!(refused(b"\xff\xff", CLASSIC), Reason::Null);
        assert_eq!(refused(b"\xff\xfe", CLASSIC), Reason::Length);
        assert_eq!(refused(b"\0\x02a", CLASSIC), Reason::Length);
        assert_eq!(refused(b"\0\x02\xc3\x28", CLASSIC), Reason::Utf8);
        assert_eq!(refused(b"\0", FLEXIBLE), Reason::Null);
        assert_eq!(refused(b"\x80", FLEXIBLE), Reason::Truncated);
        assert_eq!(refused(b"\x80\x80\x80\x80\x80\0", FLEXIBLE), Reason::Varint);
        assert_eq!(refused(b"\xff\xff\xff\xff\x0f", FLEXIBLE), Reason::Length);
        assert_eq!(read::<Vec<i8>>(b"\x7f\xff\xff\xff\0", CLASSIC), Err(Reason::Count));
        assert_eq!(read::<Vec<i8>>(b"\xff\xff\xff\xfe", CLASSIC), Err(Reason::Length));
        assert_eq!(read::<Vec<i32>>(b"\0\0\0\x04\0\0\0\x01", CLASSIC), Err(Reason::Truncated));
        assert_eq!(read::<Uuid>(&[0; 15], CLASSIC), Err(Reason::Truncated));
    }

    #[test]
    fn no_string_is_longer_than_the_classic_form_allows() {
        let mut w = Writer::new();
        Bytes::from(vec![b'x'; STRING_MAX + 1]).write(&mut w, FLEXIBLE).unwrap();
        assert_eq!(read::<String>(&w.into_bytes(), FLEXIBLE), Err(Reason::TooLong));
        let longest = "x".repeat(STRING_MAX);
        assert!(longest.write(&mut Writer::new(), FLEXIBLE).is_ok());
        assert_eq!((longest + "x").write(&mut Writer::new(), FLEXIBLE).unwrap_err().reason(), Refusal::TooLong);
    }

    #[test]
    fn varints_end_at_every_length() {
        for (value, bytes) in [
            (0u32, &b"\0"[..]),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (16_384, b"\x80\x80\x01"),
            (u32::MAX, b"\xff\xff\xff\xff\x0f"),
        ] {
            let mut w = Writer::new();
            w.put_uvarint(value);
            assert_eq!(w.into_bytes(), bytes);
            assert_eq!(read_uvarint(bytes).ok(), Some((&b""[..], value)));
        }
    }

    #[test]
    fn arrays_of_nothing_but_length_are_bounded_by_the_budget() {
        // A million empty strings: 1 MB that would become 24.
        let mut bytes = b"\xc1\x84\x3d".to_vec();
        bytes.resize(1_000_003, 1);
        assert_eq!(read::<Vec<String>>(&bytes, FLEXIBLE), Err(Reason::Budget));
        // As many numbers are as large as they came.
        assert_eq!(read::<Vec<i8>>(&bytes, FLEXIBLE).map(|(items, rest)| (items.len(), rest)), Ok((1_000_000, 0)));
    }

    #[test]
    fn arrays_hold_what_they_need() {
        let many = vec![7i64; 5000];
        let mut w = Writer::new();
        many.write(&mut w, CLASSIC).unwrap();
        let (items, _) = read::<Vec<i64>>(&w.into_bytes(), CLASSIC).unwrap();
        assert_eq!((items.len(), items.capacity()), (5000, 5000));
    }
}
