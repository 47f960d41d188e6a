//! Properties of every codec and type of the vocabulary: what is written is read back, hostile input is refused or
//! takes the nearest honest value, and nothing panics.
#![allow(clippy::unwrap_used)]

mod cursors;
mod fields;
mod json;
mod message_pack;
mod names;
mod strategies;
mod time;
mod trace;
