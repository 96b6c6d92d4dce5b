use testkit::contract::books::all;
use testkit::servers::postgres::Database;

use crate::books;
use crate::desk::PostgresDesk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_in_postgres_keep_the_contract() {
    let database = Database::create().await;
    all(&books(&database).await, &PostgresDesk::of(&database).await).await;
    database.close().await;
}
