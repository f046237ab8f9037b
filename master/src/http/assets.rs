//! What pages need beside HTML, embedded in the program. The hash of the content is part of each address, so browsers may keep
//! a file for ever and never show an old one.

use super::App;
use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use std::sync::LazyLock;

struct Asset {
    name: String,
    media_type: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(stem: &str, ending: &str, media_type: &'static str, text: &'static str) -> Self {
        let digest = hex::encode(super::secrets::sha256(text.as_bytes()));
        Self { name: format!("{stem}-{}.{ending}", &digest[..16]), media_type, text }
    }
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| Asset::new("holdfast", "css", "text/css; charset=utf-8", include_str!("assets/holdfast.css")));
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| Asset::new("holdfast", "js", "text/javascript; charset=utf-8", include_str!("assets/holdfast.js")));
static ICON: LazyLock<Asset> = LazyLock::new(|| Asset::new("holdfast", "svg", "image/svg+xml", include_str!("assets/holdfast.svg")));

/// The address of the style sheet.
pub fn style() -> String {
    format!("/assets/{}", STYLE.name)
}

/// The address of the script.
pub fn script() -> String {
    format!("/assets/{}", SCRIPT.name)
}

/// The address of the icon.
pub fn icon() -> String {
    format!("/assets/{}", ICON.name)
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Response {
    let Some(asset) = [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name == name) else {
        return (StatusCode::NOT_FOUND, "no such file\n").into_response();
    };
    ([(header::CONTENT_TYPE, asset.media_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")], asset.text).into_response()
}
