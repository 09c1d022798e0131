//! The page with the form that submits a job, the fields that it shares with the forms of schedules, the conversion of
//! fields, and the inputs of payloads.

pub mod form_switch;
pub mod form_value;
pub mod job_fields;
pub mod new_job;
pub mod payload_form;
pub mod payload_input;
pub mod posted;
pub mod start_at;
pub mod submit_form;
