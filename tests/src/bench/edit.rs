//! An edit through the real API, and when each agent answers with it.
//!
//! One host changes its address over and over. The agents are asked from before the request is sent, so that an answer that
//! comes before the HTTP response is seen at its time. COMMIT lies between request and response; the master says where.

use super::figures::{Line, Samples, Section};
use super::{Settings, go_on, tell};
use crate::bring_up::Audience;
use crate::cables::{Campus, Place};
use crate::folder::Folder;
use crate::lab::{Ground, Lab, Part, get, on_ground};
use anyhow::{Context, Result, bail, ensure};
use holdfast_proto::words::DomainName;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

pub(super) const HOST: &str = "bench.uni.example";
/// In a part of the samples' first subnet where nobody lives.
pub(super) const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 1, 7, 201), Ipv4Addr::new(10, 1, 7, 202)];
/// Between two looks at the agents: fine enough for milliseconds, and the cores are left to those who are measured.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// A look that takes longer is tried again.
const LOOK_LIMIT: Duration = Duration::from_millis(100);
/// An edit that is not served by then is a fault.
pub(super) const SERVED_LIMIT: Duration = Duration::from_secs(10);
/// An agent that was started again is ready by then.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Edits that are not counted: the first of a connection, of a database plan.
const WARM_UP: usize = 5;

/// Edits with one agent, then with two.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    let mut lab = Lab::build(Ground::Loopback, Folder::new("bench-edit")?)?;
    lab.bring_up(&mut Progress)?;
    let mut api = Api::of(&lab)?;
    api.ask("POST", "/hosts", &host(ADDRESSES[1]))?;
    let south = Part::Agent(Campus::South);
    lab.stop(south)?;
    let alone = series(&lab, &mut api, &[Campus::North], settings.edits)?;
    lab.start(south)?;
    lab.wait_until(south, "/readyz", READY_LIMIT)?;
    let both = series(&lab, &mut api, &Campus::BOTH, settings.edits)?;
    lab.stop_all()?;
    Ok(vec![alone, both])
}

pub(super) fn host(address: Ipv4Addr) -> Value {
    json!({ "name": HOST, "interfaces": [{ "mac": "02:00:00:00:be:4c", "addresses": [address.to_string()] }] })
}

pub(super) fn series(lab: &Lab, api: &mut Api, campuses: &[Campus], edits: usize) -> Result<Section> {
    tell(&format!("{edits} edits with {} of the two agents", campuses.len()));
    // Each box is asked from inside itself.
    let near = lab.at(Place::Agent(campuses[0]));
    let mut watch = on_ground(near, || Watch::new(campuses.iter().map(|campus| lab.ground().dns(*campus))))??;
    let mut seen = Vec::with_capacity(edits);
    for number in 0..WARM_UP + edits {
        go_on()?;
        let edit = one_edit(api, &mut watch, ADDRESSES[number % ADDRESSES.len()])?;
        if number >= WARM_UP {
            seen.push(edit);
        }
        // Edits come at every phase of whatever runs on a tick.
        std::thread::sleep(Duration::from_millis(number as u64 * 7 % 50));
    }
    let agents = if campuses.len() == 1 { "1 agent".to_owned() } else { format!("{} agents", campuses.len()) };
    let lines = lines(&seen, campuses.len()).into_iter().chain(stages(lab)?).collect();
    Ok(Section { title: format!("An edit through the API (PATCH of a host's address; sample institution, loopback), {agents}"), lines })
}

/// Where the publisher's part of that went, as the master itself counts it over the last minute.
fn stages(lab: &Lab) -> Result<Vec<Line>> {
    let metrics = on_ground(lab.at(Place::Master), || get(lab.ground().status(Part::Master), "/metrics"))??;
    let median = |line: &str| {
        let (stage, value) = line.strip_prefix("holdfast_publish_stage_seconds{stage=\"")?.split_once("\",quantile=\"0.5\"} ")?;
        Some(Line::from_one(format!("of it, the publisher's \"{stage}\", median"), value.parse::<f64>().ok()? * 1000.0, "ms"))
    };
    Ok(metrics.lines().filter_map(median).collect())
}

fn lines(seen: &[Edit], agents: usize) -> Vec<Line> {
    let of = |what: &str, part: &dyn Fn(&Edit) -> Duration| seen.iter().map(|edit| part(edit).as_secs_f64() * 1000.0).collect::<Samples>().line(what, "ms");
    let mut lines = vec![of("request to COMMIT", &|edit| edit.committed)];
    if agents > 1 {
        lines.push(of("COMMIT to answer at the first agent", &|edit| edit.first().saturating_sub(edit.committed)));
        lines.push(of("COMMIT to answer at the last agent", &|edit| edit.last().saturating_sub(edit.committed)));
        lines.push(of("request to answer at the last agent", &Edit::last));
    } else {
        lines.push(of("COMMIT to answer", &|edit| edit.last().saturating_sub(edit.committed)));
        lines.push(of("request to answer", &Edit::last));
    }
    lines.push(of("request to HTTP response", &|edit| edit.responded));
    lines
}

/// One edit, in time since its request was sent.
struct Edit {
    /// As the master told in its answer: the way of the answer back is counted to the time after it.
    committed: Duration,
    responded: Duration,
    served: Vec<Duration>,
}

impl Edit {
    fn first(&self) -> Duration {
        self.served.iter().min().copied().unwrap_or_default()
    }

    fn last(&self) -> Duration {
        self.served.iter().max().copied().unwrap_or_default()
    }
}

fn one_edit(api: &mut Api, watch: &mut Watch, address: Ipv4Addr) -> Result<Edit> {
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch.until_all_serve(address, SERVED_LIMIT));
        let sent = Instant::now();
        let since_commit = api.ask("PATCH", &format!("/hosts/{HOST}"), &host(address))?;
        let responded = sent.elapsed();
        let served = watching.join().map_err(|_| anyhow::anyhow!("the watch fell over"))??;
        let served = served.into_iter().map(|at| at.saturating_duration_since(sent)).collect();
        Ok(Edit { committed: responded.saturating_sub(since_commit), responded, served })
    })
}

/// Asks agents over and over.
pub(super) struct Watch {
    sockets: Vec<UdpSocket>,
    question: Vec<u8>,
}

impl Watch {
    pub(super) fn new(agents: impl Iterator<Item = SocketAddr>) -> Result<Self> {
        let to = |agent| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(agent)?;
            socket.set_read_timeout(Some(LOOK_LIMIT))?;
            Ok(socket)
        };
        let name: DomainName = HOST.parse()?;
        let header = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let question = [&header[..], name.wire(), &[0, 1, 0, 1]].concat();
        Ok(Self { sockets: agents.map(to).collect::<Result<_>>()?, question })
    }

    /// When each of them first answered with this address.
    pub(super) fn until_all_serve(&mut self, address: Ipv4Addr, limit: Duration) -> Result<Vec<Instant>> {
        let begun = Instant::now();
        let mut served = vec![None; self.sockets.len()];
        while let Some(missing) = served.iter().position(Option::is_none) {
            ensure!(begun.elapsed() < limit, "server {} did not answer with {address} within {limit:?}", missing + 1);
            for (agent, served) in served.iter_mut().enumerate().filter(|(_, served)| served.is_none()) {
                *served = self.serves(agent, address)?.then(Instant::now);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(served.into_iter().flatten().collect())
    }

    /// Whether the whole answer is one A record with this address.
    fn serves(&mut self, agent: usize, address: Ipv4Addr) -> Result<bool> {
        // The id tells this look's answer from that of one that came too late.
        self.question[1] = self.question[1].wrapping_add(1);
        let (socket, mut reply) = (&self.sockets[agent], [0; 512]);
        socket.send(&self.question)?;
        loop {
            match socket.recv(&mut reply) {
                Ok(len) if reply[..2] == self.question[..2] => {
                    return Ok(reply[3] & 15 == 0 && reply[6..8] == [0, 1] && reply[..len].ends_with(&address.octets()));
                }
                Ok(_) => {}
                Err(_) => return Ok(false),
            }
        }
    }
}

/// The master's API over one connection that stays open.
pub(super) struct Api {
    agent: ureq::Agent,
    base: String,
    token: String,
}

impl Api {
    pub(super) fn of(lab: &Lab) -> Result<Self> {
        let token = std::fs::read_to_string(lab.token_file()).context("the lab has no token")?;
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Ok(Self { agent, base: format!("http://{}/api/v1", lab.ground().status(Part::Master)), token: format!("Bearer {}", token.trim()) })
    }

    /// Gives how long before its answer the master had committed; no time at all where it does not say.
    pub(super) fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<Duration> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", &self.token)
            .header("content-type", "application/json")
            .header("if-match", "*")
            .body(body.to_string())?;
        let mut response = self.agent.run(request)?;
        let timing = response.headers().get("server-timing").and_then(|value| value.to_str().ok()?.strip_prefix("since-commit;dur=")?.parse().ok());
        // Read to its end, or the connection is not used again.
        let text = response.body_mut().read_to_string()?;
        if !response.status().is_success() {
            bail!("{method} {path} ended with {}: {text}", response.status());
        }
        Ok(Duration::from_secs_f64(timing.unwrap_or(0.0) / 1000.0))
    }
}

/// The lab's steps on standard error.
pub(super) struct Progress;

impl Audience for Progress {
    fn step(&mut self, what: &str) {
        tell(what);
    }

    fn tell(&mut self, what: &str) {
        tell(what);
    }
}
