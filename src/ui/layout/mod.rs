//! What all pages share: the frame around them, their files, and the error page.

pub mod assets;
pub mod error;
pub mod finish;
pub mod form_body;
pub mod page;
pub mod static_files;
