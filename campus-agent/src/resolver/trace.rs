//! What becomes of a question, told step by step to a person on the box: `holdfast-agent trace NAME`.
//!
//! The question goes over a socket in the runtime directory to the process that resolves, which looks and asks as it does for
//! a client, whose address may be given; nothing of it is kept.

use crate::telemetry::group_socket;
use holdfast_names::engine::{Fares, Handle, Looked, Step};
use holdfast_proto::dns::rdata;
use holdfast_proto::dns::resolver::{Standing, Wanted, in_words};
use holdfast_proto::words::DomainName;
use std::convert::Infallible;
use std::fmt::Write;
use std::io::{self, Read, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const SOCKET: &str = "resolver.trace";
const PATIENCE: Duration = Duration::from_secs(20);
/// A name, a type and an address.
const QUESTION_LIMIT_BYTES: u64 = 1024;

/// A question to be traced.
#[derive(Debug, Clone)]
pub struct Traced {
    /// The name.
    pub name: String,
    /// The type's mnemonic.
    pub rtype: String,
    /// For whom; for the box itself without it.
    pub from: Option<IpAddr>,
}

/// Asks the process that resolves what becomes of a question.
///
/// # Errors
/// Names the socket where that process does not run.
pub fn trace(run_dir: &Path, traced: &Traced) -> io::Result<String> {
    let path = run_dir.join(SOCKET);
    let named = |wrong: io::Error| io::Error::new(wrong.kind(), format!("{}: {wrong}; does the resolver run?", path.display()));
    let mut stream = UnixStream::connect(&path).map_err(named)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let from = traced.from.unwrap_or(Ipv4Addr::LOCALHOST.into());
    stream.write_all(format!("{} {} {from}", traced.name, traced.rtype).as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut told = String::new();
    stream.read_to_string(&mut told)?;
    Ok(told)
}

/// Answers traces for as long as it is polled. Without its socket there are none, and nothing else is lost.
pub(super) async fn offer(run_dir: PathBuf, plane: Handle) -> Infallible {
    let listener = match group_socket(&run_dir.join(SOCKET)) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(event = "trace_not_offered", %error, "names cannot be traced on this box");
            return std::future::pending().await;
        }
    };
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        };
        let converse = async {
            let mut question = String::new();
            (&mut stream).take(QUESTION_LIMIT_BYTES).read_to_string(&mut question).await?;
            let told = tell(&plane, &question).await.unwrap_or_else(|wrong| format!("{wrong}\n"));
            stream.write_all(told.as_bytes()).await
        };
        // Whoever asked and went away needs no answer.
        let _ = timeout(PATIENCE, converse).await;
    }
}

async fn tell(plane: &Handle, question: &str) -> Result<String, String> {
    let words: Vec<&str> = question.split(' ').collect();
    let [name, rtype, from] = words[..] else { return Err("a name, a type and an address, please".to_owned()) };
    let name = DomainName::parse(name, None).map_err(|wrong| wrong.to_string())?;
    let qtype = rdata::parse_type(rtype).map_err(|wrong| wrong.to_string())?;
    let from: IpAddr = from.parse().map_err(|_| format!("\"{from}\" is not an address"))?;
    let wanted = Wanted::of(&name.wire().to_ascii_lowercase(), qtype, false, false).ok_or_else(|| format!("{rtype} cannot be looked for"))?;
    let mut told = format!("{name} {rtype}, for {from}\n");
    describe_servers(plane, &mut told);
    let begun = Instant::now();
    match plane.look(&wanted, from) {
        (Standing::Stranger, _) => line(&mut told, format_args!("this box refuses: {from} is not on its list of clients")),
        (Standing::Department, _) => line(&mut told, format_args!("this box refuses: {from} is a departmental server, which is to ask the master")),
        (Standing::Client, Looked::Wanting { has_stale }) => {
            let state = if has_stale { "has an answer that has run out" } else { "does not have it" };
            line(&mut told, format_args!("this box {state}: it asks"));
            ask(plane, &wanted, &mut told).await;
        }
        (Standing::Client, Looked::Told(origin, reply)) => {
            let time_ms = begun.elapsed().as_secs_f64() * 1000.0;
            line(&mut told, format_args!("this box answers ({}), {time_ms:.2} ms: {}", origin.name(), in_words(&reply).unwrap_or_default()));
        }
    }
    Ok(told)
}

fn describe_servers(plane: &Handle, told: &mut String) {
    for Fares { server, heed, latency_ms, .. } in plane.servers() {
        line(told, format_args!("  {server}: {}, {latency_ms} ms", heed.name()));
    }
}

async fn ask(plane: &Handle, wanted: &Wanted, told: &mut String) {
    let begun = Instant::now();
    let (steps, result) = plane.ask(wanted).await;
    for Step { server, outcome, time, .. } in &steps {
        line(told, format_args!("{server} {outcome}, {:.1} ms", time.as_secs_f64() * 1000.0));
    }
    let end = match result {
        Ok(answer) => format!("answered: {}", in_words(&answer.to_packet()).unwrap_or_default()),
        Err(why) => format!("no answer: {why:?}"),
    };
    line(told, format_args!("{end}, {:.1} ms in all", begun.elapsed().as_secs_f64() * 1000.0));
}

fn line(told: &mut String, words: std::fmt::Arguments<'_>) {
    // A String takes all that is written to it.
    let _ = writeln!(told, "{words}");
}
