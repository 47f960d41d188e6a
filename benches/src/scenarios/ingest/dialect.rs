//! What publishers say and hear, as bytes that are made once.

use anyhow::{bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::load::frame;
use crate::payload;

/// How long what a server says before it takes events may be.
const GREETING_BYTES_MAX: usize = 16 * 1024;

/// How to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `XADD`, to Redis itself.
    Redis,
    /// Lines of one request that does not end.
    Ndjson,
    /// A request for each event, over a connection that is kept.
    Post,
    /// `publish` frames on `/v1/ws`.
    WebSocket,
    /// `publish` events of Socket.IO, over WebSocket.
    SocketIo,
}

/// The key of a stream in Redis.
pub(super) fn key(stream: usize) -> String {
    format!("weir:{{{}}}", name(stream))
}

fn name(stream: usize) -> String {
    format!("bench:{stream}")
}

impl Dialect {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Redis => "pipelined XADD",
            Self::Ndjson => "HTTP, NDJSON",
            Self::Post => "HTTP, a POST for each event",
            Self::WebSocket => "WebSocket /v1/ws",
            Self::SocketIo => "Socket.IO over WebSocket",
        }
    }

    /// What publishes one event.
    pub(super) fn request(self, stream: usize, host: &str) -> Vec<u8> {
        let (name, data) = (name(stream), payload());
        let data = String::from_utf8_lossy(&data);
        let framed = |text: String| {
            let mut bytes = Vec::new();
            frame::write(&mut bytes, frame::TEXT, |out| {
                out.extend_from_slice(text.as_bytes())
            });
            bytes
        };
        match self {
            Self::Redis => {
                let arguments = ["XADD", &key(stream), "*", "d", &data];
                let mut command = format!("*{}\r\n", arguments.len());
                for argument in arguments {
                    command += &format!("${}\r\n{argument}\r\n", argument.len());
                }
                command.into_bytes()
            }
            Self::Ndjson => format!("{{\"data\":{data}}}\n").into_bytes(),
            Self::Post => {
                let body = format!("{{\"data\":{data}}}");
                let length = body.len();
                format!(
                    "POST /v1/streams/{name} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
                     content-length: {length}\r\n\r\n{body}"
                )
                .into_bytes()
            }
            Self::WebSocket => framed(format!(
                r#"{{"type":"publish","ref":7,"stream":"{name}","data":{data}}}"#
            )),
            // The number of the acknowledgement may be any.
            Self::SocketIo => framed(format!(r#"427["publish",{{"stream":"{name}","data":{data}}}]"#)),
        }
    }

    /// Says what comes before the first event, and hears the answer, if one comes before that.
    pub(super) async fn begin<S>(self, socket: &mut S, stream: usize, host: &str) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let target = match self {
            Self::Redis | Self::Post => return Ok(()),
            Self::Ndjson => {
                let head = format!(
                    "POST /v1/streams/{} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-ndjson\r\n\
                     transfer-encoding: chunked\r\n\r\n",
                    name(stream)
                );
                return Ok(socket.write_all(head.as_bytes()).await?);
            }
            Self::WebSocket => "/v1/ws",
            Self::SocketIo => "/socket.io/?EIO=4&transport=websocket",
        };
        let mut upgrade = Vec::new();
        frame::write_handshake(&mut upgrade, target, host);
        socket.write_all(&upgrade).await?;
        let mut heard = Vec::new();
        hear(socket, &mut heard, b"\r\n\r\n").await?;
        ensure!(heard.starts_with(b"HTTP/1.1 101 "), "no WebSocket");
        if self == Self::SocketIo {
            hear(socket, &mut heard, b"0{\"sid\"").await?;
            let mut connect = Vec::new();
            frame::write(&mut connect, frame::TEXT, |out| out.extend_from_slice(b"40"));
            socket.write_all(&connect).await?;
            hear(socket, &mut heard, b"40{\"sid\"").await?;
        }
        Ok(())
    }

    /// Puts `requests`, which are whole, into what goes out together.
    pub(super) fn wrap(self, requests: &[u8], out: &mut Vec<u8>) {
        if self == Self::Ndjson {
            out.extend_from_slice(format!("{:x}\r\n", requests.len()).as_bytes());
            out.extend_from_slice(requests);
            out.extend_from_slice(b"\r\n");
        } else {
            out.extend_from_slice(requests);
        }
    }

    /// How many events `bytes`, the next ones that came, acknowledge. What has no other place in an acknowledgement is
    /// counted; that the count is right shows when the log is looked at in the end.
    pub(super) fn answers(self, bytes: &[u8]) -> anyhow::Result<usize> {
        let (mark, failure): (u8, &[u8]) = match self {
            Self::Redis => (b'$', b"-ERR"),
            _ => (b'{', b"\"error\""),
        };
        if memchr::memmem::find(bytes, failure).is_some() {
            bail!("an event is refused: {}", String::from_utf8_lossy(bytes));
        }
        Ok(memchr::memchr_iter(mark, bytes).count())
    }
}

/// Reads until `part` has come; what comes behind it may have begun.
async fn hear<S: AsyncRead + Unpin>(socket: &mut S, heard: &mut Vec<u8>, part: &[u8]) -> anyhow::Result<()> {
    while memchr::memmem::find(heard, part).is_none() {
        ensure!(heard.len() < GREETING_BYTES_MAX, "a greeting that does not end");
        let came = socket.read_buf(heard).await?;
        ensure!(came > 0, "closed: {}", String::from_utf8_lossy(heard));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let answers: [(Dialect, &[u8]); 4] = [
            (Dialect::Redis, b"$15\r\n1767225600000-0\r\n"),
            (
                Dialect::Ndjson,
                b"33\r\n{\"id\":\"1-0\",\"cursor\":\"1-0.1\"}\n\r\n",
            ),
            (
                Dialect::WebSocket,
                br#"..{"type":"published","ref":7,"stream":"a","id":"1-0","cursor":"1-0.1"}"#,
            ),
            (Dialect::SocketIo, br#"..437[{"id":"1-0","cursor":"1-0.1"}]"#),
        ];
        for (dialect, answer) in answers {
            let all = answer.repeat(10);
            for size in 1..all.len() {
                let counts = all.chunks(size).map(|bytes| dialect.answers(bytes).unwrap());
                assert_eq!(counts.sum::<usize>(), 10, "{dialect:?} {size}");
            }
        }
    }

    #[test]
    fn refusals_are_no_answers() {
        assert!(Dialect::Redis.answers(b"-ERR no\r\n").is_err());
        assert!(
            Dialect::SocketIo
                .answers(br#"437[{"error":{"code":"full"}}]"#)
                .is_err()
        );
    }
}
