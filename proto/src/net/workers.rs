//! Threads of one's own for sockets that are read in batches: started one by one, ended together, and missed when one falls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Threads that work until this is dropped, at the latest a tick of their sockets after it.
#[derive(Debug)]
pub struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    last_words: mpsc::UnboundedSender<()>,
    ended: mpsc::UnboundedReceiver<()>,
}

/// What a thread looks at between two batches.
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether it shall end.
    pub fn is_due(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Workers {
    fn default() -> Self {
        let (last_words, ended) = mpsc::unbounded_channel();
        Self { stop: Arc::default(), threads: Vec::new(), last_words, ended }
    }
}

impl Workers {
    /// Starts one more; its name is this and its number.
    ///
    /// # Panics
    /// When the system has no room for a thread: the service cannot be what it was configured to be.
    pub fn start(&mut self, name: &str, work: impl FnOnce(Stop) + Send + 'static) {
        let (stop, last_words) = (Stop(Arc::clone(&self.stop)), LastWords(self.last_words.clone()));
        let work = move || {
            let _told_at_the_end = last_words;
            work(stop);
        };
        let thread = std::thread::Builder::new().name(format!("{name}-{}", self.threads.len())).spawn(work);
        self.threads.push(thread.expect("the system has room for a thread"));
    }

    /// Resolves when one of them ended by itself.
    pub async fn one_ended(&mut self) {
        let _ = self.ended.recv().await;
    }

    /// Ends them all and waits for it.
    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        let _ = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join()))).await;
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Says, when it is dropped, that its thread ended.
struct LastWords(mpsc::UnboundedSender<()>);

impl Drop for LastWords {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}
