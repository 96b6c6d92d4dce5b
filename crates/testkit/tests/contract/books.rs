use ports::{Books as _, BooksError, Settlement};
use testkit::contract::books::all;
use testkit::contract::books::samples::{booking, capture_key, delivery, event_key, evidence};
use testkit::memory::books::{BooksFault, MemoryBooks};

#[tokio::test]
async fn books_in_memory_keep_the_contract_and_balance() {
    let books = MemoryBooks::new();
    all(&books, &books).await;
    let mut totals = std::collections::BTreeMap::new();
    for ((_, livemode, _, currency), minor) in books.trial_balance() {
        *totals.entry((livemode, currency)).or_insert(0_i128) += minor;
    }
    assert!(totals.len() == 2 && totals.values().all(|total| *total == 0), "{totals:?}");
}

#[tokio::test]
async fn while_the_books_are_away_nothing_is_recorded_and_a_lost_answer_recorded_all() {
    let books = MemoryBooks::new();
    let batch = [booking(delivery(1, 1), "evt_1", &[("ch_1", 100)])];
    books.inject([BooksFault::Away, BooksFault::AnswerLost]);
    assert!(matches!(books.record(&batch).await, Err(BooksError::Unavailable(_))));
    assert!(books.deliveries().is_empty());
    assert!(matches!(books.record(&batch).await, Err(BooksError::Unavailable(_))));
    assert_eq!(books.record(&batch).await.unwrap()[0].settlement, Settlement::Again);
    books.set_down(true);
    assert!(books.probe().await.is_err());
    books.set_down(false);
    assert_eq!(books.probe().await, Ok(()));
}

#[tokio::test]
async fn an_event_that_is_refused_on_demand_refuses_its_batch_and_passes_as_evidence() {
    let books = MemoryBooks::new();
    books.refuse(event_key("evt_bad"));
    let batch = [
        booking(delivery(1, 1), "evt_good", &[("ch_1", 100)]),
        booking(delivery(1, 2), "evt_bad", &[("ch_2", 100)]),
    ];
    assert!(matches!(books.record(&batch).await, Err(BooksError::Refused(_))));
    assert!(books.events().is_empty());
    let [good, bad] = batch;
    books.record(&[good, evidence(bad.delivery, Some("evt_bad"))]).await.unwrap();
    assert_eq!(books.events().len(), 1);
    let kept = books.transactions().remove(&capture_key("ch_1")).unwrap();
    assert_eq!(kept.first, event_key("evt_good"));
}
