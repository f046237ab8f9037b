//! What administrators are given to copy is read by the programs that it is for, and works.

use super::{forged, in_process, settings_for};
use holdfast_lab::clients::Dig;
use holdfast_lab::folder::Folder;
use holdfast_lab::process::Recipe;
use holdfast_lab::programs::house;
use holdfast_proto::words::UnixMillis;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

#[test]
fn a_cache_of_an_administrators_resolves_through_us() {
    let folder = Folder::new("resolver-snippets").unwrap();
    let snippet = house().join("campus-agent/snippets/unbound.conf");
    let checked = Command::new("/usr/sbin/unbound-checkconf").arg(&snippet).output().expect("apt-get install unbound");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let (master, _) = forged::master(0);
    let (agent, runtime) = in_process(settings_for(master), UnixMillis(0), folder.path());
    let text = fs::read_to_string(snippet).unwrap();
    let text = text.replace("10.1.4.3", &format!("{}@{}", agent.ip(), agent.port())).replace("    forward-addr: 10.2.4.3\n", "");
    let included = folder.write("holdfast.conf", &text).unwrap();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    // What a package's own configuration says, and that all of it is on one machine here.
    let config = format!(
        "server:\n  directory: \"{}\"\n  chroot: \"\"\n  pidfile: \"\"\n  username: \"\"\n  use-syslog: no\n  interface: 127.0.0.1@{port}\n  \
         do-not-query-localhost: no\ninclude: \"{}\"\n",
        folder.path().display(),
        included.display()
    );
    let config = folder.write("unbound.conf", &config).unwrap();
    let mut unbound = Recipe::new("unbound", "/usr/sbin/unbound", folder.path()).args(["-d", "-d", "-c"]).args([config]).start().unwrap();
    unbound.wait_for_line("start of service", super::PATIENCE).unwrap();
    super::eventually("through its cache and ours", || Ok(Dig::ask(None, Ipv4Addr::LOCALHOST, "www.far.org", "A").at_port(port).short()? == ["192.0.2.1"]));
    runtime.shutdown_background();
}
