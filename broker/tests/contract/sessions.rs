//! Session records: who may save, what a take-over brings, when they go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use broker::{Generation, Log, Saved, SessionError, Sessions, Taken, Touched};
use bytes::Bytes;
use futures_util::future::join_all;
use shared::SessionId;
use shared::limits::SESSION_RECORD_BYTES_MAX;

use crate::{Fixture, Settings, in_time};

/// Long enough for everything but a test that waits for it.
const LONG: Duration = Duration::from_secs(600);
/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(400);

fn id(n: u32) -> SessionId {
    let mut bytes = [7; 18];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    SessionId::from_random(bytes)
}

fn record(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn sessions<F: Fixture>() -> (F, Arc<dyn Log>) {
    let fixture = F::start(Settings::default()).await;
    let log = fixture.log();
    (fixture, log)
}

async fn take(sessions: &Arc<dyn Sessions>, id: &SessionId) -> Option<Taken> {
    in_time("a take-over", sessions.take_over(id, LONG))
        .await
        .unwrap()
}

async fn save(
    sessions: &Arc<dyn Sessions>,
    id: &SessionId,
    generation: Generation,
    text: &'static str,
) -> Saved {
    let saved = sessions.save(id, generation, record(text), LONG);
    in_time("a save", saved).await.unwrap()
}

pub(crate) async fn a_take_over_brings_what_was_saved_last<F: Fixture>() {
    let (_fixture, log) = sessions::<F>().await;
    let sessions = log.sessions();
    let records = [record(""), record("a"), Bytes::from_static(b"\x00\xff\r\n$1\r\n")];
    for (n, record) in (0..).zip(records) {
        let first = sessions.create(&id(n), record.clone(), LONG).await.unwrap();
        let second = take(sessions, &id(n)).await.unwrap();
        assert_eq!(second.record, record);
        assert!(second.generation > first);
        assert_eq!(save(sessions, &id(n), second.generation, "b").await, Saved::Saved);
        assert_eq!(save(sessions, &id(n), second.generation, "c").await, Saved::Saved);
        let third = take(sessions, &id(n)).await.unwrap();
        assert_eq!(third.record, "c");
        assert!(third.generation > second.generation);
    }
}

pub(crate) async fn who_was_taken_over_changes_nothing_any_more<F: Fixture>() {
    let (_fixture, log) = sessions::<F>().await;
    let sessions = log.sessions();
    let first = sessions.create(&id(1), record("a"), LONG).await.unwrap();
    let second = take(sessions, &id(1)).await.unwrap().generation;
    assert_eq!(save(sessions, &id(1), first, "late").await, Saved::TakenOver);
    sessions.end(&id(1), first).await.unwrap();
    assert_eq!(save(sessions, &id(1), second, "b").await, Saved::Saved);
    assert_eq!(take(sessions, &id(1)).await.unwrap().record, "b");
    let again = sessions.create(&id(1), record("x"), LONG).await;
    assert!(matches!(again, Err(SessionError::Refused(_))), "{again:?}");
}

pub(crate) async fn what_is_not_there_is_told<F: Fixture>() {
    let (_fixture, log) = sessions::<F>().await;
    let sessions = log.sessions();
    let generation = sessions.create(&id(1), record("a"), LONG).await.unwrap();
    assert_eq!(take(sessions, &id(2)).await, None);
    assert_eq!(sessions.touch(&id(2), LONG).await, Ok(Touched::Gone));
    assert_eq!(sessions.end(&id(2), generation).await, Ok(()));
    assert_eq!(sessions.touch(&id(1), LONG).await, Ok(Touched::Known));
    sessions.end(&id(1), generation).await.unwrap();
    assert_eq!(sessions.touch(&id(1), LONG).await, Ok(Touched::Gone));
    assert_eq!(take(sessions, &id(1)).await, None);
}

pub(crate) async fn a_record_expires_unless_it_is_used<F: Fixture>() {
    let (fixture, log) = sessions::<F>().await;
    let sessions = log.sessions();
    let mut generations = Vec::new();
    for n in 0..4 {
        generations.push(sessions.create(&id(n), record("a"), SHORT).await.unwrap());
    }
    // Each of these makes it live on, and the last one has nothing done to it.
    assert_eq!(sessions.touch(&id(0), LONG).await, Ok(Touched::Known));
    assert_eq!(save(sessions, &id(1), generations[1], "b").await, Saved::Saved);
    let taken = take(sessions, &id(2)).await.unwrap().generation;
    fixture.advance(2 * SHORT).await;
    assert_eq!(sessions.touch(&id(3), LONG).await, Ok(Touched::Gone));
    assert_eq!(take(sessions, &id(3)).await, None);
    for (n, text) in [(0, "a"), (1, "b"), (2, "a")] {
        assert_eq!(take(sessions, &id(n)).await.unwrap().record, text);
    }
    // Nor does a later call with a short life make it live longer than that.
    assert_eq!(sessions.touch(&id(2), SHORT).await, Ok(Touched::Known));
    fixture.advance(2 * SHORT).await;
    assert_eq!(take(sessions, &id(2)).await, None);
    assert_eq!(save(sessions, &id(2), taken, "c").await, Saved::Saved);
}

/// A log that loses its data, or a record that expires under two who both believe to serve the session.
pub(crate) async fn a_record_that_is_gone_is_saved_anew_and_the_last_one_wins<F: Fixture>() {
    let (fixture, log) = sessions::<F>().await;
    let sessions = log.sessions();
    let first = sessions.create(&id(1), record("a"), SHORT).await.unwrap();
    let taken = sessions.take_over(&id(1), SHORT).await.unwrap().unwrap();
    fixture.advance(2 * SHORT).await;
    assert_eq!(save(sessions, &id(1), first, "of the first").await, Saved::Saved);
    let later = take(sessions, &id(1)).await.unwrap();
    assert_eq!(later.record, "of the first");
    assert!(
        later.generation > taken.generation,
        "above all that were ever given"
    );
    assert_eq!(
        save(sessions, &id(1), taken.generation, "x").await,
        Saved::TakenOver
    );
    assert_eq!(save(sessions, &id(1), later.generation, "b").await, Saved::Saved);
    // The other way round: whoever took over last puts right what one before it has saved.
    sessions.end(&id(1), later.generation).await.unwrap();
    assert_eq!(save(sessions, &id(1), first, "stale").await, Saved::Saved);
    assert_eq!(
        save(sessions, &id(1), later.generation, "right").await,
        Saved::Saved
    );
    assert_eq!(save(sessions, &id(1), first, "stale").await, Saved::TakenOver);
    assert_eq!(take(sessions, &id(1)).await.unwrap().record, "right");
}

pub(crate) async fn records_are_bounded<F: Fixture>() {
    let (_fixture, log) = sessions::<F>().await;
    let sessions = log.sessions();
    let largest = Bytes::from(vec![b'x'; SESSION_RECORD_BYTES_MAX]);
    let generation = sessions.create(&id(1), largest.clone(), LONG).await.unwrap();
    let larger = Bytes::from(vec![b'x'; SESSION_RECORD_BYTES_MAX + 1]);
    let size_bytes = larger.len();
    let refused = Err(SessionError::TooLarge { size_bytes });
    assert_eq!(
        sessions.save(&id(1), generation, larger.clone(), LONG).await,
        refused
    );
    assert!(matches!(
        sessions.create(&id(2), larger, LONG).await,
        Err(SessionError::TooLarge { .. })
    ));
    assert_eq!(take(sessions, &id(1)).await.unwrap().record, largest);
    assert_eq!(take(sessions, &id(2)).await, None);
}

pub(crate) async fn of_many_who_take_over_at_once_one_is_last<F: Fixture>() {
    let (_fixture, log) = sessions::<F>().await;
    let sessions = log.sessions();
    sessions.create(&id(1), record("a"), LONG).await.unwrap();
    let taken = join_all((0..64).map(|_| sessions.take_over(&id(1), LONG))).await;
    let generations: BTreeSet<_> = taken
        .into_iter()
        .map(|taken| taken.unwrap().unwrap().generation)
        .collect();
    assert_eq!(generations.len(), 64, "each has a generation of its own");
    let last = *generations.last().unwrap();
    for generation in generations {
        let expected = if generation == last {
            Saved::Saved
        } else {
            Saved::TakenOver
        };
        assert_eq!(save(sessions, &id(1), generation, "b").await, expected);
    }
}

pub(crate) async fn ten_thousand_at_once<F: Fixture>() {
    const SESSIONS: u32 = 10_000;
    let (_fixture, log) = sessions::<F>().await;
    let sessions = log.sessions();
    let created = join_all((0..SESSIONS).map(|n| sessions.create(&id(n), record("a record"), LONG)));
    assert!(in_time("the creates", created).await.iter().all(Result::is_ok));
    let touched = join_all((0..SESSIONS).map(|n| sessions.touch(&id(n), LONG)));
    let touched = in_time("the touches", touched).await;
    assert!(touched.iter().all(|touched| *touched == Ok(Touched::Known)));
    assert_eq!(
        take(sessions, &id(SESSIONS - 1)).await.unwrap().record,
        "a record"
    );
}
