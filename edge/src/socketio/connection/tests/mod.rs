#![allow(clippy::unwrap_used)]

mod binary;
mod bounds;
mod client;
mod closing;
mod hostile;
mod namespaces;
mod talk;
