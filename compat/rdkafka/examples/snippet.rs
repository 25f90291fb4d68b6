//! The README's snippet, whose file SNIPPET names: compiled as it stands.

include!(env!("SNIPPET"));
