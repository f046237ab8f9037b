use super::{From, command, say};
use anyhow::{Context, Result, ensure};
use std::net::IpAddr;

/// One question by `dig` (package bind9-dnsutils): one try, one second.
#[derive(Debug, Clone)]
pub struct Dig<'a> {
    from: From<'a>,
    args: Vec<String>,
}

/// What `dig` printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DigAnswer {
    /// NOERROR, NXDOMAIN, REFUSED, ...
    pub status: String,
    /// qr, aa, tc, rd, ra, ad.
    pub flags: Vec<String>,
    /// The answer section.
    pub answer: Vec<Record>,
    /// The authority section.
    pub authority: Vec<Record>,
    /// All that it printed, for the message of a test that falls.
    pub text: String,
}

/// A record as `dig` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The owner, with its final dot.
    pub name: String,
    /// In seconds.
    pub ttl: u32,
    /// A, PTR, ...
    pub kind: String,
    /// The rest of the line.
    pub data: String,
}

impl<'a> Dig<'a> {
    /// Asks `server` for the records of a kind that `name` has.
    pub fn ask(from: From<'a>, server: impl Into<IpAddr>, name: &str, kind: &str) -> Self {
        let fixed = ["+time=1", "+tries=1", "+noall", "+comments", "+answer", "+authority", "+nocookie"];
        let asked = [format!("@{}", server.into()), name.into(), kind.into()];
        Self { from, args: asked.into_iter().chain(fixed.map(String::from)).collect() }
    }

    /// Asks for the name of an address.
    pub fn reverse(from: From<'a>, server: impl Into<IpAddr>, address: impl Into<IpAddr>) -> Self {
        let mut dig = Self::ask(from, server, "-x", "");
        dig.args[2] = address.into().to_string();
        dig
    }

    /// By TCP.
    pub fn over_tcp(self) -> Self {
        self.with("+tcp")
    }

    /// At another port than 53.
    pub fn at_port(mut self, port: u16) -> Self {
        self.args.extend(["-p".into(), port.to_string()]);
        self
    }

    /// With one more of dig's own options: `+noedns`, `+bufsize=512`, `+norecurse`, ...
    pub fn with(mut self, option: &str) -> Self {
        self.args.push(option.into());
        self
    }

    /// Asks; an error where nobody answered.
    pub fn run(&self) -> Result<DigAnswer> {
        let text = say(command(self.from, "dig").args(&self.args), "")?;
        parse(text)
    }

    /// Asks, and gives the data of the answer section in the order of the text, as `dig +short` does.
    pub fn short(&self) -> Result<Vec<String>> {
        let mut data: Vec<_> = self.run()?.answer.into_iter().map(|record| record.data).collect();
        data.sort();
        Ok(data)
    }
}

impl DigAnswer {
    /// Whether the server spoke with authority.
    pub fn is_authoritative(&self) -> bool {
        self.flags.iter().any(|flag| flag == "aa")
    }
}

fn parse(text: String) -> Result<DigAnswer> {
    let mut answer = DigAnswer::default();
    let mut section = "";
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once("status: ") {
            answer.status = rest.split(',').next().unwrap_or_default().into();
        } else if let Some(rest) = line.strip_prefix(";; flags: ") {
            answer.flags = rest.split(';').next().unwrap_or_default().split_whitespace().map(String::from).collect();
        } else if line.starts_with(";; ") && line.ends_with("SECTION:") {
            section = line;
        } else if !line.starts_with(';') && !line.is_empty() {
            let record = record(line).with_context(|| format!("dig printed a line that is no record: {line}"))?;
            if section.contains("ANSWER") { answer.answer.push(record) } else { answer.authority.push(record) }
        }
    }
    ensure!(!answer.status.is_empty(), "nobody answered dig:\n{}", text.trim());
    Ok(DigAnswer { text, ..answer })
}

fn record(line: &str) -> Option<Record> {
    let mut words = line.split_whitespace();
    let (name, ttl, _class, kind) = (words.next()?, words.next()?.parse().ok()?, words.next()?, words.next()?);
    Some(Record { name: name.into(), ttl, kind: kind.into(), data: words.collect::<Vec<_>>().join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dig_prints_is_read() {
        let text = ";; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 4711\n;; flags: qr aa rd; QUERY: 1, ANSWER: 2\n\n\
                    ;; ANSWER SECTION:\nweb1.uni.example.\t300\tIN\tA\t10.1.4.7\nweb1.uni.example. 300 IN HINFO \"HP  9000\" \"UNIX\"\n\n\
                    ;; AUTHORITY SECTION:\nuni.example. 60 IN NS ns.north.uni.example.\n";
        let answer = parse(text.into()).unwrap();
        assert!(answer.is_authoritative());
        assert_eq!((answer.status.as_str(), answer.answer.len(), answer.authority[0].kind.as_str()), ("NOERROR", 2, "NS"));
        assert_eq!(answer.answer[0], Record { name: "web1.uni.example.".into(), ttl: 300, kind: "A".into(), data: "10.1.4.7".into() });
        assert!(parse(";; communications error to 10.1.4.2#53: timed out\n".into()).is_err());
    }
}
