//! One module per payment provider: events, keep-lists, movements
