//! This member's part of an incident report, streamed: a thread collects, and what is collected waits for the
//! reader in a short queue, so that the agent stays small whatever the size of the logs.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use super::api;
use super::server::{Agent, problem};
use crate::galera::moment::Moment;
use crate::host::report::{Enough, LARGEST_PART, Part, Piece, USUAL_WINDOW, Wanted};

/// A part that takes longer than this ends where it is.
const LIMIT: Duration = Duration::from_secs(60);
/// So many pieces wait for the reader.
const QUEUE: usize = 4;
/// So many reports are collected here at the same time: a leader's own, and a person's.
static PLACES: Semaphore = Semaphore::const_new(2);

/// What can be asked for; times in milliseconds since 1970.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    from: Option<u64>,
    to: Option<u64>,
    largest: Option<u64>,
}

impl Asked {
    fn parse(query: &str) -> Result<Asked, String> {
        let mut asked = Asked::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = value.parse().map_err(|_| format!("{name}: expected a number, found {value:?}"))?;
            match name {
                "from" => asked.from = Some(number),
                "to" => asked.to = Some(number),
                "largest" => asked.largest = Some(number),
                _ => return Err(format!("{name}: expected from, to or largest")),
            }
        }
        Ok(asked)
    }
}

pub(super) fn routes() -> Router<Arc<Agent>> {
    Router::new().route(api::REPORT, get(report))
}

async fn report(State(agent): State<Arc<Agent>>, RawQuery(query): RawQuery) -> Response {
    let asked = match Asked::parse(&query.unwrap_or_default()) {
        Ok(asked) => asked,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    let Ok(place) = PLACES.try_acquire() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "two reports are being collected here already; ask again");
    };
    let now = Moment::from(std::time::SystemTime::now());
    let to = asked.to.map_or(now, Moment);
    let wanted = Wanted {
        from: asked.from.map_or(to.before(USUAL_WINDOW), Moment),
        to,
        largest: asked.largest.unwrap_or(LARGEST_PART).min(LARGEST_PART),
    };
    let (pieces, queue) = mpsc::channel::<Vec<u8>>(QUEUE);
    let (runtime, end) = (Handle::current(), Instant::now() + LIMIT);
    let collecting = std::thread::Builder::new().name("report".into()).spawn(move || {
        let _place = place;
        let observation = agent.latest().and_then(|s| serde_json::to_value(&s.seen).ok());
        let own = PathBuf::from("/var/vcap/jobs/galera-agent/config");
        let part = Part { config: &agent.member, observation, config_dirs: vec![own], wanted };
        let _ = part.tell(&mut |piece: Piece| {
            let mut line = serde_json::to_vec(&piece).map_err(|_| Enough)?;
            line.push(b'\n');
            // Ends once nobody reads any more, and in time where somebody reads slowly: others wait for the place.
            // Its clock is the runtime's, so it is made inside.
            match runtime.block_on(async { timeout_at(end, pieces.send(line)).await }) {
                Ok(Ok(())) => Ok(()),
                _ => Err(Enough),
            }
        });
    });
    if let Err(e) = collecting {
        return problem(StatusCode::SERVICE_UNAVAILABLE, format!("no thread for a report: {e}"));
    }
    let stream = futures_util::stream::unfold(queue, move |mut queue| async move {
        let piece = timeout_at(end, queue.recv()).await.ok().flatten()?;
        Some((Ok::<_, Infallible>(piece), queue))
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        assert_eq!(Asked::parse(""), Ok(Asked::default()));
        assert_eq!(Asked::parse("from=1&largest=9"), Ok(Asked { from: Some(1), to: None, largest: Some(9) }));
        for bad in ["from=x", "from", "when=1", "from=-1"] {
            assert!(Asked::parse(bad).is_err(), "{bad}");
        }
    }
}
