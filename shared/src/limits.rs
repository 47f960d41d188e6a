//! Every number that bounds something, with its unit last in its name. What an operator may set has its default
//! here and its setting in the configuration reference.

use std::time::Duration;

/// Bytes of a stream name or pattern.
pub const NAME_BYTES_MAX: usize = 200;
/// Bytes of an event name.
pub const EVENT_NAME_BYTES_MAX: usize = 200;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;
/// Bytes of a user or session ID that is stored with an event.
pub const ORIGIN_BYTES_MAX: usize = 200;
/// Streams that one cursor covers, and so streams of one merged tail.
pub const STREAMS_PER_CURSOR_MAX: usize = 64;

/// Default for the bytes of one event's data.
pub const DATA_BYTES_MAX: usize = 1024 * 1024;
/// Nesting of JSON and MessagePack data that is still taken apart.
pub const DATA_DEPTH_MAX: usize = 100;

/// Entries of a page when the caller names no limit.
pub const PAGE_ENTRIES_DEFAULT: usize = 100;
/// Entries of a page at the most.
pub const PAGE_ENTRIES_MAX: usize = 1_000;
/// Bytes of a page of the log: it is read in pieces, and no further when it has so many.
pub const LOG_PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Entries of one piece of a page at the most. They bound a page if its entries are suddenly large.
pub const PIECE_ENTRIES_MAX: usize = 512;
/// Entries of the first piece of a page when it is not known how large they are.
pub const PIECE_ENTRIES_UNKNOWN: usize = 16;
/// Streams of which it is known how large their entries are.
pub const ENTRY_SIZES_MAX: usize = 10_000;
/// Entries that a filtered page looks through before it returns with what it found.
pub const FILTER_SCAN_ENTRIES_MAX: usize = 20_000;
/// Entries that a subscription may begin with by number (`last`).
pub const LAST_ENTRIES_MAX: usize = 100_000;
/// Entries that are counted one by one to settle a verdict; beyond that it is `unverified`.
pub const VERDICT_COUNT_ENTRIES_MAX: u64 = 1_000_000;

/// Entries that one live read takes from one stream.
pub const LIVE_READ_ENTRIES_MAX: usize = 1_000;
/// Streams that one live read covers.
pub const LIVE_READ_STREAMS_MAX: usize = 500;

/// Default for the entries of one stream's recent ring.
pub const RING_ENTRIES_MAX: usize = 8_192;
/// Default for the bytes of one stream's recent ring.
pub const RING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Default for the bytes of all recent rings of one edge.
pub const RINGS_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Default for the bytes of older history that all readers of one edge who catch up hold together.
pub const HISTORY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Default for how long an event of a stream with many events and subscribers waits at the most for those that follow it, so that they
/// share a write: about what a display takes from one picture to the next.
pub const GATHER_MAX: Duration = Duration::from_millis(20);
/// How long a stream without subscribers stays in the hub, so that a reconnect storm meets its ring.
pub const STREAM_LINGER: Duration = Duration::from_secs(30);
/// How often the hub gives up what nobody uses.
pub const HUB_SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Places beyond what one stream's tail has published at which readers may wait for it; others read the log again.
pub const READERS_AHEAD_MAX: usize = 64;
/// Streams that one edge tails at the same time.
pub const STREAMS_TAILED_MAX: usize = 1_000_000;

/// Default for the entries of a stream.
pub const RETENTION_ENTRIES_MAX: u64 = 100_000;
/// Default for the age of an entry.
pub const RETENTION_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Default for the time after which a stream that nobody appends to expires.
pub const RETENTION_IDLE_MAX: Duration = Duration::from_secs(14 * 24 * 3600);
/// Default for how long an idempotency key is remembered.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Default for the bytes that the in-memory engine holds over all streams.
pub const MEMORY_ENGINE_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Streams that the in-memory engine holds.
pub const MEMORY_ENGINE_STREAMS_MAX: usize = 100_000;
/// Pause between two sweeps of the in-memory engine, which free what has expired.
pub const MEMORY_ENGINE_SWEEP_PAUSE: Duration = Duration::from_secs(5);
/// Sessions that the in-memory engine holds.
pub const MEMORY_ENGINE_SESSIONS_MAX: usize = 100_000;

/// Characters of a session's secret name, at the least: fewer could be guessed.
pub const SESSION_ID_BYTES_MIN: usize = 20;
/// Characters of a session's secret name, at the most.
pub const SESSION_ID_BYTES_MAX: usize = 64;
/// Bytes of one session's record.
pub const SESSION_RECORD_BYTES_MAX: usize = 64 * 1024;
/// Calls about sessions and edges that are with Redis at the same time; further ones wait for their turn.
pub const RECORD_CALLS_MAX: usize = 4_096;
/// How long a call about a session or an edge may wait for its turn, and then for its answer.
pub const RECORD_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of the address under which an edge is reached by the others.
pub const EDGE_ADDRESS_BYTES_MAX: usize = 300;

/// Bytes of one ephemeral event, all parts together.
pub const EPHEMERAL_BYTES_MAX: usize = 64 * 1024;
/// Ephemeral events of one stream that are kept for subscribers who are just being woken.
pub const EPHEMERAL_RING_EVENTS_MAX: usize = 256;
/// Bytes of one stream's ephemeral events that are kept so; one event may be above it.
pub const EPHEMERAL_RING_BYTES_MAX: usize = 256 * 1024;
/// Ephemeral events that wait for the connection to Redis; further ones are dropped.
pub const EPHEMERALS_QUEUED_MAX: usize = 4_096;
/// Bytes of ephemeral events that wait for the connection to Redis; further events are dropped.
pub const EPHEMERAL_BYTES_QUEUED_MAX: usize = 8 * 1024 * 1024;
/// Channels of ephemeral events that are listened to, or left, in one write to Redis.
pub const EPHEMERAL_BATCH_MAX: usize = 512;
/// How long a new subscriber waits for its stream's ephemeral events to be arranged for, before it begins without.
pub const EPHEMERAL_LISTEN_WAIT: Duration = Duration::from_secs(1);

/// Appends that one connection to Redis has queued or in flight before callers wait.
pub const APPENDS_QUEUED_MAX: usize = 10_000;
/// Bytes of appends that one connection to Redis has queued or in flight before callers wait.
pub const APPEND_BYTES_QUEUED_MAX: usize = 32 * 1024 * 1024;
/// Entries of one stream that go to Redis in one transaction.
pub const APPEND_BATCH_ENTRIES_MAX: usize = 256;
/// Bytes of one stream's events that go to Redis in one transaction; a larger event goes alone.
pub const APPEND_BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Transactions of one stream that are in flight at the same time. More would only make them smaller.
pub const APPEND_BATCHES_PER_STREAM_MAX: usize = 4;
/// Transactions that one connection to Redis has in flight at the same time.
pub const APPEND_BATCHES_IN_FLIGHT_MAX: usize = 64;
/// How long the answer to an append may take before the connection is taken for dead.
pub const APPEND_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often appends that have waited too long are looked for.
pub const APPEND_TICK: Duration = Duration::from_millis(50);
/// Bytes of an entry from which on Redis is asked in ways that repeat fewer entries.
pub const LARGE_ENTRY_BYTES: usize = 64 * 1024;
/// Streams for which one connection remembers when they are due for trimming and a new expiry.
pub const UPKEEP_STREAMS_MAX: usize = 100_000;
/// Default for how long Redis may be away before appends that were not sent are refused at once: so a restart is not noticed, and
/// nobody waits for what is known to fail.
pub const APPEND_OUTAGE_WAIT: Duration = Duration::from_secs(2);
/// The longest that may be set for that: clients commonly wait no longer for an answer.
pub const APPEND_OUTAGE_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a publish waits for replicas or the disk, unless that is set.
pub const DURABILITY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long that may be: a server that answers nothing for longer counts as dead.
pub const DURABILITY_TIMEOUT_MAX: Duration = Duration::from_secs(4);
/// Replicas that a publish may wait for at the most.
pub const DURABILITY_REPLICAS_MAX: u8 = 9;
/// How often a server is asked again whether it can do what durable publishes ask for, once it could not.
pub const DURABILITY_TRIAL_INTERVAL: Duration = Duration::from_secs(1);
/// How long an append may wait for its place and its answer.
pub const APPEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a read may wait for its answer.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that are read at once, at the least, from a connection for reads.
pub const REDIS_READ_BYTES: usize = 64 * 1024;
/// Bytes of the buffer that a connection for reads keeps between two requests.
pub const REDIS_READ_BYTES_KEPT_MAX: usize = 1024 * 1024;
/// Bytes that are read at once, at the least, from a connection over which many ask: most answers are small.
pub const REDIS_PIPE_READ_BYTES: usize = 16 * 1024;
/// How often a task that asks and drives such a connection too goes on at once, before others on its thread have their turn.
pub const REDIS_DRIVE_ROUNDS_MAX: usize = 16;
/// Bytes of each buffer that such a connection keeps while nothing waits in it.
pub const REDIS_PIPE_BYTES_KEPT_MAX: usize = 256 * 1024;
/// How long a connection for reads is taken to work after it was last used; after that it is asked first.
pub const READ_CONNECTION_TRUST: Duration = Duration::from_secs(1);
/// How long a connection to Redis may take to open.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// First pause before Redis is tried again; it doubles, with jitter, up to [`RECONNECT_PAUSE_MAX`].
pub const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause before Redis is tried again.
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often an open connection for writes is tried, used or not.
pub const LINK_PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Pause between two looks at whether everything is connected, when the engine starts.
pub const LIVE_POLL: Duration = Duration::from_millis(10);
/// How often the memory of Redis is looked at.
pub const MEMORY_WATCH_INTERVAL: Duration = Duration::from_secs(30);
/// Part of its memory from which on Redis counts as nearly full.
pub const MEMORY_WARN_PERCENT: u64 = 80;
/// How often it is said that Redis is nearly full.
pub const MEMORY_WARN_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How long a connection to Redis may be idle before the kernel asks whether the other side is still there.
pub const REDIS_KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// How often the kernel repeats that question.
pub const REDIS_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long Sentinels may take to say which server is the master.
pub const SENTINEL_TIMEOUT: Duration = Duration::from_secs(1);
/// How often Sentinels are asked whether it is another server now.
pub const SENTINEL_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long bytes sent to Redis may stay unacknowledged before the kernel gives the connection up.
pub const REDIS_UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// Default for the connections of one edge.
pub const CONNECTIONS_MAX: usize = 50_000;
/// Default for the bytes of a request's head.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Bytes that are read from a connection at once at the most; the buffer grows up to it while reads fill it.
pub const READ_BUFFER_BYTES_MAX: usize = 128 * 1024;
/// Headers of one request.
pub const HEADERS_MAX: usize = 100;
/// Default for how long a client may take to send a request's head; also how long a connection may idle between
/// requests.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Default for how long a client may take to send the body of one event.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that the system may hold for one socket and has not sent yet. Without a bound it takes up to 4 MiB for each
/// reader that is slow.
pub const SOCKET_UNSENT_BYTES_MAX: u32 = 256 * 1024;
/// Default for how long a peer may acknowledge nothing and take nothing before its connection counts as dead.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Default for the longest wait of a long poll.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Default for the pause without traffic after which a tail shows a sign of life. Below the 30 to 60 s after which
/// proxies commonly cut a silent connection.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Default for the pause after which a browser's `EventSource` is asked to come back.
pub const RETRY_HINT: Duration = Duration::from_secs(1);
/// Default for the bytes that are handed to one socket at a time.
pub const OUTBOX_BYTES_MAX: usize = 64 * 1024;
/// Bytes from which on an HTTP tail hands a chunk to the socket before it encodes more.
pub const TAIL_CHUNK_BYTES: usize = 32 * 1024;
/// Bytes of an encoded event from which on it goes to the socket as it is, without a copy next to its neighbours.
pub const TAIL_SHARED_PIECE_BYTES_MIN: usize = 8 * 1024;
/// Entries that a filter holds back before the client is told how far its cursor has come, between heartbeats.
pub const TAIL_UNTOLD_ENTRIES_MAX: u64 = 1_000;
/// How long a client that comes back after its `until` is kept waiting for the answer whether that was all.
pub const TAIL_ENDED_WAIT: Duration = Duration::from_secs(2);
/// Default for how long a shutdown waits for what is under way.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(20);
/// How long a shutdown leaves a connection open on which no request has ever begun.
pub const DRAIN_SILENT_GRACE: Duration = Duration::from_millis(500);
/// How long a closing connection waits for the peer to read the last answer and close its side.
pub const LINGER: Duration = Duration::from_secs(1);
/// Pause after `accept` failed (no file descriptors left), so that the loop does not spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Default for how long `/readyz` waits for the log.
pub const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of one line that the command-line clients take from an edge.
pub const CLIENT_LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a client's connection to an edge may take to open.
pub const CLIENT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Default for how long a tail waits for anything, be it a heartbeat, before it takes the connection for dead.
pub const CLIENT_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(45);
/// Upper end of a client's first pause before it tries again; it doubles up to [`CLIENT_RETRY_PAUSE_MAX`], and the
/// pause is drawn evenly from nothing to that end.
pub const CLIENT_RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause of a client's own choice before it tries again.
pub const CLIENT_RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// Longest `Retry-After` that a client obeys.
pub const CLIENT_RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);
/// A connection that lasted so long was a success: the next failure starts with a short pause again.
pub const CLIENT_STABLE_AFTER: Duration = Duration::from_secs(5);
/// How long one event published from the command line is retried.
pub const CLIENT_RETRY_FOR: Duration = Duration::from_secs(30);
/// Longest time between a printed event and its place in the `--resume` file.
pub const CLIENT_RESUME_INTERVAL: Duration = Duration::from_secs(1);
/// How long a client that is told to stop waits for what is under way.
pub const CLIENT_STOP_GRACE: Duration = Duration::from_secs(1);
/// Batches of output that wait for a slow reader of a tail's output.
pub const CLIENT_OUTPUT_BATCHES_MAX: usize = 2;
/// Bytes of one batch of a tail's output, beyond which it is handed to the output.
pub const CLIENT_OUTPUT_BATCH_BYTES: usize = 256 * 1024;

/// Bytes of one line that `weir publish` reads.
pub const PUBLISH_LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Lines that `weir publish` keeps for sending again, until they are acknowledged.
pub const PUBLISH_LINES_UNACKNOWLEDGED_MAX: usize = 10_000;
/// Bytes of the lines that `weir publish` keeps for sending again.
pub const PUBLISH_BYTES_UNACKNOWLEDGED_MAX: usize = 32 * 1024 * 1024;
/// Bytes that `weir publish` reads from its input at once, and about as many go into one write.
pub const PUBLISH_FRAME_BYTES: usize = 64 * 1024;
/// Bytes that `weir publish` sends before the edge has begun to answer.
pub const PUBLISH_PROBE_BYTES: usize = 4 * 1024;
/// Writes of `weir publish` that wait for the connection.
pub const PUBLISH_FRAMES_QUEUED_MAX: usize = 2;
/// Batches of lines that wait between reading and publishing.
pub const PUBLISH_BATCHES_QUEUED_MAX: usize = 2;
/// Bytes of a request where something on the way passes on only whole requests.
pub const PUBLISH_SHORT_REQUEST_BYTES_MAX: usize = 512 * 1024;
/// Default for how long `weir publish` waits for an answer before it takes the connection for dead.
pub const PUBLISH_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request of `weir publish` stays open with nothing to send.
pub const PUBLISH_IDLE_MAX: Duration = Duration::from_secs(20);

/// Default for the time between two pings on a WebSocket.
pub const WS_PING_INTERVAL: Duration = Duration::from_secs(20);
/// Default for how long the answer to a ping may take.
pub const WS_PONG_TIMEOUT: Duration = Duration::from_secs(20);
/// Default for how long a WebSocket client may take nothing of what is sent to it.
pub const WS_WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Default for the publishes of one WebSocket that are not acknowledged yet; beyond that it is not read.
pub const WS_PUBLISHES_IN_FLIGHT_MAX: usize = 256;
/// Bytes of the publishes of one WebSocket that are not acknowledged yet; beyond that it is not read.
pub const WS_PUBLISH_BYTES_IN_FLIGHT_MAX: usize = 4 * 1024 * 1024;
/// Pages that one WebSocket reads at the same time; beyond that it is not read.
pub const WS_PAGES_IN_FLIGHT_MAX: usize = 4;
/// Bytes of the events of one page on a WebSocket; a page that holds more is shortened. One event may be above it.
/// A page is one message, and clients commonly accept 1 MiB.
pub const WS_PAGE_BYTES_MAX: usize = 512 * 1024;
/// Default for the frames per second that are read from one WebSocket; a faster client is slowed down.
pub const WS_FRAMES_PER_SECOND: u32 = 10_000;
/// Frames in a row that cannot be understood before a WebSocket is closed.
pub const WS_REFUSED_FRAMES_MAX: u32 = 100;
/// Bytes of a WebSocket message beside those of the event it publishes.
pub const WS_ENVELOPE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a `ref`.
pub const WS_REF_BYTES_MAX: usize = 100;
/// Bytes of replies that wait to be written before a WebSocket is not read any more.
pub const WS_REPLY_BYTES_QUEUED_MAX: usize = 64 * 1024;
/// Bytes of a piece of a WebSocket message from which on it is kept shared until it is written; below that a copy
/// next to its neighbours is cheaper.
pub const WS_SHARED_PIECE_BYTES_MIN: usize = 16 * 1024;
/// Bytes that each thread keeps for the next queue of a WebSocket that fills.
pub const WS_SPARE_BYTES_MAX: usize = 64 * 1024;
/// Bytes that one read of a WebSocket brings at the most: memory that all sockets of a thread share.
pub const SCRATCH_BYTES: usize = 64 * 1024;
/// How long the close of a WebSocket waits for its other side.
pub const WS_CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Default for how long a Socket.IO client may take until it has connected to its first namespace.
pub const SIO_CONNECT_TIMEOUT: Duration = Duration::from_secs(45);
/// Namespaces that one Socket.IO client may be connected to at the same time.
pub const SIO_NAMESPACES_MAX: usize = 32;
/// Bytes of one Socket.IO event or acknowledgement with all its attachments.
pub const SIO_EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Attachments of one Socket.IO event or acknowledgement. The official clients take no more either.
pub const SIO_ATTACHMENTS_MAX: usize = 10;
/// How long a Socket.IO client may take for each attachment of a packet.
pub const SIO_ATTACHMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Nesting of the payload of a Socket.IO packet. Above [`DATA_DEPTH_MAX`], so that data which are nested too deep are
/// refused by whoever takes them, and do not cost the client its connection.
pub const SIO_DEPTH_MAX: usize = 128;
/// Bytes that one Socket.IO connection was told and has not taken before it is not read any more.
pub const SIO_UNSENT_BYTES_MAX: usize = 64 * 1024;

/// Default for the time between two pings of an Engine.IO session.
pub const ENGINE_PING_INTERVAL: Duration = Duration::from_secs(25);
/// Default for how long an Engine.IO client may take to answer a ping.
pub const ENGINE_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Default for the bytes of one Engine.IO message, and of what is sent or answered at once when polling.
pub const ENGINE_PAYLOAD_BYTES_MAX: usize = 1_000_000;
/// Default for how long an Engine.IO client may take to change from polling to WebSocket.
pub const ENGINE_UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
/// Default for how long an Engine.IO client may take nothing of what is sent to it.
pub const ENGINE_WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the end of an Engine.IO session waits for its client.
pub const ENGINE_CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes that the connection of a polling client is handed at once.
pub const ENGINE_ANSWER_CHUNK_BYTES: usize = 32 * 1024;
/// How often the task of an Engine.IO session goes on at once before others have their turn.
pub const ENGINE_ROUNDS_MAX: usize = 32;

/// Streams from which on the tail asks to hear of all of them at once, instead of each that it has read.
pub const TAIL_BROADCAST_STREAMS_MIN: usize = 1_000;
/// Rings of the tail's bell from which it is judged whether most are for streams that are followed.
pub const TAIL_BROADCAST_RINGS_JUDGED: u64 = 1_000;
/// How long the tail does not ask again to hear of all streams when most of it was for nothing.
pub const TAIL_BROADCAST_PAUSE: Duration = Duration::from_secs(60);
/// Keys that have rung and are not looked at yet; with more of them every stream counts as changed.
pub const TAIL_RUNG_KEYS_MAX: usize = 1_000_000;
/// How often the tail looks for streams whose ordinals are due to be checked.
pub const TAIL_CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Streams that the tail checks in one interval at the most, so that checking many streams costs Redis little.
pub const TAIL_CHECKS_PER_INTERVAL_MAX: usize = 64;
/// Streams whose checks go to Redis in one transaction.
pub const TAIL_VERIFY_STREAMS_MAX: usize = 32;
/// Bytes that one live read should bring from one stream; the number of entries asked for adapts to it.
pub const LIVE_READ_STREAM_BYTES: usize = 1024 * 1024;
/// Entries that one live read should bring from all its streams together.
pub const LIVE_READ_ENTRIES_TOTAL: usize = 8_000;
/// How long the tail's connection may be silent before it is tried with a `PING`.
pub const TAIL_PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long the tail waits for an answer before it takes the connection for dead.
pub const TAIL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long Redis may be away before those who follow its streams are told. A restart of a connection is over by then, and is
/// not worth a word; a fail-over takes longer.
pub const OUTAGE_GRACE: Duration = Duration::from_millis(500);
/// Streams that share a blocking read where the server refuses client tracking.
pub const BLOCKING_GROUP_STREAMS: usize = 64;
/// Connections for blocking reads; with more streams the groups grow.
pub const BLOCKING_GROUPS_MAX: usize = 64;
/// How long a blocking read waits; so long may a newly followed stream wait for its first live event there.
pub const BLOCKING_READ_WAIT: Duration = Duration::from_millis(250);

/// Bytes of events that one JSON page holds before it is cut short.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes that the JSON around the data of one published event may take: names, key, escapes, white space.
pub const EVENT_SYNTAX_BYTES_MAX: usize = 4 * 1024;
/// Default for how long an upload of lines is held while the log is away.
pub const INGEST_HOLD: Duration = Duration::from_secs(60);
/// How long a browser may remember what it was told about other origins.
pub const CORS_MAX_AGE: Duration = Duration::from_secs(3600);
/// Bytes of lines that go to the log together; a longer line goes alone.
pub const INGEST_BATCH_BYTES: usize = 256 * 1024;
/// Batches of one upload that are with the log at the same time.
pub const INGEST_BATCHES_IN_FLIGHT_MAX: usize = 32;
/// Bytes of one upload that are with the log at the same time; one batch may exceed it.
pub const INGEST_BYTES_IN_FLIGHT_MAX: usize = 4 * 1024 * 1024;
/// How long the oldest batch of an upload may wait for the log before no further ones are handed in behind it.
pub const INGEST_STALL: Duration = Duration::from_secs(1);
/// Batches of answers that wait for the client of an upload; beyond that it is not read.
pub const INGEST_ANSWERS_QUEUED_MAX: usize = 4;
/// Connections that wait in the kernel to be accepted.
pub const ACCEPT_QUEUE_MAX: u32 = 4_096;
/// How often the server folds its counters and forgets clients that have gone quiet.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Default for how long a lost Socket.IO session can be recovered.
pub const SIO_SESSION_TTL: Duration = Duration::from_secs(2 * 60);
/// Default for the publishes of one Socket.IO socket that are not acknowledged yet; beyond that it is not read.
pub const SIO_PUBLISHES_IN_FLIGHT_MAX: usize = 256;
/// Bytes of the publishes of one Socket.IO socket that are not acknowledged yet; beyond that it is not read.
pub const SIO_PUBLISH_BYTES_IN_FLIGHT_MAX: usize = 4 * 1024 * 1024;
/// Bytes of the filter of one Socket.IO subscription: it is kept in the record of the session.
pub const SIO_FILTER_BYTES_MAX: usize = 400;
/// Pages that one Socket.IO socket reads at the same time; beyond that it is not read.
pub const SIO_PAGES_IN_FLIGHT_MAX: usize = 4;
/// Bytes of the events of one page on Socket.IO; a page that holds more is shortened. One event may be above it.
pub const SIO_PAGE_BYTES_MAX: usize = 512 * 1024;
/// How long a socket may be unable to take anything before the ephemeral events that have come meanwhile are not news to
/// it any more.
pub const EPHEMERAL_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of a password or another secret.
pub const SECRET_BYTES_MAX: usize = 1_000;
/// Bytes of the secret that edges share, at least.
pub const CLUSTER_SECRET_BYTES_MIN: usize = 16;
/// How far the clocks of two edges may differ before they take each other's requests for forged.
pub const CLUSTER_CLOCK_SKEW_MAX: Duration = Duration::from_secs(5 * 60);
/// How long the address of another edge is remembered before the log is asked again.
pub const CLUSTER_ADDRESS_MEMORY: Duration = Duration::from_secs(1);
/// Addresses of other edges that are remembered.
pub const CLUSTER_ADDRESSES_MAX: usize = 1_024;
/// How long a connection to another edge may take to open.
pub const CLUSTER_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How much longer than it holds a request another edge may take to answer it.
pub const CLUSTER_ANSWER_SLACK: Duration = Duration::from_secs(5);
/// How long a connection to another edge is kept when nobody uses it.
pub const CLUSTER_IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Unused connections to one other edge that are kept.
pub const CLUSTER_IDLE_CONNECTIONS_MAX: usize = 1_024;
/// How long others find an edge that has announced itself.
pub const CLUSTER_ANNOUNCE_TTL: Duration = Duration::from_secs(15);
/// How often an edge announces itself.
pub const CLUSTER_ANNOUNCE_INTERVAL: Duration = Duration::from_secs(4);
/// Pause before an edge announces itself again that could not.
pub const CLUSTER_ANNOUNCE_RETRY: Duration = Duration::from_secs(1);
/// How often a Redis Cluster is asked which node has which slot.
pub const REDIS_CLUSTER_ASK_INTERVAL: Duration = Duration::from_secs(10);
/// The same while a node of it does not answer.
pub const REDIS_CLUSTER_ASK_INTERVAL_DOUBTED: Duration = Duration::from_millis(500);
/// Before something is tried again for a key that is between two nodes of a Redis Cluster.
pub const REDIS_CLUSTER_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Redirections of a Redis Cluster that are followed without a pause.
pub const REDIS_CLUSTER_REDIRECTS_AT_ONCE: u32 = 3;
/// Attempts at a read or a single command before it is given up, with redirections and pauses between them.
pub const REDIS_CLUSTER_REDIRECTS_MAX: u32 = 100;
