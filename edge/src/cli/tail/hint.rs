//! The command line that goes on where a tail ended, for people to copy.

use std::borrow::Cow;

use super::{OutputFormat, TailArgs};
use crate::cli::client::DEFAULT_URL;

/// The command that goes on after `cursor`, as a shell reads it. `program` is how this process was called.
pub(super) fn resume_command(program: &str, args: &TailArgs, url: &str, cursor: &str) -> String {
    let mut words: Vec<String> = vec![program.to_owned(), "tail".to_owned()];
    words.extend(args.names.iter().map(ToString::to_string));
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    if url != DEFAULT_URL {
        option("--url", url);
    }
    match &args.resume {
        Some(file) => option("--resume", &file.to_string_lossy()),
        None => option("--from", cursor),
    }
    if let Some(until) = &args.until {
        option("--until", until);
    }
    for event in &args.event {
        option("--event", event);
    }
    if let Some(pattern) = &args.grep {
        option("--grep", pattern);
    }
    match args.output {
        OutputFormat::Pretty => {}
        OutputFormat::Json => option("--output", "json"),
        OutputFormat::Raw => option("--output", "raw"),
    }
    let flags = [(args.utc, "--utc"), (args.no_follow, "--no-follow")];
    words.extend(
        flags
            .iter()
            .filter(|(set, _)| *set)
            .map(|(_, flag)| (*flag).to_owned()),
    );
    let quoted: Vec<Cow<'_, str>> = words.iter().map(|word| quote(word)).collect();
    quoted.join(" ")
}

/// A word as a POSIX shell reads it back.
fn quote(word: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Args, Command};

    fn parse(words: &[&str]) -> TailArgs {
        let words = ["weir", "tail"].iter().chain(words);
        match Args::try_parse_from(words).unwrap().command {
            Command::Tail(args) => args,
            _ => unreachable!(),
        }
    }

    #[test]
    fn it_says_what_was_asked_and_where_to_go_on() {
        let plain = parse(&["a", "b", "--last", "5"]);
        let cursor = "a~1-0.1,b~2-0.2";
        assert_eq!(
            resume_command("weir", &plain, DEFAULT_URL, cursor),
            "weir tail a b --from 'a~1-0.1,b~2-0.2'"
        );
        let all = parse(&[
            "a",
            "--url",
            "https://x",
            "--event",
            "e 1",
            "--event",
            "e2",
            "--grep",
            "it's",
            "--output",
            "json",
            "--no-follow",
            "--utc",
            "--until",
            "2030-01-01T00:00:00Z",
        ]);
        assert_eq!(
            resume_command("./weir", &all, "https://x", "1-0.1"),
            r"./weir tail a --url https://x --from 1-0.1 --until 2030-01-01T00:00:00Z --event 'e 1' --event e2 --grep 'it'\''s' --output json --utc --no-follow"
        );
        let kept = parse(&["a", "--resume", "my file"]);
        assert_eq!(
            resume_command("weir", &kept, DEFAULT_URL, "1"),
            "weir tail a --resume 'my file'"
        );
    }
}
