//! A few lines that go to the log together: taken apart, tried again where that is safe, and answered line by line.

use broker::{AppendError, Appended, NewEvent};
use bytes::Bytes;
use shared::Text;

use super::lines::lines_of;
use crate::error::{ApiError, Code};
use crate::http::event;
use crate::http::publish::push_answer;
use crate::metrics;

/// What becomes of one line.
enum Line {
    /// It is not an event that could be appended.
    Refused(ApiError),
    /// It is with the log, which has not answered yet; what the log said the time before, if it is tried again.
    Pending(Option<AppendError>),
    /// The log has answered.
    Answered(Result<Appended, AppendError>),
}

/// Lines on their way. The text is kept so that a line can be tried again without holding a second copy of every
/// event.
pub(super) struct Batch {
    text: Bytes,
    lines: Vec<Line>,
}

impl Batch {
    /// Takes lines apart. Returns the batch and the events to hand to the log, in order.
    pub(super) fn parse(text: Bytes, line_bytes_max: usize, trace: Option<&Text>) -> (Self, Vec<NewEvent>) {
        let (mut lines, mut events) = (Vec::new(), Vec::new());
        for line in lines_of(&text) {
            if line.len() > line_bytes_max {
                lines.push(Line::Refused(too_long(line_bytes_max)));
                continue;
            }
            match event::parse(&line, trace) {
                Ok(event) => {
                    events.push(event);
                    lines.push(Line::Pending(None));
                }
                Err(error) => lines.push(Line::Refused(error)),
            }
        }
        (Self { text, lines }, events)
    }

    /// A batch of one line that was too long to be gathered.
    pub(super) fn of_too_long(line_bytes_max: usize) -> Self {
        Self {
            text: Bytes::new(),
            lines: vec![Line::Refused(too_long(line_bytes_max))],
        }
    }

    /// Whether there is nothing to answer.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Lines that are to be answered.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Bytes that are kept for it.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Takes the log's answers to the lines that wait for one. Where one is missing, the outcome is not known.
    pub(super) fn settle(&mut self, results: Vec<Result<Appended, AppendError>>) {
        let mut results = results.into_iter();
        self.answer_pending(|| results.next().unwrap_or(Err(AppendError::Unconfirmed)));
    }

    /// The log took none of the lines that wait.
    pub(super) fn settle_all(&mut self, error: &AppendError) {
        self.answer_pending(|| Err(error.clone()));
    }

    fn answer_pending(&mut self, mut answer: impl FnMut() -> Result<Appended, AppendError>) {
        for line in &mut self.lines {
            if let Line::Pending(before) = line {
                let result = match (before.take(), answer()) {
                    // It is known where it is.
                    (_, not_durable @ Err(AppendError::NotDurable { .. })) => not_durable,
                    // The first attempt may have been appended, whatever became of the second.
                    (Some(AppendError::Unconfirmed), Err(_)) => Err(AppendError::Unconfirmed),
                    (_, result) => result,
                };
                *line = Line::Answered(result);
            }
        }
    }

    /// Does not try the lines again that wait for it: what the log said before stands.
    pub(super) fn give_up(&mut self) {
        for line in &mut self.lines {
            if let Line::Pending(before) = line {
                *line = Line::Answered(Err(before.take().unwrap_or(AppendError::Unconfirmed)));
            }
        }
    }

    /// The events that may safely be handed to the log again: those that were certainly not appended, and those whose
    /// outcome is not known but which have a key. They count as pending from now on.
    pub(super) fn take_retries(&mut self, trace: Option<&Text>) -> Vec<NewEvent> {
        let failed = |line: &Line| match line {
            Line::Answered(Err(error)) => match error {
                AppendError::Unavailable(_) | AppendError::Full | AppendError::Unconfirmed => {
                    Some(error.clone())
                }
                _ => None,
            },
            _ => None,
        };
        if self.lines.iter().all(|line| failed(line).is_none()) {
            return Vec::new();
        }
        let mut events = Vec::new();
        for (line, text) in self.lines.iter_mut().zip(lines_of(&self.text)) {
            let Some(error) = failed(line) else { continue };
            let Ok(event) = event::parse(&text, trace) else {
                continue;
            };
            if error != AppendError::Unconfirmed || event.key.is_some() {
                *line = Line::Pending(Some(error));
                events.push(event);
            }
        }
        events
    }

    /// The answers, a line for each line, and the counters.
    pub(super) fn answers(&self) -> Vec<u8> {
        let (mut ok, mut duplicates) = (0, 0);
        let mut out = Vec::with_capacity(self.lines.len() * 80);
        for line in &self.lines {
            match line {
                Line::Answered(Ok(appended)) => {
                    push_answer(&mut out, appended);
                    match appended.duplicate {
                        true => duplicates += 1,
                        false => ok += 1,
                    }
                }
                Line::Answered(Err(error)) => push_error(&mut out, &ApiError::from(error.clone())),
                Line::Refused(error) => push_error(&mut out, error),
                Line::Pending(_) => push_error(&mut out, &ApiError::from(AppendError::Unconfirmed)),
            }
        }
        metrics::published("ndjson", "ok", ok);
        if duplicates > 0 {
            metrics::published("ndjson", "duplicate", duplicates);
        }
        out
    }
}

fn push_error(out: &mut Vec<u8>, error: &ApiError) {
    metrics::published("ndjson", error.code().as_str(), 1);
    out.extend_from_slice(b"{\"error\":");
    error.push_json(out);
    out.extend_from_slice(b"}\n");
}

fn too_long(line_bytes_max: usize) -> ApiError {
    ApiError::new(
        Code::TooLarge,
        format!("a line may have {line_bytes_max} bytes; it was passed over"),
    )
}

#[cfg(test)]
mod tests {
    use broker::Unavailable;
    use shared::{Cursor, EntryId};

    use super::*;

    fn appended(n: u64) -> Result<Appended, AppendError> {
        Ok(Appended {
            cursor: Cursor::new(EntryId::new(n, 0), n),
            duplicate: n == 9,
        })
    }

    fn batch(text: &'static str) -> (Batch, usize) {
        let (batch, events) = Batch::parse(Bytes::from_static(text.as_bytes()), 40, None);
        (batch, events.len())
    }

    #[test]
    fn every_line_gets_its_own_answer_in_its_place() {
        let (mut batch, events) = batch(
            "{\"data\":1}\n\n  \nnot json\n{\"data\":2}\r\n{\"data\":\"0123456789012345678901234567890123456789\"}\n{\"data\":3}",
        );
        assert_eq!(events, 3);
        batch.settle(vec![appended(1), Err(AppendError::Full), appended(9)]);
        let answers = String::from_utf8_lossy(&batch.answers()).into_owned();
        let lines: Vec<&str> = answers.lines().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0], r#"{"id":"1-0","cursor":"1-0.1"}"#);
        assert!(
            lines[1].starts_with(r#"{"error":{"code":"invalid_json","message":"#),
            "{}",
            lines[1]
        );
        assert!(lines[2].contains(r#""code":"full""#));
        assert!(lines[3].contains(r#""code":"too_large""#));
        assert_eq!(lines[4], r#"{"id":"9-0","cursor":"9-0.9","duplicate":true}"#);
    }

    #[test]
    fn only_what_cannot_double_is_tried_again() {
        let (mut batch, events) = batch(
            "{\"data\":1}\nrefused\n{\"data\":2}\n{\"data\":3,\"key\":\"k\"}\n{\"data\":4}\n{\"data\":5}\n",
        );
        assert_eq!(events, 5);
        let away = Err(AppendError::Unavailable(Unavailable("away".into())));
        batch.settle(vec![
            away,
            Err(AppendError::Unconfirmed),
            Err(AppendError::Unconfirmed),
            Err(AppendError::WrongType),
            appended(5),
        ]);
        let again = batch.take_retries(None);
        let data: Vec<&[u8]> = again.iter().map(|e| e.event.data.raw().as_ref()).collect();
        assert_eq!(data, [b"1", b"3"]);
        batch.settle(vec![appended(6), appended(7)]);
        assert!(batch.take_retries(None).is_empty());
        let answers = String::from_utf8_lossy(&batch.answers()).into_owned();
        let codes = ["6-0", "invalid_json", "unconfirmed", "7-0", "wrong_type", "5-0"];
        for (line, code) in answers.lines().zip(codes) {
            assert!(line.contains(code), "{line}: {code}");
        }
    }

    #[test]
    fn what_may_have_been_appended_once_stays_unconfirmed() {
        let (mut batch, _) = batch("{\"data\":1,\"key\":\"k\"}\n{\"data\":2}\n");
        let away = || Err(AppendError::Unavailable(Unavailable("away".into())));
        batch.settle(vec![Err(AppendError::Unconfirmed), away()]);
        assert_eq!(batch.take_retries(None).len(), 2);
        batch.settle(vec![away(), away()]);
        assert_eq!(batch.take_retries(None).len(), 2);
        batch.give_up();
        let answers = String::from_utf8_lossy(&batch.answers()).into_owned();
        for (line, code) in answers.lines().zip(["unconfirmed", "unavailable"]) {
            assert!(line.contains(code), "{line}: {code}");
        }
    }

    #[test]
    fn a_missing_answer_is_not_a_success() {
        let (mut batch, _) = batch("{\"data\":1}\n{\"data\":2}\n");
        batch.settle(vec![appended(1)]);
        let answers = String::from_utf8_lossy(&batch.answers()).into_owned();
        assert!(answers.lines().last().is_some_and(|l| l.contains("unconfirmed")));
    }
}
