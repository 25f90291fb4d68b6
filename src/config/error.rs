//! What can be wrong with a setting, in the words in which it is told.

/// What is wrong with one setting. The texts go to people: as one line of a refused start, or as the message beside
/// `INVALID_CONFIG`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No topic has such a setting, in Kafka either.
    #[error("Unknown topic config name: {0}")]
    UnknownTopicSetting(String),

    /// No group has such a setting, in Kafka either.
    #[error("Unknown group config name: {0}")]
    UnknownGroupSetting(String),

    /// No broker has such a setting.
    #[error("unknown setting {name}{}", did_you_mean(.nearest))]
    Unknown { name: String, nearest: Option<&'static str> },

    #[error("Invalid value {value} for configuration {name}: {reason}")]
    Invalid { name: &'static str, value: String, reason: String },

    /// Kafka obeys it, Felice does not yet: better refused than silently without effect.
    #[error("{name} is not supported yet: it belongs to {feature}")]
    NotYet { name: String, feature: &'static str },

    /// Kafka obeys this value, Felice so far only another one.
    #[error("{name}={value} is not supported yet; only {name}={only} is")]
    ValueNotYet { name: &'static str, value: String, only: &'static str },

    /// Whoever sets it relies on a protection that is not there.
    #[error("{name} asks for security that is not supported yet: {what}")]
    Security { name: String, what: String },

    /// A rule over several settings or over the form of one, told whole.
    #[error("{0}")]
    Rule(String),
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// The name of `known` that is nearest to `name`, if it is near enough to be meant: up to one slip in four letters.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // Names longer than any setting's are no typo; the bound keeps the work small.
    if name.len() > 128 {
        return None;
    }
    let lower = name.to_lowercase();
    let (slips, nearest) = known.map(|candidate| (distance(&lower, candidate), candidate)).min()?;
    (slips <= nearest.len() / 4).then_some(nearest)
}

/// Letters to insert, delete, replace or swap with their neighbour to get from one text to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_the_name_meant() {
        let known = ["num.partitions", "node.id", "log.dirs", "log.segment.bytes"];
        for (typed, meant) in [
            ("num.partition", Some("num.partitions")),
            ("num.partitoins", Some("num.partitions")),
            ("NUM.PARTITIONS", Some("num.partitions")),
            ("log_segment_bytes", Some("log.segment.bytes")),
            ("nodeid", Some("node.id")),
            ("", None),
            ("favourite.colour", None),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), meant, "{typed}");
        }
    }

    #[test]
    fn a_swap_is_one_slip() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("", "abc"), 3);
    }
}
