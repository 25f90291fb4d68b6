//! What was set, and by whom: a properties file, `--set` over it, and flags over both.

use std::{collections::BTreeMap, fmt, path::Path};

use java_properties::{LineContent, PropertiesIter};

use super::{
    ConfigError,
    setting::{Type, Value, trim},
    table::{self, Kind},
};

/// Who set something.
///
/// Ordered as a reader meets them: the file from the top down, then the command line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    File { path: String, line: usize },
    Set,
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{path}, line {line}"),
            Origin::Set => f.write_str("--set"),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One thing wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{error}", place(.origin))]
pub struct Problem {
    pub origin: Option<Origin>,
    pub error: ConfigError,
}

fn place(origin: &Option<Origin>) -> String {
    origin.as_ref().map(|origin| format!("{origin}: ")).unwrap_or_default()
}

/// The broker settings that were set. Each name is one that is obeyed, and its value is of its type and valid for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    values: BTreeMap<&'static str, (Value, Origin)>,
}

impl Settings {
    /// The value that was set for `name`; `None` where the default holds.
    pub fn given(&self, name: &str) -> Option<&Value> {
        self.values.get(name).map(|(value, _)| value)
    }

    pub(super) fn origin(&self, name: &str) -> Option<Origin> {
        self.values.get(name).map(|(_, origin)| origin.clone())
    }

    /// The value that holds for `name`, be it set or by default; `None` where it has neither.
    pub fn effective(&self, name: &str) -> Option<Value> {
        debug_assert!(table::setting(name).is_some(), "{name} is not in the table");
        self.given(name).cloned().or_else(|| table::setting(name)?.default_value())
    }

    /// Notes what a flag came to whose text has another form than the setting's.
    pub(super) fn note_flag(&mut self, flag: &'static str, name: &'static str, value: Vec<String>) {
        debug_assert!(table::setting(name).is_some_and(|setting| setting.ty == Type::List), "{name} is no list");
        self.values.insert(name, (Value::List(value), Origin::Flag(flag)));
    }

    /// For tests: as if given with `--set`.
    #[cfg(test)]
    pub fn of(pairs: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
        let mut layers = Layers::default();
        for (name, value) in pairs {
            layers.set(&format!("{name}={value}"));
        }
        layers.finish().map(|(settings, _)| settings)
    }
}

/// Collects what is set, layer over layer, and all that is wrong with it.
#[derive(Debug, Default)]
pub struct Layers {
    /// By layer; a later layer goes before an earlier one.
    file: Layer,
    set: Layer,
    problems: Vec<Problem>,
    warnings: Vec<(Origin, String)>,
}

type Layer = BTreeMap<String, (String, Origin)>;

impl Layers {
    /// The contents of a properties file, in Java's format and encoding (ISO 8859-1 with escapes).
    pub fn file(&mut self, path: &Path, contents: &[u8]) {
        let path = path.display().to_string();
        for line in PropertiesIter::new(contents) {
            match line {
                Ok(line) => {
                    let origin = Origin::File { path: path.clone(), line: line.line_number() };
                    if let LineContent::KVPair(name, value) = line.consume_content() {
                        put(&mut self.file, &mut self.warnings, &name, &value, origin);
                    }
                }
                Err(error) => {
                    let origin = Some(Origin::File { path, line: error.line_number().unwrap_or_default() });
                    self.problems
                        .push(Problem { origin, error: ConfigError::Rule("not a properties file".to_owned()) });
                    return;
                }
            }
        }
    }

    /// One `key=value` of the command line.
    pub fn set(&mut self, pair: &str) {
        match pair.split_once('=') {
            Some((name, value)) => put(&mut self.set, &mut self.warnings, trim(name), value, Origin::Set),
            None => self.problems.push(Problem {
                origin: Some(Origin::Set),
                error: ConfigError::Rule(format!("{pair} has no =; write name=value")),
            }),
        }
    }

    /// The settings that are left after layering, and a warning for each that has no meaning here, or that a later line of
    /// its layer goes before.
    ///
    /// A name in a file that nobody knows, and that is near to none that is known, belongs to something else: to a plugin, or to
    /// a distribution of Kafka with settings of its own. Kafka ignores it; so do we, and say so. A slip is refused, and so is what is
    /// no name, since such a file is likely to be something else.
    ///
    /// # Errors
    /// Everything that is wrong with them, so that one start tells all.
    pub fn finish(mut self) -> Result<(Settings, Vec<String>), Vec<Problem>> {
        let mut layered = self.file;
        layered.extend(self.set);
        let mut settings = Settings::default();
        let mut warnings = self.warnings;
        for (name, (text, origin)) in layered {
            match judge(&name, &text) {
                Ok(Judged::Obeyed(name, value)) => {
                    settings.values.insert(name, (value, origin));
                }
                Ok(Judged::NoMeaning(why)) => warnings.push((origin, format!("{name} has no meaning here: {why}"))),
                Err(ConfigError::Unknown { nearest: None, .. })
                    if matches!(origin, Origin::File { .. }) && is_a_name(&name) =>
                {
                    warnings.push((origin, format!("{name} is no setting of a broker: ignored")));
                }
                Err(error) => self.problems.push(Problem { origin: Some(origin), error }),
            }
        }
        if !self.problems.is_empty() {
            self.problems.sort_by(|a, b| a.origin.cmp(&b.origin));
            return Err(self.problems);
        }
        warnings.sort();
        Ok((settings, warnings.into_iter().map(|(origin, told)| format!("{origin}: {told}")).collect()))
    }
}

enum Judged {
    Obeyed(&'static str, Value),
    NoMeaning(&'static str),
}

fn judge(name: &str, text: &str) -> Result<Judged, ConfigError> {
    match table::kind(name) {
        Some(Kind::Obeyed(setting)) => Ok(Judged::Obeyed(setting.name, setting.parse(text)?)),
        Some(Kind::NoMeaningHere { why }) => Ok(Judged::NoMeaning(why)),
        Some(Kind::NotYet { feature }) => Err(ConfigError::NotYet { name: name.to_owned(), feature }),
        Some(Kind::Security { feature }) => {
            Err(ConfigError::Security { name: name.to_owned(), what: feature.to_owned() })
        }
        None => Err(ConfigError::Unknown { name: name.to_owned(), nearest: table::did_you_mean(name) }),
    }
}

/// Whether it is made as the names of settings are: words with dots in between.
fn is_a_name(name: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    name.contains('.') && name.split('.').all(is_word)
}

/// Adds to a layer, whose last word counts, as with Kafka: who writes to the end of a file means it. What was said before is
/// told, since it may be a slip.
fn put(layer: &mut Layer, warnings: &mut Vec<(Origin, String)>, name: &str, value: &str, origin: Origin) {
    let value = trim(value);
    if let Some((_, before)) = layer.get(name).filter(|(before, _)| before != value) {
        // The values are not told: one may be a password.
        warnings.push((origin.clone(), format!("{name} goes before another value of it from {before}")));
    }
    layer.insert(name.to_owned(), (value.to_owned(), origin));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(file: &str, sets: &[&str]) -> Result<(Settings, Vec<String>), Vec<String>> {
        let mut layers = Layers::default();
        layers.file(Path::new("server.properties"), file.as_bytes());
        for pair in sets {
            layers.set(pair);
        }
        layers.finish().map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn set_goes_over_the_file_and_flags_over_both() {
        let mut layers = Layers::default();
        layers.file(Path::new("f"), b"num.partitions = 2\nlog.dirs=/a\nlisteners : PLAINTEXT://:1\n");
        layers.set("num.partitions=3");
        layers.set("log.dirs=/b");
        let (mut settings, warnings) = layers.finish().unwrap();
        settings.note_flag("--data-dir", "log.dirs", vec!["/c".to_owned()]);
        assert_eq!(settings.given("num.partitions"), Some(&Value::Int(3)));
        assert_eq!(settings.given("log.dirs"), Some(&Value::List(vec!["/c".to_owned()])));
        assert_eq!(settings.given("listeners"), Some(&Value::List(vec!["PLAINTEXT://:1".to_owned()])));
        assert_eq!(settings.given("node.id"), None);
        assert_eq!(settings.effective("node.id"), Some(Value::Int(1)));
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn a_properties_file_is_javas() {
        let file =
            "# comment\n! comment\n\nbroker.rack = K\\u00e4fer\\\n    haus\n  num.partitions:4\nlog.dirs\t/a b\n";
        let (settings, _) = finish(file, &[]).unwrap();
        assert_eq!(settings.given("broker.rack"), Some(&Value::Text("Käferhaus".to_owned())));
        assert_eq!(settings.given("num.partitions"), Some(&Value::Int(4)));
        assert_eq!(settings.given("log.dirs"), Some(&Value::List(vec!["/a b".to_owned()])));
    }

    #[test]
    fn every_problem_is_told_with_its_place() {
        let file = "num.partitoins=3\ntransaction.max.timeout.ms=900000\nssl.keystore.location=/x\nnum.partitions=none\nsasl.nonsense=1\n";
        assert_eq!(
            finish(file, &["node.id"]).unwrap_err(),
            [
                "server.properties, line 1: unknown setting num.partitoins; did you mean num.partitions?",
                "server.properties, line 2: transaction.max.timeout.ms is not supported yet: it belongs to transactions",
                "server.properties, line 3: ssl.keystore.location asks for security that is not supported yet: TLS, SASL and authorization",
                "server.properties, line 4: Invalid value none for configuration num.partitions: Not a number of type INT",
                "server.properties, line 5: sasl.nonsense asks for security that is not supported yet: TLS, SASL and authorization",
                "--set: node.id has no =; write name=value",
            ]
        );
    }

    #[test]
    fn what_has_no_meaning_is_accepted_with_one_warning() {
        let (_, warnings) = finish("num.io.threads=8\n", &["zookeeper.connect=localhost:2181"]).unwrap();
        assert_eq!(
            warnings,
            [
                "server.properties, line 1: num.io.threads has no meaning here: one runtime with a thread for each core does all work",
                "--set: zookeeper.connect has no meaning here: there is no ZooKeeper",
            ]
        );
    }

    #[test]
    fn the_last_word_of_a_source_counts() {
        for (file, sets, told) in [
            ("node.id=2\nnode.id= 2\n", &[][..], &[][..]),
            (
                "node.id=1\n\nnode.id=2\n",
                &[],
                &["server.properties, line 3: node.id goes before another value of it from server.properties, line 1"],
            ),
            ("", &["node.id=1", "node.id=2"], &["--set: node.id goes before another value of it from --set"]),
            ("node.id=1\n", &["node.id=2"], &[]),
        ] {
            let (settings, warnings) = finish(file, sets).unwrap();
            assert_eq!(settings.given("node.id"), Some(&Value::Int(2)), "{file}");
            assert_eq!(warnings, told, "{file}");
        }
    }

    #[test]
    fn what_is_no_brokers_is_ignored_in_a_file_only() {
        let (_, warnings) = finish("confluent.license.topic.replication.factor=1\nfoo.bar=1\n", &[]).unwrap();
        assert_eq!(
            warnings,
            [
                "server.properties, line 1: confluent.license.topic.replication.factor is no setting of a broker: ignored",
                "server.properties, line 2: foo.bar is no setting of a broker: ignored",
            ]
        );
        assert_eq!(finish("", &["foo.bar=1"]).unwrap_err(), ["--set: unknown setting foo.bar"]);
        for line in ["Dear Felice", "greetings=1", "a..b=1", ".=1", "k\u{e4}fer.haus=1", "{\"a.b\":1}"] {
            assert_eq!(finish(line, &[]).unwrap_err().len(), 1, "{line}");
        }
    }

    #[test]
    fn a_broken_file_is_one_problem() {
        assert_eq!(finish("node.id=\\u12\n", &[]).unwrap_err(), ["server.properties, line 1: not a properties file"]);
    }
}
