//! Shares of dynamic pools, with agents that confirm as a test wishes.

use super::*;

const POOL: &str = "10.1.6.10-10.1.6.109";

async fn agent(bench: &Bench, number: u128, name: &str, campus: &str) -> Uuid {
    let id = Uuid::from_u128(number);
    let sql = "insert into publish.node (id, name, role, campus_id, hpke_public, certificate_serial)
               values ($1, $2, 'agent', (select id from org.campus where name = $3), '', '')";
    bench.by_hand(sqlx::query(sql).bind(id).bind(name).bind(campus)).await;
    id
}

async fn shares(bench: &Bench) -> Vec<String> {
    let shares = inventory::shares(&bench.pool, None).await.unwrap();
    shares.iter().map(|share| format!("{}-{} {} {}", share.first, share.last, share.agent, share.state)).collect()
}

fn add_pool() -> Edit {
    draft(json!({ "first": "10.1.6.10", "last": "10.1.6.109", "kind": "dynamic" }), |draft| Edit::Space(SpaceEdit::PoolAdd(draft)))
}

/// As the publisher would: what was given up is in generation 7.
async fn publish(bench: &Bench) {
    sqlx::query("delete from publish.outbox").execute(&bench.pool).await.unwrap();
    let sql = "insert into publish.change_generation select distinct given_up, 2, 0, 0, 7 from ipam.share where given_up is not null on conflict do nothing";
    sqlx::query(sql).execute(&bench.pool).await.unwrap();
}

async fn confirms(bench: &Bench, agent: Uuid) {
    let served = "insert into publish.served (node_id, kind, family, cut, generation, applied_at, durable_at) values ($1, 2, 0, 0, 7, now(), now())";
    sqlx::query(served).bind(agent).execute(&bench.pool).await.unwrap();
    inventory::tend_once(&bench.pool).await.unwrap();
}

async fn time_passes(bench: &Bench) {
    sqlx::query("update ipam.share set until = now() - interval '1 s' where until is not null").execute(&bench.pool).await.unwrap();
    inventory::tend_once(&bench.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_lent_is_nobodys_until_it_has_stopped_and_the_last_lease_is_over() {
    let bench = Bench::new("shares").await;
    let subnet = bench.subnet("10.1.6.0/24", "north", 0).await;
    let (north, south) = (agent(&bench, 1, "north-1", "north").await, agent(&bench, 2, "south-1", "south").await);
    let did = bench.must(add_pool()).await;
    assert_eq!(shares(&bench).await, ["10.1.6.10-10.1.6.79 north-1 lent", "10.1.6.80-10.1.6.109 south-1 lent"]);
    assert!(did.effects.others.contains(&"what 10.1.6.0/24 lends".to_owned()), "{:?}", did.effects.others);
    bench.must(host("first", next("10.1.6.0/24"))).await;
    assert_eq!(kinds(bench.edit(host("pc", json!(["10.1.6.10"]))).await), ["address-in-other-pool"]);

    bench.must(Edit::Space(SpaceEdit::PoolDelete(POOL.parse().unwrap()))).await;
    let stopping = ["10.1.6.10-10.1.6.79 north-1 stopping", "10.1.6.80-10.1.6.109 south-1 stopping"];
    inventory::tend_once(&bench.pool).await.unwrap();
    assert_eq!(shares(&bench).await, stopping, "it is not even published");
    publish(&bench).await;
    inventory::tend_once(&bench.pool).await.unwrap();
    assert_eq!(shares(&bench).await, stopping, "nobody has confirmed");
    assert_eq!(kinds(bench.edit(host("pc", json!(["10.1.6.10"]))).await), ["address-may-be-lent"]);
    assert_eq!(bench.numbers(subnet).await, [254, 153, 1, 100, 0]);
    confirms(&bench, north).await;
    assert_eq!(shares(&bench).await, ["10.1.6.10-10.1.6.79 north-1 ending", stopping[1]]);
    assert_eq!(kinds(bench.edit(host("pc", json!(["10.1.6.10"]))).await), ["address-may-be-lent"]);
    time_passes(&bench).await;
    assert_eq!(shares(&bench).await, [stopping[1]]);
    bench.must(host("pc", json!(["10.1.6.10"]))).await;
    confirms(&bench, south).await;
    time_passes(&bench).await;
    assert_eq!(shares(&bench).await, [""; 0]);
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_follow_agents_that_come_and_go_and_pools_that_are_undone() {
    let bench = Bench::new("shares-move").await;
    bench.subnet("10.1.6.0/24", "north", 0).await;
    let north = agent(&bench, 1, "north-1", "north").await;
    let added = bench.must(add_pool()).await.change_set;
    assert_eq!(shares(&bench).await, ["10.1.6.10-10.1.6.109 north-1 lent"]);
    let south = agent(&bench, 2, "south-1", "south").await;
    inventory::tend_once(&bench.pool).await.unwrap();
    assert_eq!(shares(&bench).await, ["10.1.6.10-10.1.6.79 north-1 lent", "10.1.6.80-10.1.6.109 north-1 stopping"], "it makes room");
    publish(&bench).await;
    confirms(&bench, north).await;
    time_passes(&bench).await;
    let both = ["10.1.6.10-10.1.6.79 north-1 lent", "10.1.6.80-10.1.6.109 south-1 lent"];
    assert_eq!(shares(&bench).await, both);

    bench.must(Edit::Undo { change_sets: vec![added], data_keys: [].into() }).await;
    inventory::tend_once(&bench.pool).await.unwrap();
    assert!(shares(&bench).await.iter().all(|share| share.ends_with("stopping")), "an undo is no way around");
    bench.must(add_pool()).await;
    assert_eq!(shares(&bench).await, both, "who had them lends them again at once");

    // Thrown out: an administrator says that it is lost, so nobody waits for its word, and still for its leases.
    bench.by_hand(sqlx::query("update publish.node set revoked_at = now() where id = $1").bind(south)).await;
    inventory::tend_once(&bench.pool).await.unwrap();
    publish(&bench).await;
    inventory::tend_once(&bench.pool).await.unwrap();
    assert_eq!(shares(&bench).await, [both[0], "10.1.6.80-10.1.6.109 south-1 ending"]);
    time_passes(&bench).await;
    assert_eq!(shares(&bench).await, ["10.1.6.10-10.1.6.109 north-1 lent"]);
    bench.check().await;
}
