//! HTTP and HTTPS beside each other, as they are while a deployment switches from one to the other.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};

use super::api;
use super::client::Client;
use super::connections::accept;
use super::tls::Acceptor;
use crate::cluster::member::Member;
use crate::cluster::observation::{MemberView, Sight};
use crate::cluster::situation::{down, member};
use crate::config::{Agents, AgentsTls, ListenTls};

/// Authorities and certificates, made for one test.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        for authority in ["ca", "other"] {
            files.openssl(&format!("-subj /CN={authority} -keyout {authority}.key -out {authority}.pem"));
        }
        for (name, usage) in [("server", "serverAuth"), ("client", "clientAuth")] {
            let extensions = format!(
                "-addext subjectAltName=DNS:galera-agent -addext extendedKeyUsage={usage} \
                 -addext basicConstraints=critical,CA:FALSE"
            );
            files.openssl(&format!(
                "-subj /CN=galera-agent -CA ca.pem -CAkey ca.key -keyout {name}.key -out {name}.pem {extensions}"
            ));
        }
        files
    }

    fn openssl(&self, options: &str) {
        let kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        let options = kind.split_whitespace().chain(options.split_whitespace());
        let made = Command::new("openssl").args(options).current_dir(self.0.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn at(&self, name: &str) -> PathBuf {
        Path::new(self.0.path()).join(name)
    }

    fn listen(&self, also_plain: bool, client_ca: bool) -> Option<Acceptor> {
        let (certificate, private_key) = (self.at("server.pem"), self.at("server.key"));
        let client_ca = client_ca.then(|| self.at("ca.pem"));
        Some(Acceptor::with(&ListenTls { certificate, private_key, client_ca, also_plain }).unwrap())
    }

    fn ask(&self, also_plain: bool) -> Option<AgentsTls> {
        let server_name = "galera-agent".into();
        Some(AgentsTls { ca: self.at("ca.pem"), certificate: None, private_key: None, server_name, also_plain })
    }

    fn with_certificate(&self) -> Option<AgentsTls> {
        let (certificate, private_key) = (Some(self.at("client.pem")), Some(self.at("client.key")));
        self.ask(false).map(|tls| AgentsTls { certificate, private_key, ..tls })
    }
}

/// An agent of mysql/1. => its port
fn agent(acceptor: Option<Acceptor>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let routes = Router::new().route(api::OBSERVATION, get(|| async { Json(down(1, 9)) }));
            accept(tokio::net::TcpListener::from_std(listener).unwrap(), acceptor, routes).await
        })
    });
    port
}

fn view(port: u16, tls: Option<AgentsTls>) -> MemberView {
    let password = serde_json::from_value("secret".into()).unwrap();
    let agents = Agents { port, username: "me".into(), password, previous_password: None, tls };
    let asked = Member { address: "127.0.0.1".into(), ..member(1) };
    Client::new(&agents, Duration::from_secs(20), 9).observe(&[&asked]).remove(0)
}

#[test]
fn c3_d1_while_a_deployment_switches_to_https_and_back_every_agent_is_seen() {
    let files = Files::new();
    let plain = || agent(None);
    let both = || agent(files.listen(true, true));
    let only = || agent(files.listen(false, true));
    for (step, port, tls) in [
        ("plain, and offered: a member that is updated", plain(), files.ask(true)),
        ("plain, and offered: one that is not", both(), None),
        ("offered", both(), files.ask(true)),
        ("offered, and used", both(), files.ask(false)),
        ("used, and required", both(), files.with_certificate()),
        ("required", only(), files.with_certificate()),
        ("a proxy that is not updated yet", both(), None),
    ] {
        let view = view(port, tls);
        assert!(view.seen().is_some(), "{step}: {:?}", view.sight);
    }
}

#[test]
fn c3_d1_whoever_answers_in_another_protocol_is_no_silent_one() {
    let files = Files::new();
    let other = || files.ask(false).map(|tls| AgentsTls { ca: files.at("other.pem"), ..tls });
    for (what, port, tls, words) in [
        ("HTTP, asked by HTTPS", agent(None), files.ask(false), "it speaks HTTP"),
        ("HTTPS, asked by HTTP", agent(files.listen(false, false)), None, "it may be HTTPS"),
        ("another authority", agent(files.listen(false, false)), other(), ""),
        ("no client's certificate", agent(files.listen(false, true)), files.ask(false), ""),
    ] {
        let view = view(port, tls);
        let Sight::Unusable(why) = &view.sight else { panic!("{what}: {:?}", view.sight) };
        assert!(why.contains(words), "{what}: {why}");
        assert!(view.why_alive().is_some(), "{what}");
    }
}

/// Takes one connection, answers as a server of HTTP would, and tells what it was sent.
fn eavesdrop(times: usize) -> (u16, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for _ in 0..times {
            let (mut stream, _) = listener.accept().unwrap();
            let mut some = [0; 4096];
            let read = stream.read(&mut some).unwrap();
            heard.extend_from_slice(&some[..read]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
        heard
    });
    (port, heard)
}

#[test]
fn c3_no_password_goes_in_clear_to_whoever_is_to_speak_https() {
    let files = Files::new();
    let shown = |heard: &[u8]| String::from_utf8_lossy(heard).to_ascii_lowercase().contains("authorization: basic");
    let (port, heard) = eavesdrop(1);
    assert!(matches!(view(port, files.ask(false)).sight, Sight::Unusable(_)));
    assert!(!shown(&heard.join().unwrap()));
    // The same look sees it where it is allowed.
    let (port, heard) = eavesdrop(2);
    let _ = view(port, files.ask(true));
    assert!(shown(&heard.join().unwrap()));
}

#[test]
fn b9_a_name_that_is_not_known_says_nothing_of_its_member() {
    let files = Files::new();
    for tls in [None, files.ask(false)] {
        let password = serde_json::from_value("secret".into()).unwrap();
        let agents = Agents { port: 9, username: "me".into(), password, previous_password: None, tls };
        let asked = Member { address: "no-such.invalid".into(), ..member(1) };
        let view = Client::new(&agents, Duration::from_secs(20), 9).observe(&[&asked]).remove(0);
        assert!(matches!(view.sight, Sight::Silent(_)), "{:?}", view.sight);
    }
}
