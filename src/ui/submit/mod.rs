//! The form that submits a job.

pub mod form_switch;
pub mod form_value;
pub mod new_job;
pub mod payload_form;
pub mod payload_input;
pub mod start_at;
pub mod submit_form;
