//! Lints the repository itself: which folder may import which, what pure code may touch, who may use RocksDB and Raft,
//! and a few habits of text. `ARCHITECTURE.md` says why. A violation names its file and line; `mod caught` at the end shows
//! each rule catching one. Needs no code of the broker, so that it builds in a second.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// From top to bottom. A folder (or file) of `src/` imports only from lines below its own.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["broker", "cli"],
    &["net", "http"],
    &["api"],
    &["coordinator"],
    &["replica", "quorum"],
    &["controller", "tiered"],
    &["metadata"],
    &["log", "client"],
    &["store", "security", "quota"],
    &["config", "env", "metrics"],
    &["model"],
];

/// State machines that decide and apply: the same input gives the same output, so that a seed reproduces a failure. A file
/// elsewhere that begins with `//! PURE` is held to the same.
const PURE: &[&str] =
    &["src/controller/", "src/metadata/", "src/coordinator/group/", "src/coordinator/txn/", "src/coordinator/share/"];

/// What pure code takes as an argument, or leaves to its caller.
const IMPURE: &[&str] = &[
    "crate::env",
    "crate::store",
    "libc",
    "parking_lot",
    "rand",
    "rustix",
    "socket2",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::thread",
    "std::time",
    "tokio",
    "tokio_util",
];

/// Mistakes that tests plant: constants in every other build.
const PLANTED: &[&str] = &["crate::env::faults"];

/// The codec: bytes in, bytes out.
const OUTSIDE_OF_PROTOCOL: &[&str] = &[
    "libc",
    "rand",
    "rustix",
    "socket2",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time",
    "tokio",
];

/// A handle that a response carries to the connection that sends it; the codec does not read from it.
const CARRIED_BY_PROTOCOL: &[&str] = &["std::fs::File"];

/// What only one folder may use.
const OWNED: &[(&str, &str, &str)] = &[
    ("rocksdb", "src/store/", "everyone else stores through the trait in store/"),
    ("openraft", "src/quorum/", "everyone else submits to quorum/"),
    ("rand", "src/env/", "randomness comes through env/"),
    ("std::time::Instant::now", "src/env/", "a simulation cannot steer it: env/, or tokio's Instant for time-outs"),
    ("std::time::SystemTime::now", "src/env/", "time comes through env/"),
];

/// What one folder must not use.
const BARRED: &[(&str, &str, &str)] = &[
    ("src/log/", "std::fs", "a log reaches its disk through env::Disk, which a simulation can take apart"),
    ("src/log/", "rustix::fs", "a log reaches its disk through env::Disk, which a simulation can take apart"),
];

/// A file about one thing is shorter than this.
const LINES_MAX: usize = 1500;

/// Left in the text by accident. (Each in two parts, so that this file has none of them.)
const STRAY: &[(&str, &str, &str)] = &[
    ("TO", "DO", "finish it, or open an issue"),
    ("FIX", "ME", "finish it, or open an issue"),
    ("XX", "X", "finish it, or open an issue"),
    ("/ro", "ot/", "a path of somebody's machine"),
    ("/wo", "rk/", "a path of somebody's machine"),
    ("<<<<", "<<< ", "a merge was not finished"),
    (">>>>", ">>> ", "a merge was not finished"),
];

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut sources = 0;
    for path in files(root, root) {
        let Ok(text) = fs::read_to_string(root.join(&path)) else { continue }; // not text
        found.extend(check_text(&path, &text));
        if path.ends_with(".rs") && (path.starts_with("src/") || path.starts_with("protocol/src/")) {
            sources += 1;
            found.extend(check_source(&path, &text));
        }
    }
    assert!(sources > 10, "found only {sources} source files under {}", root.display());
    let report: Vec<String> = found.iter().map(Violation::to_string).collect();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), report.join("\n"));
}

struct Violation {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Paths relative to `root`, with `/`, sorted; without what git or builds put there.
fn files(root: &Path, folder: &Path) -> Vec<String> {
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("a readable folder").map(|entry| entry.expect("entry")).collect();
    entries.sort_by_key(|entry| entry.file_name());
    let mut paths = Vec::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if [".git", "target", "node_modules", "__pycache__", "Cargo.lock"].contains(&name.as_str()) {
            continue;
        }
        let kind = entry.file_type().expect("file type");
        if kind.is_dir() {
            paths.extend(files(root, &entry.path()));
        } else if kind.is_file() {
            let path = entry.path();
            paths.push(path.strip_prefix(root).expect("below root").to_string_lossy().replace('\\', "/"));
        }
    }
    paths
}

/// The rules for every text file.
fn check_text(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (head, tail, why) in STRAY {
            let word = format!("{head}{tail}");
            if contains_word(line, &word) {
                found.push(Violation { path: path.into(), line: index + 1, message: format!("`{word}`: {why}") });
            }
        }
    }
    found
}

/// True where `word` stands alone: `XXXX` and `mkstemp.XXXXXX` are something else.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        let open = word.starts_with(|c: char| !c.is_ascii_alphanumeric()) || !letter(line[..at].chars().next_back());
        let closed =
            word.ends_with(|c: char| !c.is_ascii_alphanumeric()) || !letter(line[at + word.len()..].chars().next());
        open && closed
    })
}

/// The rules for the broker's and the codec's Rust files.
fn check_source(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut violation = |line: usize, message: String| found.push(Violation { path: path.into(), line, message });

    if !text.starts_with("//!") {
        violation(1, "begins without `//!`: a file says first what it is about".into());
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        violation(LINES_MAX, format!("{lines} lines, more than {LINES_MAX}: split it where its subjects part"));
    }

    let module = module_of(path);
    let own = module.first().map(String::as_str);
    let in_broker = path.starts_with("src/") && path != "src/lib.rs";
    if in_broker && own.is_none_or(|own| layer(own).is_none()) {
        violation(1, "is in no layer: add its folder to LAYERS".into());
    }
    for used in paths_used(&lex(text), &module) {
        let whole = used.segments.join("::");
        let below = |names: &[&'static str]| names.iter().copied().find(|name| begins_with(&used.segments, name));

        if in_broker
            && let Some(own) = own
            && let Some(name) = used.top_level_module(own)
            && name != own
        {
            match (layer(own), layer(name)) {
                (Some(_), None) => violation(used.line, format!("`{whole}`: `{name}` is in no layer")),
                (Some(from), Some(to)) if to == from => {
                    violation(
                        used.line,
                        format!("`{whole}`: {own} and {name} share a layer, they do not import each other"),
                    );
                }
                (Some(from), Some(to)) if to < from => {
                    violation(used.line, format!("`{whole}`: {own} lies below {name}, imports point only downward"));
                }
                _ => {}
            }
        }
        if used.in_test || is_test_file(path) {
            continue;
        }
        if (PURE.iter().any(|pure| path.starts_with(pure)) || text.starts_with("//! PURE"))
            && let Some(name) = below(IMPURE)
            && below(PLANTED).is_none()
        {
            violation(used.line, format!("`{whole}`: pure code does not use {name}"));
        }
        if path.starts_with("protocol/")
            && let Some(name) = below(OUTSIDE_OF_PROTOCOL)
            && below(CARRIED_BY_PROTOCOL).is_none()
        {
            violation(used.line, format!("`{whole}`: the codec does not use {name}"));
        }
        for (folder, name, why) in BARRED {
            if begins_with(&used.segments, name) && path.starts_with(folder) {
                violation(used.line, format!("`{whole}` in {folder}: {why}"));
            }
        }
        for (name, folder, why) in OWNED {
            if begins_with(&used.segments, name) && !path.starts_with(folder) {
                violation(used.line, format!("`{whole}` outside {folder}: {why}"));
            }
        }
    }
    found
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&name))
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// `src/api/fetch.rs` is `[api, fetch]`, `src/api/mod.rs` is `[api]`, `src/lib.rs` is `[]`.
fn module_of(path: &str) -> Vec<String> {
    let inside = path.trim_start_matches("protocol/").trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = inside.split('/').map(String::from).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

fn begins_with(segments: &[String], name: &str) -> bool {
    let name: Vec<&str> = name.split("::").collect();
    segments.len() >= name.len() && segments.iter().zip(&name).all(|(a, b)| a == b)
}

/// A path that some code names, `self` and `super` resolved: it begins with `crate` or the name of another crate.
struct Used {
    segments: Vec<String>,
    line: usize,
    /// Below `#[cfg(test)]`.
    in_test: bool,
}

impl Used {
    /// The folder of `src/` that this leads to; `main.rs` reaches them as `felice::`.
    fn top_level_module(&self, own: &str) -> Option<&str> {
        let root = &self.segments[0];
        (root == "crate" || (own == "main" && root == "felice"))
            .then(|| self.segments.get(1).map_or("*", String::as_str))
    }
}

/// A path as it is written, and the name that a `use` gives it.
struct Name {
    segments: Vec<String>,
    alias: Option<String>,
    line: usize,
}

/// All paths in a file, in order, those that begin with an imported name by what it stands for. `use` trees are spread out; in expressions and types, what follows generic arguments is left
/// out (it cannot be a module).
fn paths_used(tokens: &[Token], module: &[String]) -> Vec<Used> {
    let mut used: Vec<Used> = Vec::new();
    let mut imported: BTreeMap<String, Vec<String>> = BTreeMap::new(); // by its name here
    let mut inline: Vec<(String, usize)> = Vec::new(); // `mod name {`, and the depth of its brace
    let mut tests: Vec<usize> = Vec::new(); // the depth of the brace of an item below #[cfg(test)]
    let mut test_ahead = false; // #[cfg(test)] was seen, its item is still to come
    let mut depth = 0;
    let mut at = 0;
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    while at < tokens.len() {
        let mut names: Vec<Name> = Vec::new();
        let mut next = at + 1;
        match text(at) {
            "#" if text(at + 1) == "[" && text(at + 2) == "cfg" => {
                let end = closing(tokens, at + 1);
                let inner = &tokens[(at + 3).min(end)..end];
                let negated = inner.iter().any(|token| token.text == "not" || token.text == "any");
                test_ahead |= !negated && inner.iter().any(|token| token.text == "test");
                next = end + 1;
            }
            "{" => {
                depth += 1;
                if std::mem::take(&mut test_ahead) {
                    tests.push(depth);
                }
            }
            "}" => {
                tests.retain(|&open| open < depth);
                inline.retain(|(_, open)| *open < depth);
                depth = depth.saturating_sub(1);
            }
            ";" => test_ahead = false,
            "mod" if text(at + 2) == "{" => inline.push((text(at + 1).to_string(), depth + 1)),
            "use" if text(at + 1) != "<" => {
                next = use_tree(tokens, at + 1, &[], &mut names);
            }
            name if is_name(name) && text(at + 1) == "::" => {
                let mut segments = vec![name.to_string()];
                while text(next) == "::" && is_name(text(next + 1)) {
                    segments.push(text(next + 1).to_string());
                    next += 2;
                }
                let whole = imported.get(name).map_or(segments.clone(), |path| [path, &segments[1..]].concat());
                names.push(Name { segments: whole, alias: None, line: tokens[at].line });
            }
            _ => {}
        }
        let in_test = test_ahead || !tests.is_empty();
        for Name { segments, alias, line } in names {
            let inside = module.iter().cloned().chain(inline.iter().map(|(name, _)| name.clone())).collect();
            let segments = resolve(segments, inside);
            if let Some(alias) = alias {
                imported.insert(alias, segments.clone());
            }
            used.push(Used { segments, line, in_test });
        }
        at = next;
    }
    used
}

/// Reads one `use` tree from `at`, adds its leaves to `names`, and returns where it ends.
fn use_tree(tokens: &[Token], mut at: usize, prefix: &[String], names: &mut Vec<Name>) -> usize {
    let mut segments = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while let Some(token) = tokens.get(at) {
                    match token.text.as_str() {
                        "}" => return at + 1,
                        "," => at += 1,
                        _ => at = use_tree(tokens, at, &segments, names),
                    }
                }
                return at;
            }
            name if is_name(name) || name == "*" => {
                let whole = name == "self" && !segments.is_empty(); // `a::{self, b}`
                if !whole {
                    segments.push(name.to_string());
                }
                at += 1;
                if tokens.get(at).is_none_or(|token| token.text != "::") {
                    let mut alias = segments.last().cloned();
                    if tokens.get(at).is_some_and(|token| token.text == "as") {
                        alias = tokens.get(at + 1).map(|token| token.text.clone());
                        at += 2;
                    }
                    names.push(Name { segments, alias, line: token.line });
                    return at;
                }
            }
            _ => return at + 1,
        }
    }
    at
}

fn resolve(segments: Vec<String>, inside: Vec<String>) -> Vec<String> {
    let mut base = inside;
    let mut rest = segments.as_slice();
    match rest.first().map(String::as_str) {
        Some("self") => rest = &rest[1..],
        Some("super") => {
            while rest.first().is_some_and(|name| name == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        _ => return segments,
    }
    std::iter::once("crate".to_string()).chain(base).chain(rest.iter().cloned()).collect()
}

/// The position of the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "[" | "(" | "{" => depth += 1,
            "]" | ")" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

struct Token {
    text: String,
    line: usize,
}

/// Names, numbers, `::` and single characters; comments, strings and characters are left out.
fn lex(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    let peek = |at: usize| chars.get(at).copied().unwrap_or('\0');
    while at < chars.len() {
        let start = at;
        match chars[at] {
            c if c.is_whitespace() => at += 1,
            '/' if peek(at + 1) == '/' => {
                while at < chars.len() && chars[at] != '\n' {
                    at += 1;
                }
            }
            '/' if peek(at + 1) == '*' => {
                let mut depth = 0;
                while at < chars.len() {
                    match (chars[at], peek(at + 1)) {
                        ('/', '*') => (depth, at) = (depth + 1, at + 2),
                        ('*', '/') => (depth, at) = (depth - 1, at + 2),
                        _ => at += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            '"' => at = string_end(&chars, at),
            '\'' if peek(at + 1) == '\\' => {
                at += 3; // the quote, the backslash and what it escapes
                while at < chars.len() && chars[at] != '\'' {
                    at += 1;
                }
                at += 1;
            }
            '\'' if peek(at + 2) == '\'' => at += 3,
            '\'' => at += 1, // a lifetime; its name becomes a token, which does no harm
            ':' if peek(at + 1) == ':' => {
                tokens.push(Token { text: "::".into(), line });
                at += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                while peek(at).is_alphanumeric() || peek(at) == '_' {
                    at += 1;
                }
                let name: String = chars[start..at].iter().collect();
                let raw = matches!(name.as_str(), "r" | "br" | "cr");
                let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
                if raw && peek(at + hashes) == '"' {
                    at = raw_string_end(&chars, at + hashes + 1, hashes);
                } else if matches!(name.as_str(), "b" | "c") && peek(at) == '"' {
                    at = string_end(&chars, at);
                } else if name == "r" && hashes == 1 {
                    at += 1; // a raw identifier: what follows is its name
                } else {
                    tokens.push(Token { text: name, line });
                }
            }
            c => {
                tokens.push(Token { text: c.into(), line });
                at += 1;
            }
        }
        at = at.min(chars.len());
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn string_end(chars: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string_end(chars: &[char], body: usize, hashes: usize) -> usize {
    let mut at = body;
    while at < chars.len() {
        if chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

/// Each rule, shown a small violation and what is close to one.
mod caught {
    use super::{check_source, check_text};

    fn source(path: &str, code: &str) -> Vec<String> {
        check_source(path, &format!("//! About.\n{code}")).iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn caught(path: &str, code: &str, expected: &str) {
        let found = source(path, code);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(expected), "{} lacks {expected}", found[0]);
    }

    #[track_caller]
    fn fine(path: &str, code: &str) {
        assert_eq!(source(path, code), Vec::<String>::new());
    }

    #[test]
    fn imports_that_point_upward() {
        caught("src/log/mod.rs", "use crate::api::fetch;", "src/log/mod.rs:2: `crate::api::fetch`: log lies below api");
        caught("src/log/mod.rs", "\n\nfn f() { crate::net::listen() }", "src/log/mod.rs:4: ");
        caught("src/model/mod.rs", "use crate::{\n    model::Offset,\n    config::{Kind as K},\n};", ":4: ");
        caught("src/log/segment.rs", "use super::super::replica::Manager;", "log lies below replica");
        caught("src/log/segment.rs", "mod inner { use super::super::super::replica; }", "log lies below replica");
        caught("src/store/mod.rs", "#[cfg(test)] mod tests { use crate::log::Log; }", "store lies below log");
        caught("src/api/fetch.rs", "macro_rules! m { () => { $crate::net::now() } }", "api lies below net");
        caught("src/log/mod.rs", "pub(in crate::api) fn f() {}", "log lies below api");
        fine(
            "src/api/fetch.rs",
            "use crate::{log::Log, model::{Offset, TopicId}};\nuse super::produce;\nuse felice_protocol::Uuid;",
        );
        fine("src/log/segment.rs", "mod inner { use super::super::index; }");
        fine("src/main.rs", "use felice::{broker, config};");
    }

    #[test]
    fn siblings_of_one_layer() {
        caught("src/replica/mod.rs", "use crate::quorum::Quorum;", "replica and quorum share a layer");
        caught("src/store/mod.rs", "type A = Vec<crate::security::Acl>;", "share a layer");
    }

    #[test]
    fn folders_without_a_layer() {
        caught("src/utils/mod.rs", "", "src/utils/mod.rs:1: is in no layer");
        caught("src/api/mod.rs", "use crate::utils::x;", "`utils` is in no layer");
        caught("src/api/mod.rs", "use crate::*;", "`*` is in no layer");
    }

    #[test]
    fn impure_state_machines() {
        caught("src/controller/topics.rs", "use tokio::sync::mpsc;", "does not use tokio");
        caught(
            "src/controller/topics.rs",
            "use std::{collections::BTreeMap, time::Instant};",
            "does not use std::time",
        );
        caught("src/metadata/image.rs", "fn f() { std::fs::read(\"x\"); }", "does not use std::fs");
        caught("src/metadata/record.rs", "use crate::env::Clock;", "does not use crate::env");
        fine("src/coordinator/group/machine.rs", "use crate::env::faults::{Fault, planted};");
        assert_eq!(check_source("src/replica/rules.rs", "//! PURE: rules.\nuse tokio::sync::Notify;").len(), 1);
        caught("src/coordinator/group/mod.rs", "use std::net;", "does not use std::net");
        assert_eq!(source("src/controller/mod.rs", "use rand::Rng;").len(), 2, "also outside env");
        fine(
            "src/controller/mod.rs",
            "use std::{sync::Arc, fmt};\n#[cfg(test)]\nmod tests { use rand::Rng; fn f() { {} } }",
        );
        fine("src/controller/tests.rs", "use std::time::Instant;");
        fine("src/replica/append.rs", "use tokio::sync::watch;");
        caught("src/controller/mod.rs", "#[cfg(test)]\nuse rand::Rng;\nuse tokio::io;", ":4: `tokio::io`");
        caught("src/controller/mod.rs", "#[cfg(test)]\nmod tests { fn f() {} }\nuse tokio::io;", ":4: `tokio::io`");
        caught("src/controller/mod.rs", "#[cfg(not(test))]\nuse tokio::io;", ":3: `tokio::io`");
    }

    #[test]
    fn the_codec_reaching_out() {
        caught("protocol/src/wire.rs", "use tokio::net::TcpStream;", "the codec does not use tokio");
        caught("protocol/src/record/mod.rs", "fn f() { std::time::SystemTime::UNIX_EPOCH; }", "std::time");
        caught("protocol/src/wire.rs", "use std::fs;\n", "std::fs");
        fine("protocol/src/record/mod.rs", "use crate::wire::Writer;\nuse std::{fs::File, io::Read};");
    }

    #[test]
    fn borrowed_owners() {
        caught("src/log/mod.rs", "use rocksdb::DB;", "outside src/store/");
        caught("src/api/mod.rs", "fn f(x: openraft::LogId) {}", "outside src/quorum/");
        caught("src/api/mod.rs", "fn f() { rand::random() }", "outside src/env/");
        caught("src/net/mod.rs", "fn f() { std::time::Instant::now() }", "outside src/env/");
        caught(
            "src/net/mod.rs",
            "use std::time::{Duration, SystemTime as S};\nfn f() { S::now() }",
            "outside src/env/",
        );
        fine("src/store/rocks.rs", "use rocksdb::{DB, Options};");
        fine("src/env/mod.rs", "use std::time::Instant;\nfn now() { Instant::now(); rand::random() }");
        fine("src/net/mod.rs", "use std::time::Duration;\nuse tokio::time::Instant;\nfn f() { Instant::now() }");
    }

    #[test]
    fn side_doors() {
        caught("src/log/index.rs", "use std::fs::File;", "`std::fs::File` in src/log/: a log reaches its disk through");
        fine("src/log/index.rs", "use crate::env::DiskFile;\n#[cfg(test)]\nmod tests { use std::fs; fn f() {} }");
        fine("src/env/disk/real.rs", "use std::fs::File;");
    }

    #[test]
    fn what_only_looks_like_code() {
        fine("src/store/mod.rs", "// crate::api::x\n/* use crate::net; /* rocksdb:: */ tokio::io */");
        fine("src/log/mod.rs", r##"const A: &str = "crate::api::x"; const B: &str = r#"use crate::net;""#;"##);
        fine("src/log/mod.rs", "const A: &[u8] = b\"\\\"crate::api::x\"; const C: char = '\"'; const D: char = '\\'';");
        caught("src/log/mod.rs", "const C: char = '\"';\nfn f<'a>(x: &'a str) { crate::api::y() }", ":3: ");
    }

    #[test]
    fn headless_and_endless_files() {
        let found = check_source("src/log/mod.rs", "fn f() {}");
        assert_eq!(found[0].to_string(), "src/log/mod.rs:1: begins without `//!`: a file says first what it is about");
        caught("src/log/mod.rs", &"\n".repeat(super::LINES_MAX), "lines, more than");
    }

    #[test]
    fn stray_words() {
        let caught = |line: &str| {
            check_text("a/b.py", &format!("\n{line}\n")).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for (head, tail, why) in super::STRAY {
            assert_eq!(caught(&format!("x {head}{tail} y")), [format!("a/b.py:2: `{head}{tail}`: {why}")]);
        }
        let three = format!("{}X", "XX");
        assert!(caught(&format!("mktemp -d felice.{three}{three}")).is_empty());
    }
}
