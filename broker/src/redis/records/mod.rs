//! What edges keep in Redis beside streams: the records of sessions, and where each edge is.
//!
//! | module | owns |
//! |---|---|
//! | [`calls`] | the connection to each node, shared by all callers |
//! | [`sessions`] | `weir:session:{ID}`: its key, encoding and scripts |
//! | [`edges`] | `weir:edge:{ID}` and `weir:cluster:{secret}` |

mod calls;
mod edges;
mod sessions;

pub(super) use calls::{Calls, Records};
pub(super) use edges::RedisEdges;
pub(super) use sessions::RedisSessions;
