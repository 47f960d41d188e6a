//! Reading packets.

use bytes::Bytes;
use memchr::memchr;
use shared::limits::SIO_ATTACHMENTS_MAX;
use shared::wire::PlainEvent;

use super::Kind;
use crate::socketio::AckId;
use crate::socketio::json::{self, Fault, unquote};
use crate::socketio::violation::Violation;

/// Names of events that mean something of their own to Socket.IO's clients and servers.
pub(crate) const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// A packet, and where its parts are in the text that it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    /// What it says.
    pub(crate) kind: Kind,
    /// How many binary messages belong to it and follow.
    pub(crate) attachments: usize,
    /// The namespace as it was written, without the comma. It may be no valid name.
    pub(crate) namespace: &'a str,
    /// The number of the acknowledgement that is asked for or given.
    pub(crate) ack: Option<AckId>,
    /// JSON, checked as [`json::scan`] does: an array for events and acknowledgements, an object for a `Connect`, that
    /// or a string for a `ConnectError`. Empty if there is none.
    pub(crate) payload: Bytes,
    /// The name of an event, unescaped.
    pub(crate) event: Option<String>,
    /// Where everything is in the payload, if that is an event as nearly all are.
    pub(crate) plain: Option<PlainEvent>,
}

impl<'a> Packet<'a> {
    /// Reads one packet. The payload is a slice of `text`, which is valid UTF-8.
    pub(crate) fn scan(text: &'a Bytes) -> Result<Self, Violation> {
        let (digit, rest) = text.split_first().ok_or(Violation::Type)?;
        let (kind, binary) = match digit {
            b'0' => (Kind::Connect, false),
            b'1' => (Kind::Disconnect, false),
            b'2' => (Kind::Event, false),
            b'3' => (Kind::Ack, false),
            b'4' => (Kind::ConnectError, false),
            b'5' => (Kind::Event, true),
            b'6' => (Kind::Ack, true),
            _ => return Err(Violation::Type),
        };
        let (attachments, rest) = if binary { attachments(rest)? } else { (0, rest) };
        let (namespace, rest) = namespace(rest)?;
        let (ack, rest) = ack_id(rest)?;
        let may_have_ack = match kind {
            Kind::Event => true,
            Kind::Ack => ack.is_some(),
            Kind::Connect | Kind::Disconnect | Kind::ConnectError => ack.is_none(),
        };
        if !may_have_ack {
            return Err(Violation::AckId);
        }
        let payload = text.slice(text.len() - rest.len()..);
        let mut packet = Self {
            kind,
            attachments,
            namespace,
            ack,
            payload,
            event: None,
            plain: None,
        };
        packet.check_payload()?;
        Ok(packet)
    }

    fn check_payload(&mut self) -> Result<(), Violation> {
        let placeholders = (self.attachments > 0).then_some(self.attachments);
        match self.kind {
            Kind::Connect if self.payload.is_empty() => Ok(()),
            Kind::Disconnect if self.payload.is_empty() => Ok(()),
            Kind::Disconnect => Err(Violation::Payload),
            Kind::ConnectError if self.payload.first() == Some(&b'"') => self.check_string(),
            Kind::Connect | Kind::ConnectError => self.check_container(b'{', None).map(drop),
            Kind::Ack => self.check_container(b'[', placeholders).map(drop),
            Kind::Event => {
                if self.attachments == 0 && self.glance() {
                    return Ok(());
                }
                let name = self.check_container(b'[', placeholders)?;
                self.event = Some(event_name(&name)?);
                Ok(())
            }
        }
    }

    /// Takes an event of the plain kind apart, as nearly all are. Whether it was one; if not, that says nothing.
    fn glance(&mut self) -> bool {
        let array = std::str::from_utf8(&self.payload).unwrap_or_default();
        self.plain = PlainEvent::of(array);
        let name = self.plain.as_ref().and_then(|plain| plain.name(array));
        self.event = name
            .filter(|name| !RESERVED_EVENTS.contains(name))
            .map(str::to_owned);
        self.event.is_some()
    }

    /// Checks the payload and cuts off the white space behind it; returns its first element.
    fn check_container(&mut self, open: u8, attachments: Option<usize>) -> Result<Bytes, Violation> {
        let scanned = json::scan(&self.payload, open, attachments)?;
        self.payload.truncate(scanned.len);
        Ok(scanned
            .first
            .map(|range| self.payload.slice(range))
            .unwrap_or_default())
    }

    fn check_string(&self) -> Result<(), Violation> {
        let array = [b"[", self.payload.as_ref(), b"]"].concat();
        let scanned = json::scan(&array, b'[', None)?;
        let alone = scanned.first == Some(1..array.len() - 1);
        if alone { Ok(()) } else { Err(Violation::Payload) }
    }
}

impl From<Fault> for Violation {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Grammar => Self::Payload,
            Fault::TooDeep => Self::TooDeep,
            Fault::Placeholder => Self::Placeholder,
        }
    }
}

/// The number before the dash.
fn attachments(text: &[u8]) -> Result<(usize, &[u8]), Violation> {
    let (number, rest) = digits(text);
    let rest = rest.strip_prefix(b"-").ok_or(Violation::Attachments)?;
    match number {
        Some(Some(0)) | None => Err(Violation::Attachments),
        Some(Some(number)) if number <= SIO_ATTACHMENTS_MAX as u64 => Ok((number as usize, rest)),
        Some(_) => Err(Violation::TooManyAttachments),
    }
}

/// The namespace ends with a comma, or with the text.
fn namespace(text: &[u8]) -> Result<(&str, &[u8]), Violation> {
    if text.first() != Some(&b'/') {
        return Ok(("/", text));
    }
    let (name, rest) = match memchr(b',', text) {
        Some(comma) => (&text[..comma], &text[comma + 1..]),
        None => (text, &[][..]),
    };
    let name = std::str::from_utf8(name).map_err(|_| Violation::Namespace)?;
    Ok((name, rest))
}

fn ack_id(text: &[u8]) -> Result<(Option<AckId>, &[u8]), Violation> {
    match digits(text) {
        (None, rest) => Ok((None, rest)),
        (Some(Some(id)), rest) => Ok((Some(id), rest)),
        (Some(None), _) => Err(Violation::AckId),
    }
}

/// The digits in front: `None` if there are none, `Some(None)` if their number is too large.
fn digits(text: &[u8]) -> (Option<Option<u64>>, &[u8]) {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(len);
    let add = |number: u64, digit: &u8| number.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    let number = (len > 0).then(|| digits.iter().try_fold(0, add));
    (number, rest)
}

/// The name of an event: a string, or a number, which JavaScript takes for the string that it writes for it.
fn event_name(raw: &[u8]) -> Result<String, Violation> {
    let name = match raw.first() {
        Some(b'"') => unquote(raw).into_owned(),
        Some(b'-' | b'0'..=b'9') => number_name(&String::from_utf8_lossy(raw)),
        _ => return Err(Violation::Payload),
    };
    if RESERVED_EVENTS.contains(&name.as_str()) {
        return Err(Violation::ReservedEvent);
    }
    Ok(name)
}

/// Whole numbers as JavaScript writes them; others stay as they are.
fn number_name(raw: &str) -> String {
    /// 2^53: below it a double holds every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match raw.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < EXACT => (number as i64).to_string(),
        _ => raw.to_owned(),
    }
}
