//! `/exports`: the inventory as files of other programs, in pieces as they are written.
//!
//! Everybody is given what they may see; the secrets of NASs only who may change them, when they ask for them, and that stands in the history.

use super::{hosts::Page, request::Parameters};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::export::{Estate, File, export, files},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{Uri, header};
use serde::Serialize;
use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit, mpsc},
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// A piece of an answer, in bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// So many pieces are written ahead of a slow reader.
const PIECES_AHEAD: usize = 4;
/// So many files are written at a time: each holds all that it is made of.
const WRITTEN_AT_A_TIME: usize = 4;
static WRITING: Semaphore = Semaphore::const_new(WRITTEN_AT_A_TIME);
/// A reader who takes no piece for so long is given up, seconds.
const READER_LIMIT_SECS: u64 = 30;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What may answer with secrets.
pub(super) fn secretive() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_file))
}

/// A file that can be exported.
#[derive(Serialize, utoipa::ToSchema)]
struct Exportable {
    /// Its name: `dhcpd.conf`, `db.uni.example`.
    name: String,
}

#[utoipa::path(
    get,
    path = "/exports",
    operation_id = "listExports",
    summary = "The files of other programs that the inventory can be written as.",
    responses((status = 200, body = Page<Exportable>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Exportable>>, Problem> {
    Parameters::of(&uri, &[])?;
    let files = files(&app.pool, &visitor.actor("api")).await?;
    Ok(Json(Page { items: files.iter().map(|file| Exportable { name: file.name() }).collect(), next: None }))
}

#[utoipa::path(
    get,
    path = "/exports/{file}",
    operation_id = "exportFile",
    summary = "A file of another program: bootptab, dhcpd.conf, kea-dhcp4.conf, hosts, ethers, hosts.csv, subnets.csv, people.csv, clients.conf, db.ZONE.",
    params(("secrets" = Option<bool>, Query, description = "With the secrets in it, of clients.conf; it stands in the history.")),
    responses((status = 200, body = String, content_type = "text/plain")),
)]
async fn get_file(State(app): State<App>, visitor: Visitor, Path(file): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let parameters = Parameters::of(&uri, &["secrets"])?;
    let keys = if parameters.flag("secrets")? { Some(app.data_keys()) } else { None };
    let unknown = || Problem::not_found(format!("there is no export {file}: GET /api/v1/exports lists them"));
    let wanted = File::named(&file).ok_or_else(unknown)?;
    let one_of_few = WRITING.acquire().await.expect("nobody closes it");
    let estate = export(&app.pool, &visitor.actor("api"), &wanted, keys.as_deref()).await?;
    let kind = if file.ends_with(".csv") { "text/csv; charset=utf-8" } else { "text/plain; charset=utf-8" };
    let name = format!("attachment; filename=\"{}\"", wanted.name().replace(['"', '\\'], "_"));
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name.as_str())], written(estate, wanted, one_of_few)).into_response())
}

/// The file as a stream: it is written on a thread of its own, no further ahead than a few pieces of who reads it. A file that is not
/// written to its end breaks the stream off, so that nobody takes a part for the whole.
fn written(estate: Estate, file: File, one_of_few: SemaphorePermit<'static>) -> Body {
    let (pieces, taken) = mpsc::channel(PIECES_AHEAD);
    let whole = Arc::new(AtomicBool::new(false));
    let (at_its_end, runtime) = (whole.clone(), Handle::current());
    tokio::task::spawn_blocking(move || {
        let mut writer = Pieces { pieces, piece: String::with_capacity(PIECE_BYTES), runtime };
        // A reader that went away or takes nothing is the only failure, and its own.
        let is_whole = estate.write(&file, &mut writer).and_then(|()| writer.send()).is_ok();
        at_its_end.store(is_whole, Ordering::Release);
        drop((estate, one_of_few));
    });
    Body::from_stream(stream::unfold(Some((taken, whole)), async |reading| {
        let (mut taken, whole) = reading?;
        match taken.recv().await {
            Some(piece) => Some((Ok(piece), Some((taken, whole)))),
            None if whole.load(Ordering::Acquire) => None,
            None => Some((Err(io::Error::other("the file was not written to its end")), None)),
        }
    }))
}

struct Pieces {
    pieces: mpsc::Sender<Bytes>,
    piece: String,
    runtime: Handle,
}

impl Pieces {
    fn send(&mut self) -> fmt::Result {
        let piece = std::mem::replace(&mut self.piece, String::with_capacity(PIECE_BYTES));
        let sending = async { self.pieces.send_timeout(piece.into(), Duration::from_secs(READER_LIMIT_SECS)).await };
        self.runtime.block_on(sending).map_err(|_| fmt::Error)
    }
}

impl fmt::Write for Pieces {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.piece.push_str(text);
        if self.piece.len() >= PIECE_BYTES { self.send() } else { Ok(()) }
    }
}
