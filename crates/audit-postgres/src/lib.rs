//! The auditor's reads and its own tables
