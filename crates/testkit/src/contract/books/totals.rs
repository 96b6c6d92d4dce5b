//! Control totals: each once, and a lost one told again by the next.

use ledger::{EventId, ProblemSlug};
use ports::{Books, BooksError};
use wire::{ControlTotal, InstanceId, Listed, RefusalCount, Sequence};

use super::Desk;
use super::samples::{NOW, event_key};
use crate::memory::books::TotalKept;

pub(super) async fn all(books: &dyn Books, desk: &dyn Desk) {
    a_total_is_recorded_once_with_its_refusals(books, desk).await;
    a_lost_total_is_told_by_the_next(books, desk).await;
    a_total_that_comes_late_changes_nothing(books, desk).await;
    another_total_under_a_taken_window_is_refused_and_changes_nothing(books, desk).await;
    numbers_that_no_column_holds_are_refused(books).await;
}

fn instance(number: u8) -> InstanceId {
    InstanceId::from_bytes([number; 16])
}

fn listed(sequence: u64) -> Listed {
    let event_id = EventId::parse(&format!("evt_total_{sequence}")).unwrap();
    Listed { sequence: Sequence(sequence), source: event_key("evt").source, event_id }
}

/// Windows of two messages each.
fn total(number: u8, window: u64) -> ControlTotal {
    let of = |window: u64| match window {
        0 => Vec::new(),
        _ => vec![listed(2 * window - 1), listed(2 * window)],
    };
    ControlTotal {
        instance: instance(number),
        window,
        closed_at: NOW.plus_ms(i64::try_from(window).unwrap() * 10_000),
        confirmed: 2 * window,
        listed: of(window),
        previous: of(window - 1),
        last: window == 3,
        refusals: Vec::new(),
    }
}

fn as_told(total: &ControlTotal) -> TotalKept {
    TotalKept {
        closed_at: total.closed_at,
        confirmed: total.confirmed,
        last: total.last,
        listed: total.listed.clone(),
        restated: false,
    }
}

fn refusals(reason: &str, count: u64) -> RefusalCount {
    RefusalCount {
        source: event_key("evt").source,
        reason: ProblemSlug::parse(reason).unwrap(),
        minute: NOW,
        count,
    }
}

async fn a_total_is_recorded_once_with_its_refusals(books: &dyn Books, desk: &dyn Desk) {
    let counted = vec![refusals("signature-mismatch", 7), refusals("event-too-old", 2)];
    let first = ControlTotal { refusals: counted, ..total(80, 1) };
    for _ in 0..2 {
        assert_eq!(books.count(&first).await, Ok(()));
    }
    let second = ControlTotal { refusals: vec![refusals("event-too-old", 1)], ..total(80, 2) };
    books.count(&second).await.unwrap();
    let totals = desk.totals(instance(80)).await;
    assert_eq!(totals.into_iter().collect::<Vec<_>>(), [(1, as_told(&first)), (2, as_told(&second))]);
    let refusals = desk.refusals(instance(80)).await;
    let counts: Vec<_> = refusals
        .into_iter()
        .map(|((_, window, _, reason, minute), count)| {
            assert_eq!(minute, NOW);
            (window, reason.to_string(), count)
        })
        .collect();
    let expected = [(1, "event-too-old", 2), (1, "signature-mismatch", 7), (2, "event-too-old", 1)];
    assert_eq!(counts, expected.map(|(window, reason, count)| (window, reason.to_owned(), count)));
}

async fn a_lost_total_is_told_by_the_next(books: &dyn Books, desk: &dyn Desk) {
    let (first, lost, third) = (total(81, 1), total(81, 2), total(81, 3));
    books.count(&first).await.unwrap();
    books.count(&third).await.unwrap();
    let totals = desk.totals(instance(81)).await;
    let told = TotalKept { closed_at: third.closed_at, restated: true, ..as_told(&lost) };
    let expected = [(1, as_told(&first)), (2, told), (3, as_told(&third))];
    assert_eq!(totals.into_iter().collect::<Vec<_>>(), expected);
}

async fn a_total_that_comes_late_changes_nothing(books: &dyn Books, desk: &dyn Desk) {
    books.count(&total(82, 2)).await.unwrap();
    let before = desk.totals(instance(82)).await;
    assert_eq!(before.values().map(|kept| kept.restated).collect::<Vec<_>>(), [true, false]);
    books.count(&total(82, 1)).await.unwrap();
    assert_eq!(desk.totals(instance(82)).await, before);
}

async fn another_total_under_a_taken_window_is_refused_and_changes_nothing(
    books: &dyn Books,
    desk: &dyn Desk,
) {
    let counted = vec![refusals("event-too-old", 2)];
    let taken = ControlTotal { refusals: counted, ..total(84, 2) };
    books.count(&taken).await.unwrap();
    let before = (desk.totals(instance(84)).await, desk.refusals(instance(84)).await);
    let of_another = total(85, 2);
    for other in [
        ControlTotal { listed: vec![listed(3)], confirmed: 3, ..taken.clone() },
        ControlTotal { confirmed: 5, ..taken.clone() },
        ControlTotal { last: true, ..taken.clone() },
        ControlTotal { closed_at: taken.closed_at.plus_ms(1), ..taken.clone() },
        ControlTotal { previous: vec![listed(9)], ..taken.clone() },
        ControlTotal { refusals: vec![refusals("event-too-old", 3)], ..taken.clone() },
        // Of the window before, which is known from its successor alone.
        ControlTotal { listed: vec![listed(9)], ..total(84, 1) },
        // The next one repeats another listing.
        ControlTotal { previous: of_another.previous, ..total(84, 3) },
    ] {
        assert!(matches!(books.count(&other).await, Err(BooksError::Refused(_))), "{other:?}");
        assert_eq!((desk.totals(instance(84)).await, desk.refusals(instance(84)).await), before);
    }
    books.count(&taken).await.unwrap();
    books.count(&total(84, 3)).await.unwrap();
}

async fn numbers_that_no_column_holds_are_refused(books: &dyn Books) {
    let huge = u64::MAX;
    for wrong in [
        ControlTotal { window: 0, ..total(83, 1) },
        ControlTotal { window: huge, ..total(83, 1) },
        ControlTotal { confirmed: huge, ..total(83, 1) },
        ControlTotal { refusals: vec![refusals("event-too-old", huge)], ..total(83, 1) },
    ] {
        assert!(matches!(books.count(&wrong).await, Err(BooksError::Refused(_))), "{wrong:?}");
    }
}
