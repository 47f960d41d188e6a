//! Requests of long-polling: one TCP connection each, as the official client of Node.js does it, or over connections
//! that are kept, as browsers do it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};

use crate::client::{Options, invalid};

/// Bytes of a response at the most.
const RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Connections that are kept for later: browsers need two, for a GET and a POST at the same time.
const IDLE_MAX: usize = 2;

/// Opens a connection to the server, from the client's own address if it has one.
pub(crate) async fn connect(options: &Options) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(local) = options.local {
        socket.bind((local, 0).into())?;
    }
    if let Some(bytes) = options.receive_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    let stream = socket.connect(options.server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends requests.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    options: Arc<Options>,
    idle: Arc<Mutex<Vec<Idle>>>,
}

/// A connection. It moves on only while somebody waits for it.
#[derive(Debug)]
struct Idle {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

impl Http {
    pub(crate) fn new(options: Arc<Options>) -> Self {
        Self {
            options,
            idle: Arc::default(),
        }
    }

    /// The body of the answer. Any status but 200 is an error, and so is a connection that ends early.
    pub(crate) async fn exchange(self, method: Method, target: String, body: Bytes) -> io::Result<Bytes> {
        let mut idle = match self.take().await {
            Some(idle) => idle,
            None => self.open().await?,
        };
        let request = self.request(method, target, body)?;
        let (answer, ended) = {
            let exchange = exchange(&mut idle.sender, request);
            tokio::pin!(exchange);
            tokio::select! {
                biased;
                answer = &mut exchange => (answer, false),
                // It may end right behind the answer.
                _ = &mut idle.connection => (exchange.await, true),
            }
        };
        if answer.is_ok() && !ended && self.options.keep_alive {
            let mut kept = self.idle.lock().map_err(|_| invalid("connections"))?;
            if kept.len() < IDLE_MAX {
                kept.push(idle);
            }
        }
        answer
    }

    fn request(&self, method: Method, target: String, body: Bytes) -> io::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(&method)
            .uri(target)
            .header("host", self.options.server.to_string())
            .header("accept", "*/*");
        if method == Method::POST {
            request = request.header("content-type", "text/plain;charset=UTF-8");
        }
        if !self.options.keep_alive {
            request = request.header("connection", "close");
        }
        request.body(Full::new(body)).map_err(io::Error::other)
    }

    async fn open(&self) -> io::Result<Idle> {
        let stream = connect(&self.options).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(Idle {
            sender,
            connection: Box::pin(connection),
        })
    }

    /// A connection that was kept and that the server has not closed meanwhile.
    async fn take(&self) -> Option<Idle> {
        loop {
            let mut idle = self.idle.lock().ok()?.pop()?;
            let open = std::future::poll_fn(|cx| Poll::Ready(idle.connection.as_mut().poll(cx).is_pending()));
            if open.await {
                return Some(idle);
            }
        }
    }
}

async fn exchange(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> io::Result<Bytes> {
    sender.ready().await.map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX);
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if status == StatusCode::OK {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(&body);
    Err(io::Error::other(format!("{status}: {text}")))
}
