//! Over HTTP: a request for each event.

use tokio::time::{Instant, sleep};

use super::{Answer, HUNG, Ledger, Outcome, PACE, PAUSE, Record};
use crate::events;

pub(super) async fn publish(mut ledger: Ledger) -> Record {
    let client = benches::servers::client();
    while !ledger.is_done() {
        if let Some(number) = ledger.take() {
            send(&client, &mut ledger, number).await;
        }
        sleep(PACE).await;
    }
    ledger.record
}

async fn send(client: &reqwest::Client, ledger: &mut Ledger, number: u32) {
    let plan = &ledger.record.plan;
    let body = format!("{{\"data\":{}}}", events::json(plan.number, number));
    let name = plan.stream.as_str().replace('/', "%2F");
    let mut request = client
        .post(format!("http://{}/v1/streams/{name}", ledger.edge()))
        .header("Content-Type", "application/json")
        .timeout(HUNG)
        .body(body);
    if let Some(key) = ledger.key(number) {
        request = request.header("Idempotency-Key", key);
    }
    let at = Instant::now();
    let answered = async { request.send().await?.json::<Answer>().await };
    match answered.await {
        Ok(answer) => {
            let outcome = ledger.outcome(&answer);
            ledger.settle(number, at, outcome);
        }
        Err(error) => {
            if error.is_connect() {
                ledger.put_back(number);
            } else {
                ledger.settle(number, at, Outcome::Doubtful);
            }
            if error.is_decode() {
                ledger.record.strange.push(format!("{error:?}"));
            }
            ledger.next_edge();
            sleep(PAUSE).await;
        }
    }
}
