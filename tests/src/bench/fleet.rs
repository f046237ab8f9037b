//! One edit, and when the last of many agents holds it.
//!
//! One real master; agents in this process, each with the real line machine, a TLS line of its own and real states, without
//! disks and services. Some of them are slow: they take half a second for each frame, and must cost the others nothing.
//! Everything shares the cores, so the agents' own work, the signature above all, is in the numbers.

use super::edit::{ADDRESSES, Api, Progress, host};
use super::figures::{Line as Row, Samples, Section};
use super::{Settings, go_on, process, tell};
use crate::folder::Folder;
use crate::lab::{Ground, Lab, Part};
use anyhow::{Context, Result, ensure};
use holdfast_agent::uplink::line::{Line, Output, Taken};
use holdfast_proto::control::control_client::ControlClient;
use holdfast_proto::control::enrol::{Enrolled, enrol};
use holdfast_proto::control::{AGENT_MESSAGE_LIMIT_BYTES, FromAgent, Gathered, Hello, Position, from_agent};
use holdfast_proto::control::{FetchRequest, bulk_client::BulkClient};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::tls;
use holdfast_proto::snapshot::{Base, Feed, Head, Sealed, State};
use holdfast_proto::words::UnixMillis;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

/// Every so many agents, one is slow.
const ONE_SLOW_IN: usize = 50;
/// What a slow agent takes for a frame.
const SLOW: Duration = Duration::from_millis(500);
/// All agents are at the newest generation by then.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// An edit that is not everywhere by then is a fault.
const SERVED_LIMIT: Duration = Duration::from_secs(20);
/// Agents that enrol at once.
const ENROL_TOGETHER: usize = 8;
/// Edits that are not counted.
const WARM_UP: usize = 3;

/// What an agent of the fleet says: which one, which zone generation it holds, and since when.
type Held = (usize, u64, Instant);

/// Edits with more and more agents.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    let mut lab = Lab::build(Ground::Loopback, Folder::new("bench-fleet")?)?;
    lab.bring_up_master(&mut Progress)?;
    let mut api = Api::of(&lab)?;
    api.ask("POST", "/hosts", &host(ADDRESSES[1]))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut fleet = Fleet::default();
    let mut sections = Vec::new();
    for size in settings.fleet.iter().copied() {
        tell(&format!("{size} agents in one process"));
        fleet.grow(&lab, &runtime, size)?;
        sections.push(fleet.series(&mut lab, &mut api, settings.edits.min(100))?);
    }
    runtime.shutdown_timeout(Duration::from_secs(2));
    lab.stop_all()?;
    Ok(sections)
}

/// Agents, and what they say.
struct Fleet {
    size: usize,
    /// Edits so far: one that changes nothing would be waited for in vain.
    edits: usize,
    held: BTreeMap<usize, (u64, Instant)>,
    sender: mpsc::UnboundedSender<Held>,
    news: mpsc::UnboundedReceiver<Held>,
}

impl Default for Fleet {
    fn default() -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        Self { size: 0, edits: 0, held: BTreeMap::new(), sender, news }
    }
}

impl Fleet {
    /// Enrols and connects until there are so many.
    fn grow(&mut self, lab: &Lab, runtime: &tokio::runtime::Runtime, size: usize) -> Result<()> {
        let address = lab.ground().control().to_string();
        while self.size < size {
            go_on()?;
            let together = (self.size..size.min(self.size + ENROL_TOGETHER)).collect::<Vec<_>>();
            let tokens = together.iter().map(|number| lab.run(Part::Master, &["node", "enrol", &format!("fleet-{number}")])).collect::<Result<Vec<_>>>()?;
            for (number, token) in together.into_iter().zip(tokens) {
                let token = token.trim().parse().context("the enrolment token")?;
                let enrolled = runtime.block_on(enrol(&address, &token, "bench"))?;
                let slow = number % ONE_SLOW_IN == ONE_SLOW_IN - 1;
                let agent = Member { number, slow, address: address.clone(), enrolled, states: states(), news: self.sender.clone() };
                runtime.spawn(agent.run());
                self.size += 1;
            }
        }
        let begun = Instant::now();
        while self.held.len() < size || !self.is_even() {
            ensure!(begun.elapsed() < READY_LIMIT, "of {size} agents {} are there after {READY_LIMIT:?}", self.held.len());
            self.hear();
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn is_even(&self) -> bool {
        let newest = self.held.values().map(|(generation, _)| *generation).max();
        self.held.values().all(|(generation, _)| Some(*generation) == newest)
    }

    fn hear(&mut self) {
        while let Ok((number, generation, at)) = self.news.try_recv() {
            self.held.insert(number, (generation, at));
        }
    }

    fn series(&mut self, lab: &mut Lab, api: &mut Api, edits: usize) -> Result<Section> {
        let (mut median, mut last, mut slow) = (Samples::default(), Samples::default(), Samples::default());
        for number in 0..WARM_UP + edits {
            go_on()?;
            let before = self.held.values().map(|(generation, _)| *generation).max().unwrap_or_default();
            let sent = Instant::now();
            let since_commit = api.ask("PATCH", &format!("/hosts/{}", super::edit::HOST), &host(ADDRESSES[self.edits % ADDRESSES.len()]) as &Value)?;
            self.edits += 1;
            let committed = Instant::now() - since_commit;
            while self.held.values().any(|(generation, _)| *generation <= before) {
                ensure!(sent.elapsed() < SERVED_LIMIT, "an edit is not everywhere after {SERVED_LIMIT:?}");
                self.hear();
                std::thread::sleep(Duration::from_micros(200));
            }
            if number >= WARM_UP {
                let since = |is_slow: bool| {
                    let of_kind = self.held.iter().filter(move |(number, _)| (**number % ONE_SLOW_IN == ONE_SLOW_IN - 1) == is_slow);
                    let mut times: Vec<f64> = of_kind.map(|(_, (_, at))| at.saturating_duration_since(committed).as_secs_f64() * 1000.0).collect();
                    times.sort_by(f64::total_cmp);
                    times
                };
                let quick = since(false);
                median.push(quick[quick.len() / 2]);
                last.push(quick.last().copied().unwrap_or_default());
                since(true).last().into_iter().for_each(|time| slow.push(*time));
            }
        }
        let master = process::memory(lab.program(Part::Master)?.pid())?;
        let mut lines = vec![median.line("COMMIT to the median agent", "ms"), last.line("COMMIT to the last agent that is not slow", "ms")];
        if self.size >= ONE_SLOW_IN {
            lines.push(slow.line("COMMIT to the last of the slow ones (500 ms a frame)", "ms"));
        }
        lines.push(Row::from_one("memory of the master, its own", master.proportional, "MiB"));
        Ok(Section { title: format!("An edit among {} agents in one process (TLS, signature and digest checked; no disk)", self.size), lines })
    }
}

fn states() -> BTreeMap<Feed, State> {
    Feed::ALL.into_iter().map(|feed| (feed, State::empty(feed))).collect()
}

/// One agent of the fleet.
struct Member {
    number: usize,
    slow: bool,
    address: String,
    enrolled: Enrolled,
    states: BTreeMap<Feed, State>,
    news: mpsc::UnboundedSender<Held>,
}

impl Member {
    async fn run(mut self) {
        if let Err(error) = self.follow().await {
            tell(&format!("agent {} of the fleet: {error:#}", self.number));
        }
    }

    async fn dial(&self) -> Result<Channel> {
        let identity = tls::Identity::new(self.enrolled.chain.clone(), self.enrolled.tls_key.expose())?;
        let clock = Arc::new(TrustedClock::new(UnixMillis(0)));
        let config = tls::client_config(&self.enrolled.trust.draft().authorities, Some(identity), clock)?;
        Ok(tls::dial(&self.address, Arc::new(config)).await?)
    }

    async fn follow(&mut self) -> Result<()> {
        let (outgoing, queue) = mpsc::channel(64);
        let positions = Feed::ALL.map(|feed| Position { feed: Some(feed.into()), ..Position::default() });
        let hello = Hello { build: "bench".to_owned(), reader_version: 1, positions: positions.to_vec(), trust_version: u32::MAX };
        outgoing.send(FromAgent { message: Some(from_agent::Message::Hello(hello)) }).await?;
        let mut client = ControlClient::new(self.dial().await?).max_decoding_message_size(AGENT_MESSAGE_LIMIT_BYTES);
        let mut stream = client.follow(ReceiverStream::new(queue)).await?.into_inner();
        let (mut line, mut fetches) = (Line::begin(Feed::ALL, UnixMillis(0), Instant::now()), JoinSet::new());
        loop {
            let mut out = Vec::new();
            tokio::select! {
                message = stream.message() => line.on_message(message?.context("the master hung up")?, &self.enrolled.trust, Instant::now(), &mut out)?,
                Some(fetched) = fetches.join_next() => {
                    let (feed, gathered): (Feed, Gathered) = fetched??;
                    let arrived = gathered.finish();
                    let opened = self.enrolled.trust.open(&Sealed::from_bytes(&arrived.sealed)?)?;
                    let base = Base::from_blocks(Head::decode(&arrived.head)?, arrived.blocks)?;
                    let taken = State::of_base(&opened, base).map_err(|wrong| wrong.to_string());
                    line.on_taken(feed, self.keep(feed, taken), &mut out);
                }
            }
            while let Some(output) = out.pop() {
                match output {
                    Output::Send(message) => outgoing.send(message).await?,
                    // What the fleet measures is the whole.
                    Output::Mend(feed) => line.on_no_buckets(feed, &mut out),
                    Output::Fetch(feed) => {
                        fetches.spawn(fetch(self.dial().await?, feed));
                    }
                    Output::Take { feed, sealed, payload, merged } => {
                        if self.slow {
                            tokio::time::sleep(SLOW).await;
                        }
                        let opened = self.enrolled.trust.open(&Sealed::from_bytes(&sealed)?)?;
                        let state = &self.states[&feed];
                        let taken = if merged { state.advance_merged(&opened, &payload) } else { state.advance(&opened, &payload) };
                        line.on_taken(feed, self.keep(feed, taken.map_err(|wrong| wrong.to_string())), &mut out);
                    }
                    _ => {}
                }
            }
        }
    }

    fn keep(&mut self, feed: Feed, taken: Result<State, String>) -> Taken {
        let held = self.states[&feed].view().generation();
        let state = match taken {
            Ok(state) => state,
            Err(reason) => return Taken::Refused { held, reason, wants_whole: true },
        };
        let (epoch, generation) = (state.view().epoch(), state.view().generation());
        self.states.insert(feed, state);
        if feed == Feed::ZONE {
            // Nobody listens any more once the measurement is over.
            let _ = self.news.send((self.number, generation.0, Instant::now()));
        }
        Taken::Held { epoch, generation, applied: generation, durable: generation }
    }
}

async fn fetch(channel: Channel, feed: Feed) -> Result<(Feed, Gathered)> {
    let mut client = BulkClient::new(channel).max_decoding_message_size(4 << 20);
    let request = FetchRequest { feed: Some(feed.into()), ..FetchRequest::default() };
    let (mut pieces, mut gathered) = (client.fetch(request).await?.into_inner(), Gathered::default());
    while let Some(piece) = pieces.message().await? {
        if gathered.take(piece)? {
            break;
        }
    }
    Ok((feed, gathered))
}
