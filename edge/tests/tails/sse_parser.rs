//! A parser of event streams, written from the HTML Living Standard, section 9.2.6 ("Interpreting an event
//! stream"), to judge ours with. Bytes may arrive in pieces of any size.

/// An event as a browser would dispatch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatched {
    /// Its type: `message` unless the stream names one.
    pub event: String,
    /// Its data.
    pub data: String,
    /// The last event ID at that moment.
    pub last_event_id: String,
}

/// The state of one connection.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    begun: bool,
    after_cr: bool,
    data: String,
    event_type: String,
    id_buffer: String,
    /// The last event ID string: what a reconnect sends.
    pub last_event_id: String,
    /// The reconnection time, once the stream has set it.
    pub retry_ms: Option<u64>,
    /// Lines that were comments.
    pub comments: usize,
    /// What has been dispatched.
    pub events: Vec<Dispatched>,
}

impl Parser {
    /// A connection of a client that brings a last event ID along.
    pub fn resuming(last_event_id: &str) -> Self {
        Self {
            last_event_id: last_event_id.to_owned(),
            ..Self::default()
        }
    }

    /// Reads more of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let pair = self.after_cr && *byte == b'\n';
            self.after_cr = *byte == b'\r';
            match byte {
                b'\n' if pair => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    self.line(&line);
                }
                byte => self.line.push(*byte),
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        // "UTF-8 decode" takes one byte order mark off the front of the stream.
        let first = !std::mem::replace(&mut self.begun, true);
        let line = match line.strip_prefix("\u{feff}".as_bytes()) {
            Some(rest) if first => rest,
            _ => line,
        };
        let line = String::from_utf8_lossy(line);
        if line.is_empty() {
            return self.dispatch();
        }
        match line.split_once(':') {
            Some(("", _)) => self.comments += 1,
            Some((field, value)) => self.field(field, value.strip_prefix(' ').unwrap_or(value)),
            None => self.field(&line, ""),
        }
    }

    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => self.event_type = value.to_owned(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id_buffer = value.to_owned(),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry_ms = value.parse().ok();
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.last_event_id.clone_from(&self.id_buffer);
        let mut data = std::mem::take(&mut self.data);
        let event = std::mem::take(&mut self.event_type);
        if data.is_empty() {
            return;
        }
        data.pop();
        let event = if event.is_empty() {
            "message".to_owned()
        } else {
            event
        };
        let last_event_id = self.last_event_id.clone();
        self.events.push(Dispatched {
            event,
            data,
            last_event_id,
        });
    }
}
