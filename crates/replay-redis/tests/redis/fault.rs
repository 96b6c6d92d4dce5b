//! Servers instead of a real Redis.

use core::time::Duration;

use ports::Handle;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::AMPLE;

/// The URL of a server that answers a command as `answer` says of its name, in RESP. What every connection begins with
/// comes after `hesitation`, and what the pool asks is answered as it should be.
pub(crate) async fn scripted(
    handle: &Handle,
    hesitation: Duration,
    answer: impl Fn(&str) -> String + Send + Sync + Clone + 'static,
) -> String {
    let timers = handle.clone();
    listen(handle, move |client| {
        let (timers, answer) = (timers.clone(), answer.clone());
        async move {
            timers.sleep(hesitation).await;
            // Ends when the client has gone.
            converse(client, answer).await.ok();
        }
    })
    .await
}

async fn converse(client: TcpStream, answer: impl Fn(&str) -> String) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    loop {
        let count = length(&mut client).await?;
        let mut words = Vec::new();
        for _ in 0..count {
            let mut word = vec![0; length(&mut client).await? + 2];
            client.read_exact(&mut word).await?;
            words.push(String::from_utf8_lossy(&word).trim_end().to_owned());
        }
        let reply = match words[0].to_ascii_uppercase().as_str() {
            "CLIENT" | "UNWATCH" => "+OK\r\n".to_owned(),
            "PING" => format!("${}\r\n{}\r\n", words[1].len(), words[1]),
            name => answer(name),
        };
        client.write_all(reply.as_bytes()).await?;
    }
}

/// The number in a line like `*3` or `$12`.
async fn length(client: &mut BufReader<TcpStream>) -> std::io::Result<usize> {
    let mut line = String::new();
    if client.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().trim_start_matches(['*', '$']).parse().unwrap())
}

async fn listen<F>(handle: &Handle, serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://127.0.0.1:{}/0", listener.local_addr().unwrap().port());
    let spawner = handle.clone();
    drop(handle.spawn("listener", async move {
        while let Ok((client, _)) = listener.accept().await {
            drop(spawner.spawn("connection", serve(client)));
        }
    }));
    url
}

/// A URL at which nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("redis://u:hunter2@127.0.0.1:{}/0", listener.local_addr().unwrap().port())
}

/// Waits until `holds` answers yes, and fails the test if it does not.
pub(crate) async fn eventually(handle: &Handle, what: &str, holds: impl AsyncFn() -> bool) {
    let held = handle.within(AMPLE, async {
        while !holds().await {
            handle.sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(held.await.is_some(), "not in time: {what}");
}
