//! Whether this box has a link at all, and waiting that ends when it gets one: a cable that is put back is used at once.

use std::fs;
use std::time::Duration;

/// How soon a link that came back is noticed.
const LOOK: Duration = Duration::from_millis(50);

/// Whether any interface but the loopback has a carrier. A system that does not say is taken to have one.
pub fn is_there() -> bool {
    let Ok(interfaces) = fs::read_dir("/sys/class/net") else { return true };
    let has_carrier = |name: &std::ffi::OsStr| {
        // An interface that is down has no such file to read.
        name != "lo" && fs::read_to_string(std::path::Path::new("/sys/class/net").join(name).join("carrier")).is_ok_and(|text| text.trim() == "1")
    };
    interfaces.filter_map(|interface| Some(interface.ok()?.file_name())).any(|name| has_carrier(&name))
}

/// Waits this long, or until a link comes back that was not there.
pub async fn pause(wait: Duration) {
    let until = tokio::time::Instant::now() + wait;
    let mut had_link = is_there();
    while tokio::time::Instant::now() < until {
        tokio::time::sleep_until(until.min(tokio::time::Instant::now() + LOOK)).await;
        let has_link = is_there();
        if has_link && !had_link {
            return;
        }
        had_link = has_link;
    }
}
