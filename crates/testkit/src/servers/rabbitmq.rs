//! A vhost of the private RabbitMQ for each test, made and looked into through the management API.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use ports::Queue;
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// Longer than any answer takes on a machine that is busy compiling.
const PATIENCE: Duration = Duration::from_secs(30);

/// A vhost that no other test uses, on `COUNTERSIGN_TEST_AMQP_URL` and `COUNTERSIGN_TEST_RABBITMQ_API` or the RabbitMQ
/// of `deploy/dev/servers.sh`. It is deleted, with all that is in it, when it is dropped.
#[derive(Debug)]
pub struct Vhost {
    name: String,
    amqp_url: String,
    api_url: String,
    client: Client,
}

/// A message as the broker shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct RawMessage {
    /// The routing key it was published with.
    pub routing_key: String,
    /// Whether it was delivered before.
    pub redelivered: bool,
    /// AMQP properties by their names: `message_id`, `type`, `delivery_mode`, `headers`, …
    pub properties: Value,
    /// How many more there are behind it.
    message_count: usize,
    payload: String,
}

impl RawMessage {
    /// The body.
    pub fn body(&self) -> Vec<u8> {
        BASE64.decode(self.payload.as_bytes()).expect("the broker encodes in base64")
    }

    /// A property that is a text.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name)?.as_str()
    }

    /// A header that is a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.properties.get("headers")?.get(name)?.as_str()
    }
}

impl Vhost {
    /// A new vhost. Fails the test when there is no broker.
    pub async fn fresh() -> Self {
        let (amqp_url, api_url) = urls();
        let mut id = [0; 8];
        getrandom::fill(&mut id).expect("the operating system gives randomness");
        let name = format!("cs-test-{}", HEXLOWER.encode(&id));
        let (broker, _default_vhost) = amqp_url.rsplit_once('/').expect("the AMQP URL ends with a vhost");
        let client = Client::builder().timeout(PATIENCE).build().expect("a plain HTTP client");
        let vhost = Self { amqp_url: format!("{broker}/{name}"), name, api_url, client };
        vhost.api(Method::PUT, "vhosts/{vhost}", Value::Null).await;
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        vhost.api(Method::PUT, &format!("permissions/{{vhost}}/{}", vhost.user()), all).await;
        vhost
    }

    /// Where to connect.
    pub fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// The vhost's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many messages are in a queue that no consumer holds. The first of them counts as delivered once.
    pub async fn depth(&self, queue: Queue) -> usize {
        self.peek(queue, 1).await.first().map_or(0, |message| message.message_count + 1)
    }

    /// Shows the first messages and puts them back: they count as delivered once. None when there is no such queue.
    pub async fn peek(&self, queue: Queue, most: usize) -> Vec<RawMessage> {
        self.get(queue, most, "ack_requeue_true").await
    }

    /// Takes the first messages out. None when there is no such queue.
    pub async fn take(&self, queue: Queue, most: usize) -> Vec<RawMessage> {
        self.get(queue, most, "ack_requeue_false").await
    }

    async fn get(&self, queue: Queue, most: usize, ackmode: &str) -> Vec<RawMessage> {
        let path = format!("queues/{{vhost}}/{}/get", queue.name());
        let how = json!({ "count": most, "ackmode": ackmode, "encoding": "base64" });
        let messages: Option<Vec<RawMessage>> =
            serde_json::from_value(self.api(Method::POST, &path, how).await).expect("a list of messages");
        messages.unwrap_or_default()
    }

    /// Deletes a queue and what is in it.
    pub async fn delete_queue(&self, queue: Queue) {
        self.api(Method::DELETE, &format!("queues/{{vhost}}/{}", queue.name()), Value::Null).await;
    }

    /// Takes a queue off the exchange of events: what is published finds it no more.
    pub async fn unbind(&self, queue: Queue) {
        let path = format!("bindings/{{vhost}}/e/countersign.events/q/{}/%23", queue.name());
        self.api(Method::DELETE, &path, Value::Null).await;
    }

    /// The names of the connections to this vhost.
    pub async fn connections(&self) -> Vec<String> {
        let connections = self.api(Method::GET, "vhosts/{vhost}/connections", Value::Null).await;
        let names = connections.as_array().into_iter().flatten();
        names.filter_map(|connection| Some(connection.get("name")?.as_str()?.to_owned())).collect()
    }

    /// Closes every connection to this vhost, as an operator would, and says how many.
    pub async fn close_connections(&self) -> usize {
        let connections = self.connections().await;
        for name in &connections {
            self.api(Method::DELETE, &format!("connections/{}", percent_encoded(name)), Value::Null).await;
        }
        connections.len()
    }

    /// Lets nobody connect to this vhost any more: to its clients the broker is away.
    pub async fn refuse_connections(&self) {
        self.api(Method::PUT, "vhost-limits/{vhost}/max-connections", json!({ "value": 0 })).await;
    }

    /// Lets clients connect again.
    pub async fn allow_connections(&self) {
        self.api(Method::DELETE, "vhost-limits/{vhost}/max-connections", Value::Null).await;
    }

    /// Asks anything of the management API; `{vhost}` in the path is this vhost. The answer to a request for what is
    /// not there (404), and an empty one, is null.
    pub async fn api(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}/api/{}", self.api_url, path.replace("{vhost}", &self.name));
        let mut request = self.client.request(method, url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap_or_else(|error| {
            let error = error.without_url();
            panic!("no RabbitMQ management API ({error}): run `make up` or `deploy/dev/servers.sh start`")
        });
        let status = response.status();
        let text = response.text().await.expect("an answer to its end");
        if status == StatusCode::NOT_FOUND || (status.is_success() && text.is_empty()) {
            return Value::Null;
        }
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).expect("the management API answers in JSON")
    }

    fn user(&self) -> &str {
        self.credentials().split(':').next().unwrap_or("guest")
    }

    fn credentials(&self) -> &str {
        let authority = self.api_url.split("://").nth(1).unwrap_or_default();
        authority.rsplit_once('@').map_or("guest:guest", |(credentials, _host)| credentials)
    }

    /// Without a runtime and without a panic, because it runs in `drop`.
    fn delete(&self) -> std::io::Result<String> {
        let authority = self.api_url.split("://").nth(1).unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let credentials = BASE64.encode(self.credentials().as_bytes());
        write!(stream, "DELETE /api/vhosts/{} HTTP/1.1\r\nHost: {host}\r\n", self.name)?;
        write!(stream, "Authorization: Basic {credentials}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let deleted = self.delete();
        // A second panic while a failed test unwinds would hide the first.
        if !std::thread::panicking() {
            let status = deleted.expect("the management API deletes the vhost");
            assert!(status.contains(" 204 ") || status.contains(" 404 "), "deleting {}: {status}", self.name);
        }
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "tests take the servers' place from the environment")]
fn urls() -> (String, String) {
    let offset = std::env::var("COUNTERSIGN_PORT_OFFSET").unwrap_or_default().parse::<u16>().unwrap_or(0);
    let amqp = std::env::var("COUNTERSIGN_TEST_AMQP_URL")
        .unwrap_or_else(|_| format!("amqp://guest:guest@127.0.0.1:{}/%2f", 55_672 + offset));
    let api = std::env::var("COUNTERSIGN_TEST_RABBITMQ_API")
        .unwrap_or_else(|_| format!("http://guest:guest@127.0.0.1:{}", 55_674 + offset));
    (amqp, api.trim_end_matches('/').to_owned())
}
