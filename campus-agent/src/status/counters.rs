//! The counters of a box: each process keeps its own and offers them on a socket of the runtime directory; the window shows
//! them all as one.

use crate::telemetry::group_socket;
use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const SUFFIX: &str = "counters";
/// A process that does not answer is left out of the page, not waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Offers this process's counters to the window. Without its socket the process only goes uncounted.
pub async fn offer_counters(run_dir: PathBuf, name: &'static str, metrics: PrometheusHandle) {
    let listener = match group_socket(&run_dir.join(format!("{name}.{SUFFIX}"))) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(event = "counters_not_offered", %error, "this process's counters cannot be looked at");
            return std::future::pending().await;
        }
    };
    loop {
        if let Ok((mut stream, _)) = listener.accept().await {
            let text = metrics.render();
            // Whoever asked and went away needs no answer.
            let _ = tokio::time::timeout(PATIENCE, stream.write_all(text.as_bytes())).await;
        } else {
            tokio::time::sleep(PATIENCE).await;
        }
    }
}

/// The counters of every process of the box, in the text format of Prometheus.
pub(super) async fn all_counters(run_dir: &Path) -> String {
    let mut merged = Merged::default();
    let Ok(entries) = fs::read_dir(run_dir) else { return String::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|suffix| suffix == SUFFIX)).collect();
    paths.sort();
    for path in paths {
        let asked = tokio::time::timeout(PATIENCE, ask(&path)).await;
        if let (Ok(Ok(text)), Some(service)) = (asked, path.file_stem().and_then(|name| name.to_str())) {
            merged.add(service, &text);
        }
    }
    merged.render()
}

async fn ask(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    UnixStream::connect(path).await?.read_to_string(&mut text).await?;
    Ok(text)
}

/// Families by name: what is said of one stands once, its values of all processes below it.
#[derive(Default)]
struct Merged(BTreeMap<String, (Vec<String>, Vec<String>)>);

impl Merged {
    fn add(&mut self, service: &str, text: &str) {
        let mut family = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(said) = line.strip_prefix("# ") {
                family = said.split(' ').nth(1).unwrap_or_default().to_owned();
                let about = &mut self.0.entry(family.clone()).or_default().0;
                if !about.iter().any(|known| known == line) {
                    about.push(line.to_owned());
                }
            } else {
                self.0.entry(family.clone()).or_default().1.push(labelled(line, service));
            }
        }
    }

    fn render(&self) -> String {
        let lines = self.0.values().flat_map(|(about, values)| about.iter().chain(values));
        lines.fold(String::new(), |text, line| text + line + "\n")
    }
}

/// The same value with the process that counted it.
fn labelled(line: &str, service: &str) -> String {
    match line.split_once('{') {
        Some((name, rest)) => format!("{name}{{service=\"{service}\",{rest}"),
        None => line.split_once(' ').map_or_else(|| line.to_owned(), |(name, value)| format!("{name}{{service=\"{service}\"}} {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::Merged;

    #[test]
    fn what_is_said_of_a_counter_stands_once_and_every_process_has_its_value() {
        let mut merged = Merged::default();
        merged.add("dns", "# TYPE reports counter\nreports 1\n\n# TYPE asked counter\nasked{over=\"udp\"} 7\n");
        merged.add("radius", "# TYPE reports counter\nreports 2\n");
        let wanted =
            "# TYPE asked counter\nasked{service=\"dns\",over=\"udp\"} 7\n# TYPE reports counter\nreports{service=\"dns\"} 1\nreports{service=\"radius\"} 2\n";
        assert_eq!(merged.render(), wanted);
    }
}
