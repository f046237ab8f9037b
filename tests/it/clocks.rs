//! Clocks that are wrong, and certificates that ran out: neither costs an answer, and neither costs a box its line for good.

use crate::serving::{NORTH, all_three_answer, eventually, names, status, two_campuses};
use crate::trust::{SOUTH, logs_in, serves_edit};
use holdfast_lab::cables::{Cable, Campus, End};
use holdfast_lab::lab::{Lab, Part};
use holdfast_master::run::DATABASE;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use std::time::Duration;

const NORTHERN: Part = Part::Agent(NORTH);
/// Far more than a start takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a part anew with its clock at this time; `None` is the true time. Its log tells that the clock stood there.
fn starts_at(lab: &mut Lab, part: Part, time: Option<&str>) {
    let true_time = lab.recipe(part).clone();
    if let Some(time) = time {
        *lab.recipe(part) = true_time.clone().at_time(time);
    }
    lab.start(part).unwrap();
    *lab.recipe(part) = true_time;
    if let Some(time) = time {
        let (date, log) = (&time[1..11], lab.program(part).unwrap().log());
        assert!(log.contains(date), "its clock does not stand at {date}:\n{log}");
    }
}

fn restarts_at(lab: &mut Lab, part: Part, time: Option<&str>) {
    lab.stop(part).unwrap();
    starts_at(lab, part, time);
}

/// The admin's token would end before most of the years that follow; that is a right that clocks have.
fn the_token_outlives_all(lab: &Lab) {
    let socket = lab.folder().path().join("master/postgres/run");
    let options = PgConnectOptions::new_without_pgpass().socket(socket).username("holdfast").database(DATABASE);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let pool = PgPool::connect_with(options).await.unwrap();
        sqlx::query("update access.api_token set expires = '2300-01-01'").execute(&pool).await.unwrap();
    });
}

fn everything_is_served(lab: &Lab) {
    eventually("all three services answer", || all_three_answer(lab.network(), NORTH));
}

fn the_portal_is_heard(lab: &Lab) {
    for (word, may_log_in) in [("suspend", false), ("resume", true)] {
        lab.run(Part::Portal, &["auth-portal", word, "pascal.tesla0"]).unwrap();
        eventually(word, || Ok(logs_in(lab, NORTH)? == may_log_in));
    }
}

#[test]
fn a_box_in_2099_follows_and_serves() {
    let Some(mut lab) = two_campuses("a box in 2099") else { return };
    restarts_at(&mut lab, NORTHERN, Some("@2099-06-01 12:00:00"));
    serves_edit(&lab, "in-2099.uni.example", "10.1.4.211");
    everything_is_served(&lab);

    lab.stop(NORTHERN).unwrap();
    lab.network().unplug(Cable::Uplink(NORTH), End::Far).unwrap();
    starts_at(&mut lab, NORTHERN, Some("@2099-06-02 12:00:00"));
    lab.wait_until(NORTHERN, "/readyz", PATIENCE).unwrap();
    everything_is_served(&lab);
    assert_eq!(names(lab.network(), NORTH, NORTH, "in-2099.uni.example").unwrap(), ["10.1.4.211"]);

    lab.network().plug_in(Cable::Uplink(NORTH)).unwrap();
    restarts_at(&mut lab, NORTHERN, None);
    serves_edit(&lab, "in-time.uni.example", "10.1.4.212");
    everything_is_served(&lab);
}

/// What a master says while its clock is wrong must not bind the boxes when it is right again.
#[test]
fn a_master_with_a_wrong_clock_is_followed_meanwhile_and_afterwards() {
    let Some(mut lab) = two_campuses("a master in 1970 and in 2099") else { return };
    the_token_outlives_all(&lab);
    for (n, time) in ["@1970-01-01 00:00:10", "@2099-06-01 12:00:00"].into_iter().enumerate() {
        restarts_at(&mut lab, Part::Master, Some(time));
        serves_edit(&lab, &format!("wrong-{n}.uni.example"), &format!("10.1.4.{}", 211 + n));
        everything_is_served(&lab);

        restarts_at(&mut lab, Part::Master, None);
        serves_edit(&lab, &format!("right-{n}.uni.example"), &format!("10.1.4.{}", 221 + n));
        for agent in Campus::BOTH {
            // A box must not have to hear the past again after its own restart, either.
            restarts_at(&mut lab, Part::Agent(agent), None);
        }
        serves_edit(&lab, &format!("later-{n}.uni.example"), &format!("10.1.4.{}", 231 + n));
        everything_is_served(&lab);
    }
}

/// A box that lay in a cupboard: its own idea of the time stands where it was when it was switched off, so it cannot know that
/// its certificate ran out. The second time is after the end of the authority itself.
#[test]
fn a_box_that_was_away_past_its_certificates_end_comes_back_by_itself() {
    let Some(mut lab) = two_campuses("a box that was away past its certificate's end") else { return };
    the_token_outlives_all(&lab);
    for (n, time) in ["@2027-06-01 12:00:00", "@2121-06-01 12:00:00"].into_iter().enumerate() {
        lab.stop_all().unwrap();
        lab.network().unplug(Cable::Uplink(NORTH), End::Far).unwrap();
        starts_at(&mut lab, NORTHERN, Some(time));
        lab.wait_until(NORTHERN, "/readyz", PATIENCE).unwrap();
        everything_is_served(&lab);

        starts_at(&mut lab, Part::Master, Some(time));
        starts_at(&mut lab, Part::Portal, Some(time));
        starts_at(&mut lab, Part::Agent(SOUTH), Some(time));
        lab.network().plug_in(Cable::Uplink(NORTH)).unwrap();
        serves_edit(&lab, &format!("after-{n}.uni.example"), &format!("10.1.4.{}", 211 + n));
        everything_is_served(&lab);
        let log = lab.program(NORTHERN).unwrap().log();
        assert!(log.contains("certificate_renewed"), "{log}");
        the_portal_is_heard(&lab);
    }
}

/// A master that runs on past the end of its own certificate, and its boxes past the end of theirs.
#[test]
fn a_master_that_ran_past_its_certificates_end_is_believed() {
    let Some(mut lab) = two_campuses("a master that ran past its certificate's end") else { return };
    the_token_outlives_all(&lab);
    let clock = lab.folder().write("clock", "+0d").unwrap();
    lab.stop(Part::Master).unwrap();
    let recipe = lab.recipe(Part::Master).clone();
    *lab.recipe(Part::Master) = recipe.by_clock(&clock);
    lab.start(Part::Master).unwrap();
    serves_edit(&lab, "before.uni.example", "10.1.4.211");

    lab.folder().write("clock", "+500d").unwrap();
    let year_of_north = |lab: &Lab| status(lab, NORTH)["now_ms"].as_u64().unwrap() / 86_400_000 / 365;
    let before = year_of_north(&lab);
    eventually("the boxes hear what time it is", || Ok(year_of_north(&lab) > before));
    for campus in Campus::BOTH {
        lab.network().unplug(Cable::Uplink(campus), End::Far).unwrap();
        eventually("they are cut off", || Ok(status(&lab, campus)["line"] == "cut off"));
        lab.network().plug_in(Cable::Uplink(campus)).unwrap();
    }
    serves_edit(&lab, "after.uni.example", "10.1.4.212");
    let log = lab.program(NORTHERN).unwrap().log();
    assert!(log.contains("master_certificate_expired") && log.contains("certificate_renewed"), "it is said, and it is no reason to be silent:\n{log}");
}
