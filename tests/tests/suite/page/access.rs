//! Who is turned away, and what is refused before a run begins.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::database::Backend;
use tests::generate::Profile;
use tests::scenario::Scenario;
use tests::scratch;

use super::show;

on_both!(
    strangers_are_turned_away,
    what_cannot_be_shown_is_said_first
);

const TOKEN: &str = "3f7c0b1e9d2a4c5e8f60718293a4b5c6";

/// What a server answers to these very bytes: its head and its body.
fn ask(address: SocketAddr, request: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(20))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    // It may have answered and hung up before it has read all.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Ok((head.to_owned(), body.to_owned()))
}

/// The status of an answer.
fn status(address: SocketAddr, request: &str) -> Result<String> {
    let (head, _) = ask(address, request)?;
    let status = head
        .split(' ')
        .nth(1)
        .with_context(|| format!("{request:?} gives {head:?}"))?;
    Ok(status.to_owned())
}

fn token_file() -> Result<PathBuf> {
    let path = scratch::folder("token")?.join("token");
    std::fs::write(&path, format!("{TOKEN}\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(path)
}

pub(crate) async fn strangers_are_turned_away(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 1_611)).await?;
    scenario.run()?.expect(0).await?;
    let events = scenario.database.count("backstitch_journal").await?;
    let serve = [
        "serve",
        "--addr",
        "127.0.0.1:0",
        "--status-host",
        "worker-0.example.com",
    ];
    let near = show(scenario.cli(&serve)?).await?;
    let at = near.address;
    let get = |path: &str, host: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for (request, is) in [
        (get("/", &at.to_string()), "200"),
        (get("/", "localhost:1"), "200"),
        (get("/", "worker-0.example.com"), "200"),
        (get("/metrics", "localhost"), "200"),
        (get("/livez", "localhost"), "200"),
        (get("/readyz", "localhost"), "200"),
        (get("/style.css", "localhost"), "200"),
        (get("/nothing", "localhost"), "404"),
        (get("/../../etc/passwd", "localhost"), "404"),
        (get("/", "evil.example"), "421"),
        (get("/metrics", "evil.example"), "421"),
        (get("/events", "localhost.evil.example"), "421"),
        (get("/", "10.1.2.3"), "421"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "421"),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n".to_owned(),
            "421",
        ),
        (
            "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "421",
        ),
        (
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "405",
        ),
        (
            "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "405",
        ),
        (
            "OPTIONS / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "405",
        ),
        (
            "DELETE /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "405",
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
                "x".repeat(40_000)
            ),
            "431",
        ),
        ("nonsense\r\n\r\n".to_owned(), "400"),
    ] {
        let given = status(at, &request)?;
        ensure!(
            given == is,
            "{given} rather than {is} for {:?}",
            request.get(..80).unwrap_or(&request)
        );
    }
    let (head, body) = ask(at, &get("/", "localhost"))?;
    for word in [
        "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
    ] {
        ensure!(head.contains(word), "{word} is missing in {head}");
    }
    ensure!(
        !head.to_lowercase().contains("access-control-"),
        "others may read it: {head}"
    );
    ensure!(
        !body.contains("style=\"") && !body.contains("<script>"),
        "something is inline"
    );

    // Whoever says nothing, or never ends, keeps nobody else out; the sockets stay open meanwhile.
    let mut idle = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(at)?;
        stream.write_all(b"GET / HT")?;
        idle.push(stream);
    }
    ensure!(
        status(at, &get("/livez", "localhost"))? == "200",
        "nobody comes through"
    );
    let mut slow = idle.pop().context("one of them")?;
    slow.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut rest = Vec::new();
    // It is hung up on, with or without a word.
    let _ = slow.read_to_end(&mut rest);
    drop(idle);
    ensure!(
        scenario.database.count("backstitch_journal").await? == events,
        "a look was journaled"
    );
    near.running.signal("TERM")?;
    near.running.wait().await?.expect(143)?;

    // Elsewhere than on this machine, a token is asked for.
    let file = token_file()?;
    let file = file.to_str().context("a path")?;
    let far =
        show(scenario.cli(&["serve", "--addr", "0.0.0.0:0", "--status-token-file", file])?).await?;
    let at: SocketAddr = ([127, 0, 0, 1], far.address.port()).into();
    let with = |path: &str, authorization: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nAuthorization: {authorization}\r\n\r\n")
    };
    // me:<the token>
    let basic = "Basic bWU6M2Y3YzBiMWU5ZDJhNGM1ZThmNjA3MTgyOTNhNGI1YzY=";
    for (request, is) in [
        (get("/", &at.to_string()), "401"),
        (get("/metrics", &at.to_string()), "401"),
        (get("/events", &at.to_string()), "401"),
        (get(&format!("/?token={TOKEN}"), &at.to_string()), "401"),
        (with("/", "Bearer wrong"), "401"),
        (with("/", "Basic bWU6d3Jvbmc="), "401"),
        (with("/", &format!("Bearer {TOKEN}")), "200"),
        (with("/metrics", basic), "200"),
        (with("/", basic), "200"),
        (get("/livez", &at.to_string()), "200"),
        (get("/readyz", &at.to_string()), "200"),
        (get("/", "evil.example"), "421"),
    ] {
        let given = status(at, &request)?;
        ensure!(given == is, "{given} rather than {is} for {request:?}");
    }
    let (head, _) = ask(at, &get("/", &at.to_string()))?;
    ensure!(
        head.contains("www-authenticate: Basic realm="),
        "a browser is not asked: {head}"
    );
    far.running.signal("INT")?;
    let ended = far.running.wait().await?.expect(130)?;
    ensure!(!ended.output().contains(TOKEN), "the token was printed");
    Ok(())
}

/// Nothing is begun where the page cannot be shown.
pub(crate) async fn what_cannot_be_shown_is_said_first(backend: Backend) -> Result<()> {
    let scenario = Scenario::load(&Profile::small(backend, 1_612)).await?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let taken = taken.local_addr()?.to_string();
    let short = scratch::folder("short")?.join("token");
    std::fs::write(&short, "short\n")?;
    let short = short.to_str().context("a path")?;
    for (options, word) in [
        (
            vec!["--status-addr", &taken],
            "another program listens there",
        ),
        (vec!["--status-addr", "0.0.0.0:0"], "--status-token-file"),
        (vec!["--status-addr", "[::]:0"], "--status-token-file"),
        (
            vec![
                "--status-addr",
                "203.0.113.7:0",
                "--status-token-file",
                short,
            ],
            "16 characters",
        ),
        (
            vec![
                "--status-addr",
                "127.0.0.1:0",
                "--status-token-file",
                "/nowhere/token",
            ],
            "/nowhere/token",
        ),
        (
            vec!["--status-addr", "127.0.0.1:0", "--status-host", "a b:1"],
            "--status-host",
        ),
        (vec!["--status-addr", "localhost"], "--status-addr"),
        (vec!["--status-token-file", short], "--status-addr"),
    ] {
        let refused = scenario.run()?.args(&options).expect(2).await?;
        refused.expect_named(&[word])?;
        ensure!(!refused.output().contains("short\n"), "a token was printed");
    }
    ensure!(
        !tests::journal::exists(&scenario.database).await?,
        "something was begun"
    );
    Ok(())
}
