//! What comes out of a run: [`Outcome`]s, which every scenario returns.

mod outcome;

pub use outcome::{Judgment, Outcome, Position, Unit, Value};
