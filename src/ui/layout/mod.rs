//! The layout that all pages share, the static files that they load, the error pages, and the check of form bodies.

pub mod assets;
pub mod browser_errors;
pub mod error;
pub mod finish;
pub mod flash;
pub mod form_body;
pub mod form_fields;
pub mod page;
pub mod static_files;
pub mod viewer;
pub mod visit;
