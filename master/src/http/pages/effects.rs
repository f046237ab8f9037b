//! The effects of an edit, as part of a page.

use super::Refused;
use crate::inventory::Effects;
use askama::Template;

#[derive(Template)]
#[template(path = "effects.html")]
struct EffectsPart<'a> {
    effects: &'a Effects,
}

/// The list of what agents will answer differently.
pub(super) fn render(effects: &Effects) -> Result<String, Refused> {
    Ok(EffectsPart { effects }.render()?)
}
