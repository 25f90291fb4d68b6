//! Subscriptions by regular expressions: the broker matches them against the names of all topics, in a step of their own, and
//! remembers the topics in the log (KIP-848, version 1 of the heartbeat).
//!
//! Kafka uses RE2/J and this the `regex` crate. Both run in linear time and share the syntax that people use; `\Q...\E` is
//! translated, lookaround and backreferences are in neither.

use std::sync::Arc;

use felice_protocol::{coordinator::consumer_group::ConsumerGroupRegularExpressionValue, error::ErrorCode};
use regex::bytes::{Regex, RegexBuilder};
use tracing::warn;

use super::{
    super::{GroupMachine, Timer, machine::Cx},
    attempt::size_of,
    records,
    refusal::Refusal,
};
use crate::{metadata::Image, model::Timestamp};

/// Between two matchings at least.
const MATCH_INTERVAL_MIN_MS: i64 = 10_000;
/// A pattern may not be larger, in bytes...
const PATTERN_BYTES_MAX: usize = 32_767;
/// ...nor may it be when it is compiled.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Whether a regular expression can be matched at all.
pub(super) fn check(pattern: &str) -> Result<(), Refusal> {
    compile(pattern).map(drop).map_err(|why| {
        let message = format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {why}.");
        Refusal::new(ErrorCode::InvalidRegularExpression, message)
    })
}

/// What matches whole names.
fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("longer than {PATTERN_BYTES_MAX} bytes"));
    }
    let pattern = without_quotes(pattern);
    // Names of topics are ASCII, and a pattern for ASCII is far smaller. It must be valid by itself too: `a)|(b` is not.
    match build(&pattern, false).and_then(|_| build(&whole(&pattern), false)) {
        Ok(regex) => Ok(regex),
        Err(_) => build(&pattern, true).and_then(|_| build(&whole(&pattern), true)).map_err(|why| {
            why.to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .trim_end_matches('.')
                .to_owned()
        }),
    }
}

fn whole(pattern: &str) -> String {
    format!(r"\A(?:{pattern})\z")
}

fn build(pattern: &str, unicode: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .unicode(unicode)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build()
}

/// `\Q...\E` quotes in RE2.
fn without_quotes(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        if let Some(quoted) = escape.strip_prefix(r"\Q") {
            let (quoted, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            plain.push_str(&regex::escape(quoted));
            rest = after;
        } else {
            // The escape and what it escapes, which may be another backslash.
            let end = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
            plain.push_str(&escape[..end]);
            rest = &escape[end..];
        }
    }
    plain.push_str(rest);
    plain
}

/// The topics whose names a regular expression matches, by name. One that cannot be matched, which nobody can have subscribed
/// by, matches none.
fn matches(pattern: &str, image: &Image) -> Vec<String> {
    let Ok(regex) = compile(pattern) else { return Vec::new() };
    image.topic_names().filter(|name| regex.is_match(name.as_bytes())).map(|name| name.to_string()).collect()
}

impl GroupMachine {
    /// Nobody subscribes by it any more: what it has matched is forgotten.
    pub(super) fn drop_unused_regex(&mut self, cx: &mut Cx<'_>, group_id: &str, pattern: &str) {
        let is_used = self.soft.consumer.index(group_id).is_some_and(|index| index.regexes.contains_key(pattern));
        let is_known = self.state.consumer.get(group_id).is_some_and(|group| group.regexes.contains_key(pattern));
        if !is_used && is_known {
            self.write(cx, records::regex(group_id, pattern, None));
        }
    }

    /// Has the regular expressions of a group matched where one was not yet, where there are new topics, and now and then.
    pub(super) fn maybe_match_regexes(&mut self, cx: &Cx<'_>, group_id: &str) {
        let Some(live) = self.soft.consumer.groups.get(group_id) else { return };
        if live.index.regexes.is_empty() {
            return;
        }
        let Some(group) = self.state.consumer.get(group_id) else { return };
        // All are matched at once.
        let last_at = group.regexes.values().next().map(|matched| matched.timestamp);
        let since = |ms: i64| last_at.is_none_or(|last_at| cx.now.0 > last_at.saturating_add(ms));
        let is_wanted = live.new_topics
            || live.index.regexes.len() != group.regexes.size()
            || since(i64::from(self.settings.regex_refresh_interval_ms));
        let may = since(MATCH_INTERVAL_MIN_MS) && live.matching.not_before.is_none_or(|at| cx.now >= at);
        let timer = Timer::ConsumerRegex { group: group_id.into() };
        if !is_wanted || !may || self.soft.timers.deadline(&timer).is_some() {
            return;
        }
        if let Some(live) = self.soft.consumer.groups.get_mut(group_id) {
            live.new_topics = false;
            live.matching.to_do = live.index.regexes.keys().cloned().collect();
        }
        self.soft.timers.set(timer, cx.now);
    }

    /// Matches one regular expression of a group. When all are done and there are other topics than before, the group's epoch is
    /// raised.
    pub(in super::super) fn consumer_regex_is_due(&mut self, cx: &mut Cx<'_>, group: &Arc<str>) {
        let Some(regex) = self.next_to_match(group) else { return self.end_matching(cx, group) };
        let matched = matched(&regex, cx);
        let before = self.state.consumer.get(group).and_then(|group| group.regexes.get(&regex));
        let is_same = before.map_or(matched.topics.is_empty(), |before| before.topics == matched.topics);
        let record = records::regex(group, &regex, Some(matched));
        let fits = size_of(&record) <= self.settings.record_max_bytes / 2;
        if let Some(live) = self.soft.consumer.groups.get_mut(group) {
            live.matching.found_others |= fits && !is_same;
            if !fits {
                live.matching.not_before = Some(Timestamp(cx.now.0.saturating_add(MATCH_INTERVAL_MIN_MS)));
            }
        }
        if fits {
            self.write(cx, record);
        } else {
            warn!(group = &**group, ?regex, "more topics match than fit a record: none of them is subscribed to");
        }
        if self.soft.consumer.groups.get(&**group).is_none_or(|live| live.matching.to_do.is_empty()) {
            return self.end_matching(cx, group);
        }
        // Soon, but others have their turn: to compile one and to hold it to all names may take milliseconds.
        self.soft.timers.set(Timer::ConsumerRegex { group: Arc::clone(group) }, Timestamp(cx.now.0.saturating_add(1)));
    }

    /// The next one that is to be matched and that somebody still subscribes by.
    fn next_to_match(&mut self, group: &str) -> Option<Arc<str>> {
        let live = self.soft.consumer.groups.get_mut(group)?;
        std::iter::from_fn(|| live.matching.to_do.pop_first()).find(|regex| live.index.regexes.contains_key(regex))
    }

    fn end_matching(&mut self, cx: &mut Cx<'_>, group: &str) {
        let Some(live) = self.soft.consumer.groups.get_mut(group) else { return };
        live.stale = true;
        let found_others = std::mem::take(&mut live.matching.found_others);
        self.refresh_group_epoch(cx, group, found_others);
    }
}

/// What a regular expression matches now.
fn matched(regex: &str, cx: &Cx<'_>) -> ConsumerGroupRegularExpressionValue {
    ConsumerGroupRegularExpressionValue {
        topics: matches(regex, cx.image),
        // There is no such offset here. Kafka matches again where it finds an older one than its own.
        version: 0,
        timestamp: cx.now.0,
        ..ConsumerGroupRegularExpressionValue::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, name: &str) -> bool {
        compile(pattern).unwrap().is_match(name.as_bytes())
    }

    #[test]
    fn a_whole_name_is_matched_by_the_syntax_of_re2() {
        for (pattern, matched, not_matched) in [
            ("foo.*", &["foo", "foobar", "foo.bar"][..], &["afoo"][..]),
            ("foo|bar", &["foo", "bar"], &["foobar", "foox", "xbar"]),
            ("^foo$", &["foo"], &["foo1"]),
            ("(?i)FOO", &["foo", "Foo"], &["fo"]),
            (r"\Qa.b\E.", &["a.bc"], &["axbc", "a.b"]),
            (r"\\Qx|a\Q.", &["a."], &["ab"]),
            (r"t-\d+", &["t-1", "t-12"], &["t-", "t-a"]),
            (r"\pL+", &["abc"], &["a1"]),
            ("[^_].*", &["a_"], &["_a", ""]),
        ] {
            assert!(matched.iter().all(|name| is_match(pattern, name)), "{pattern}");
            assert!(!not_matched.iter().any(|name| is_match(pattern, name)), "{pattern}");
        }
    }

    #[test]
    fn what_is_malformed_or_explodes_is_refused() {
        for pattern in ["(", "a)|(b", "[", "*", r"\", "(?=a)", r"(a)\1", "((a{100}){100}){100}", &"a".repeat(40_000)] {
            let refusal = check(pattern).unwrap_err();
            assert_eq!(refusal.error, ErrorCode::InvalidRegularExpression, "{pattern}");
            let message = refusal.message.unwrap();
            assert!(message.contains("is not a valid regular expression: ") && !message.contains('\n'), "{message}");
        }
    }
}
