//! One connection: reads what the client says, answers, and hands on what it publishes.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use tokio::net::TcpStream;

use crate::frame;
use crate::message::{self, Greeting, Wish};
use crate::streams::{Socket, Streams};

const READ_BYTES: usize = 64 * 1024;
/// Bytes of a request's head at the most.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";

thread_local! {
    /// All connections read into the same memory, one after the other.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What came out of what was read at once.
#[derive(Default)]
struct Round {
    answer: Vec<u8>,
    subscribe: Vec<String>,
    /// Frames by the stream they go to: those of one stream are one write.
    publish: Vec<(String, Vec<u8>)>,
    ends: bool,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(stream: TcpStream, streams: Rc<Streams>, greeting: Rc<Greeting>) {
    let socket = streams.admit(stream);
    let (mut upgraded, mut begun, mut follows) = (false, Vec::new(), Vec::new());
    while socket.stream.readable().await.is_ok() {
        let Some(round) = read(&socket, &mut begun, &mut upgraded, &greeting) else {
            break;
        };
        for stream in round.subscribe {
            streams.subscribe(&socket, stream.clone());
            follows.push(stream);
        }
        for (stream, frames) in round.publish {
            streams.deliver(&stream, &frames).await;
        }
        if !round.answer.is_empty() {
            socket.write(&round.answer).await;
        }
        if round.ends {
            break;
        }
    }
    streams.forget(&socket, &follows);
}

/// Reads what is there and understands what is whole of it; the rest goes into `begun`. None at the end of the connection.
fn read(socket: &Socket, begun: &mut Vec<u8>, upgraded: &mut bool, greeting: &Greeting) -> Option<Round> {
    BUFFER.with_borrow_mut(|buffer| {
        let waiting = begun.len();
        buffer.resize(waiting + READ_BYTES, 0);
        buffer[..waiting].copy_from_slice(begun);
        let came = match socket.stream.try_read(&mut buffer[waiting..]) {
            Ok(0) => return None,
            Ok(came) => came,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(Round::default()),
            Err(_) => return None,
        };
        let mut bytes = &mut buffer[..waiting + came];
        let mut round = Round::default();
        if !*upgraded {
            let Some(end) = memchr::memmem::find(bytes, HEAD_END) else {
                *begun = bytes.to_vec();
                return (begun.len() < HEAD_BYTES_MAX).then_some(round);
            };
            let (head, rest) = bytes.split_at_mut(end + HEAD_END.len());
            round.answer = greeting.answer(head)?;
            *upgraded = round.answer.starts_with(b"HTTP/1.1 101");
            round.ends = !*upgraded;
            bytes = rest;
        }
        loop {
            let Ok(frame) = frame::first(bytes) else {
                round.ends = true;
                break;
            };
            let Some(frame) = frame else { break };
            let length = frame.length;
            round.take(&frame);
            bytes = &mut bytes[length..];
        }
        // Replaced, not cleared: idle connections keep no memory.
        *begun = bytes.to_vec();
        Some(round)
    })
}

impl Round {
    fn take(&mut self, frame: &frame::Frame<'_>) {
        match frame.opcode {
            frame::TEXT => match message::take(frame.payload, &mut self.answer) {
                Some(Wish::Subscribe(streams)) => self.subscribe.extend(streams),
                Some(Wish::Publish(stream, frame)) => {
                    match self.publish.iter_mut().find(|(to, _)| *to == stream) {
                        Some((_, frames)) => frames.extend_from_slice(&frame),
                        None => self.publish.push((stream, frame)),
                    }
                }
                Some(Wish::Nothing) => {}
                None => self.ends = true,
            },
            frame::PING => frame::write(&mut self.answer, frame::PONG, frame.payload),
            frame::PONG => {}
            _ => {
                frame::write(&mut self.answer, frame::CLOSE, &[]);
                self.ends = true;
            }
        }
    }
}
