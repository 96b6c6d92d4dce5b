//! The auditor's checks, pure, over plain rows
