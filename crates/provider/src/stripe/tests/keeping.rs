//! The keep-lists themselves: whatever stands in the places that they name and beside them.

use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::keep::{Field, Keep, minimise};

const LISTS: [&[Field]; 2] = [EVENT, THIN_EVENT];

/// A value for `keep` whose leaves `leaf` makes; in every object, `beside` stands under keys that are not kept.
fn filled(keep: &Keep, leaf: &mut impl FnMut(&Keep) -> Value, beside: &[(String, Value)]) -> Value {
    let object = |fields: &[Field], leaf: &mut _| {
        let kept = fields.iter().map(|(name, keep)| ((*name).to_owned(), filled(keep, leaf, beside)));
        Value::Object(kept.chain(beside.iter().cloned()).collect::<Map<_, _>>())
    };
    match keep {
        Keep::Word | Keep::Integer | Keep::Flag => leaf(keep),
        Keep::Object(fields) => object(fields, leaf),
        Keep::Expandable(fields) => {
            let value = leaf(keep);
            if value.is_null() { object(fields, leaf) } else { value }
        }
        Keep::List(item, max) => (0..=*max.min(&2)).map(|_| filled(item, leaf, beside)).collect(),
    }
}

/// What is left of the filled list, as text.
fn left(
    fields: &'static [Field],
    leaf: &mut impl FnMut(&Keep) -> Value,
    beside: &[(String, Value)],
) -> String {
    let text = filled(&Keep::Object(fields), leaf, beside).to_string();
    String::from_utf8(minimise(text.as_bytes(), fields).unwrap()).unwrap()
}

fn card_number() -> impl Strategy<Value = String> {
    "[1-9][0-9]{11,17}".prop_map(|digits| {
        let doubled = digits.bytes().rev().enumerate().map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            if place % 2 == 1 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
        });
        let check = (10 - doubled.sum::<u32>() % 10) % 10;
        format!("{digits}{check}")
    })
}

fn every_object(fields: &'static [Field], look: &mut impl FnMut(&'static [Field])) {
    look(fields);
    for (_, keep) in fields {
        let mut keep = keep;
        while let Keep::List(item, _) = keep {
            keep = item;
        }
        if let Keep::Object(fields) | Keep::Expandable(fields) = keep {
            every_object(fields, look);
        }
    }
}

#[test]
fn every_name_stands_once_and_no_object_has_more_names_than_the_minimiser_counts() {
    for list in LISTS {
        every_object(list, &mut |fields| {
            let names: std::collections::BTreeSet<_> = fields.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), fields.len());
            assert!(fields.len() <= 64, "{fields:?}");
        });
    }
}

#[test]
fn every_kept_field_survives_in_its_place() {
    let mut whole = false;
    for list in LISTS {
        let text = filled(
            &Keep::Object(list),
            &mut |keep| match keep {
                Keep::Integer => json!(7),
                Keep::Flag => json!(true),
                Keep::Expandable(_) => {
                    whole = !whole;
                    if whole { Value::Null } else { json!("txn_7") }
                }
                Keep::Word | Keep::Object(_) | Keep::List(..) => json!("word"),
            },
            &[],
        )
        .to_string();
        let kept = minimise(text.as_bytes(), list).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap().to_string(), text);
    }
}

proptest! {
    #[test]
    fn a_card_number_in_every_kept_field_is_masked(number in card_number(), prefix in "[a-z]{0,3}_?", whole: bool) {
        for list in LISTS {
            let left = left(list, &mut |keep| match keep {
                Keep::Integer => number.parse::<u64>().map_or(Value::Null, Value::from),
                Keep::Expandable(_) if whole => Value::Null,
                Keep::Word | Keep::Flag | Keep::Object(_) | Keep::Expandable(_) | Keep::List(..) => {
                    json!(format!("{prefix}{number}"))
                }
            }, &[]);
            prop_assert!(!left.contains(|c: char| c.is_ascii_digit()), "{}", left);
        }
    }

    #[test]
    fn no_text_outside_the_lists_survives(secret in "[a-z]{12}", form in 0_usize..5) {
        let hidden = match form {
            0 => json!(format!("{secret} and more")),
            1 => json!(format!("{secret}@example.com")),
            2 => json!([secret, [secret]]),
            3 => json!({ secret.as_str(): secret, "id": [secret], "data": { "id": secret } }),
            _ => json!(format!("\u{fc}{secret}")),
        };
        let beside = [(format!("x_{secret}"), json!(1)), ("description".to_owned(), json!(secret)), ("metadata".to_owned(), hidden.clone())];
        for list in LISTS {
            // Beside the kept fields, and in their places where it is not what they are kept for.
            let left = left(list, &mut |keep| match keep {
                Keep::Word | Keep::Expandable(_) if form == 3 => json!([secret]),
                Keep::Integer | Keep::Flag => json!(secret),
                Keep::Word | Keep::Expandable(_) | Keep::Object(_) | Keep::List(..) => hidden.clone(),
            }, &beside);
            prop_assert!(!left.contains(&secret), "{}", left);
        }
    }
}
