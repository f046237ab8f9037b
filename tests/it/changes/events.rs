//! What others are told as it happens: the stream, across a power cut of the master, and webhooks.

use super::eventually;
use super::office::{Office, Person};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, verify};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Events of the stream after a number, as many as are wanted: number and data.
fn follow(office: &Office, after: Option<i64>, wanted: usize) -> Vec<(i64, Value)> {
    let mut line = TcpStream::connect(office.web).unwrap();
    line.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let last = after.map(|number| format!("Last-Event-ID: {number}\r\n")).unwrap_or_default();
    let token = office.token(Person::Ada);
    write!(line, "GET /api/v1/events/stream?kinds=change HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{last}\r\n").unwrap();
    let (mut found, mut number) = (Vec::new(), 0);
    for text in BufReader::new(line).lines() {
        let text = text.unwrap();
        match text.split_once(':').map(|(field, value)| (field, value.trim())) {
            Some(("id", value)) => number = value.parse().unwrap(),
            Some(("data", value)) => found.push((number, serde_json::from_str(value).unwrap())),
            _ => {}
        }
        if found.len() == wanted {
            break;
        }
    }
    found
}

#[test]
fn a_reader_who_comes_back_has_missed_nothing() {
    let mut office = Office::open("stream");
    let mut made: Vec<String> = office.get("/changes").list("/items").iter().rev().map(|set| set["change_set"].as_str().unwrap().to_owned()).collect();
    let add = |office: &Office, number: u8| office.add_host(&format!("h{number}.uni.example"), &format!("10.1.4.{number}")).expect(201).text("/change_set");
    made.extend((10..15).map(|number| add(&office, number)));
    let first = follow(&office, Some(0), 5);
    let seen = first.last().unwrap().0;
    made.extend((15..20).map(|number| add(&office, number)));
    // Some of these are not numbered yet.
    office.power_cut();
    made.extend((20..25).map(|number| add(&office, number)));
    let rest = follow(&office, Some(seen), made.len() - 5);
    let told: Vec<String> = first.iter().chain(&rest).map(|(_, event)| event["data"]["change_set"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, made, "all of them, each once, in order");
    assert!(first.iter().chain(&rest).map(|(number, _)| number).is_sorted());
    assert_eq!(rest.last().unwrap().1["data"]["actor"], "ada");
    assert_eq!(office.get("/events/stream?kinds=weather").status, 400);
}

/// Whoever hears webhooks: what came, and whether it takes it.
pub struct Receiver {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<(String, String, String)>>>,
    works: Arc<AtomicBool>,
}

impl Receiver {
    pub fn open(works: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, works) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(works)));
        let (noted, takes) = (Arc::clone(&heard), Arc::clone(&works));
        std::thread::spawn(move || {
            for line in listener.incoming().flatten() {
                let (delivery, signature, body) = request(&line);
                let is_taken = takes.load(Ordering::SeqCst);
                if is_taken {
                    noted.lock().unwrap().push((delivery, signature, body));
                }
                let status = if is_taken { "204 No Content" } else { "503 Service Unavailable" };
                let _ = write!(&line, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { address, heard, works }
    }

    pub fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// What came, in order.
    pub fn bodies(&self) -> Vec<Value> {
        self.heard.lock().unwrap().iter().map(|(_, _, body)| serde_json::from_str(body).unwrap()).collect()
    }
}

/// Delivery, signature and body of one request.
fn request(line: &TcpStream) -> (String, String, String) {
    let mut reader = BufReader::new(line);
    let (mut delivery, mut signature, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut text = String::new();
        reader.read_line(&mut text).unwrap();
        let Some((name, value)) = text.trim_end().split_once(": ") else {
            if text.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_lowercase().as_str() {
            "holdfast-delivery" => delivery = value.to_owned(),
            "holdfast-signature" => signature = value.to_owned(),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (delivery, signature, String::from_utf8(body).unwrap())
}

fn is_signed(secret: &str, signature: &str, body: &str) -> bool {
    let Some((time, tag)) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")) else { return false };
    let key = Key::new(HMAC_SHA256, &hex::decode(secret).unwrap());
    verify(&key, format!("{time}.{body}").as_bytes(), &hex::decode(tag).unwrap()).is_ok()
}

#[test]
fn a_receiver_that_was_away_gets_everything_once_and_signed() {
    let office = Office::open("webhooks");
    // A webhook begins with what has no number yet, and that of the furniture is not what is looked at.
    eventually("what was before has its numbers", || Ok(office.number("select count(*) from feed.waiting") == 0));
    let (away, well) = (Receiver::open(false), Receiver::open(true));
    let hook = |name: &str, receiver: &Receiver, more: Value| {
        let mut body = json!({ "name": name, "url": format!("http://{}/hook", receiver.address), "kinds": ["change"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        office.post("/webhooks", body).expect(201)
    };
    let made = hook("away", &away, json!({}));
    hook("well", &well, json!({ "area_kind": "subnet", "area_value": "10.1.5.0/24" }));
    assert_eq!(office.post("/webhooks", json!({ "name": "away", "url": "https://x.example/" })).status, 409);
    let (secret, id) = (made.text("/secret"), made.text("/id"));
    let mut sets: BTreeSet<String> =
        (10..13).map(|number| office.add_host(&format!("h{number}.uni.example"), &format!("10.1.4.{number}")).text("/change_set")).collect();
    sets.insert(office.add_host("lab.uni.example", "10.1.5.1").text("/change_set"));
    eventually("who is well hears it while the other is away", || Ok(well.count() == 1));
    let path = format!("/webhooks/{id}/deliveries");
    eventually("the other was tried", || Ok(office.get(&path).list("/items").iter().any(|delivery| delivery["attempts"].as_i64() > Some(0))));
    assert!(office.get(&path).list("/items").iter().any(|delivery| delivery["last_error"].as_str().is_some_and(|error| error.contains("503"))));

    away.works.store(true, Ordering::SeqCst);
    eventually("the other has everything", || Ok(away.count() >= 4));
    let heard = away.heard.lock().unwrap().clone();
    let told: BTreeSet<String> =
        heard.iter().map(|(_, _, body)| serde_json::from_str::<Value>(body).unwrap()["data"]["change_set"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, sets);
    assert!(heard.iter().all(|(_, signature, body)| is_signed(&secret, signature, body)));
    assert!(!is_signed(&secret, &heard[0].1, "{}") && !is_signed(&"00".repeat(32), &heard[0].1, &heard[0].2));
    let deliveries: BTreeSet<&String> = heard.iter().map(|(delivery, ..)| delivery).collect();
    assert_eq!(deliveries.len(), heard.len(), "each once");
    eventually("none waits", || Ok(office.get(&format!("{path}?state=waiting")).list("/items").is_empty()));
    assert_eq!(well.count(), 1, "and only what lies in its area");
    assert!(!office.get("/webhooks").body.to_string().contains(&secret), "the secret is told once");

    // One that was given up is sent again by hand.
    let give_up = "update feed.delivery set state = 'dead', ended_at = now() where id = (
        select min(d.id) from feed.delivery d join feed.webhook w on w.id = d.webhook_id where w.name = 'away')";
    office.sql(give_up).unwrap();
    let dead = office.get(&format!("{path}?state=dead")).list("/items");
    office.ask(Person::Ada, "POST", &format!("{path}/{}/send", dead[0]["id"]), &[], None).expect(202);
    eventually("it came once more", || Ok(away.count() == 5));
}

#[test]
fn deliveries_do_not_reach_the_neighbours() {
    let office = Office::open("neighbours");
    office.post("/webhooks", json!({ "name": "inside", "url": "http://10.1.4.7/", "kinds": ["change"] })).expect(201);
    office.post("/webhooks", json!({ "name": "metadata", "url": "https://169.254.169.254/", "kinds": ["change"] })).expect(201);
    office.add_host("www.uni.example", "10.1.4.10").expect(201);
    for hook in office.get("/webhooks").list("/items") {
        let path = format!("/webhooks/{}/deliveries", hook["id"].as_str().unwrap());
        let refused = |delivery: &Value| delivery["last_error"].as_str().is_some_and(|error| error.contains("[webhooks] allowed"));
        eventually("it is refused", || Ok(office.get(&path).list("/items").iter().any(refused)));
    }
}
