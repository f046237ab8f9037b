//! Who of the master may write what in the database.

use crate::organisation::Institution;
use holdfast_master::engine::acting_as;
use sqlx::PgPool;

async fn refused(pool: &PgPool, statement: &'static str) -> bool {
    let said = sqlx::query(statement).execute(pool).await.err().map(|error| error.to_string());
    let is_for_want_of_rights = |said: &String| said.contains("permission denied") || said.contains("must be owner");
    assert!(said.as_ref().is_none_or(is_for_want_of_rights), "{statement}: {said:?}");
    said.is_some()
}

#[tokio::test]
async fn the_publisher_writes_no_host_and_the_doors_write_no_generation() {
    let it = Institution::new("roles").await;
    let publisher = acting_as(&it.pool, "holdfast_publisher").await.unwrap();
    let doors = acting_as(&it.pool, "holdfast_web").await.unwrap();
    for statement in [
        "update ipam.host set comment = 'x'",
        "delete from ipam.address",
        "insert into org.campus (name) values ('x')",
        "update access.principal set name = 'x'",
        "drop table ipam.host",
        "update change.change set key = key",
    ] {
        assert!(refused(&publisher, statement).await, "{statement}");
    }
    for statement in ["update publish.generation set generation = generation", "delete from change.change", "alter table ipam.host add x text"] {
        assert!(refused(&doors, statement).await, "{statement}");
    }
    // A role of another database has no rights in this one: the owner acts in its place.
    sqlx::query("create role holdfast_other nologin").execute(&it.pool).await.unwrap();
    for role in ["holdfast_other", "holdfast_nobody"] {
        let owner = acting_as(&it.pool, role).await.unwrap();
        assert!(!refused(&owner, "delete from access.session").await, "{role}");
    }
    assert!(!refused(&publisher, "update publish.term set term = term").await);
    assert!(!refused(&doors, "delete from access.session").await);
}
