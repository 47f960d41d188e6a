//! The time between two connections: when to try again, what to say about it, when to give up. It waits for nothing
//! and sends nothing; what it has to say goes through the printer it was given.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::problem::Problem;
use super::terminal::Notice;

/// Failures in a row that are nobody's business: most connections that are cut are back at the first attempt.
const QUIET_FAILURES: u32 = 1;
/// A pause as long as this is told of.
const QUIET_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What takes notices.
type Print = Box<dyn Fn(&Notice) + Send + Sync>;

/// The failures since a connection last worked.
pub(super) struct Outage {
    url: String,
    backoff: Backoff,
    /// How long to try before giving up; `None`: for ever.
    retry_for: Option<Duration>,
    since: Option<Instant>,
    ever_connected: bool,
    /// What was told last, so that it is told once.
    told: Option<String>,
    print: Print,
}

impl Outage {
    /// No failure yet. `url` is for people. What there is to say is handed to `print`.
    pub(super) fn new(
        url: String,
        retry_for: Option<Duration>,
        print: impl Fn(&Notice) + Send + Sync + 'static,
    ) -> Self {
        Self {
            url,
            backoff: Backoff::default(),
            retry_for,
            since: None,
            ever_connected: false,
            told: None,
            print: Box::new(print),
        }
    }

    /// A connection is there; whether it is of use has still to be seen.
    pub(super) fn connected(&mut self) {
        self.ever_connected = true;
        if let (Some(_), Some(since)) = (self.told.take(), self.since) {
            let seconds = since.elapsed().as_secs_f64();
            (self.print)(&Notice::plain(format!(
                "connected to {} after {seconds:.1} s",
                self.url
            )));
        }
    }

    /// The connection was of use: the next failure is a first one.
    pub(super) fn progressed(&mut self) {
        self.backoff.reset();
        self.since = None;
    }

    /// It failed. Brings the pause before the next attempt, or why there will be none. `random` is in 0 ..= 1.
    pub(super) fn failed(&mut self, problem: Problem, random: f64) -> Result<Duration, String> {
        let (why, retry_after) = match problem {
            Problem::Lasting { why, .. } => return Err(format!("{}: {why}", self.url)),
            Problem::Passing { why, retry_after, .. } => (why, retry_after),
        };
        let pause = self.backoff.pause(random, retry_after);
        let since = *self.since.get_or_insert_with(Instant::now);
        if let Some(limit) = self.retry_for
            && since.elapsed() + pause > limit
        {
            return Err(format!("{}: {why}; gave up after {limit:?}", self.url));
        }
        let interesting =
            !self.ever_connected || self.backoff.failures() > QUIET_FAILURES || pause >= QUIET_PAUSE_MAX;
        if interesting && self.told.as_ref() != Some(&why) {
            let what = if self.ever_connected {
                "lost"
            } else {
                "cannot reach"
            };
            (self.print)(&Notice::plain(format!(
                "{what} {}: {why}; trying again",
                self.url
            )));
            self.told = Some(why);
        }
        Ok(pause)
    }

    /// The other side asked for a new connection: a short pause that spreads the clients, and nothing to say. It
    /// grows all the same should every connection be answered like that.
    pub(super) fn invited(&mut self, random: f64) -> Duration {
        self.backoff.pause(random, None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn outage(retry_for: Option<Duration>) -> Outage {
        Outage::new("http://edge".to_owned(), retry_for, |_| ())
    }

    #[test]
    fn a_cut_that_heals_at_once_is_quiet_and_a_longer_one_is_told_once() {
        let mut outage = outage(None);
        outage.connected();
        outage.failed(Problem::passing("cut"), 0.5).unwrap();
        assert_eq!(outage.told, None);
        outage.failed(Problem::passing("refused"), 0.5).unwrap();
        assert_eq!(outage.told.as_deref(), Some("refused"));
        outage.connected();
        assert_eq!(outage.told, None);
    }

    #[test]
    fn an_edge_that_was_never_there_is_told_of_at_once() {
        let mut outage = outage(None);
        outage.failed(Problem::passing("refused"), 0.0).unwrap();
        assert_eq!(outage.told.as_deref(), Some("refused"));
    }

    #[test]
    fn a_connection_that_brought_nothing_does_not_shorten_the_pauses() {
        let mut outage = outage(None);
        let mut pauses = Vec::new();
        for _ in 0..3 {
            outage.connected();
            pauses.push(outage.failed(Problem::passing("cut"), 1.0).unwrap().as_millis());
        }
        assert_eq!(pauses, [100, 200, 400]);
        outage.progressed();
        assert_eq!(
            outage.failed(Problem::passing("cut"), 1.0).unwrap().as_millis(),
            100
        );
    }

    #[test]
    fn it_ends_when_it_cannot_heal_or_took_too_long() {
        let mut outage = outage(Some(Duration::from_secs(1)));
        assert!(outage.failed(Problem::passing("refused"), 1.0).is_ok());
        let asked = Problem::Passing {
            why: "full".to_owned(),
            retry_after: Some(Duration::from_secs(2)),
            sent: true,
        };
        assert_eq!(
            outage.failed(asked, 0.0).unwrap_err(),
            "http://edge: full; gave up after 1s"
        );
        assert_eq!(
            outage.failed(Problem::lasting("no such name"), 0.0).unwrap_err(),
            "http://edge: no such name"
        );
    }
}
