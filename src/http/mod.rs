//! L3: the machine interface: JSON, the event stream, health. Calls the engine's verbs only.
//! Every answer that is not a success is a problem document (RFC 9457).

pub mod view;
