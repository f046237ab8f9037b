//! `GET /events/stream`: what happens, as server-sent events, from any number on.
//!
//! Every event has a number; who comes back with the last one that it saw (`Last-Event-ID`, which browsers send by themselves,
//! or `after=`) gets all that came since, also what came while the master was down. Events are read from the database page by
//! page as fast as the reader takes them, so a slow reader costs one page and delays nobody.

use super::request::{Parameters, wrong_parameter};
use crate::{
    feed::{Feed, FeedEvent, KINDS},
    http::{App, Problem, session::Visitor},
    inventory::{Action, authorise},
};
use axum::{
    extract::{FromRequestParts, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use http::{HeaderMap, Uri, request::Parts};
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Readers at once.
const READERS_LIMIT: usize = 64;
/// Events of one page.
const PAGE: u32 = 200;
/// How often a comment says that the line is up.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long until the database is asked again though nobody said that there is more.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often it is asked whether a reader may still read.
const ASK_AGAIN: Duration = Duration::from_secs(10);
static READERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(READERS_LIMIT)));

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(follow))
}

/// One reader.
struct Reader {
    feed: Feed,
    /// The last number that it has.
    after: i64,
    kinds: Vec<String>,
    /// The request, to ask again who it is and what they may.
    app: App,
    request: Parts,
    asked: Instant,
    page: VecDeque<FeedEvent>,
    /// It was told that something is missing, or nothing is.
    is_told: bool,
    _seat: OwnedSemaphorePermit,
}

#[utoipa::path(
    get,
    path = "/events/stream",
    operation_id = "followEvents",
    summary = "What happens, as server-sent events, from any number on.",
    params(
        ("after" = Option<u64>, Query, description = "After this number."),
        ("kinds" = Option<String>, Query, description = "Only these kinds, with commas between."),
    ),
    responses((status = 200, body = String, content_type = "text/event-stream")),
)]
async fn follow(State(app): State<App>, visitor: Visitor, headers: HeaderMap, uri: Uri, request: Parts) -> Result<Response, Problem> {
    authorise(&visitor.actor("api"), Action::Audit, "the hostname database")?;
    let parameters = Parameters::of(&uri, &["after", "kinds"])?;
    let kinds = kinds(&parameters)?;
    let after = match last_seen(&headers, &parameters)? {
        Some(number) => number,
        None => app.feed.newest().await?,
    };
    let seat = Arc::clone(&READERS).try_acquire_owned().map_err(|_| Problem::throttled(format!("{READERS_LIMIT} readers follow already: try again later")))?;
    let reader = Reader { feed: app.feed.clone(), after, kinds, app, request, asked: Instant::now(), page: VecDeque::new(), is_told: false, _seat: seat };
    Ok(Sse::new(events(reader)).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("here")).into_response())
}

fn kinds(parameters: &Parameters) -> Result<Vec<String>, Problem> {
    let Some(text) = parameters.text("kinds") else { return Ok(KINDS.map(str::to_owned).to_vec()) };
    let wrong = |kind: &str| wrong_parameter("kinds", format!("there are no events called \"{kind}\"; there are: {}", KINDS.join(", ")));
    text.split(',').map(|kind| KINDS.contains(&kind).then(|| kind.to_owned()).ok_or_else(|| wrong(kind))).collect()
}

/// The header counts more than the query: a browser that comes back sends both.
fn last_seen(headers: &HeaderMap, parameters: &Parameters) -> Result<Option<i64>, Problem> {
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let wrong = |text: &str| wrong_parameter("after", format!("\"{text}\" is not the number of an event"));
    let parse = |text: &str| text.parse().ok().filter(|number| *number >= 0).ok_or_else(|| wrong(text));
    header.or(parameters.text("after")).map(parse).transpose()
}

fn events(reader: Reader) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    })
}

impl Reader {
    /// The next event, whenever it comes. The stream ends when the database fails: the reader comes back where it was.
    async fn next(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.is_told, true) && self.feed.has_gap_after(self.after).await.ok()? {
            return Some(Event::default().event("gap").data("{\"detail\":\"events were forgotten since: read everything anew\"}"));
        }
        loop {
            if let Some(event) = self.page.pop_front() {
                self.after = event.number;
                return Some(shown(&event));
            }
            if self.asked.elapsed() >= ASK_AGAIN && !self.may_read_on().await {
                return None;
            }
            self.page = self.feed.after(self.after, &self.kinds, PAGE).await.ok()?.into();
            if self.page.is_empty() {
                self.feed.wait(LOOK_AGAIN).await;
            }
        }
    }
}

impl Reader {
    /// Whether who came in may still read: sessions end, tokens are revoked, grants are taken.
    async fn may_read_on(&mut self) -> bool {
        self.asked = Instant::now();
        let visitor = Visitor::from_request_parts(&mut self.request, &self.app).await;
        visitor.is_ok_and(|visitor| authorise(&visitor.actor("api"), Action::Audit, "the hostname database").is_ok())
    }
}

fn shown(event: &FeedEvent) -> Event {
    let data = serde_json::to_string(event).unwrap_or_default();
    Event::default().id(event.number.to_string()).event(&event.kind).data(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_says_where_it_was_and_what_it_wants() {
        let parameters = |query: &str| Parameters::of(&format!("/x?{query}").parse().unwrap(), &["after", "kinds"]).unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(last_seen(&headers, &parameters("")).unwrap(), None);
        assert_eq!(last_seen(&headers, &parameters("after=7")).unwrap(), Some(7));
        headers.insert("last-event-id", "9".parse().unwrap());
        assert_eq!(last_seen(&headers, &parameters("after=7")).unwrap(), Some(9));
        assert_eq!(kinds(&parameters("kinds=change,node")).unwrap(), ["change", "node"]);
        assert!(kinds(&parameters("kinds=change,weather")).is_err());
    }
}
