//! Pages of an earlier moment: which moment an address asks for, the bar with links to other moments, and links that keep
//! the moment. The engine reads the state of the moment from the event log; docs/rewind.md describes it for users.

pub mod asked;
pub mod bar;
pub mod links;
pub mod moment_text;
