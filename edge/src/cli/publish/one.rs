//! Publishes one event, and prints where it went.

use std::io::Write as _;

use reqwest::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use shared::limits::{CLIENT_RETRY_FOR, PUBLISH_ANSWER_TIMEOUT};
use shared::wire;
use tokio::time::{sleep, timeout};

use super::args::{PublishArgs, random_key};
use crate::cli::Failure;
use crate::cli::client::Edge;
use crate::cli::outage::Outage;
use crate::cli::problem::{Problem, accepted};
use crate::cli::terminal::Notice;

/// The content type of one event, and of the answer to it.
const JSON: &str = "application/json";

/// Publishes `data`; tries again with the same key while that can help.
pub(super) async fn publish(args: &PublishArgs, edge: &Edge, data: &str) -> Result<(), Failure> {
    let url = edge.stream_url(&args.name)?;
    let key = args.key.clone().unwrap_or_else(random_key);
    let body = body(args, &key, data)?;
    let retry_for = args.retry_for.unwrap_or(CLIENT_RETRY_FOR);
    let mut outage = Outage::new(edge.shown(), Some(retry_for), Notice::print);
    let answer_timeout = args.answer_timeout.unwrap_or(PUBLISH_ANSWER_TIMEOUT);
    let mut in_doubt = false;
    let answer = loop {
        let attempt = async {
            let request = edge
                .publish(url.clone(), args.durability)
                .header(CONTENT_TYPE, JSON)
                .body(body.clone());
            let response = accepted(request.send().await?, JSON).await?;
            Ok::<_, Problem>(response.bytes().await?)
        };
        let late = || Problem::passing(format!("nothing was answered for {answer_timeout:?}"));
        let problem = match timeout(answer_timeout, attempt)
            .await
            .unwrap_or_else(|_| Err(late()))
        {
            Ok(answer) => break answer,
            Err(problem) => problem,
        };
        in_doubt |= matches!(problem, Problem::Passing { sent: true, .. });
        match outage.failed(problem, fastrand::f64()) {
            Ok(pause) => sleep(pause).await,
            Err(why) if in_doubt => {
                let advice =
                    format!("it may have been published; to be sure publish it again with --key {key}");
                return Err(Failure::Runtime(format!("{why}; {advice}")));
            }
            Err(why) => return Err(Failure::Runtime(why)),
        }
    };
    let text = String::from_utf8_lossy(&answer);
    // Published it is, whether or not anybody reads where.
    let _ = writeln!(
        std::io::stdout(),
        "{}",
        crate::cli::terminal::neutral(text.trim())
    );
    Ok(())
}

fn body(args: &PublishArgs, key: &str, data: &str) -> Result<Vec<u8>, Failure> {
    let mut body = b"{".to_vec();
    if let Some(event) = &args.event {
        body.extend_from_slice(b"\"event\":");
        wire::push_json_string(&mut body, event);
        body.push(b',');
    }
    body.extend_from_slice(b"\"data\":");
    if args.json {
        serde_json::from_str::<&RawValue>(data)
            .map_err(|e| Failure::Usage(format!("the data are not JSON: {e}")))?;
        body.extend_from_slice(data.as_bytes());
    } else {
        wire::push_json_string(&mut body, data);
    }
    body.extend_from_slice(b",\"key\":");
    wire::push_json_string(&mut body, key);
    body.push(b'}');
    Ok(body)
}
