//! What many requests take, as the OpenAPI document describes it. The requests themselves are read by `request::Parameters` and
//! `write::Wish`, which refuse with all errors at once; here are only the words for it.

use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// Of every edit of the hostname database.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Wish` reads")]
pub struct OfWrites {
    /// Tell the effects and do nothing.
    dry_run: Option<bool>,
    /// Why, for the history.
    reason: Option<String>,
    /// Wait until every agent serves it: `all`.
    #[param(pattern = "^all$")]
    wait: Option<String>,
    /// At most so long: `5s`, `500ms`, of a minute at most.
    #[param(pattern = "^[0-9]{1,2}s$|^[0-9]{1,5}ms$")]
    timeout: Option<String>,
}

/// Of what can wait for agents.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Parameters` reads")]
pub struct Waiting {
    /// Wait until every agent serves it: `all`.
    #[param(pattern = "^all$")]
    wait: Option<String>,
    /// At most so long: `5s`, `500ms`, of a minute at most.
    #[param(pattern = "^[0-9]{1,2}s$|^[0-9]{1,5}ms$")]
    timeout: Option<String>,
}

/// Of lists in pages.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Parameters` reads")]
pub struct Paging {
    /// How many items at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged.
    cursor: Option<String>,
}

/// Of reads that can look into the past.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Parameters` reads")]
pub struct At {
    /// As it was at this time.
    at: Option<chrono::DateTime<chrono::Utc>>,
}

/// Of changes of what is there.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `check_if_match` reads")]
pub struct IfMatch {
    /// The ETag of the version that was read, so that nobody else's edit is lost.
    #[param(rename = "If-Match")]
    if_match: String,
}

/// Of what can be tried.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Parameters` reads")]
pub struct DryRun {
    /// Check that it could be done, and do nothing.
    dry_run: Option<bool>,
}

/// Of edits that agents answer nothing of.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Parameters` reads")]
pub struct OfTries {
    /// Why, for the history.
    reason: Option<String>,
    /// Check that it could be done, and do nothing.
    dry_run: Option<bool>,
}

/// The fields that change (RFC 7396): what is named is replaced, null takes away, the rest stays.
#[derive(ToSchema)]
#[schema(value_type = Object)]
#[expect(dead_code, reason = "a patch is read as what it changes")]
pub struct Patch(Value);

/// It could be done, and was not.
#[derive(Serialize, ToSchema)]
pub struct Tried {
    /// Always true.
    pub dry_run: bool,
}
