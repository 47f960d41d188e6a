//! The vocabulary that the broker and the edge share. It does no I/O.
//!
//! * [`StreamName`], [`StreamPattern`]: what a stream is called, and patterns over names.
//! * [`EntryId`], [`Ordinal`], [`Cursor`], [`MultiCursor`]: where a reader stands.
//! * [`EdgeId`], [`SessionId`]: names that are drawn at random.
//! * [`Event`], [`Payload`], [`Entry`]: what is published and what is delivered.
//! * [`fields`]: an event as the fields of a Redis stream entry, and back.
//! * [`wire`]: an entry as JSON and as MessagePack.
//! * [`verdict`]: the arithmetic that tells a reader whether it lost anything.
//! * [`limits`]: every number that bounds something.
//! * [`time`], [`trace`], [`telemetry`]: time texts, trace context, log set-up.

mod cursor;
mod entry;
mod id;
mod name;
mod token;

pub mod fields;
pub mod limits;
pub mod telemetry;
pub mod time;
pub mod trace;
pub mod verdict;
pub mod wire;

pub use cursor::{Cursor, CursorError, MultiCursor};
pub use entry::{DEFAULT_EVENT, Entry, Event, Payload, Text, WIRE_SLOTS};
pub use id::{EntryId, EntryIdError, Ordinal};
pub use name::{NameError, StreamName, StreamPattern, covers};
pub use token::{EdgeId, SessionId, TokenError};
pub use verdict::{StreamView, Verdict};
