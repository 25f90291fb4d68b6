//! What goes wrong, and in which field.

use std::fmt;

/// One step from a message to a field within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Field(&'static str),
    Index(usize),
}

/// Steps from the innermost outwards: they are recorded as an error travels up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Path(Vec<Step>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for step in self.0.iter().rev() {
            match step {
                Step::Field(name) => {
                    let name = name.strip_prefix("r#").unwrap_or(name);
                    write!(f, "{}{name}", if first { "" } else { "." })?;
                }
                Step::Index(index) => write!(f, "[{index}]")?,
            }
            first = false;
        }
        Ok(())
    }
}

/// The bytes are not a message: where, and why. Shown as `ProduceRequest.topic_data[0].name: not UTF-8`.
///
/// One pointer wide, and allocated only when something is wrong.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .0.path, .0.reason)]
pub struct Malformed(Box<Fault<Reason>>);

/// A value has no form on the wire in this version: which, and why. Shown as
/// `FetchRequest.rack_id: the version has no such field`.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .0.path, .0.reason)]
pub struct Unencodable(Box<Fault<Refusal>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault<R> {
    path: Path,
    reason: R,
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The input ends within a value.
    #[error("the frame ends within it")]
    Truncated,
    /// A length is negative or larger than what is left.
    #[error("length does not fit the frame")]
    Length,
    /// An array claims more elements than there are bytes left.
    #[error("count does not fit the frame")]
    Count,
    /// Null where the version does not allow it.
    #[error("null is not allowed")]
    Null,
    /// A string has more than 32767 bytes.
    #[error("string is too long")]
    TooLong,
    /// A string's bytes are not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// A varint has more than five bytes.
    #[error("varint is too long")]
    Varint,
    /// Arrays would take much more memory than the frame, or more than is allowed.
    #[error("takes too much memory")]
    Budget,
    /// A tagged field holds more than its value.
    #[error("the tagged field's size does not match its value")]
    TagSize,
    /// The message has no such version.
    #[error("version {0} is not known")]
    Version(i16),
}

/// Why a value has no form on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A field that may not be dropped has a value other than its default.
    #[error("the version has no such field")]
    Absent,
    /// Null where the version does not allow it.
    #[error("null is not allowed")]
    Null,
    /// A length or count beyond the form's range.
    #[error("too long")]
    TooLong,
    /// The message has no such version.
    #[error("version {0} is not known")]
    Version(i16),
}

macro_rules! located {
    ($error:ident, $reason:ident) => {
        impl $error {
            #[cold]
            pub(crate) fn new(reason: $reason) -> Self {
                Self(Box::new(Fault { path: Path::default(), reason }))
            }

            /// What is wrong, without where.
            pub fn reason(&self) -> $reason {
                self.0.reason
            }

            /// Where, as in `topics[3].name`; empty where the message itself is meant.
            pub fn path(&self) -> String {
                self.0.path.to_string()
            }

            /// The error is within this field.
            #[cold]
            pub(crate) fn within(mut self, field: &'static str) -> Self {
                self.0.path.0.push(Step::Field(field));
                self
            }

            /// The error is within this element of an array.
            #[cold]
            pub(super) fn at(mut self, index: usize) -> Self {
                self.0.path.0.push(Step::Index(index));
                self
            }
        }

        impl fmt::Debug for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($error))
            }
        }
    };
}

located!(Malformed, Reason);
located!(Unencodable, Refusal);

impl<'a> nom::error::ParseError<&'a [u8]> for Malformed {
    fn from_error_kind(_: &'a [u8], _: nom::error::ErrorKind) -> Self {
        Malformed::new(Reason::Truncated)
    }

    fn append(_: &'a [u8], _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }
}

/// Unwraps nom's error.
impl From<nom::Err<Malformed>> for Malformed {
    fn from(error: nom::Err<Malformed>) -> Self {
        match error {
            nom::Err::Error(malformed) | nom::Err::Failure(malformed) => malformed,
            nom::Err::Incomplete(_) => Malformed::new(Reason::Truncated),
        }
    }
}

#[cold]
pub(crate) fn fail<T>(reason: Reason) -> Result<T, nom::Err<Malformed>> {
    Err(nom::Err::Error(Malformed::new(reason)))
}

#[cold]
pub(super) fn fail_with<T>(reason: Reason) -> Result<T, nom::Err<Malformed>> {
    fail(reason)
}
