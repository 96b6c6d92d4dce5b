//! Proves, again and again, that the books balance
