//! The whole example of `docs/socketio.md`: its configuration and its page, as they are written there.

use std::process::Stdio;

use edge::config::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::client::{Client, DEADLINE, js_folder};
use crate::engines::Engine;
use crate::support::TestEdge;
use crate::two_edges;

const DOCUMENT: &str = include_str!("../../docs/socketio.md");

/// The block of this kind in the whole example.
fn block(kind: &str) -> &'static str {
    let (_, example) = DOCUMENT.split_once("\n## A whole example\n").unwrap();
    let (_, rest) = example.split_once(&format!("```{kind}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// The page, in Node.js: its functions can be called, and what it says is read.
struct Page {
    _child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _folder: tempfile::TempDir,
}

impl Page {
    /// The page as it is written, but for where the edge is and who looks at it.
    async fn open(edge: &TestEdge, user: &str, name: &str) -> Self {
        let page = block("js")
            .replace("http://127.0.0.1:7400", &edge.url(""))
            .replace("user: \"ann\"", &format!("user: \"{user}\""))
            .replace("name: \"Ann\"", &format!("name: \"{name}\""));
        assert!(page.contains(user) && page.contains(name) && page.contains(&edge.url("")));
        // What is typed is run in the page.
        let driven = format!(
            "{page}\nimport {{ createInterface }} from 'node:readline';\n\
             createInterface({{ input: process.stdin }}).on('line', (line) => eval(line));\n"
        );
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(
            js_folder().join("node_modules"),
            folder.path().join("node_modules"),
        )
        .unwrap();
        let file = folder.path().join("page.mjs");
        std::fs::write(&file, driven).unwrap();
        let mut child = Command::new("node")
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
            _folder: folder,
        }
    }

    async fn run(&mut self, javascript: &str) {
        let line = format!("{javascript}\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
    }

    #[track_caller]
    fn says<'a>(&'a mut self, expected: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("the page does not say {expected:?} ({caller})"));
            assert_eq!(line.unwrap().as_deref(), Some(expected), "{caller}");
        }
    }
}

async fn curl(edge: &TestEdge, stream: &str, event: Value) {
    // The client wants one for https, which is not used here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = edge.url(&format!("/v1/streams/{stream}"));
    let answer = reqwest::Client::new()
        .post(url)
        .json(&event)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_example_works_as_it_is_written() {
    let config = Config::from_toml(block("toml")).unwrap();
    config.validate().unwrap();
    let engine = Engine::redis(config).await;
    let edges = two_edges(&engine).await;
    curl(
        &edges[0],
        "user:ann",
        json!({"event": "notify", "data": {"text": "while you were away"}}),
    )
    .await;
    curl(
        &edges[0],
        "doc:42",
        json!({"event": "edit", "data": {"insert": "the first word"}}),
    )
    .await;

    let mut ann = Page::open(&edges[0], "ann", "Ann").await;
    ann.says("notification: while you were away").await;
    ann.says("joined").await;
    ann.says("edit: the first word").await;

    // Somebody else, on another edge, gets the whole document and is announced.
    let mut bob = Page::open(&edges[1], "bob", "Bob").await;
    bob.says("joined").await;
    bob.says("edit: the first word").await;
    ann.says("Bob has joined").await;

    they_edit_together(&mut ann, &mut bob).await;
    logs_and_notifications(&engine, &edges[1], &mut ann).await;
    a_lost_connection_and_a_farewell(&mut ann, &mut bob).await;
}

async fn they_edit_together(ann: &mut Page, bob: &mut Page) {
    // Edits reach the others, and the one who made them hears that they are saved.
    bob.run("edit('and another')").await;
    bob.says("saved").await;
    ann.says("edit: and another").await;
    ann.run("socket.emit('typing', '42', { name: 'Ann' })").await;
    bob.says("Ann is typing").await;
    // The library sends it again when it has lost the answer: one operation is one edit.
    ann.run("for (const _ of [1, 2]) socket.emit('edit', '42', { op: 'same', insert: 'once' }, () => console.log('done'))")
        .await;
    ann.says("done").await;
    ann.says("done").await;
    bob.says("edit: once").await;
}

async fn logs_and_notifications(engine: &Engine, edge: &TestEdge, ann: &mut Page) {
    curl(edge, "log:api", json!({"event": "line", "data": "GET /before"})).await;
    ann.run("openLog('api')").await;
    ann.says("api: GET /before").await;
    curl(edge, "log:api", json!({"event": "line", "data": "GET /after"})).await;
    ann.says("api: GET /after").await;

    let note = json!({"event": "notify", "data": {"text": "Your API is used by 3 others"}});
    curl(edge, "user:ann", note).await;
    ann.says("notification: Your API is used by 3 others").await;
    let mut xadd = redis::cmd("XADD");
    xadd.arg("weir:{user:ann}").arg("*");
    xadd.arg("e")
        .arg("notify")
        .arg("d")
        .arg("{\"text\":\"From Redis\"}");
    let mut connection = engine.redis.as_ref().unwrap().connection().await;
    xadd.query_async::<String>(&mut connection).await.unwrap();
    ann.says("notification: From Redis").await;
}

async fn a_lost_connection_and_a_farewell(ann: &mut Page, bob: &mut Page) {
    // Nothing is lost, and nobody is announced again.
    ann.run("socket.io.engine.close()").await;
    ann.says("back, with nothing lost").await;
    bob.run("edit('after that')").await;
    bob.says("saved").await;
    ann.says("edit: after that").await;

    // Who leaves hears nothing more.
    ann.run("socket.emit('leave_document', '42', ({ ok }) => console.log(`left ${ok}`))")
        .await;
    ann.says("left true").await;
    bob.run("edit('unheard')").await;
    bob.says("saved").await;
    ann.run("socket.emit('edit', '42', { insert: 'no op' }, ({ error }) => console.log(error.code))")
        .await;
    ann.says("invalid_event").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lacks_what_the_example_needs_is_not_let_in() {
    let config = Config::from_toml(block("toml")).unwrap();
    let engine = Engine::memory(config).await;
    let edge = engine.edge().await;
    for (auth, code) in [
        (json!({}), "invalid_event"),
        (json!({"user": ""}), "invalid_event"),
        (json!({"user": "a b"}), "invalid_stream"),
    ] {
        let options = json!({"transports": ["websocket"], "auth": auth});
        let mut client = Client::start_with(&edge.url(""), options).await;
        let told = client
            .find("a refusal", |told| told["type"] == "connect_error")
            .await;
        assert_eq!(told["data"]["code"], code, "{told}");
        assert_eq!(told["data"]["message"], told["message"]);
    }
}
