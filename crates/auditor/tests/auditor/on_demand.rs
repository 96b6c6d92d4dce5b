//! `POST /audit`: who may, and that a key is a request.

use auditor::Config;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;
use testkit::servers::postgres::Role;

use crate::app::{config, while_auditing_with};
use crate::books::balanced;

const TOKEN: &str = "a-token-of-an-operator";

fn with_token(database_url: String) -> Config {
    Config { audit_token: Some(TOKEN.as_bytes().to_vec().into()), ..config(database_url) }
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn an_audit_is_for_whoever_has_the_token_and_a_key_is_done_once() {
    let database = balanced().await;
    while_auditing_with(&with_token(database.url(Role::Auditor)), async |address| {
        let post = || Client::new().post(format!("http://{address}/audit"));
        for refused in [post(), post().bearer_auth("a-token"), post().header("Authorization", TOKEN)] {
            let (status, problem) = answer(refused).await;
            assert_eq!(
                (status, &problem["type"]),
                (StatusCode::UNAUTHORIZED, &"urn:countersign:problem:unauthorized".into())
            );
        }
        let (status, report) = answer(post().bearer_auth(TOKEN)).await;
        assert_eq!((status, &report["kind"]), (StatusCode::OK, &"incremental".into()));

        let keyed =
            |body: &'static str| post().bearer_auth(TOKEN).header("Idempotency-Key", "night").body(body);
        let (status, first) = answer(keyed("{\"full\": true}")).await;
        assert_eq!((status, &first["kind"]), (StatusCode::OK, &"full".into()));
        let (status, again) = answer(keyed("{\"full\": true}")).await;
        assert_eq!((status, &again), (StatusCode::OK, &first));
        let (status, problem) = answer(keyed("{\"full\": false}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem["type"], "urn:countersign:problem:idempotency-key-reused");

        for body in ["{", "{\"kind\": \"full\"}", &" ".repeat(1025)] {
            let (status, _) = answer(post().bearer_auth(TOKEN).body(body.to_owned())).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body:?}");
        }
        let long = post().bearer_auth(TOKEN).header("Idempotency-Key", "x".repeat(129));
        assert_eq!(answer(long).await.0, StatusCode::BAD_REQUEST);
    })
    .await;
    database.close().await;
}

#[tokio::test]
async fn without_a_token_in_the_configuration_nobody_may_ask() {
    let database = balanced().await;
    while_auditing_with(&config(database.url(Role::Auditor)), async |address| {
        let (status, _) = answer(Client::new().post(format!("http://{address}/audit")).bearer_auth("")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    })
    .await;
    database.close().await;
}
