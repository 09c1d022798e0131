//! The composition root: opens the store, starts the engine, merges the routers, serves and stops. Only this module
//! uses every layer. [`Cortado`] is the entry point for programs with their own handlers.

mod access;
mod builder;
mod built_in;
mod declared;
mod files;
mod handlers;
mod in_process;
mod kind_defaults;
mod listening;
mod options;
mod prepare;
mod program_handlers;
mod reaper;
mod restart;
mod schedule;
mod server;
mod server_error;
mod service_manager;
mod signals;
mod start;
mod survivors;
pub mod testing;

pub use crate::http::server::inherited::InheritedSockets;

pub use access::FirstAdmin;
pub use builder::Builder;
pub use options::{QueueOptions, RetentionOptions};
pub use schedule::DeclaredSchedule;
pub use server::{Served, Server};
pub use server_error::{ServerError, ServerErrorKind};
pub use signals::Signals;

/// The entry point for Rust programs that run this server with their own handlers.
///
/// ```no_run
/// # async fn example() -> Result<(), cortado::ServerError> {
/// use cortado::{Context, Cortado};
///
/// async fn resize(context: Context, width: u32) -> Result<u32, std::io::Error> {
///     context.log(format!("resizing to {width}"));
///     Ok(width)
/// }
///
/// Cortado::builder().handle_kind("resize", resize).serve().await?;
/// # Ok(())
/// # }
/// ```
pub struct Cortado;

impl Cortado {
    /// Returns a builder with the default settings and the built-in kinds.
    pub fn builder() -> Builder {
        Builder::new()
    }
}
