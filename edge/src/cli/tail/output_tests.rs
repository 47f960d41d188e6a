//! The output against files that take little, and then nothing.

use std::sync::Mutex;

use super::*;

/// Takes a few bytes at a time, up to a bound; then it fails as a closed pipe does.
#[derive(Clone, Default)]
struct Slow {
    taken: Arc<Mutex<Vec<u8>>>,
    room: usize,
    pieces: Arc<Mutex<Vec<usize>>>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = self.taken.lock().unwrap();
        let count = bytes.len().min(3).min(self.room - taken.len());
        if count == 0 {
            return Err(ErrorKind::BrokenPipe.into());
        }
        taken.extend_from_slice(&bytes[..count]);
        self.pieces.lock().unwrap().push(bytes.len());
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn five_events() -> Batch {
    let mut batch = Batch::default();
    for n in 1..=5 {
        batch.bytes.extend_from_slice(format!("event {n}\n").as_bytes());
        batch.mark_event(Bytes::from(n.to_string()));
    }
    batch
}

#[tokio::test]
async fn only_lines_that_went_out_whole_are_counted() {
    // Room for three lines of eight bytes and a part of the fourth; two lines a write.
    let slow = Slow {
        room: 29,
        ..Slow::default()
    };
    let mut output = Output::start_on(slow.clone(), 16).unwrap();
    let written = output.written();
    assert!(output.send(five_events()).await);
    assert_eq!(output.finish().await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(written.borrow().events, 2);
    assert_eq!(written.borrow().cursor, Some(Bytes::from("2")));
    assert!(slow.pieces.lock().unwrap().iter().all(|len| *len <= 16));
}

#[tokio::test]
async fn everything_is_written_in_order_and_positions_without_events_count() {
    let slow = Slow {
        room: 1_000,
        ..Slow::default()
    };
    let mut output = Output::start_on(slow.clone(), 16).unwrap();
    let written = output.written();
    let mut batch = five_events();
    batch.mark_notice(Notice::plain("between"), Some(Bytes::from("5b")));
    batch.mark_position(Bytes::from("6"));
    assert!(output.send(batch).await);
    output.finish().await.unwrap();
    assert_eq!(written.borrow().events, 5);
    assert_eq!(written.borrow().cursor, Some(Bytes::from("6")));
    assert_eq!(slow.taken.lock().unwrap().len(), 40);
}
