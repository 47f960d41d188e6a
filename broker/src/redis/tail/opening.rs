//! How the tail's connection is opened, with its bell.

use std::sync::Arc;

use redis::aio::{AsyncPushSender, ConnectionLike};
use redis::{Value, cmd};
use shared::limits::TAIL_TIMEOUT;

use super::super::TailMode;
use super::super::connect::{Connection, Connector, Purpose};
use super::super::fault::Fault;

/// What the server said to client tracking, if it was asked.
pub(super) type Tracked = Option<Result<(), Fault>>;

/// Opens a connection on which `button` rings.
pub(super) async fn open(
    connector: &Connector,
    button: Arc<dyn AsyncPushSender>,
    mode: TailMode,
) -> Result<(Connection, Tracked), Fault> {
    let purpose = Purpose {
        response_timeout: Some(TAIL_TIMEOUT),
        pushes: Some(button),
    };
    let mut connection = connector.open(&purpose).await.map_err(|e| Fault::of(&e))?;
    let tracked = match mode {
        TailMode::Blocking => None,
        TailMode::Auto => {
            let command = cmd("CLIENT").arg("TRACKING").arg("ON").take();
            match connection
                .req_packed_command(&command)
                .await
                .map_err(|e| Fault::of(&e))
            {
                Ok(Value::ServerError(error)) => Some(Err(Fault::of_server(&error))),
                Ok(_) => Some(Ok(())),
                Err(fault @ Fault::Refused(_)) => Some(Err(fault)),
                Err(fault) => return Err(fault),
            }
        }
    };
    Ok((connection, tracked))
}
