//! FreeRADIUS as the peer: accounts in its users file, nothing configured that is not asked for here.

use super::requests::Certificates;
use super::{Contender, PASSWORD, SECRET, free_port, tell, user};
use crate::folder::Folder;
use crate::process::Recipe;
use anyhow::{Context, Result};
use aws_lc_rs::digest::{SHA256, digest};
use holdfast_proto::radius::mschap::nt_hash;
use holdfast_proto::words::Secret;
use std::fmt::Write;

/// Where Debian puts it.
pub const PROGRAM: &str = "/usr/sbin/freeradius";

/// With threads as it comes, one core, no delay of rejects.
pub fn lay_out(users: u32, certificates: &Certificates) -> Result<Contender> {
    tell(&format!("writing {users} accounts for FreeRADIUS"));
    let folder = Folder::new("bench-freeradius")?;
    let nt = hex::encode(nt_hash(&Secret::new(PASSWORD)).context("a password that is text")?.expose());
    let mut file = String::new();
    for number in 0..users {
        // A salted SHA-256: as cheap as it gets without keeping the password.
        let salt = number.to_be_bytes();
        let hash = digest(&SHA256, &[PASSWORD.as_bytes(), &salt].concat());
        let salted = hex::encode([hash.as_ref(), &salt].concat());
        writeln!(file, "{} SSHA2-256-Password := 0x{salted}, NT-Password := 0x{nt}\n\tService-Type = Framed-User", user(number))?;
    }
    folder.write("users", &file)?;
    folder.write("dictionary", "$INCLUDE /usr/share/freeradius/dictionary\n")?;
    let (login, accounting) = (free_port()?, free_port()?);
    let [certificate, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|file| certificates.path(file).display().to_string());
    let (root, login_port, accounting_port) = (folder.path().display(), login.port(), accounting.port());
    let config = format!(
        r#"
prefix = /usr
localstatedir = {root}
raddbdir = {root}
logdir = {root}
radacctdir = {root}
run_dir = {root}
libdir = /usr/lib/freeradius
pidfile = {root}/freeradius.pid
max_request_time = 30
cleanup_delay = 0
max_requests = 65536
hostname_lookups = no
log {{
  destination = stdout
  auth = no
}}
security {{
  reject_delay = 0
  status_server = yes
  allow_vulnerable_openssl = yes
}}
thread pool {{
  start_servers = 4
  max_servers = 4
  min_spare_servers = 1
  max_spare_servers = 4
  max_requests_per_server = 0
}}
client nas {{
  ipaddr = 127.0.0.1
  secret = {SECRET}
  require_message_authenticator = yes
}}
modules {{
  files {{
    filename = {root}/users
  }}
  pap {{
  }}
  mschap {{
    use_mppe = yes
    require_encryption = yes
    require_strong = yes
  }}
  detail {{
    filename = {root}/detail
    permissions = 0600
  }}
  eap {{
    default_eap_type = ttls
    timer_expire = 60
    max_sessions = 4096
    tls-config bench {{
      private_key_file = {key}
      certificate_file = {certificate}
      ca_file = {ca}
      ecdh_curve = ""
      tls_min_version = "1.2"
      tls_max_version = "1.3"
      cache {{
        enable = no
      }}
    }}
    tls {{
      tls = bench
    }}
    ttls {{
      tls = bench
      default_eap_type = mschapv2
      virtual_server = inner
    }}
    peap {{
      tls = bench
      default_eap_type = mschapv2
      virtual_server = inner
    }}
    mschapv2 {{
    }}
  }}
}}
server outer {{
  listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {login_port}
  }}
  listen {{
    type = acct
    ipaddr = 127.0.0.1
    port = {accounting_port}
  }}
  authorize {{
    mschap
    eap {{
      ok = return
    }}
    files
    pap
  }}
  authenticate {{
    Auth-Type PAP {{
      pap
    }}
    Auth-Type MS-CHAP {{
      mschap
    }}
    eap
  }}
  accounting {{
    detail
  }}
}}
server inner {{
  authorize {{
    mschap
    eap {{
      ok = return
    }}
    files
    pap
  }}
  authenticate {{
    Auth-Type PAP {{
      pap
    }}
    Auth-Type MS-CHAP {{
      mschap
    }}
    eap
  }}
}}
"#
    );
    folder.write("radiusd.conf", &config)?;
    let recipe = Recipe::new("freeradius", PROGRAM, folder.path()).args(["-f", "-n", "radiusd", "-d"]).args([folder.path()]);
    Ok(Contender { name: "FreeRADIUS", _folder: folder, recipe, login, accounting })
}
