//! What a setting is: its name, type, default and valid values, and how its text becomes a value.
//!
//! The rules are those of Kafka's `ConfigDef`: text is trimmed, booleans ignore case, lists are separated by commas,
//! and the messages read as Kafka's, since tools show them to people.

use super::ConfigError;

/// A setting that Felice obeys.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub name: &'static str,
    pub ty: Type,
    /// As text, in the form in which Kafka shows it. `None` is Kafka's `null`: not set.
    pub default: Option<&'static str>,
    pub valid: Valid,
    /// Kafka can change it while the broker runs.
    pub dynamic: bool,
    pub doc: &'static str,
}

/// Kafka's `ConfigDef.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Type {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

impl Type {
    /// Its number in `DescribeConfigs` (KIP-569).
    pub fn wire_code(self) -> i8 {
        self as i8
    }

    fn name(self) -> &'static str {
        match self {
            Type::Boolean => "BOOLEAN",
            Type::String => "STRING",
            Type::Int => "INT",
            Type::Short => "SHORT",
            Type::Long => "LONG",
            Type::Double => "DOUBLE",
            Type::List => "LIST",
            Type::Class => "CLASS",
            Type::Password => "PASSWORD",
        }
    }
}

/// Which values of its type a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Valid {
    Any,
    AtLeast(i64),
    /// Both ends included.
    Between(i64, i64),
    /// Both ends included, or -1, which stands for the codec's own choice.
    BetweenOrMinusOne(i64, i64),
    /// A DOUBLE from 0 to 1.
    Ratio,
    OneOf(&'static [&'static str]),
    /// One of these, in capitals or small letters.
    OneOfAnyCase(&'static [&'static str]),
    /// For lists: each element is one of these, none twice.
    SubsetOf(&'static [&'static str]),
    /// Kafka knows more values than Felice does so far: `only` is the one that is obeyed.
    OnlyYet {
        only: &'static str,
        known: &'static [&'static str],
    },
}

/// A setting's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Int(i32),
    Long(i64),
    Text(String),
    List(Vec<String>),
}

impl Value {
    /// As Kafka shows it.
    pub fn to_text(&self) -> String {
        match self {
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Long(value) => value.to_string(),
            Value::Text(value) => value.clone(),
            Value::List(values) => values.join(","),
        }
    }
}

impl Setting {
    /// The value that `text` stands for.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] where it is no value of the type or not a valid one, [`ConfigError::ValueNotYet`] where
    /// Kafka would obey it and Felice does not.
    pub fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        let trimmed = trim(text);
        let not_a_number = || self.invalid(text, format!("Not a number of type {}", self.ty.name()));
        let value = match self.ty {
            Type::Boolean if trimmed.eq_ignore_ascii_case("true") => Value::Bool(true),
            Type::Boolean if trimmed.eq_ignore_ascii_case("false") => Value::Bool(false),
            Type::Boolean => return Err(self.invalid(text, "Expected value to be either true or false")),
            Type::Int => Value::Int(trimmed.parse().map_err(|_| not_a_number())?),
            Type::Short => Value::Int(trimmed.parse::<i16>().map_err(|_| not_a_number())?.into()),
            Type::Long => Value::Long(trimmed.parse().map_err(|_| not_a_number())?),
            Type::List => Value::List(split_list(trimmed)),
            Type::Double => {
                trimmed.parse::<f64>().map_err(|_| not_a_number())?;
                Value::Text(trimmed.to_owned())
            }
            Type::String | Type::Class | Type::Password => Value::Text(trimmed.to_owned()),
        };
        self.check(&value)?;
        Ok(value)
    }

    /// Its default as a value; `None` where it has none.
    pub(super) fn default_value(&self) -> Option<Value> {
        self.default.and_then(|text| self.parse(text).ok())
    }

    /// Kafka never shows a password's value.
    pub fn is_sensitive(&self) -> bool {
        self.ty == Type::Password
    }

    fn check(&self, value: &Value) -> Result<(), ConfigError> {
        match (self.valid, value) {
            (Valid::Any, _) => Ok(()),
            (Valid::AtLeast(min), value) => self.check_bounds(value, min, i64::MAX),
            (Valid::Between(min, max), value) => self.check_bounds(value, min, max),
            (Valid::BetweenOrMinusOne(min, max), Value::Int(level)) => {
                let level = i64::from(*level);
                if level == -1 || (min..=max).contains(&level) {
                    return Ok(());
                }
                Err(self.invalid(level, format!("Value must be between {min} and {max} or equal to -1")))
            }
            (Valid::Ratio, Value::Text(text)) => match text.parse::<f64>() {
                Ok(ratio) if ratio < 0.0 => Err(self.invalid(text, "Value must be at least 0")),
                Ok(ratio) if ratio > 1.0 => Err(self.invalid(text, "Value must be no more than 1")),
                Ok(ratio) if ratio.is_nan() => Err(self.invalid(text, "Not a number of type DOUBLE")),
                _ => Ok(()),
            },
            (Valid::OneOf(known), Value::Text(text)) => self.check_known(text, known),
            (Valid::OneOfAnyCase(known), Value::Text(text)) => {
                if known.iter().any(|known| known.eq_ignore_ascii_case(text)) {
                    return Ok(());
                }
                Err(self.invalid(text, format!("String must be one of (case insensitive): {}", known.join(", "))))
            }
            (Valid::SubsetOf(known), Value::List(elements)) => self.check_elements(elements, known),
            (Valid::OnlyYet { only, known }, value) => {
                match value {
                    Value::List(elements) => self.check_elements(elements, known)?,
                    Value::Text(text) => self.check_known(text, known)?,
                    _ => {}
                }
                if value.to_text() == only {
                    return Ok(());
                }
                Err(ConfigError::ValueNotYet { name: self.name, value: value.to_text(), only })
            }
            (valid, value) => {
                debug_assert!(false, "{}: {valid:?} does not fit {value:?}", self.name);
                Ok(())
            }
        }
    }

    fn check_bounds(&self, value: &Value, min: i64, max: i64) -> Result<(), ConfigError> {
        let number = match value {
            Value::Int(number) => i64::from(*number),
            Value::Long(number) => *number,
            _ => {
                debug_assert!(false, "{} has bounds and is no number", self.name);
                return Ok(());
            }
        };
        if number < min {
            return Err(self.invalid(number, format!("Value must be at least {min}")));
        }
        if number > max {
            return Err(self.invalid(number, format!("Value must be no more than {max}")));
        }
        Ok(())
    }

    fn check_known(&self, text: &str, known: &[&str]) -> Result<(), ConfigError> {
        if known.contains(&text) {
            return Ok(());
        }
        Err(self.invalid(text, format!("String must be one of: {}", known.join(", "))))
    }

    /// Lists since Kafka 4.2 (KIP-1161): no element twice, none empty.
    fn check_elements(&self, elements: &[String], known: &[&str]) -> Result<(), ConfigError> {
        for (at, element) in elements.iter().enumerate() {
            if elements[..at].contains(element) {
                return Err(ConfigError::Rule(format!("Configuration '{}' values must not be duplicated.", self.name)));
            }
            self.check_known(element, known)?;
        }
        Ok(())
    }

    pub(super) fn invalid(&self, value: impl ToString, reason: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { name: self.name, value: value.to_string(), reason: reason.into() }
    }
}

/// Java's `String.trim`: everything up to the space goes, and nothing else.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// Elements between commas, without the blanks around them; an empty text has none.
pub(super) fn split_list(text: &str) -> Vec<String> {
    let text = trim(text);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|element| trim(element).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(ty: Type, valid: Valid) -> Setting {
        Setting { name: "x", ty, default: None, valid, dynamic: false, doc: "" }
    }

    #[test]
    fn text_becomes_values_as_in_kafka() {
        let level = Valid::BetweenOrMinusOne(1, 9);
        let names = Valid::OneOf(&["a", "b"]);
        let any_case = Valid::OneOfAnyCase(&["A", "B"]);
        let subset = Valid::SubsetOf(&["a", "b"]);
        let only = Valid::OnlyYet { only: "a", known: &["a", "b"] };
        // (type, valid values, text, value as Kafka shows it)
        let good = [
            (Type::Boolean, Valid::Any, " TRUE ", "true"),
            (Type::Boolean, Valid::Any, "False", "false"),
            (Type::Int, Valid::Any, " +7\t", "7"),
            (Type::Int, Valid::AtLeast(-5), "-5", "-5"),
            (Type::Int, Valid::Any, "2147483647", "2147483647"),
            (Type::Long, Valid::Any, "9223372036854775807", "9223372036854775807"),
            (Type::Int, level, "-1", "-1"),
            (Type::Int, level, "9", "9"),
            (Type::String, names, " b ", "b"),
            (Type::String, any_case, "a", "a"),
            (Type::List, subset, " a ,b", "a,b"),
            (Type::List, subset, "  ", ""),
            (Type::List, only, "a", "a"),
            (Type::String, Valid::Any, " x y ", "x y"),
        ];
        for (ty, valid, text, shown) in good {
            assert_eq!(setting(ty, valid).parse(text).map(|v| v.to_text()), Ok(shown.to_owned()), "{text:?}");
        }

        let bad = [
            (
                Type::Boolean,
                Valid::Any,
                "yes",
                "Invalid value yes for configuration x: Expected value to be either true or false",
            ),
            (Type::Int, Valid::Any, "", "Invalid value  for configuration x: Not a number of type INT"),
            (Type::Int, Valid::Any, "1k", "Invalid value 1k for configuration x: Not a number of type INT"),
            (
                Type::Int,
                Valid::Any,
                "2147483648",
                "Invalid value 2147483648 for configuration x: Not a number of type INT",
            ),
            (Type::Long, Valid::Any, "1.5", "Invalid value 1.5 for configuration x: Not a number of type LONG"),
            (Type::Short, Valid::Any, "40000", "Invalid value 40000 for configuration x: Not a number of type SHORT"),
            (Type::Int, Valid::AtLeast(14), " 5 ", "Invalid value 5 for configuration x: Value must be at least 14"),
            (
                Type::Int,
                Valid::Between(1, 17),
                "18",
                "Invalid value 18 for configuration x: Value must be no more than 17",
            ),
            (
                Type::Int,
                level,
                "0",
                "Invalid value 0 for configuration x: Value must be between 1 and 9 or equal to -1",
            ),
            (Type::String, names, "A", "Invalid value A for configuration x: String must be one of: a, b"),
            (
                Type::String,
                any_case,
                "c",
                "Invalid value c for configuration x: String must be one of (case insensitive): A, B",
            ),
            (Type::List, subset, "a,a", "Configuration 'x' values must not be duplicated."),
            (Type::List, subset, "a,,b", "Invalid value  for configuration x: String must be one of: a, b"),
            (Type::List, only, "b", "x=b is not supported yet; only x=a is"),
            (Type::List, only, "c", "Invalid value c for configuration x: String must be one of: a, b"),
        ];
        for (ty, valid, text, message) in bad {
            assert_eq!(setting(ty, valid).parse(text).map_err(|e| e.to_string()), Err(message.to_owned()), "{text:?}");
        }
    }
}
