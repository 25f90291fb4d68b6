//! The [`schema!`](crate::schema!) macro: a struct declared once, one line per field, readable and writable in all its
//! versions.
//!
//! ```
//! use felice_protocol::{Uuid, schema};
//!
//! schema! {
//!     FetchPartition {
//!         partition: i32,
//!         current_leader_epoch: i32 [9+, ignorable] = -1,
//!         fetch_offset: i64,
//!         log_start_offset: i64 [5+, ignorable] = -1,
//!         rack: Option<String> [0+, null 7+],
//!         replica_directory_id: Uuid [17+, tag 0, ignorable],
//!     }
//! }
//! ```
//!
//! The Rust type picks the form: numbers, `bool`, [`Uuid`](crate::Uuid), `String`, `Bytes` (bytes and records; it
//! shares the frame), `Vec` (an array), `Option` (nullable), and other structs of the schema. In brackets:
//!
//! - the versions that have the field: `3+`, `0-12`, or `4`; all where nothing is said;
//! - `null 7+`: the versions in which an `Option` may be null; all where nothing is said;
//! - `tag 0`: a tagged field (flexible versions only); tags are declared in ascending order;
//! - `ignorable`: dropped silently where the version has no such field; else a value other than the default is refused.
//!
//! `= value` is the default: what a decoded struct holds where the version has no such field, or the tag is absent. Where
//! nothing is said it is the type's own: 0, empty, null.
//!
//! A comment before a struct or a field becomes its documentation. A struct must have one where the crate asks for that;
//! a field's name and the protocol guide may say enough.
//!
//! [`stored!`](crate::stored!) gives such a struct a key and versions of its own, for what is kept in logs.

use bytes::Bytes;

use crate::wire::{
    Cx, Malformed, Read, Reason, Refusal, Unencodable, Version, Wire, Writer, budget, fail, read_uvarint,
};

/// An inclusive range of versions; empty where `min > max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The lowest version.
    pub min: i16,
    /// The highest version.
    pub max: i16,
}

impl Versions {
    /// No version at all.
    pub const NONE: Versions = Versions { min: 0, max: -1 };

    /// From `min` to `max`, both included.
    pub const fn new(min: i16, max: i16) -> Self {
        Versions { min, max }
    }

    /// From `min` on.
    pub const fn from(min: i16) -> Self {
        Versions { min, max: i16::MAX }
    }

    /// Whether the version is one of these.
    #[inline]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.min > self.max
    }
}

/// What a line of [`schema!`](crate::schema!) says about a field, besides its name, type and default.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The versions that have it.
    pub versions: Versions,
    /// The versions in which it may be null, if its type may.
    pub null: Versions,
    /// Its tag, if it is a tagged field.
    pub tag: Option<u32>,
    /// Whether it is dropped silently where the version does not have it.
    pub ignorable: bool,
}

#[doc(hidden)]
impl Field {
    pub const ALWAYS: Field =
        Field { versions: Versions::from(0), null: Versions::from(0), tag: None, ignorable: false };

    pub const fn versions(self, versions: Versions) -> Self {
        Field { versions, ..self }
    }

    pub const fn null(self, null: Versions) -> Self {
        Field { null, ..self }
    }

    pub const fn tag(self, tag: u32) -> Self {
        Field { tag: Some(tag), ..self }
    }

    pub const fn ignorable(self) -> Self {
        Field { ignorable: true, ..self }
    }

    pub const fn tag_number(&self) -> Option<u32> {
        self.tag
    }

    /// Whether this is the field that `tag` means in this version.
    #[inline]
    pub fn has_tag(&self, tag: u32, version: Version) -> bool {
        self.tag == Some(tag) && self.versions.contains(version.number)
    }

    /// Reads the field where it is in the version and not tagged; else it has its default.
    #[inline]
    pub fn read<'a, T: Wire>(
        &self,
        input: &'a [u8],
        cx: Cx<'a>,
        default: fn() -> T,
        name: &'static str,
    ) -> Read<'a, T> {
        if self.tag.is_none() && self.versions.contains(cx.version.number) {
            self.read_value(input, cx, name)
        } else {
            Ok((input, default()))
        }
    }

    /// Reads the field's value.
    #[inline]
    pub fn read_value<'a, T: Wire>(&self, input: &'a [u8], cx: Cx<'a>, name: &'static str) -> Read<'a, T> {
        let nullable = self.null.contains(cx.version.number);
        let read = match self.tag {
            None => T::read_field(input, cx, nullable),
            Some(_) => T::read_tagged(input, cx, nullable),
        };
        read.map_err(|error| error.map(|malformed| malformed.within(name)))
    }

    /// Writes the field where it is in the version and not tagged, and refuses to lose a value.
    #[inline]
    pub fn write<T: Wire + PartialEq>(
        &self,
        value: &T,
        default: fn() -> T,
        w: &mut Writer,
        version: Version,
        name: &'static str,
    ) -> Result<(), Unencodable> {
        let present = self.versions.contains(version.number) && (self.tag.is_none() || version.flexible);
        if !present {
            return if self.ignorable || *value == default() {
                Ok(())
            } else {
                Err(Unencodable::new(Refusal::Absent).within(name))
            };
        }
        if self.tag.is_some() {
            return Ok(());
        }
        let nullable = self.null.contains(version.number);
        value.write_field(w, version, nullable).map_err(|error| error.within(name))
    }

    /// Whether a tagged field is written: where the version has it and it is not the default.
    #[inline]
    pub fn is_written<T: PartialEq>(&self, value: &T, default: fn() -> T, version: Version) -> bool {
        self.tag.is_some() && self.versions.contains(version.number) && *value != default()
    }

    /// Writes a tagged field for which [`Field::is_written`] holds.
    #[inline]
    pub fn write_tagged<T: Wire>(
        &self,
        value: &T,
        w: &mut Writer,
        version: Version,
        name: &'static str,
    ) -> Result<(), Unencodable> {
        let Some(tag) = self.tag else { return Ok(()) };
        w.put_uvarint(tag);
        let nullable = self.null.contains(version.number);
        w.put_sized(|w| value.write_tagged(w, version, nullable)).map_err(|error| error.within(name))
    }
}

/// Whether a field of this name holds an error code.
#[doc(hidden)]
pub const fn is_error_code(name: &str) -> bool {
    matches!(name.as_bytes(), b"error_code")
}

/// Whether tags ascend: the macro asserts it for each struct.
#[doc(hidden)]
pub const fn tags_ascend(fields: &[Field]) -> bool {
    let mut next = 0;
    let mut at = 0;
    while at < fields.len() {
        if let Some(tag) = fields[at].tag {
            if tag < next {
                return false;
            }
            next = tag + 1;
        }
        at += 1;
    }
    true
}

/// Tagged fields that this version of the codec does not know, as they came: a struct that is decoded and encoded again
/// loses nothing (KIP-482). Empty, and without cost, nearly always.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(
    clippy::box_collection,
    reason = "every struct of every message has one, nearly always empty: eight bytes, not 24"
)]
pub struct UnknownTags(Option<Box<Vec<(u32, Bytes)>>>);

impl UnknownTags {
    /// Each tag with its value, in the order in which they came.
    pub fn as_slice(&self) -> &[(u32, Bytes)] {
        self.0.as_ref().map_or(&[], |tags| tags.as_slice())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Adds a tag, and charges what that allocates: nearly always there is one, so room is made for one, and then doubled.
    #[cold]
    fn push(&mut self, tag: u32, value: &[u8], cx: Cx<'_>) -> Result<(), Reason> {
        const SIZE: usize = size_of::<(u32, Bytes)>();
        let value = (tag, cx.slice(value));
        match &mut self.0 {
            None => {
                cx.charge(size_of::<Vec<(u32, Bytes)>>() + SIZE)?;
                self.0 = Some(Box::new(vec![value]));
            }
            Some(tags) => {
                if tags.len() == tags.capacity() {
                    cx.charge(tags.len() * SIZE)?;
                    tags.reserve_exact(tags.len());
                }
                tags.push(value);
            }
        }
        Ok(())
    }
}

/// Writes those of the unknown tags that come before `tag`, and returns the others: tags ascend on the wire.
#[doc(hidden)]
#[inline]
pub fn write_unknown_before<'a>(unknown: &'a [(u32, Bytes)], tag: Option<u32>, w: &mut Writer) -> &'a [(u32, Bytes)] {
    if unknown.is_empty() { unknown } else { write_some_unknown(unknown, tag, w) }
}

#[cold]
fn write_some_unknown<'a>(unknown: &'a [(u32, Bytes)], tag: Option<u32>, w: &mut Writer) -> &'a [(u32, Bytes)] {
    let count = unknown.iter().take_while(|(other, _)| tag.is_none_or(|tag| *other < tag)).count();
    let (before, after) = unknown.split_at(count);
    for (tag, value) in before {
        w.put_uvarint(*tag);
        w.put_uvarint(u32::try_from(value.len()).unwrap_or(u32::MAX));
        w.put_payload(value);
    }
    after
}

/// Reads the tagged fields at the end of a struct. `known` reads the value of a tag that it knows from all of its
/// input, and says whether it did; unknown ones are kept in `unknown`. As in Kafka, neither order nor repetition of
/// known ones matters: the last wins.
#[doc(hidden)]
#[inline]
pub fn read_tags<'a>(
    input: &'a [u8],
    cx: Cx<'a>,
    unknown: &mut UnknownTags,
    known: impl FnMut(u32, &mut &'a [u8]) -> Result<bool, nom::Err<Malformed>>,
) -> Read<'a, ()> {
    match input {
        // Nearly always there is none.
        [0, rest @ ..] => Ok((rest, ())),
        _ => each_tag(input, known, |tag, value| unknown.push(tag, value, cx).or_else(fail)),
    }
}

fn each_tag<'a>(
    input: &'a [u8],
    mut known: impl FnMut(u32, &mut &'a [u8]) -> Result<bool, nom::Err<Malformed>>,
    mut unknown: impl FnMut(u32, &'a [u8]) -> Result<(), nom::Err<Malformed>>,
) -> Read<'a, ()> {
    let (mut input, count) = in_tags(read_uvarint(input))?;
    for _ in 0..count {
        let (rest, tag) = in_tags(read_uvarint(input))?;
        let (rest, size) = in_tags(read_uvarint(rest))?;
        let Some((mut value, rest)) = rest.split_at_checked(size as usize) else {
            return in_tags(fail(Reason::Length));
        };
        if !known(tag, &mut value)? {
            in_tags(unknown(tag, value))?;
        } else if !value.is_empty() {
            return in_tags(fail(Reason::TagSize));
        }
        input = rest;
    }
    Ok((input, ()))
}

fn in_tags<T>(read: Result<T, nom::Err<Malformed>>) -> Result<T, nom::Err<Malformed>> {
    read.map_err(|error| error.map(|malformed| malformed.within("tagged fields")))
}

/// Skips tagged fields where none is known.
pub(crate) fn skip_tags(input: &[u8]) -> Read<'_, ()> {
    each_tag(input, |_, _| Ok(false), |_, _| Ok(()))
}

/// What a body was read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded<T> {
    /// The message.
    pub message: T,
    /// Bytes that follow it.
    pub rest: usize,
    /// Bytes of memory that its arrays take, as they were charged.
    pub memory: usize,
}

/// Reads a whole message from the front of `body`; its arrays may take `memory_max` bytes.
pub(crate) fn read_message<T: Wire>(
    body: &Bytes,
    version: Version,
    name: &'static str,
    memory_max: usize,
) -> Result<Decoded<T>, Malformed> {
    let budget = budget(body);
    let most = budget.get().min(memory_max);
    budget.set(most);
    match T::read(body, Cx::new(version, body, &budget)) {
        Ok((rest, message)) => Ok(Decoded { message, rest: rest.len(), memory: most - budget.get() }),
        Err(error) => Err(Malformed::from(error).within(name)),
    }
}

/// A struct with a key and versions of its own, for what is kept in logs: see [`stored!`](crate::stored!).
pub trait Stored: Wire {
    /// Its number among its kind.
    const KEY: i16;
    /// Its name.
    const NAME: &'static str;
    /// The versions that can be read and written.
    const VERSIONS: Versions;
    /// The first flexible version; `i16::MAX` where none is.
    const FLEXIBLE_FROM: i16;

    /// Decodes a value, sharing the memory of `bytes`. What follows it is ignored.
    fn decode(bytes: &Bytes, version: i16) -> Result<Self, Malformed> {
        if !Self::VERSIONS.contains(version) {
            return Err(Malformed::new(Reason::Version(version)).within(Self::NAME));
        }
        let version = Version { number: version, flexible: version >= Self::FLEXIBLE_FROM };
        Ok(read_message(bytes, version, Self::NAME, usize::MAX)?.message)
    }

    /// Encodes the value.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), Unencodable> {
        if !Self::VERSIONS.contains(version) {
            return Err(Unencodable::new(Refusal::Version(version)).within(Self::NAME));
        }
        let version = Version { number: version, flexible: version >= Self::FLEXIBLE_FROM };
        self.write(w, version).map_err(|error| error.within(Self::NAME))
    }

    /// Decodes a value that stands behind its version in two bytes, as Kafka keeps it in logs and within other messages.
    fn decode_with_version(bytes: &Bytes) -> Result<Self, Malformed> {
        let (version, value) = split_version(bytes, Self::NAME)?;
        Self::decode(&value, version)
    }

    /// As [`Stored::decode_with_version`], for what has only ever grown at its end: a version that is newer than those known
    /// is read as the newest known.
    fn decode_with_any_version(bytes: &Bytes) -> Result<Self, Malformed> {
        let (version, value) = split_version(bytes, Self::NAME)?;
        Self::decode(&value, version.min(Self::VERSIONS.max))
    }

    /// Encodes the value behind its version.
    fn encode_with_version(&self, version: i16) -> Result<Bytes, Unencodable> {
        let mut w = Writer::new();
        w.put_slice(&version.to_be_bytes());
        self.encode(&mut w, version)?;
        Ok(w.into_bytes())
    }
}

fn split_version(bytes: &Bytes, name: &'static str) -> Result<(i16, Bytes), Malformed> {
    match bytes.first_chunk() {
        Some(version) => Ok((i16::from_be_bytes(*version), bytes.slice(version.len()..))),
        None => Err(Malformed::new(Reason::Truncated).within("version").within(name)),
    }
}

/// Gives structs of [`schema!`](crate::schema!) their key and versions: `2 TopicRecord 0-1, flexible 0+;`
#[macro_export]
macro_rules! stored {
    ($($key:literal $name:ident $min:literal - $max:literal $(, flexible $flexible:literal +)?;)*) => {$(
        impl $crate::schema::Stored for $name {
            const KEY: i16 = $key;
            const NAME: &'static str = stringify!($name);
            const VERSIONS: $crate::schema::Versions = $crate::schema::Versions::new($min, $max);
            const FLEXIBLE_FROM: i16 = $crate::schema!(@or [$($flexible)?] i16::MAX);
        }
    )*};
}

/// Declares structs of the wire: see the [module](mod@crate::schema).
#[macro_export]
macro_rules! schema {
    // What a field's brackets say.
    (@field $field:expr;) => { $field };
    (@field $field:expr; , $($rest:tt)*) => { $crate::schema!(@field $field; $($rest)*) };
    (@field $field:expr; ignorable $($rest:tt)*) => { $crate::schema!(@field $field.ignorable(); $($rest)*) };
    (@field $field:expr; tag $tag:literal $($rest:tt)*) => { $crate::schema!(@field $field.tag($tag); $($rest)*) };
    (@field $field:expr; null $min:literal + $($rest:tt)*) => {
        $crate::schema!(@field $field.null($crate::schema::Versions::from($min)); $($rest)*)
    };
    (@field $field:expr; null $min:literal - $max:literal $($rest:tt)*) => {
        $crate::schema!(@field $field.null($crate::schema::Versions::new($min, $max)); $($rest)*)
    };
    (@field $field:expr; null $only:literal $($rest:tt)*) => {
        $crate::schema!(@field $field.null($crate::schema::Versions::new($only, $only)); $($rest)*)
    };
    (@field $field:expr; $min:literal + $($rest:tt)*) => {
        $crate::schema!(@field $field.versions($crate::schema::Versions::from($min)); $($rest)*)
    };
    (@field $field:expr; $min:literal - $max:literal $($rest:tt)*) => {
        $crate::schema!(@field $field.versions($crate::schema::Versions::new($min, $max)); $($rest)*)
    };
    (@field $field:expr; $only:literal $($rest:tt)*) => {
        $crate::schema!(@field $field.versions($crate::schema::Versions::new($only, $only)); $($rest)*)
    };

    (@or [] $otherwise:expr) => { $otherwise };
    (@or [$value:expr] $otherwise:expr) => { $value };

    ($(
        $(#[$meta:meta])*
        $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $ty:ty $([$($about:tt)*])? $(= $default:expr)?),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* #[allow(missing_docs)] pub $field: $ty,)*
            /// Tagged fields that came with it and that this version does not know.
            pub unknown_tags: $crate::schema::UnknownTags,
        }

        impl ::std::default::Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $crate::schema!(@or [$($default)?] ::std::default::Default::default()),)*
                    unknown_tags: ::std::default::Default::default(),
                }
            }
        }

        const _: () = {
            #[allow(non_upper_case_globals)]
            mod fields {
                $(pub const $field: $crate::schema::Field =
                    $crate::schema!(@field $crate::schema::Field::ALWAYS; $($($about)*)?);)*
            }
            const FIELDS: &[$crate::schema::Field] = &[$(fields::$field),*];
            assert!($crate::schema::tags_ascend(FIELDS));

            impl $crate::wire::Wire for $name {
                const FORM: $crate::wire::Form = $crate::wire::Form::Struct(&[$($crate::wire::FieldForm {
                    name: stringify!($field),
                    field: fields::$field,
                    form: <$ty as $crate::wire::Wire>::FORM,
                }),*]);

                #[inline]
                fn read<'a>(input: &'a [u8], cx: $crate::wire::Cx<'a>) -> $crate::wire::Read<'a, Self> {
                    $(#[allow(unused_mut)]
                    let (input, mut $field): (_, $ty) = fields::$field.read(
                        input,
                        cx,
                        || $crate::schema!(@or [$($default)?] ::std::default::Default::default()),
                        stringify!($field),
                    )?;)*
                    let mut unknown_tags = $crate::schema::UnknownTags::default();
                    let mut input = input;
                    if cx.version.flexible {
                        (input, ()) = $crate::schema::read_tags(input, cx, &mut unknown_tags, |_tag, _value| {
                            $(if fields::$field.has_tag(_tag, cx.version) {
                                (*_value, $field) = fields::$field.read_value(_value, cx, stringify!($field))?;
                                return Ok(true);
                            })*
                            Ok(false)
                        })?;
                    }
                    Ok((input, Self { $($field,)* unknown_tags }))
                }

                fn write(
                    &self,
                    w: &mut $crate::wire::Writer,
                    version: $crate::wire::Version,
                ) -> Result<(), $crate::wire::Unencodable> {
                    $(fields::$field.write(
                        &self.$field,
                        || $crate::schema!(@or [$($default)?] ::std::default::Default::default()),
                        w,
                        version,
                        stringify!($field),
                    )?;)*
                    if version.flexible {
                        let written: [bool; FIELDS.len()] = [$(fields::$field.is_written(
                            &self.$field,
                            || $crate::schema!(@or [$($default)?] ::std::default::Default::default()),
                            version,
                        )),*];
                        let mut unknown = self.unknown_tags.as_slice();
                        let known: u32 = written.iter().map(|written| u32::from(*written)).sum();
                        w.put_uvarint(known + unknown.len() as u32);
                        let mut _written = written.into_iter();
                        $(if _written.next() == Some(true) {
                            unknown = $crate::schema::write_unknown_before(unknown, fields::$field.tag_number(), w);
                            fields::$field.write_tagged(&self.$field, w, version, stringify!($field))?;
                        })*
                        $crate::schema::write_unknown_before(unknown, None, w);
                    }
                    Ok(())
                }

                #[inline]
                fn each_error_code(&self, _: bool, _tell: &mut impl FnMut(i16)) {
                    $($crate::wire::Wire::each_error_code(
                        &self.$field,
                        const { $crate::schema::is_error_code(stringify!($field)) },
                        _tell,
                    );)*
                }
            }

            /// A marker byte comes before a struct that may be null.
            impl $crate::wire::Nullable for $name {
                fn read_nullable<'a>(
                    input: &'a [u8],
                    cx: $crate::wire::Cx<'a>,
                ) -> $crate::wire::Read<'a, Option<Self>> {
                    let (input, marker) = <i8 as $crate::wire::Wire>::read(input, cx)?;
                    if marker < 0 {
                        return Ok((input, None));
                    }
                    let (input, value) = <Self as $crate::wire::Wire>::read(input, cx)?;
                    Ok((input, Some(value)))
                }

                fn write_nullable(
                    value: Option<&Self>,
                    w: &mut $crate::wire::Writer,
                    version: $crate::wire::Version,
                ) -> Result<(), $crate::wire::Unencodable> {
                    $crate::wire::Wire::write(&if value.is_some() { 1i8 } else { -1 }, w, version)?;
                    match value {
                        Some(value) => $crate::wire::Wire::write(value, w, version),
                        None => Ok(()),
                    }
                }

                fn read_tagged_nullable<'a>(
                    input: &'a [u8],
                    cx: $crate::wire::Cx<'a>,
                ) -> $crate::wire::Read<'a, Option<Self>> {
                    let (input, marker) = $crate::wire::read_uvarint(input)?;
                    if marker == 0 {
                        return Ok((input, None));
                    }
                    let (input, value) = <Self as $crate::wire::Wire>::read(input, cx)?;
                    Ok((input, Some(value)))
                }

                fn write_tagged_nullable(
                    value: Option<&Self>,
                    w: &mut $crate::wire::Writer,
                    version: $crate::wire::Version,
                ) -> Result<(), $crate::wire::Unencodable> {
                    w.put_uvarint(u32::from(value.is_some()));
                    match value {
                        Some(value) => $crate::wire::Wire::write(value, w, version),
                        None => Ok(()),
                    }
                }
            }
        };
    )*};
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Stored;
    use crate::{
        Uuid,
        wire::{Malformed, Unencodable, Wire, Writer},
    };

    schema! {
        Thing {
            id: i32,
            name: Option<String> [0+, null 2+] = Some(String::new()),
            strict: i16 [1+] = 7,
            lenient: i16 [1+, ignorable],
            old: Vec<i8> [0-1, ignorable],
            part: Option<Part> [3+, null 4+],
            note: String [2+, tag 0],
            parts: Vec<Part> [2+, tag 3, ignorable],
            last: Option<Part> [2+, tag 4, ignorable] = Some(Part::default()),
        }

        Part {
            owner: Uuid,
            payload: Bytes [3+],
        }
    }

    stored! {
        41 Thing 0-4, flexible 2+;
    }

    fn thing() -> Thing {
        Thing { id: 1, name: Some("n".to_owned()), ..Thing::default() }
    }

    fn encode(thing: &Thing, version: i16) -> Result<Vec<u8>, Unencodable> {
        let mut w = Writer::new();
        thing.encode(&mut w, version)?;
        Ok(w.into_bytes().to_vec())
    }

    fn decode(bytes: &[u8], version: i16) -> Result<Thing, Malformed> {
        Thing::decode(&Bytes::copy_from_slice(bytes), version)
    }

    #[test]
    fn each_version_has_its_own_fields() {
        assert_eq!(encode(&thing(), 0).unwrap(), b"\0\0\0\x01\0\x01n\0\0\0\0");
        assert_eq!(encode(&thing(), 1).unwrap(), b"\0\0\0\x01\0\x01n\0\x07\0\0\0\0\0\0");
        assert_eq!(encode(&thing(), 2).unwrap(), b"\0\0\0\x01\x02n\0\x07\0\0\0");
        assert_eq!(encode(&thing(), 4).unwrap(), b"\0\0\0\x01\x02n\0\x07\0\0\xff\0");
        let whole = Thing { part: Some(Part::default()), ..thing() };
        let part = [0; 16];
        assert_eq!(encode(&whole, 3).unwrap(), [&b"\0\0\0\x01\x02n\0\x07\0\0"[..], &part, b"\x01\0\0"].concat());
        assert_eq!(encode(&whole, 4).unwrap(), [&b"\0\0\0\x01\x02n\0\x07\0\0\x01"[..], &part, b"\x01\0\0"].concat());
        for version in 0..=4 {
            let thing = if version == 3 { &whole } else { &thing() };
            assert_eq!(decode(&encode(thing, version).unwrap(), version).as_ref(), Ok(thing));
        }
    }

    /// Kafka marks a struct that may be null by -1 or 1 in one byte, but in a tagged field by 0 or 1 as an unsigned varint.
    #[test]
    fn a_tagged_struct_that_may_be_null_has_a_marker_of_its_own() {
        let plain = b"\0\0\0\x01\x02n\0\x07\0\0";
        let none = Thing { last: None, ..thing() };
        assert_eq!(encode(&none, 2).unwrap(), [&plain[..], b"\x01\x04\x01\0"].concat());
        let part = Part { owner: Uuid([7; 16]), ..Part::default() };
        let some = Thing { last: Some(part), ..thing() };
        assert_eq!(encode(&some, 2).unwrap(), [&plain[..], b"\x01\x04\x12\x01", &[7; 16], b"\0"].concat());
        for thing in [none, some] {
            assert_eq!(decode(&encode(&thing, 2).unwrap(), 2), Ok(thing));
        }
    }

    #[test]
    fn a_value_that_the_version_cannot_hold_is_refused_or_dropped() {
        let refused = |thing: Thing, version| encode(&thing, version).unwrap_err().to_string();
        assert_eq!(refused(Thing { strict: 8, ..thing() }, 0), "Thing.strict: the version has no such field");
        assert_eq!(refused(Thing { note: "x".into(), ..thing() }, 1), "Thing.note: the version has no such field");
        assert_eq!(refused(Thing { name: None, ..thing() }, 1), "Thing.name: null is not allowed");
        assert_eq!(refused(Thing { part: None, ..thing() }, 3), "Thing.part: null is not allowed");
        assert_eq!(refused(thing(), 5), "Thing: version 5 is not known");
        let payload = Part { payload: Bytes::from_static(b"p"), ..Part::default() };
        let parts = Thing { parts: vec![Part::default(), payload], ..thing() };
        assert_eq!(refused(parts.clone(), 2), "Thing.parts[1].payload: the version has no such field");
        let kept = Thing { lenient: 9, old: vec![1], ..thing() };
        assert_eq!(decode(&encode(&Thing { lenient: 9, ..parts }, 0).unwrap(), 0), Ok(thing()));
        assert_eq!(decode(&encode(&kept, 4).unwrap(), 4), Ok(Thing { lenient: 9, ..thing() }));
        assert_eq!(refused(Thing { name: Some("x".repeat(40_000)), ..thing() }, 1), "Thing.name: too long");
    }

    #[test]
    fn null_is_refused_where_the_version_does_not_allow_it() {
        let error = |bytes: &[u8], version| decode(bytes, version).unwrap_err().to_string();
        assert_eq!(error(b"\0\0\0\x01\xff\xff\0\0\0\0", 0), "Thing.name: null is not allowed");
        assert_eq!(decode(b"\0\0\0\x01\0\0\x07\0\0\0", 2), Ok(Thing { name: None, ..thing() }));
        assert_eq!(error(b"\0\0\0\x01\0\x01n\xff\xff\xff\xff", 0), "Thing.old: null is not allowed");
    }

    #[test]
    fn tagged_fields_are_written_where_they_say_something() {
        let tagged = Thing { note: "x".repeat(200), parts: vec![Part::default()], ..thing() };
        let bytes = encode(&tagged, 2).unwrap();
        assert_eq!(bytes[10..16], *b"\x02\x00\xca\x01\xc9\x01");
        assert_eq!(decode(&bytes, 2), Ok(tagged));
    }

    #[test]
    fn tags_may_be_unknown_out_of_order_and_repeated() {
        let start = &b"\0\0\0\x01\x02n\0\x07\0\0"[..];
        let tags = |tags: &[u8]| decode(&[start, tags].concat(), 2);
        let noted = |note: &str| Ok(Thing { note: note.to_owned(), ..thing() });
        let kept = tags(b"\x03\x63\x02??\x00\x02\x02a\x01\x00").unwrap();
        assert_eq!(kept.note, "a");
        let unknown = [(0x63, Bytes::from_static(b"??")), (1, Bytes::new())];
        assert_eq!(kept.unknown_tags.as_slice(), unknown);
        assert_eq!(tags(b"\x02\x03\x01\x01\x00\x02\x02a"), noted("a"));
        assert_eq!(tags(b"\x02\x00\x02\x02a\x00\x02\x02b"), noted("b"));
        let error = |bytes| tags(bytes).unwrap_err().to_string();
        let size = "Thing.tagged fields: the tagged field's size does not match its value";
        assert_eq!(error(b"\x01\x00\x03\x02a?"), size);
        assert_eq!(error(b"\x01\x00\x01\x02a"), "Thing.note: length does not fit the frame");
        assert_eq!(error(b"\x01\x63\x04ab"), "Thing.tagged fields: length does not fit the frame");
        assert_eq!(error(b"\xff\xff\xff\xff\x0f"), "Thing.tagged fields: the frame ends within it");
    }

    #[test]
    fn unknown_tags_are_written_again_in_their_place() {
        let bytes = [&b"\0\0\0\x01\x02n\0\x07\0\0"[..], b"\x03\x00\x02\x02a\x01\x01!\x63\x02??"].concat();
        assert_eq!(encode(&decode(&bytes, 2).unwrap(), 2).unwrap(), bytes);
    }

    #[test]
    fn a_stored_value_may_stand_behind_its_version() {
        let bytes = thing().encode_with_version(1).unwrap();
        assert_eq!(bytes[..], *b"\0\x01\0\0\0\x01\0\x01n\0\x07\0\0\0\0\0\0");
        assert_eq!(Thing::decode_with_version(&bytes), Ok(thing()));
        let newer = Bytes::from_static(b"\0\x63\0\0\0\x01\x02n\0\x07\0\0\xff\0and more");
        assert_eq!(Thing::decode_with_any_version(&newer), Ok(thing()));
        let error =
            |bytes: &'static [u8]| Thing::decode_with_version(&Bytes::from_static(bytes)).unwrap_err().to_string();
        assert_eq!(error(b"\0\x63"), "Thing: version 99 is not known");
        assert_eq!(error(b"\0"), "Thing.version: the frame ends within it");
    }

    #[test]
    fn error_codes_are_found_wherever_they_are() {
        schema! {
            Answer {
                error_code: i16,
                throttle_time_ms: i16,
                topics: Vec<Failed> [3+],
                group: Option<Failed>,
            }

            Failed {
                codes: Vec<i16>,
                error_code: i16 [2+],
            }
        }
        let failed = |error_code| Failed { codes: vec![9], error_code, ..Failed::default() };
        let answer = Answer {
            error_code: 1,
            throttle_time_ms: 9,
            topics: vec![failed(2), failed(3)],
            group: Some(failed(4)),
            ..Answer::default()
        };
        let mut codes = Vec::new();
        answer.each_error_code(false, &mut |code| codes.push(code));
        assert_eq!(codes, [1, 2, 3, 4]);
    }

    #[test]
    fn stored_values_have_a_key_and_versions() {
        assert_eq!((Thing::KEY, Thing::NAME), (41, "Thing"));
        assert_eq!(decode(b"", 5).unwrap_err().to_string(), "Thing: version 5 is not known");
        assert_eq!(decode(b"", -1).unwrap_err().to_string(), "Thing: version -1 is not known");
    }
}
