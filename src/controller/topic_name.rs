//! Which names a topic may have.

/// Names become file names, with a partition's number behind them.
const MAX_LEN: usize = 249;

/// Says in Kafka's words (its `Topic.validate`) what is wrong with a topic's name.
pub fn validate_topic_name(name: &str) -> Result<(), String> {
    let fault = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." => "'.' is not allowed".to_owned(),
        ".." => "'..' is not allowed".to_owned(),
        // Kafka counts as Java does, in UTF-16.
        _ if name.encode_utf16().count() > MAX_LEN => {
            format!("the length of '{name}' is longer than the max allowed length {MAX_LEN}")
        }
        _ if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) => {
            format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err(format!("Topic name is invalid: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_in_kafka() {
        let longest = "a".repeat(249);
        for good in ["a", "A-z_0.9", "...", "__consumer_offsets", "-", &longest] {
            assert_eq!(validate_topic_name(good), Ok(()), "{good}");
        }
        let too_long = "a".repeat(250);
        let accents = "é".repeat(200);
        for (bad, fault) in [
            ("", "the empty string is not allowed".to_owned()),
            (".", "'.' is not allowed".to_owned()),
            ("..", "'..' is not allowed".to_owned()),
            (&too_long, format!("the length of '{too_long}' is longer than the max allowed length 249")),
            (
                "a b",
                "'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'".to_owned(),
            ),
            (
                &accents,
                format!("'{accents}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"),
            ),
        ] {
            assert_eq!(validate_topic_name(bad), Err(format!("Topic name is invalid: {fault}")));
        }
    }
}
