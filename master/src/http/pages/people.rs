//! Who may come in, and who may do what where.

use super::{Frame, Person, Refused, page};
use crate::{
    http::App,
    inventory::people::{GrantObject, Principal, grants, principals},
};
use askama::Template;
use axum::{extract::State, response::Response};

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    frame: Frame,
    people: Vec<Principal>,
    grants: Vec<GrantObject>,
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    let actor = visitor.actor("web");
    let (people, grants) = (principals(&app.pool, &actor).await?, grants(&app.pool, &actor).await?);
    page(PeoplePage { frame: Frame::of(&app, &visitor, "people").await?, people, grants })
}

impl PeoplePage {
    fn grants_of(&self, name: &str) -> Vec<&GrantObject> {
        self.grants.iter().filter(|grant| grant.principal == name).collect()
    }
}
