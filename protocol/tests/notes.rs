//! The file of each API is the newcomer's map: it must open with the API's name and key, and say of each version what it
//! added.

use std::{fs, path::Path};

use felice_protocol::api::ApiKey;

/// `AddRaftVoter` as `add_raft_voter`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// What the heading of an API's file lacks.
fn lacks(api: ApiKey, text: &str) -> Vec<String> {
    let heading: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim_start).collect();
    let mut lacks = Vec::new();
    let first = format!("{api} (key {}): ", api.code());
    if !heading.first().is_some_and(|line| line.starts_with(&first)) {
        lacks.push(format!("a first line that begins with {first:?}"));
    }
    let notes: Vec<&str> = heading
        .into_iter()
        .skip_while(|line| *line != "Version notes:")
        .filter(|line| line.starts_with("- v"))
        .collect();
    let versions = api.versions();
    for (version, at) in (versions.min..=versions.max).zip(0..) {
        match notes.get(at) {
            Some(note) if note.starts_with(&format!("- v{version}: ")) => {
                let first_flexible = version > 0 && api.flexible_from() == Some(version);
                if first_flexible && !note.contains("flexible") {
                    lacks.push(format!("that version {version} is flexible"));
                }
            }
            _ => {
                lacks.push(format!("version {version} in its place"));
                return lacks;
            }
        }
    }
    if notes.len() > usize::from(versions.max.abs_diff(versions.min)) + 1 {
        lacks.push(format!("an end after version {}", versions.max));
    }
    lacks
}

#[test]
fn every_file_says_what_each_version_added() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/messages");
    let mut wrong = Vec::new();
    for api in ApiKey::ALL {
        let path = folder.join(snake(api.name())).with_extension("rs");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        wrong.extend(lacks(*api, &text).into_iter().map(|what| format!("{} lacks {what}", path.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_heading_that_lacks_something_is_caught() {
    let caught = |text: &str| lacks(ApiKey::SaslAuthenticate, text);
    let good =
        "//! SaslAuthenticate (key 36): x\n//!\n//! Version notes:\n//! - v0: a\n//! - v1: b\n//! - v2: flexible\n";
    assert_eq!(caught(good), Vec::<String>::new());
    assert_eq!(caught(&good.replace("36", "35")), ["a first line that begins with \"SaslAuthenticate (key 36): \""]);
    assert_eq!(caught(&good.replace("flexible", "c")), ["that version 2 is flexible"]);
    assert_eq!(caught(&good.replace("//! - v1: b\n", "")), ["version 1 in its place"]);
    assert_eq!(caught(&format!("{good}//! - v3: c\n")), ["an end after version 2"]);
}
